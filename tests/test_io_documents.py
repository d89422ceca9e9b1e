"""JSON and arrays of a folder are read as they stand, or refused by file and field, whatever they hold."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from io_fixtures import refusal
from pydantic import BaseModel
from safetensors.numpy import save

from unisono.io.documents import document, read_arrays, validated


class Part(BaseModel):
    """A field of each kind that must not be converted into another."""

    n: int
    x: float
    names: tuple[str, ...] = ()


def written(folder, content: bytes, name: str = "part.json"):
    (folder / name).write_bytes(content)
    return folder


def test_a_document_is_what_its_text_says(tmp_path):
    found = {"n": 3, "x": 0.1, "names": ["\u00fc", 'a"b\\u0041'], "deep": [[[]]]}
    assert document(written(tmp_path, json.dumps(found).encode()), "part.json") == found
    assert document(written(tmp_path, json.dumps(found, ensure_ascii=False).encode()), "part.json") == found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is no JSON (Expecting property name enclosed in double quotes at 1)"),
        (b'{"a": "\xff"}', "is no text in UTF-8 (invalid start byte at 7)"),
        (b'"\\ud800"', "is no text in UTF-8 (surrogates not allowed at 1)"),
        (b'{"a": 1, "b": 2, "a": 3}', "a occurs twice in one object"),
        (b'{"a": [NaN]}', "NaN is no finite number"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"1" * 5000, "Exceeds the limit"),
        (b"", "is no JSON (Expecting value at 0)"),
    ],
)
def test_a_document_that_is_no_plain_json_is_refused_with_the_place(tmp_path, content, words):
    found = refusal(document, written(tmp_path, content), "part.json")
    assert (found.code, found.where) == ("E049", str(tmp_path))
    assert found.what.startswith(f"part.json: {words}")


def test_a_model_takes_lists_for_tuples_and_whole_numbers_for_broken_ones_alone(tmp_path):
    found = validated(written(tmp_path, b'{"n": 3, "x": 2, "names": ["a"]}'), "part.json", Part)
    assert (found.n, found.x, found.names) == (3, 2.0, ("a",))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"n": "3", "x": 2}', "part.json, n: '3': input should be a valid integer."),
        (b'{"n": 3.0, "x": 2}', "part.json, n: 3.0: input should be a valid integer."),
        (b'{"n": true, "x": 2}', "part.json, n: true: input should be a valid integer."),
        (b'{"n": 3}', "part.json, x: is missing."),
        (b'{"n": 3, "x": {"a": 1}}', "part.json, x: an object of 1 fields: input should be a valid number."),
        (b'{"n": 3, "x": 2, "names": ["a", 4]}', "part.json, names.1: 4: input should be a valid string."),
    ],
)
def test_a_value_of_another_type_is_refused_by_field(tmp_path, content, what):
    assert refusal(validated, written(tmp_path, content), "part.json", Part).what == what


def test_what_is_found_is_shown_in_few_printable_letters(tmp_path):
    content = json.dumps({"n": "\x1b[31m\nE049 forged" + "x" * 10_000, "x": 2}).encode()
    what = refusal(validated, written(tmp_path, content), "part.json", Part).what
    assert what.isprintable()
    assert len(what) < 150
    assert what.startswith(r"part.json, n: '\x1b[31m\nE049 forgedxxx")


def test_arrays_are_read_to_the_bit(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True, False]), "c": np.array([2**63], dtype=np.uint64)}
    found = read_arrays(written(tmp_path, save(arrays), "a.safetensors"), "a.safetensors")
    assert set(found) == set(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype


def packed(header, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(1,), end=4, **more):
    return {"a": {"dtype": dtype, "shape": list(shape), "data_offsets": [0, end], **more}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0", "header: has 0 bytes, allowed 2 to 16,777,216"),
        (struct.pack("<Q", 2**63) + b"{}", "header: has 9,223,372,036,854,775,808 bytes"),
        (packed(b"[" * 50_000, b""), "header: is nested too deeply"),
        (packed(entry("BF16", (2,)), bytes(4)), "header.a.dtype: 'BF16': input should be 'BOOL', 'I64'"),
        (packed(entry(shape=(2**62, 4)), bytes(4)), "header.a.shape.0: 4611686018427387904: input should be less"),
        (packed(entry(shape=[1] * 5), bytes(4)), "header.a.shape: a list of 5: list should have at most 4"),
        (packed(entry(more=1), bytes(4)), "header.a.more: is no field"),
        (packed(entry(), bytes(8)), "cannot be read (Error while deserializing"),
        (packed(entry("BOOL", (2,), 2), b"\1\2"), "a: holds flags that are neither 0 nor 1"),
    ],
)
def test_arrays_that_are_damaged_are_refused_by_header_or_name(tmp_path, content, words):
    found = refusal(read_arrays, written(tmp_path, content, "a.safetensors"), "a.safetensors")
    assert found.code == "E049"
    assert found.what.removeprefix("a.safetensors").lstrip(",: ").startswith(words)

"""Folders of models and indexes as a stranger may write them, signed anew: what loads is what they say, or is refused.

Each case takes one value of a sound folder, of JSON or of an array, for another. The manifest is written over the
result, so that nothing but the schema can notice.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import struct
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import mudata
import numpy as np
import pytest
from model_fixtures import rebuilt, small_model, take, test_cells, tiny
from safetensors.numpy import load as unpacked
from safetensors.numpy import save as packed

import unisono as un
from unisono.datasets import simulate
from unisono.io.manifest import write_manifest
from unisono.messages import BadInput
from unisono.model.store import contents
from unisono.nn.model import Network

CODES = {"E047", "E048", "E049", "E054"}
MAX_SECONDS = 2.0
QUICK, FULL = 500, 20_300
"""Cases; those of the full run are counted by `bench/faults`."""


@dataclass(frozen=True)
class Case:
    """One change of a sound folder: the file, where in it, how, and what the file becomes."""

    file: str
    where: str
    how: str
    content: Callable[[], bytes]

    def __str__(self) -> str:
        return f"{self.file}, {self.where}: {self.how}"


def guided_model():
    """A model of two modalities that was started from another one, with columns of var of each kind; and cells."""
    with warnings.catch_warnings(), mudata.set_options(pull_on_update=False):
        warnings.simplefilter("ignore")
        cells = simulate(n_cells=67, n_genes=19, n_peaks=23, n_proteins=6, batch_effect=0.8, seed=3)
        cells = rebuilt({name: cells[name].copy() for name in ("atac", "adt")})
        config = tiny(
            n_codes=5,
            architecture={"content_dim": 3, "style_dim": 2, "n_channels": 2, "n_tokens": 3},
            validation={"fraction": 0.3, "min_cells": 20, "min_embedding_cells": 10},
            uncertainty={"min_interval_cells": 5},
            kernel={"n_landmarks": 11, "sharpnesses": (1.0,)},
            matching={"n_anchors": 13, "depth_weights": (0.5,)},
            embedding={"n_directions": 7},
            preprocessing={"n_clusters": 3},
        )
        cells["adt"].var["length"] = [float("nan"), *range(5)]
        cells["adt"].var["chosen"] = np.arange(6) % 2 == 0
        cells["adt"].var["label"] = [f"antibody {n}" for n in range(6)]
        first = un.fit(take(cells, slice(0, 40)), batch_key="batch", config=config, device="cpu")
        return un.fit(cells, batch_key="batch", config=config, device="cpu", init=first), take(cells, slice(0, 5))


@pytest.fixture(scope="module")
def sound(tmp_path_factory, is_full):
    """The place of a sound model folder, its files in memory by name, and cells to ask it about."""
    return saved(guided_model() if is_full else usual_model(), tmp_path_factory.mktemp("strangers") / "model")


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The same of the model of three modalities, whose every part has a name that a test can say."""
    return saved(usual_model(), tmp_path_factory.mktemp("usual") / "model")


def usual_model():
    return small_model(), take(test_cells(), slice(0, 5))


def saved(made, folder: Path):
    """A model in a folder, the files there, and the cells."""
    model, cells = made
    model.save(folder)
    return folder, {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}, cells


def leaves(tree, path: tuple = ()) -> Iterator[tuple]:
    """The path of each value of a JSON tree, of objects and lists too; of a long list the first and last entry."""
    yield path
    if isinstance(tree, dict):
        for key, part in tree.items():
            yield from leaves(part, (*path, key))
    if isinstance(tree, list):
        for number in sorted({0, len(tree) - 1} & set(range(len(tree)))):
            yield from leaves(tree[number], (*path, number))


def at(tree, path: tuple):
    """What stands at a path."""
    for key in path:
        tree = tree[key]
    return tree


NESTED = "[" * 100_000 + "]" * 100_000
RAW = {
    "NaN": "NaN",
    "infinity": "-Infinity",
    "1e999": "1e999",
    "nested": NESTED,
    "2^5000": str(2**5000),
    "5,000 digits": "9" * 5000,
    "lone surrogate": '"\\ud800"',
    "nothing": "",
    "null character": '"a\\u0000"',
    "escape": '"\\u001b[31mred\\nE049 forged"',
    "twice": '{"a": 1, "a": 2}',
    "no string": '"',
}
"""What is written in place of a value, as it stands."""
VALUES = {
    "null": None,
    "true": True,
    "text": "9",
    "number as text": "1.0",
    "empty text": "",
    "long text": "x" * 100_000,
    "path": "../../etc/passwd",
    "0": 0,
    "-1": -1,
    "1": 1,
    "0.5": 0.5,
    "-0.25": -0.25,
    "7.0": 7.0,
    "1e-300": 1e-300,
    "1e30": 1e30,
    "1e308": 1e308,
    "-1e308": -1e308,
    "2^31": 2**31,
    "2^63": 2**63,
    "2^200": 2**200,
    "-2^63": -(2**63),
    "empty list": [],
    "empty object": {},
    "list": [0, "a", None],
    "object": {"sha256": 1},
    "50 deep": json.loads("[" * 50 + "]" * 50),
}
MARK = "\u2603 here"


def replaced(tree, path: tuple, value) -> object:
    """A copy with another value at a path."""
    if not path:
        return value
    tree = copy.copy(tree)
    tree[path[0]] = replaced(tree[path[0]], path[1:], value)
    return tree


def of_json(name: str, content: bytes) -> Iterator[Case]:
    """Cases of a JSON file: each value for each other, and its key deleted, doubled and added."""
    tree = json.loads(content)

    def written(changed, raw: str | None = None) -> bytes:
        text = json.dumps(changed, ensure_ascii=False)
        return (text if raw is None else text.replace(json.dumps(MARK, ensure_ascii=False), raw)).encode()

    for path in leaves(tree):
        where = ".".join(map(str, path)) or "all"
        for how, value in VALUES.items():
            yield Case(name, where, how, lambda path=path, value=value: written(replaced(tree, path, value)))
        for how, raw in RAW.items():
            yield Case(name, where, how, lambda path=path, raw=raw: written(replaced(tree, path, MARK), raw))
        yield from of_container(name, where, tree, path, written)
    for how, change in BYTES.items():
        yield Case(name, "all", how, lambda change=change: change(content))


def of_container(name: str, where: str, tree, path: tuple, written) -> Iterator[Case]:
    """An object with a key less, more, and twice; a list with an entry less and twice."""
    found = at(tree, path)
    if isinstance(found, dict):
        for key in list(found)[:40]:
            less = {other: part for other, part in found.items() if other != key}
            yield Case(name, f"{where}.{key}", "deleted", lambda less=less: written(replaced(tree, path, less)))
            twice = json.dumps(found, ensure_ascii=False)[:-1] + f", {json.dumps(key)}: 1}}"
            yield Case(
                name, f"{where}.{key}", "doubled", lambda twice=twice: written(replaced(tree, path, MARK), twice)
            )
        for key in ("extra", "", "rna", "__class__", "x" * 70_000, "rna,rna,rna", "adt,rna,"):
            more = {**found, key: 1}
            yield Case(name, where, f"added {key[:9]!r}", lambda more=more: written(replaced(tree, path, more)))
    if isinstance(found, list) and found:
        for how, value in {"shorter": found[1:], "longer": [*found, found[0]], "reversed": found[::-1]}.items():
            yield Case(name, where, how, lambda value=value: written(replaced(tree, path, value)))


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "no UTF-8": lambda content: content.replace(b"a", b"\xff", 1),
    "UTF-16": lambda content: content.decode().encode("utf-16"),
    "byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "null bytes": lambda content: b"\0" * 100,
    "all nested": lambda content: NESTED.encode(),
    "pickle": lambda content: b"cos\nmkdir\n(S'never'\ntR.",
}

ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray | None]] = {
    "float64": lambda x: x.astype(np.float64),
    "float32": lambda x: x.astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "int64": lambda x: x.astype(np.int64),
    "int32": lambda x: x.astype(np.int32),
    "uint64": lambda x: np.abs(x).astype(np.uint64),
    "bool": lambda x: x.astype(bool),
    "one axis more": lambda x: x[None],
    "one axis less": lambda x: x.ravel() if x.ndim > 1 else x.reshape(-1)[:1].reshape(()),
    "transposed": lambda x: np.ascontiguousarray(x.T),
    "shorter": lambda x: x[1:],
    "longer": lambda x: np.concatenate([x, x[-1:]]),
    "narrower": lambda x: x[..., 1:],
    "empty": lambda x: x[:0],
    "missing": lambda x: None,
    "5 axes": lambda x: x.reshape(1, 1, 1, 1, -1),
    "first is the last": lambda x: changed(x, x.ravel()[-1]),
    "doubled": lambda x: x if x.dtype == bool else x + x,
    "zero": np.zeros_like,
    "negative": lambda x: x if x.dtype == bool or x.dtype.kind == "u" else -x,
    "reversed": lambda x: np.ascontiguousarray(x[::-1]),
    **{
        f"first is {value:g}": lambda x, value=value: changed(x, value)
        for value in (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e300, -1.0, 0.0, 0.5, 2.0, 1e10, 2.0**62, 1e-40)
    },
    **{
        f"all are {value:g}": lambda x, value=value: np.full_like(x, value) if x.dtype.kind == "f" else x
        for value in (np.nan, np.inf, 1e38, -1e30, 1e-30, 1e4)
    },
}


def changed(values: np.ndarray, first) -> np.ndarray:
    """A copy with another first value, as far as its type can hold it."""
    found = values.copy()
    if values.size:
        with np.errstate(all="ignore"):
            found.flat[0] = np.asarray(first).astype(values.dtype)
    return found


def of_arrays(name: str, content: bytes, n_flips: int, rng: np.random.Generator) -> Iterator[Case]:
    """Cases of a file of arrays: each array changed, missing and more, headers rewritten, and bits turned."""
    arrays = unpacked(content)

    def of_one(key: str, change) -> bytes:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = change(arrays[key])
        others = {other: values for other, values in arrays.items() if other != key}
        return packed(others if value is None else {**others, key: np.ascontiguousarray(value).reshape(value.shape)})

    for key in arrays:
        for how, change in ARRAYS.items():
            yield Case(name, key, how, lambda key=key, change=change: of_one(key, change))
    for key in ("extra", "", "../x", "predictor"):
        yield Case(name, key, "added", lambda key=key: packed({**arrays, key: np.zeros(3, dtype=np.float32)}))
    for how, change in BYTES.items():
        yield Case(name, "all", how, lambda change=change: change(content))
    length = struct.unpack("<Q", content[:8])[0]
    yield from of_headers(name, content, length, list(arrays))
    for _ in range(n_flips):
        place, bit = int(rng.integers(8 + length, len(content))), int(rng.integers(8))
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        yield Case(name, f"byte {place}", f"bit {bit}", lambda flipped=flipped: bytes(flipped))


def of_headers(name: str, content: bytes, length: int, keys: list[str]) -> Iterator[Case]:
    """The header of a file of arrays with other lengths and other entries."""
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]

    def written(header, raw: str | None = None) -> bytes:
        text = json.dumps(header, ensure_ascii=False)
        text = text if raw is None else text.replace(json.dumps(MARK, ensure_ascii=False), raw)
        return struct.pack("<Q", len(text.encode("utf-8", "surrogatepass"))) + text.encode() + data

    for size in (0, 1, 2, length - 1, length + 1, 2**24 + 1, 2**31, 2**63, 2**64 - 1):
        yield Case(name, "header", f"length {size}", lambda size=size: struct.pack("<Q", size) + content[8:])
    yield Case(name, "header", "metadata", lambda: written({"__metadata__": {"a": "b"}, **header}))
    for key in keys[:6]:
        for field, values in {
            "dtype": ("F99", "BF16", "F8_E5M2", "I8", "C64", "f32", "", 4, None, ["F32"]),
            "shape": ([2**62, 4], [-1], [2**70], [0, 2**40], [1] * 70, "3", 3, None, [1.5], [True], [[3]]),
            "data_offsets": ([0, 2**50], [8, 0], [-4, 0], [0], [0, 4, 8], "0", None, [0.0, 4.0]),
        }.items():
            for value in values:
                entry = {**header[key], field: value}
                how = f"{field} {json.dumps(value)[:20]}"
                yield Case(name, f"header.{key}", how, lambda key=key, entry=entry: written({**header, key: entry}))
        for how, raw in RAW.items():
            yield Case(
                name, f"header.{key}", how, lambda key=key, raw=raw: written({**header, key: MARK}, raw or "null")
            )


def all_cases(files: dict[str, bytes], n_flips: int, seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    found: list[Case] = []
    for name, content in sorted(files.items()):
        found += of_json(name, content) if name.endswith(".json") else of_arrays(name, content, n_flips, rng)
    return found


def chosen(cases: list[Case], n: int, seed: int) -> list[Case]:
    """Some of the cases, in equal parts of each file as far as it has so many."""
    rng = np.random.default_rng(seed)
    if n >= len(cases):
        return cases
    n_cases = Counter(case.file for case in cases)
    files = sorted(n_cases, key=lambda file: (n_cases[file], file))
    picked: list[Case] = []
    for number, file in enumerate(files):
        some = [case for case in cases if case.file == file]
        share = (n - len(picked)) // (len(files) - number)
        picked += [some[i] for i in sorted(rng.permutation(len(some))[:share])]
    return picked


def is_same(said, loaded) -> bool:
    """Whether what a JSON file says is what was loaded; what it leaves out has its default."""
    if isinstance(said, dict):
        return isinstance(loaded, dict) and all(key in loaded and is_same(said[key], loaded[key]) for key in said)
    if isinstance(said, list):
        return isinstance(loaded, list) and len(said) == len(loaded) and all(map(is_same, said, loaded))
    return isinstance(said, bool) == isinstance(loaded, bool) and said == loaded


def differences(folder: Path, model) -> list[str]:
    """What a loaded model says otherwise than its folder."""
    documents, arrays = contents(model.fitted)
    found = [
        name for name, loaded in documents.items() if not is_same(json.loads((folder / name).read_bytes()), loaded)
    ]
    for name, loaded in arrays.items():
        said = unpacked((folder / name).read_bytes())
        found += [f"{name}: other names"] if set(said) != set(loaded) else []
        for key in set(said) & set(loaded):
            wanted = said[key].astype(np.float32) if said[key].dtype == np.float16 else said[key]
            if wanted.dtype != loaded[key].dtype or not np.array_equal(
                wanted, loaded[key], equal_nan=wanted.dtype.kind == "f"
            ):
                found.append(f"{name}, {key}")
    return found


def asked(model, cells, number: int) -> str:
    """How a loaded model answers: "finite", "refused E049", or what went wrong; now and then by the public verbs."""
    pairs = list(permutations(model.modalities, 2))
    source, target = pairs[number % len(pairs)]
    try:
        if number % 50:
            prediction = model.fitted.predict(un.read_cells(cells, batch_key="batch").views[source], target)
            found = [prediction.dense(), prediction.novelty]
        else:
            found = [np.asarray(model.predict(cells, source=source, target=target, force=True).X)]
            found += [part.obsm["X_unisono"] for part in model.embed(cells, force=True).mod.values()]
            links = model.match(cells, cells, between=(source, target), force=True)
            found += [links.match_posterior.probabilities.toarray(), links.match_posterior.p_unmatched]
    except BadInput as error:
        return f"refused {error.findings[0].code}"
    return "finite" if all(np.isfinite(values).all() for values in found) else "not finite"


def ended(folder: Path, cells, number: int) -> tuple[str, bool]:
    """How the loading of a folder ends, and whether that is right."""
    started = time.process_time()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            model = un.load(folder, device="cpu")
        except BadInput as error:
            finding, seconds = error.findings[0], time.process_time() - started
            is_told = len(str(error)) < 600 and str(error).isprintable()
            return f"refused {finding.code}", finding.code in CODES and is_told and seconds < MAX_SECONDS
        except Exception as error:
            return f"uncaught {type(error).__name__}: {str(error)[:80]}", False
        wrong = differences(folder, model)
        if wrong:
            return f"loaded otherwise: {wrong[0]}", False
        if cells is None:
            return "loaded and equal", True
        try:
            answer = asked(model, cells, number)
        except Exception as error:
            return f"loaded and equal, then uncaught {type(error).__name__}: {str(error)[:80]}", False
    return f"loaded and equal, answers {answer}", answer in ("finite", "refused E049")


def test_a_folder_that_was_rewritten_and_signed_loads_as_it_says_or_is_refused(sound, record, is_full):
    folder, files, cells = sound
    cases = chosen(all_cases(files, 800, seed=1), FULL if is_full else QUICK, seed=2)
    assert len(cases) == (FULL if is_full else QUICK)
    wrong = []
    for number, case in enumerate(cases):
        try:
            content = case.content()
        except ValueError:  # such as a lone surrogate or an axis too few: there is no such file
            continue
        (folder / case.file).write_bytes(content)
        write_manifest(folder)
        is_asked = number % 10 == 0 or not is_full
        how, is_right = ended(folder, cells if is_asked else None, number)
        record("model folder", str(case), how, is_right)
        wrong += [] if is_right else [f"{case} → {how}"]
        (folder / case.file).write_bytes(files[case.file])
    write_manifest(folder)
    assert wrong == []
    assert ended(folder, cells, 0) == ("loaded and equal, answers finite", True)


def test_a_rewritten_manifest_is_refused(sound, record, is_full):
    folder, _, cells = sound
    write_manifest(folder)
    manifest = (folder / "manifest.json").read_bytes()
    cases = list(of_json("manifest.json", manifest))
    wrong = []
    for case in cases if is_full else chosen(cases, 60, seed=3):
        (folder / "manifest.json").write_bytes(case.content())
        how, is_right = ended(folder, cells, 1)
        record("model folder", str(case), how, is_right)
        wrong += [] if is_right else [f"{case} → {how}"]
    (folder / "manifest.json").write_bytes(manifest)
    assert wrong == []


def linked(folder: Path) -> None:
    """The weights as a link to a file of the same bytes."""
    (folder / "weights.safetensors").rename(folder.parent / "elsewhere")
    (folder / "weights.safetensors").symlink_to(folder.parent / "elsewhere")


def renamed(name: str) -> Callable[[Path], None]:
    """A file more in the folder and in the manifest."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes(b"{}")
        write_manifest(folder)

    return change


def listed(*names: str) -> Callable[[Path], None]:
    """A manifest that names files which are not there."""

    def change(folder: Path) -> None:
        document = json.loads((folder / "manifest.json").read_bytes())
        document["files"] |= dict.fromkeys(names, document["files"]["config.json"])
        (folder / "manifest.json").write_text(json.dumps(document))

    return change


def in_place_of(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Something else at the place of a file."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def sparse(folder: Path) -> None:
    """Weights of a TiB that are all holes, and a manifest that says so."""
    with (folder / "weights.safetensors").open("r+b") as file:
        file.truncate(2**40)
    document = json.loads((folder / "manifest.json").read_bytes())
    document["files"]["weights.safetensors"]["size"] = 2**40
    (folder / "manifest.json").write_text(json.dumps(document))


PLACES = {
    "a link to the weights": (linked, "E054", "weights.safetensors is a link"),
    "a link to a folder": (lambda f: (f / "more").symlink_to(f), "E054", "more is a link"),
    "a link to nothing": (lambda f: (f / "more").symlink_to(f / "none"), "E054", "more is a link"),
    "a link as manifest": (
        lambda f: ((f / "manifest.json").rename(f.parent / "m"), (f / "manifest.json").symlink_to(f.parent / "m")),
        "E054",
        "manifest.json is a link",
    ),
    "a pipe as weights": (in_place_of("weights.safetensors", os.mkfifo), "E054", "weights.safetensors is a device"),
    "a pipe as manifest": (in_place_of("manifest.json", os.mkfifo), "E054", "manifest.json is a device"),
    "a pipe more": (lambda f: os.mkfifo(f / "more"), "E054", "more is a device"),
    "a folder as weights": (in_place_of("weights.safetensors", os.mkdir), "E049", "weights.safetensors is missing"),
    "a folder more": (lambda f: (f / "more").mkdir(), "E049", "more/ is not in the manifest"),
    "a file more": (lambda f: (f / "notes.txt").write_text("mine"), "E049", "notes.txt is not in the manifest"),
    "a file more that is signed": (renamed("notes.txt"), "E049", "notes.txt: is no file of a model folder"),
    "a pickle that is signed": (renamed("model.PT"), "E047", "model.PT: refuses pickle"),
    "a name with a colour": (renamed("a\x1b[31mb"), "E054", "names 'a\\x1b[31mb', which is no plain"),
    "a name in Cyrillic": (renamed("сonfig.json"), "E054", "which is no plain file name"),
    "a name without width": (renamed("config\u200b.json"), "E054", "which is no plain file name"),
    "a name that turns around": (renamed("nosj\u202e.json"), "E054", "which is no plain file name"),
    "names in two cases": (renamed("Config.json"), "E054", "differ in upper and lower case alone"),
    "a name above the folder": (listed("../x"), "E054", "'../x', which is no plain"),
    "an absolute name": (listed("/etc/passwd"), "E054", "'/etc/passwd', which is no plain"),
    "a name of Windows": (listed("c:\\x"), "E054", "which is no plain"),
    "a device of Windows": (listed("x:y"), "E054", "which is no plain"),
    "a name with a null": (listed("a\0b"), "E054", "which is no plain"),
    "a name of 300 letters": (listed("x" * 300), "E054", "which is no plain"),
    "the manifest itself": (listed("manifest.json"), "E054", "names 'manifest.json'"),
    "a thousand names": (listed(*(f"x{n}" for n in range(1000))), "E049", "manifest.json, files: "),
    "a TiB of holes": (sparse, "E049", "weights.safetensors: has 1,099,511,627,776 bytes, its arrays "),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "E049", "no manifest.json"),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_folder_that_leads_elsewhere_or_holds_more_is_refused(sound, record, tmp_path, case):
    change, code, words = PLACES[case]
    write_manifest(sound[0])
    folder = tmp_path / "model"
    shutil.copytree(sound[0], folder)
    change(folder)
    how, is_right = ended(folder, None, 0)
    record("model folder", case, how, is_right and how == f"refused {code}")
    assert (how, is_right) == (f"refused {code}", True)
    with pytest.raises(BadInput) as caught:
        un.load(folder, device="cpu")
    assert words in str(caught.value)


def test_a_rewritten_index_is_loaded_as_it_says_or_refused(record, tmp_path, is_full):
    model, folder = small_model(), tmp_path / "index"
    model.index(take(test_cells(), slice(0, 11)), "rna").save(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    cases = all_cases(files, 40, seed=4)
    wrong = []
    for case in cases if is_full else chosen(cases, 150, seed=5):
        try:
            content = case.content()
        except ValueError:
            continue
        (folder / case.file).write_bytes(content)
        write_manifest(folder)
        how, is_right = ended_index(model, folder)
        record("model folder", f"index: {case}", how, is_right)
        wrong += [] if is_right else [f"{case} → {how}"]
        (folder / case.file).write_bytes(files[case.file])
    assert wrong == []


def ended_index(model, folder: Path) -> tuple[str, bool]:
    """How the loading of an index ends, and whether that is right."""
    try:
        found = model.load_index(folder)
    except BadInput as error:
        code = error.findings[0].code
        return f"refused {code}", code in CODES and len(str(error)) < 600 and str(error).isprintable()
    except Exception as error:
        return f"uncaught {type(error).__name__}: {str(error)[:80]}", False
    said = json.loads((folder / "index.json").read_bytes())
    vectors = unpacked((folder / "vectors.safetensors").read_bytes())["vectors"]
    is_equal = said["cells"] == found.cells.tolist() and np.array_equal(vectors, found.vectors)
    return "loaded and equal" if is_equal else "loaded otherwise", is_equal


CLAIMS = {
    "config.json": [
        (("architecture", "n_blocks"), 2**63),
        (("architecture", "n_blocks"), 64),
        (("n_members",), 10**9),
        (("n_members",), 1000),
        (("architecture", "content_dim"), 2**200),
        (("architecture", "content_dim"), 4096),
        (("architecture", "n_tokens"), 4096),
    ],
}


@pytest.mark.parametrize(("path", "value"), CLAIMS["config.json"])
def test_sizes_that_the_arrays_do_not_have_are_refused_before_anything_is_built(sound, monkeypatch, path, value):
    folder, files, _ = sound
    monkeypatch.setattr(Network, "of_state", lambda *arguments: pytest.fail("a network was built"))
    document = replaced(json.loads(files["config.json"]), path, value)
    (folder / "config.json").write_text(json.dumps(document))
    write_manifest(folder)
    tracemalloc.start()
    how, is_right = ended(folder, None, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    (folder / "config.json").write_bytes(files["config.json"])
    write_manifest(folder)
    assert (how, is_right) == ("refused E049", True)
    assert peak < 50e6


@pytest.mark.parametrize(
    ("file", "field", "value", "words"),
    [
        ("config.json", ("seed",), "9", "config.json, seed: '9': input should be a valid integer"),
        ("config.json", ("weights", "kl"), 10**400, "config.json, weights.kl: "),
        ("record.json", ("n_cells", "rna"), -3, "record.json, n_cells.rna: -3: input should be greater than or equal"),
        ("record.json", ("findings",), [{"code": "E999", "what": "", "remedy": ""}], "record.json, findings.0.code: "),
        ("model.json", ("novelties", "rna", "centre"), "seen.rna", "model.json, novelties.rna.centre: is not the name"),
        ("model.json", ("anchors",), {}, "model.json, anchors."),
        (
            "model.json",
            ("predictor", "terms", "rna,adt", "kernel_weight"),
            1.5,
            "model.json, predictor.terms.rna,adt.kernel_weight: 1.5, expected at most 1.",
        ),
        (
            "model.json",
            ("predictor", "preprocessors", "adt", "projection", "modality"),
            "rna",
            "model.json, predictor.preprocessors.adt.projection.modality: 'rna', expected 'adt'.",
        ),
    ],
)
def test_a_refusal_names_file_field_what_was_found_and_what_is_allowed(usual, file, field, value, words):
    folder, files, _ = usual
    (folder / file).write_text(json.dumps(replaced(json.loads(files[file]), field, value)))
    write_manifest(folder)
    with pytest.raises(BadInput) as caught:
        un.load(folder, device="cpu")
    (folder / file).write_bytes(files[file])
    write_manifest(folder)
    finding = caught.value.findings[0]
    assert finding.code == "E049"
    assert finding.where == str(folder)
    assert words in finding.what
    assert finding.remedy == "copy the folder again from its origin, or make it again"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("weights.safetensors", "contents.rna.mix.0.weight"),
        ("weights.safetensors", "heads.adt.intercept"),
        ("arrays.safetensors", "predictor.preprocessors.rna.standardisation.mean"),
        ("arrays.safetensors", "novelties.adt.factor"),
        ("arrays.safetensors", "anchors.rna,adt.left"),
    ],
)
def test_arrays_that_are_not_finite_are_refused_by_name(usual, file, key, value):
    folder, files, _ = usual
    arrays = unpacked(files[file])
    (folder / file).write_bytes(packed({**arrays, key: changed(arrays[key], value)}))
    write_manifest(folder)
    with pytest.raises(BadInput, match=rf"E049 .*{file}, {key}: 1 of {arrays[key].size:,} values are not finite"):
        un.load(folder, device="cpu")
    (folder / file).write_bytes(files[file])
    write_manifest(folder)


def test_numbers_too_large_to_compute_with_are_refused_when_they_are_used(usual):
    folder, files, cells = usual
    arrays = unpacked(files["weights.safetensors"])
    (folder / "weights.safetensors").write_bytes(
        packed({**arrays, "heads.adt.loadings": np.full_like(arrays["heads.adt.loadings"], 1e38)})
    )
    write_manifest(folder)
    model = un.load(folder, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(BadInput, match=r"E049 model: .* of predictions of adt are not finite"):
            model.predict(cells, source="rna", target="adt", force=True)
    (folder / "weights.safetensors").write_bytes(files["weights.safetensors"])
    write_manifest(folder)

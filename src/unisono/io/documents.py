"""JSON and arrays of a folder that may be a stranger's: read strictly, or refused by file and field; unpickles nothing.

What reads a folder calls `verify_manifest` first, then `validated`, `document` and `read_arrays`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from unisono.messages import BadInput, bad_input

RESTORE = "copy the folder again from its origin, or make it again"
_MAX_DOCUMENT, _MAX_HEADER = 2**29, 2**24
_MAX_SHOWN, _MAX_FIELD = 60, 200
_Kind = TypeVar("_Kind", bound=BaseModel)


class _Array(BaseModel):
    """An entry of the header of a file of arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dtype: Literal["BOOL", "I64", "U64", "F16", "F32", "F64"]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=2**40)]], Field(max_length=4)]
    data_offsets: Annotated[list[Annotated[int, Field(ge=0, le=2**50)]], Field(min_length=2, max_length=2)]


_HEADER: TypeAdapter[dict[str, _Array]] = TypeAdapter(dict[str, _Array])


def damaged(folder: Path, name: str, field: str, problem: str, remedy: str = RESTORE) -> BadInput:
    """The refusal E049 of a file in a folder, which names the field ('' for the whole)."""
    place = f"{name}, {shown_text(field, _MAX_FIELD)}" if field else name
    return bad_input("E049", str(folder), f"{place}: {shown_text(problem, _MAX_FIELD)}.", remedy)


def document(folder: Path, name: str) -> Any:
    """What a JSON file of a folder holds: UTF-8, each key of an object once, no number that is not finite.

    Raises:
        BadInput: E049, it is anything else, or larger than 512 MiB.
    """
    try:
        size = (folder / name).stat().st_size
        if size > _MAX_DOCUMENT:
            raise ValueError(f"has {size:,} bytes, allowed {_MAX_DOCUMENT:,}")
        return parsed((folder / name).read_bytes())
    except ValueError as error:
        raise damaged(folder, name, "", str(error)) from error


def parsed(content: bytes) -> Any:
    """The value of a JSON text; see `document`.

    Raises:
        ValueError: with what is wrong.
    """
    try:
        text = content.decode("utf-8")
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise ValueError(f"is no text in UTF-8 ({error.reason} at {error.start:,})") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON ({error.msg} at {error.pos:,})") from error
    return found


def validated(folder: Path, name: str, kind: type[_Kind]) -> _Kind:
    """A JSON file of a folder as a pydantic model, of which no value is converted from another type.

    Raises:
        BadInput: E049 with the field, what was found there and what is expected.
    """
    document(folder, name)
    try:
        return kind.model_validate_json((folder / name).read_bytes(), strict=True)
    except ValidationError as error:
        raise damaged(folder, name, *told(error)) from error


def told(error: ValidationError) -> tuple[str, str]:
    """The first field that a pydantic model refuses, and what is wrong with it."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return field, "is missing"
    if first["type"] == "extra_forbidden":
        return field, "is no field that this version knows"
    return field, f"{shown(first['input'])}: {first['msg'][0].lower()}{first['msg'][1:]}"


def shown(value: Any) -> str:
    """A value in few letters."""
    if isinstance(value, dict):
        return f"an object of {len(value):,} fields"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    return shown_text(
        value if isinstance(value, str) else json.dumps(value, default=str), is_quoted=isinstance(value, str)
    )


def shown_text(text: str, most: int = _MAX_SHOWN, *, is_quoted: bool = False) -> str:
    """Text cut short, control characters as escapes."""
    cut = text if len(text) <= most else f"{text[:most]}…"
    if is_quoted:
        return repr(cut)
    return cut if cut.isprintable() else repr(cut)[1:-1]


def read_arrays(folder: Path, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file, of which the header is looked at first.

    Raises:
        BadInput: E049, it is damaged, or holds arrays of a type that no folder has.
    """
    _header(folder, name)
    try:
        arrays: dict[str, NDArray[Any]] = load_file(folder / name)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, name, "", f"cannot be read ({str(error).splitlines()[0]})") from error
    for field, values in arrays.items():
        if values.dtype == np.bool_ and values.view(np.uint8).max(initial=0) > 1:
            raise damaged(folder, name, field, "holds flags that are neither 0 nor 1")
    return arrays


def require_plausible(folder: Path, name: str) -> None:
    """Look at a file that takes long to read before it is read.

    Raises:
        BadInput: E049, it is larger than any JSON, and its arrays do not fill it.
    """
    size = (folder / name).stat().st_size
    if size <= _MAX_DOCUMENT:
        return
    if not name.endswith(".safetensors"):
        raise damaged(folder, name, "", f"has {size:,} bytes, allowed {_MAX_DOCUMENT:,}")
    end = max((entry.data_offsets[1] for entry in _header(folder, name).values()), default=0)
    if end > size or end < size - _MAX_HEADER - 8:
        raise damaged(folder, name, "", f"has {size:,} bytes, its arrays {end:,}")


def _header(folder: Path, name: str) -> Mapping[str, _Array]:
    """The header of a safetensors file, a JSON text after eight bytes with its length."""
    path = folder / name
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER, path.stat().st_size - 8):
            at_most = f"{_MAX_HEADER:,} and the size of the file"
            raise damaged(folder, name, "header", f"has {length:,} bytes, allowed 2 to {at_most}")
        content = file.read(length)
    try:
        return _HEADER.validate_python(parsed(content))
    except ValidationError as error:
        field, problem = told(error)
        raise damaged(folder, name, f"header.{field}", problem) from error
    except ValueError as error:
        raise damaged(folder, name, "header", str(error)) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise ValueError(f"{shown_text(twice)} occurs twice in one object")
    return found


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no finite number")

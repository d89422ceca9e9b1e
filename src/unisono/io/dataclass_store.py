"""Frozen dataclasses of arrays as a JSON tree and named arrays, by field name and type; opens no file."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from jaxtyping import AbstractArray
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_SCALARS = (str, int, float, bool, type(None))


def flatten(value: Any, path: str, arrays: Arrays) -> Any:
    """The JSON tree of a value; its numeric arrays are put into `arrays` under their path.

    Values are dataclasses, mappings with text or tuples of text as keys, tuples, arrays, text, numbers and None.

    Raises:
        TypeError: a value of another kind.
    """
    if is_dataclass(value):
        return {f.name: flatten(getattr(value, f.name), f"{path}.{f.name}", arrays) for f in fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): flatten(part, f"{path}.{_key(key)}", arrays) for key, part in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[path] = np.ascontiguousarray(value)
        return path
    if isinstance(value, np.ndarray | tuple):
        return [str(part) if isinstance(part, str) else part for part in value]
    if isinstance(value, _SCALARS):
        return value
    raise TypeError(f"{path}: a {type(value).__name__} cannot be stored")


def restore(hint: Any, tree: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The value of a type whose tree `flatten` made; the inverse of `flatten`.

    Raises:
        ValueError: the tree or an array is not of the type.
        KeyError: an array is missing.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if tree is None else restore(next(a for a in arguments if a is not type(None)), tree, arrays)
    if is_dataclass(hint):
        return _dataclass(hint, tree, arrays)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(arguments, tree, arrays)
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return _array_with_axes(hint, tree, arrays)
    if origin is np.ndarray:
        return _array(arguments, tree, arrays)
    if origin is tuple:
        return tuple(restore(arguments[0], part, arrays) for part in tree)
    if tree not in arguments if origin is Literal else type(tree) is not hint:
        raise ValueError(f"{tree!r} where {hint} was expected")
    return tree


def _key(key: str | tuple[str, ...]) -> str:
    return key if isinstance(key, str) else ",".join(key)


def _dataclass(hint: Any, tree: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    hints, names = _hints(hint), [f.name for f in fields(hint)]
    if not isinstance(tree, dict) or set(tree) != set(names):
        found = sorted(tree) if isinstance(tree, dict) else tree
        raise ValueError(f"{hint.__name__} has {sorted(names)}, found {found}")
    return hint(**{name: restore(hints[name], tree[name], arrays) for name in names})


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of its fields, whose text is slow to evaluate."""
    return get_type_hints(kind)


def _mapping(arguments: tuple[Any, ...], tree: Any, arrays: Mapping[str, NDArray[Any]]) -> dict[Any, Any]:
    has_tuples = get_origin(arguments[0]) is tuple
    return {
        tuple(key.split(",")) if has_tuples else key: restore(arguments[1], part, arrays) for key, part in tree.items()
    }


def _array_with_axes(hint: type[AbstractArray], tree: Any, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    found: NDArray[Any] = np.array(tree, dtype=str) if isinstance(tree, list) else arrays[tree]
    if not isinstance(found, hint):
        raise ValueError(f"{tree}: {found.dtype} of shape {found.shape} where {hint.__name__} was expected")
    return found


def _array(arguments: tuple[Any, ...], tree: Any, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    wanted = get_args(arguments[1])[0]
    if wanted is np.str_:
        return np.array(tree, dtype=str)
    found = arrays[tree]
    if not np.issubdtype(found.dtype, wanted):
        raise ValueError(f"{tree}: {found.dtype} where {np.dtype(wanted)} was expected")
    return found

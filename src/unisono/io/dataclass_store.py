"""Frozen dataclasses of arrays as a JSON tree and named arrays, by field name, type and limits; opens no file."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from jaxtyping import AbstractArray
from numpy.typing import NDArray

from unisono.limits import ANY, MAX_LETTERS, MAX_TEXT_ARRAY, Limits, OwnAxes

Arrays = dict[str, NDArray[Any]]
Sizes = Callable[[str | tuple[str, ...]], dict[str, int]]
"""The sizes of axes that are known of an entry of a mapping, by its key."""

_SCALARS = (str, int, float, bool, type(None))
_AXIS = re.compile(r"([a-z_]*)=?(\d*)")


class MisfitError(ValueError):
    """What is stored is not of the type, the shape or within the limits of its field, which the message opens with.

    Attributes:
        is_array: whether an array is at fault, and not the tree.
    """

    def __init__(self, field: str, problem: str, is_array: bool = False) -> None:
        super().__init__(f"{field}: {problem}")
        self.field, self.problem, self.is_array = field, problem, is_array


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


def restore(hint: Any, tree: Any, path: str, arrays: Arrays, sizes: Sizes | None = None) -> Any:
    """The value of a type whose tree `flatten` made under a path; the inverse of `flatten`.

    Arrays that are used are taken out of `arrays`, so that none should be left. Axes of one name have one size: within
    a dataclass and those that it holds, but for an entry of a mapping, whose new axes are its own.

    Raises:
        MisfitError: the tree or an array is not of the type, the shape or within the limits that its field is annotated
            with.
    """
    return _Reader(arrays, {}, sizes or _unknown).value(hint, tree, path)


def _unknown(key: str | tuple[str, ...]) -> dict[str, int]:
    return {}


def _key(key: str | tuple[str, ...]) -> str:
    return key if isinstance(key, str) else ",".join(key)


@dataclass(frozen=True)
class _Reader:
    """Arrays that are not used yet, and the sizes of the axes that were met."""

    arrays: Arrays
    axes: dict[str, int]
    sizes: Sizes

    def value(self, hint: Any, tree: Any, path: str, limits: Limits = ANY) -> Any:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self._annotated(arguments[0], arguments[1:], tree, path)
        if origin in (Union, types.UnionType):
            wanted = next(a for a in arguments if a is not type(None))
            return None if tree is None else self.value(wanted, tree, path, limits)
        if is_dataclass(hint):
            return self._dataclass(hint, tree, path)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return self._mapping(arguments, tree, path)
        if isinstance(hint, type) and issubclass(hint, AbstractArray):
            return self._array(hint, tree, path, limits)
        if origin is tuple:
            return tuple(
                self.value(arguments[0], part, f"{path}[{number}]", limits)
                for number, part in enumerate(_of(list, tree, path))
            )
        return _scalar(hint, tree, path, limits)

    def _annotated(self, hint: Any, notes: Iterable[Any], tree: Any, path: str) -> Any:
        limits, reader = ANY, self
        for note in notes:
            limits = note if isinstance(note, Limits) else limits
            reader = _Reader(self.arrays, {}, _unknown) if isinstance(note, OwnAxes) else reader
        return reader.value(hint, tree, path, limits)

    def _dataclass(self, hint: Any, tree: Any, path: str) -> Any:
        hints, names = _hints(hint), [f.name for f in fields(hint)]
        _require_keys(_of(dict, tree, path), names, path)
        try:
            return hint(**{name: self.value(hints[name], tree[name], f"{path}.{name}") for name in names})
        except MisfitError:
            raise
        except ValueError as error:
            raise MisfitError(path, str(error)) from error

    def _mapping(self, arguments: tuple[Any, ...], tree: Any, path: str) -> dict[Any, Any]:
        has_tuples = get_origin(arguments[0]) is tuple
        found = {}
        for text, part in _of(dict, tree, path).items():
            key = tuple(_text(text, path).split(",")) if has_tuples else _text(text, path)
            reader = _Reader(self.arrays, self.axes | self.sizes(key), _unknown)
            found[key] = reader.value(arguments[1], part, f"{path}.{text}")
        return found

    def _array(self, hint: type[AbstractArray], tree: Any, path: str, limits: Limits) -> NDArray[Any]:
        if not isinstance(hint.dtypes, tuple):  # `Shaped`, as text is written
            found: NDArray[Any] = _texts(_of(list, tree, path), path, limits)
        elif tree != path:
            raise MisfitError(path, f"is not the name of its array, {path}")
        elif path not in self.arrays:
            raise MisfitError(path, "is missing", is_array=True)
        else:
            found = self.arrays.pop(path)
            if found.dtype.name not in hint.dtypes:
                raise MisfitError(path, f"{found.dtype}, expected {hint.dtypes[0]}", is_array=True)
        self._require_shape(hint.dim_str, found, path)
        if found.dtype.kind != "U":
            _require_within(limits, found, path, self.axes)
        return found

    def _require_shape(self, names: str, found: NDArray[Any], path: str) -> None:
        is_array = found.dtype.kind != "U"
        axes = [match.groups() for match in map(_AXIS.fullmatch, names.split()) if match]
        if len(axes) != found.ndim:
            raise MisfitError(path, f"shape {found.shape}, expected {' x '.join(names.split())}", is_array)
        for (name, fixed), size in zip(axes, found.shape, strict=True):
            wanted = self.axes.setdefault(name, int(fixed or size))
            if size != wanted:
                what = f"{size:,} along the axis {name!r}, expected {wanted:,} as elsewhere"
                raise MisfitError(path, f"shape {found.shape}: {what}", is_array)


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of its fields, whose text is slow to evaluate."""
    return get_type_hints(kind, include_extras=True)


def _of(kind: type, tree: Any, path: str) -> Any:
    if type(tree) is not kind:
        raise MisfitError(path, f"{_shown(tree)} where {_KINDS[kind]} is expected")
    return tree


_KINDS = {list: "a list", dict: "an object", str: "text", float: "a number with a point", int: "a whole number"}
_KINDS |= {bool: "true or false"}


def _shown(value: Any) -> str:
    return _KINDS[type(value)] if isinstance(value, list | dict) else f"{value!r}"[:60]


def _require_keys(tree: dict[str, Any], names: list[str], path: str) -> None:
    for name in names:
        if name not in tree:
            raise MisfitError(f"{path}.{name}", "is missing")
    for name in tree:
        if name not in names:
            raise MisfitError(f"{path}.{name}", "is no field that this version knows")


def _scalar(hint: Any, tree: Any, path: str, limits: Limits) -> Any:
    if get_origin(hint) is Literal:
        if tree not in get_args(hint):
            raise MisfitError(path, f"{_shown(tree)} where one of {get_args(hint)} is expected")
        return tree
    if hint is str:
        return _text(tree, path)
    _of(hint, tree, path)
    if hint is not bool:
        _require_within(limits, np.asarray(tree, dtype=object if hint is int else None), path, {})
    return tree


def _text(tree: Any, path: str) -> str:
    if len(_of(str, tree, path)) > MAX_LETTERS:
        raise MisfitError(path, f"text of {len(tree):,} letters, allowed {MAX_LETTERS:,}")
    return str(tree)


def _texts(tree: list[Any], path: str, limits: Limits) -> NDArray[Any]:
    longest = max((len(_text(part, path)) for part in tree), default=0)
    if len(tree) * longest > MAX_TEXT_ARRAY:
        raise MisfitError(
            path, f"{len(tree):,} texts, the longest of {longest:,} letters: more than {MAX_TEXT_ARRAY:,}"
        )
    if any(part.endswith("\0") for part in tree):
        raise MisfitError(path, "a text ends with a null character")
    if limits.is_unique and len(set(tree)) < len(tree):
        raise MisfitError(
            path, f"{len(tree) - len(set(tree)):,} of {len(tree):,} names occur again, expected each once"
        )
    return np.array(tree, dtype=str)


def _require_within(limits: Limits, values: NDArray[Any], path: str, axes: Mapping[str, int]) -> None:
    """Refuse numbers beyond limits."""
    is_array = values.ndim > 0
    if values.dtype.kind == "f":
        _require_finite(limits, values, path)
    for is_wrong, bound, words in (
        (np.less, limits.ge, "at least {}"),
        (np.less_equal, limits.gt, "above {}"),
        (np.greater, limits.le, "at most {}"),
        (np.greater_equal, limits.lt, "below {}"),
    ):
        if bound is not None and (beyond := np.asarray(is_wrong(values, bound), dtype=bool)).any():
            first = _number(values[beyond].ravel()[0])
            raise MisfitError(path, f"{first}, expected {words.format(f'{bound:g}')}", is_array)
    if limits.positions_in is not None:
        size = axes[limits.positions_in]
        if (np.diff(values) <= 0).any() or (values < 0).any() or (values >= size).any():
            raise MisfitError(path, f"no ascending positions among {size:,}", is_array)


def _number(value: Any) -> str:
    """A number in few digits."""
    return f"{value:.6g}" if isinstance(value, float | np.floating) else f"{value}"[:30]


def _require_finite(limits: Limits, values: NDArray[Any], path: str) -> None:
    allowed = np.isfinite(values)
    if "nan" in limits.may_be:
        allowed |= np.isnan(values)
    if "inf" in limits.may_be:
        allowed |= np.isinf(values)
    if not allowed.all():
        n_bad = int((~allowed).sum())
        raise MisfitError(path, f"{n_bad:,} of {values.size:,} values are not finite", values.ndim > 0)

"""A dataclass of arrays comes back from its tree and arrays as it was, and an array of another kind is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest
from jaxtyping import Float32, Float64, Int64, Shaped
from numpy.typing import NDArray

from unisono.io.dataclass_store import MisfitError, flatten, restore
from unisono.limits import FRACTION, UNIQUE, Limits, OwnAxes


@dataclass(frozen=True, eq=False)
class Part:
    """Arrays with and without axes."""

    names: Shaped[np.ndarray, " row"]
    values: Float32[np.ndarray, "row column"]
    labels: Shaped[np.ndarray, " label"]
    plain: Float64[np.ndarray, " value"]
    scale: float | None


def part() -> Part:
    rng = np.random.default_rng(0)
    names = np.array(["a", "b", "c"])
    return Part(names, rng.normal(size=(3, 5)).astype(np.float32), np.array(["x"]), rng.normal(size=7), None)


def test_what_was_flattened_is_restored():
    arrays: dict[str, NDArray] = {}
    tree = flatten(part(), "part", arrays)
    assert sorted(arrays) == ["part.plain", "part.values"]
    found = restore(Part, tree, "part", dict(arrays))
    for name in ("names", "values", "labels", "plain"):
        np.testing.assert_array_equal(getattr(found, name), getattr(part(), name))
    assert found.scale is None


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("part.values", np.zeros((3, 5))),
        ("part.values", np.zeros(5, dtype=np.float32)),
        ("part.plain", np.zeros(7, dtype=np.float32)),
    ],
)
def test_an_array_of_another_type_or_rank_is_refused(name, wrong):
    arrays: dict[str, NDArray] = {}
    tree = flatten(part(), "part", arrays)
    with pytest.raises(ValueError, match=rf"{name}: (float.*, expected float|shape .*, expected )"):
        restore(Part, tree, "part", arrays | {name: wrong})


@dataclass(frozen=True, eq=False)
class Limited:
    """Fields with limits, and axes that they share."""

    names: Annotated[Shaped[np.ndarray, " feature"], UNIQUE]
    chosen: Annotated[Int64[np.ndarray, " chosen"], Limits(positions_in="feature")]
    values: Annotated[Float64[np.ndarray, "feature column"], Limits(gt=-2, may_be=("nan",))]
    weight: Annotated[float, FRACTION]
    inner: Annotated[Inner | None, OwnAxes()]
    by_name: Mapping[str, Inner]


@dataclass(frozen=True, eq=False)
class Inner:
    """An array along an axis that the outer class has as well."""

    values: Float64[np.ndarray, "column other"]


def limited(**changes):
    rng = np.random.default_rng(1)
    parts = {
        "names": np.array(["a", "b", "c"]),
        "chosen": np.array([0, 2]),
        "values": rng.normal(size=(3, 5)).clip(-1, 1),
        "weight": 0.25,
        "inner": Inner(rng.normal(size=(7, 2))),
        "by_name": {"x": Inner(rng.normal(size=(5, 4))), "y": Inner(rng.normal(size=(5, 6)))},
    }
    return Limited(**parts | changes)


def stored(value):
    arrays: dict[str, NDArray] = {}
    return flatten(value, "part", arrays), arrays


def test_what_keeps_to_its_limits_is_restored_and_every_array_used():
    tree, arrays = stored(limited())
    found = restore(Limited, tree, "part", arrays)
    np.testing.assert_array_equal(found.by_name["y"].values, limited().by_name["y"].values)
    assert arrays == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": np.array(["a", "b", "a"])}, "part.names: 1 of 3 names occur again"),
        ({"chosen": np.array([0, 3])}, "part.chosen: no ascending positions among 3"),
        ({"chosen": np.array([-1, 2])}, "part.chosen: no ascending positions among 3"),
        ({"chosen": np.array([2, 0])}, "part.chosen: no ascending positions among 3"),
        ({"values": np.full((3, 5), -2.0)}, "part.values: -2, expected above -2"),
        ({"values": np.full((3, 5), np.inf)}, "part.values: 15 of 15 values are not finite"),
        ({"values": np.zeros((4, 5))}, "part.values: shape (4, 5): 4 along the axis 'feature', expected 3"),
        ({"weight": 1.5}, "part.weight: 1.5, expected at most 1"),
        ({"by_name": {"x": Inner(np.zeros((6, 4)))}}, "part.by_name.x.values: shape (6, 4): 6 along the axis 'column'"),
    ],
)
def test_what_leaves_its_limits_is_refused_by_field(changes, message):
    tree, arrays = stored(limited(**changes))
    with pytest.raises(MisfitError) as caught:
        restore(Limited, tree, "part", arrays)
    assert str(caught.value).startswith(message)
    assert caught.value.is_array == (not message.startswith(("part.names", "part.weight")))


def test_a_value_that_has_a_meaning_may_be_stored_though_it_is_not_finite():
    values = np.full((3, 5), np.nan)
    tree, arrays = stored(limited(values=values))
    np.testing.assert_array_equal(restore(Limited, tree, "part", arrays).values, values)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("names", "part.values", "part.names: 'part.values' where a list is expected"),
        ("names", ["a", 3, "c"], "part.names: 3 where text is expected"),
        ("names", ["a", "b\0", "c"], "part.names: a text ends with a null character"),
        ("names", ["a", "b" * 70_000, "c"], "part.names: text of 70,000 letters, allowed 65,536"),
        ("values", "part.chosen", "part.values: is not the name of its array, part.values"),
        ("values", ["a"], "part.values: is not the name of its array, part.values"),
        ("weight", "0.5", "part.weight: '0.5' where a number with a point is expected"),
        ("weight", True, "part.weight: True where a number with a point is expected"),
        ("weight", float("inf"), "part.weight: 1 of 1 values are not finite"),
        ("inner", [], "part.inner: a list where an object is expected"),
        ("by_name", {"x": None}, "part.by_name.x: None where an object is expected"),
        ("extra", 1, "part.extra: is no field that this version knows"),
    ],
)
def test_a_tree_of_other_types_is_refused_by_field(field, value, message):
    tree, arrays = stored(limited())
    with pytest.raises(MisfitError) as caught:
        restore(Limited, {**tree, field: value}, "part", arrays)
    assert str(caught.value).startswith(message)

"""A dataclass of arrays comes back from its tree and arrays as it was, and an array of another kind is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from jaxtyping import Float32, Float64, Shaped
from numpy.typing import NDArray

from unisono.io.dataclass_store import flatten, restore


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

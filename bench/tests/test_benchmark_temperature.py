"""Tests of the temperature of peers: it ranks as the peer does, whatever the scale of its vectors."""

from __future__ import annotations

import numpy as np
import pytest

from unisono_bench.exam import Setting
from unisono_bench.temperature import Temperature

N = 61


def held_out(scale: float = 1.0):
    rng = np.random.default_rng(0)
    left = rng.normal(size=(N, 4))
    right = left + 0.4 * rng.normal(size=(N, 4))
    depth = rng.normal(size=N)
    sides = (scale * left).astype(np.float32), (scale * right).astype(np.float32)
    return sides, (depth, depth + 0.1 * rng.normal(size=N)), np.asarray(["a", "b"] * 30 + ["a"])


@pytest.mark.parametrize("scale", [1e-4, 1e3])
def test_the_scale_of_vectors_is_of_no_account(scale):
    sides, depths, batch = held_out()
    wanted = Temperature.fit(*sides, *depths, batch).matched(sides, depths, Setting(False, None))
    scaled, depths, batch = held_out(scale)
    found = Temperature.fit(*scaled, *depths, batch).matched(scaled, depths, Setting(False, None))
    np.testing.assert_allclose(
        found.beta * found.left @ found.right.T, wanted.beta * wanted.left @ wanted.right.T, rtol=0.05, atol=0.05
    )


def test_inner_products_rank_as_before_without_depth_and_depth_adds_dimensions():
    sides, depths, batch = held_out(3.0)
    temperature = Temperature.fit(*sides, *depths, batch)
    plain = temperature.matched(sides, depths, Setting(False, None))
    assert np.array_equal(np.argsort(plain.left @ plain.right.T), np.argsort(sides[0] @ sides[1].T))
    deep = temperature.matched(sides, depths, Setting(True, (batch, batch)))
    assert deep.left.shape == (N, 7)
    assert temperature.with_depth.weight > 0

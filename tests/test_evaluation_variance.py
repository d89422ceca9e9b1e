"""Tests of the shares of variance: closed forms, a partition, and the same whichever way the features come."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.evaluation.variance import variance_shares

RNG = np.random.default_rng(0)
CONTENT, STYLE = RNG.normal(size=(7, 1, 5)), RNG.normal(size=(1, 3, 5))


def test_sums_of_content_and_style_leave_nothing_to_both_together():
    found = variance_shares([CONTENT + STYLE + 4.0])
    of_content, of_style = (values.var(axis=axis).sum() for values, axis in ((CONTENT, 0), (STYLE, 1)))
    assert found.content == pytest.approx(of_content / (of_content + of_style))
    assert found.style == pytest.approx(of_style / (of_content + of_style))
    assert found.interaction == pytest.approx(0.0, abs=1e-12)
    assert found.total == pytest.approx(of_content + of_style)
    assert (found.n_contents, found.n_styles) == (7, 3)


def test_content_alone_and_style_alone_have_it_all():
    assert variance_shares([CONTENT + 0 * STYLE]).content == pytest.approx(1.0)
    assert variance_shares([0 * CONTENT + STYLE]).style == pytest.approx(1.0)


def test_a_product_of_centred_parts_is_all_interaction():
    centred = (CONTENT - CONTENT.mean(axis=0)) * (STYLE - STYLE.mean(axis=1))
    assert variance_shares([centred]).interaction == pytest.approx(1.0)


def test_shares_are_a_partition_and_do_not_mind_how_features_come():
    values = RNG.normal(size=(7, 3, 5)) + CONTENT + 2.0 * STYLE * CONTENT
    whole, parts = variance_shares([values]), variance_shares([values[:, :, :2], values[:, :, 2:]])
    assert whole.content + whole.style + whole.interaction == pytest.approx(1.0)
    assert parts.content == pytest.approx(whole.content)
    assert parts.interaction == pytest.approx(whole.interaction)
    assert whole.total == pytest.approx(values.var(axis=(0, 1)).sum())


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([np.ones((7, 1, 5))], "7 contents in 1 styles"),
        ([np.ones((7, 3, 5))], "nothing varies"),
        ([], "nothing varies"),
    ],
)
def test_a_grid_without_variance_is_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        variance_shares(blocks)

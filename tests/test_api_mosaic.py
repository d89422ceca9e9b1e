"""Tests of mosaics: cells with one, two or three modalities in one fit, and what each of them adds."""

from __future__ import annotations

from functools import cache
from itertools import combinations, permutations

import numpy as np
import pytest
from io_fixtures import refusal
from model_fixtures import correlations, on_scale, rebuilt, test_cells, tiny, training

from unisono.api import fit
from unisono.datasets import simulate
from unisono.model.unisono import Unisono

MODALITIES = ("atac", "rna", "adt")

pytestmark = pytest.mark.filterwarnings("ignore:W026:unisono.messages.InputWarning")  # every mosaic is warned of


def having(mdata, **rows):
    """The data with only some cells in each modality named."""
    return rebuilt({name: part[rows[name]].copy() if name in rows else part.copy() for name, part in mdata.mod.items()})


@cache
def bridged() -> Unisono:
    """Chromatin in the first half of the cells, protein in the second, RNA in all: no cell has both ends."""
    n_cells = training().n_obs
    data = having(training(), atac=np.arange(n_cells) < n_cells // 2, adt=np.arange(n_cells) >= n_cells // 2)
    return fit(data, batch_key="batch", config=tiny(max_epochs=20, learning_rate=0.01), device="cpu")


@pytest.mark.parametrize(("source", "target"), list(permutations(MODALITIES, 2)))
def test_every_direction_is_predicted_though_no_cell_had_all_three(source, target):
    found = bridged().predict(test_cells(), source, target)
    assert np.isfinite(found.X).all()
    if target == "adt":
        assert correlations(on_scale(test_cells()["adt"], "adt"), found.X).mean() > 0.3


@pytest.mark.parametrize(("left", "right"), list(combinations(MODALITIES, 2)))
def test_every_pair_is_matched_above_chance_though_no_cell_had_all_three(left, right):
    query = test_cells()
    found = bridged().match(query[left], query[right]).match_posterior.probabilities.toarray()
    assert np.diag(found).mean() > 1.3 / len(found)


def test_a_cell_with_one_modality_still_trains_what_it_has():
    """Protein is known of a third of the cells; what the others say of RNA moves RNA's statistics and its networks."""
    n_cells = training().n_obs
    with_adt = np.arange(n_cells) % 3 == 0
    config = tiny(max_epochs=2, validation={"fraction": 0})
    parts = {name: training()[name] for name in ("rna", "adt")}
    whole = fit(having(rebuilt(parts), adt=with_adt), batch_key="batch", config=config, device="cpu")
    paired = fit(having(rebuilt(parts), rna=with_adt, adt=with_adt), batch_key="batch", config=config, device="cpu")
    assert whole.record.n_cells == {"rna": n_cells, "adt": int(with_adt.sum())}
    np.testing.assert_array_equal(
        whole.fitted.preprocessors["adt"].projection.centre, paired.fitted.preprocessors["adt"].projection.centre
    )
    assert (
        np.abs(
            whole.fitted.preprocessors["rna"].projection.centre - paired.fitted.preprocessors["rna"].projection.centre
        ).max()
        > 0.01
    )


def test_a_modality_that_shares_no_cell_with_another_is_refused_with_the_reason():
    n_cells = training().n_obs
    first, second = np.arange(n_cells) < 50, np.arange(n_cells) >= 50
    data = having(rebuilt({name: training()[name] for name in ("rna", "adt")}), rna=first, adt=second)
    found = refusal(fit, data, batch_key="batch", config=tiny(), device="cpu")
    assert (found.code, "no shared cell names" in found.what) == ("E027", True)


@pytest.mark.slow
def test_holes_in_three_fifths_of_the_cells_cost_less_than_three_points_of_correlation():
    mdata = simulate(n_cells=1500, seed=2)
    order = np.random.default_rng(0).permutation(1500)
    query, given = (mdata[np.sort(rows)].copy() for rows in (order[:300], order[300:]))
    rng = np.random.default_rng(1)
    lost = np.where(rng.random(1200) < 0.6, rng.integers(0, 3, 1200), -1)
    stripped = having(given, **{name: lost != place for place, name in enumerate(MODALITIES)})
    complete, holes = (fit(data, batch_key="batch", preset="fast", device="cpu") for data in (given, stripped))
    for source, target in permutations(MODALITIES, 2):
        truth = on_scale(query[target], target)
        first, second = (
            np.nan_to_num(correlations(truth, model.predict(query, source, target).X)).mean()
            for model in (complete, holes)
        )
        assert second > first - 0.03, (source, target)

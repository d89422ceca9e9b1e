"""Features that a batch did not measure, from files of zeros to predictions: said, masked, and learnt from the rest."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from anndata import AnnData
from model_fixtures import counts, late_model, noticed, on_scale, rebuilt, take, test_cells, tiny, training
from scipy import sparse

import unisono as un
from unisono.messages import InputWarning

N_TRAINING = 500
DIRECTIONS = {"rna": "adt", "adt": "rna", "atac": "rna"}
"""Target → source."""


def zeroed(part: AnnData, features, cells=slice(None)) -> AnnData:
    """A copy whose counts of some features are 0 in some cells."""
    x = counts(part).copy()
    x[np.ix_(np.arange(len(x))[cells], features)] = 0
    return AnnData(sparse.csr_matrix(x), obs=part.obs.copy(), var=part.var.copy())


@cache
def simulated():
    sizes = {"n_genes": 70, "n_peaks": 110, "n_proteins": 13}
    return un.datasets.simulate(n_cells=N_TRAINING + 200, batch_effect=0.2, atac_depth=300.0, seed=5, **sizes)


@cache
def lost(modality):
    """Whether the second batch lacks each feature: three in ten."""
    return np.random.default_rng(8).random(simulated()[modality].n_vars) < 0.3


@cache
def fitted(with_holes: bool):
    whole = take(simulated(), slice(0, N_TRAINING))
    config = tiny(n_members=1, max_epochs=8)
    if not with_holes:
        return un.fit(whole, batch_key="batch", config=config)
    second = np.flatnonzero(whole["rna"].obs["batch"] == "b2")
    holes = rebuilt({m: zeroed(part, np.flatnonzero(lost(m)), second) for m, part in whole.mod.items()})
    with pytest.warns(InputWarning, match="W068"):
        return un.fit(holes, batch_key="batch", config=config)


@pytest.mark.slow
@pytest.mark.parametrize("target", DIRECTIONS)
def test_lost_features_and_the_others_are_predicted_nearly_as_from_whole_data(target):
    test = take(simulated(), slice(N_TRAINING, None))
    truth = on_scale(test[target], target)
    errors, predicted = {}, {}
    for with_holes in (False, True):
        predicted[with_holes] = fitted(with_holes).predict(test, DIRECTIONS[target], target).X
        gap = (predicted[with_holes] - truth) ** 2
        errors[with_holes] = [np.sqrt(gap[:, columns].mean()) for columns in (lost(target), ~lost(target))]
    assert errors[True][0] <= 1.1 * errors[False][0]
    assert errors[True][1] <= 1.1 * errors[False][1]
    level, wanted = (predicted[with_holes][:, lost(target)].mean() for with_holes in (True, False))
    assert level == pytest.approx(wanted, rel=0.1)


def test_the_masks_of_a_fit_are_those_of_the_lost_features_that_were_counted_elsewhere():
    for modality, made in fitted(True).fitted.preprocessors.items():
        ((batch, mask),) = made.projection.unmeasured.items()
        assert batch == "b2"
        assert (mask & ~lost(modality)).sum() == 0
        assert made.projection.fraction[lost(modality) & ~mask].sum() < 1e-3


def test_the_masks_are_saved_with_the_model(tmp_path):
    model = fitted(True).fitted
    fitted(True).save(tmp_path / "model")
    again = un.load(tmp_path / "model").fitted
    for modality, made in model.preprocessors.items():
        found = again.preprocessors[modality].projection
        np.testing.assert_array_equal(found.unmeasured["b2"], made.projection.unmeasured["b2"])
        np.testing.assert_array_equal(found.reference.n_cells, made.projection.reference.n_cells)
        np.testing.assert_array_equal(found.noise, made.projection.noise)


def test_fit_and_check_say_which_batch_lacks_what():
    data = training()
    second = np.flatnonzero(data["adt"].obs["batch"] == "b2")
    data = rebuilt({"rna": data["rna"], "adt": zeroed(data["adt"], [1, 4, 5, 6], second)})
    first = ", ".join(data["adt"].var_names[[1, 4, 5]])
    what = f"4 of 8 proteins are 0 in all {len(second)} cells of batch b2 and counted elsewhere ({first}, ...)"
    wanted = f"W068 data, adt: {what}: taken as not measured there."
    assert [str(each) for each in un.check(data, batch_key="batch").findings if each.code == "W068"] == [wanted]
    with noticed() as texts:
        un.fit(data, batch_key="batch", config=tiny(max_epochs=1))
    assert wanted in texts
    assert "W068" not in {each.code for each in un.check(training(), batch_key="batch").findings}


def test_batches_that_lack_the_same_features_share_a_line():
    data = un.datasets.simulate(n_cells=290, n_genes=30, n_peaks=40, n_proteins=9, n_batches=3, seed=2)
    cells = np.flatnonzero(np.isin(data["adt"].obs["batch"], ["b1", "b3"]))
    data = rebuilt({"rna": data["rna"], "adt": zeroed(data["adt"], [0, 7], cells)})
    found = [each.what for each in un.check(data, batch_key="batch").findings if each.code == "W068"]
    assert len(found) == 1
    assert f"2 of 9 proteins are 0 in all {len(cells)} cells of 2 batches (b1, b3) and counted elsewhere" in found[0]


@pytest.mark.parametrize(("modality", "target"), [("rna", "adt"), ("adt", "rna")])
def test_a_query_of_zeros_is_predicted_as_one_without_these_columns(modality, target):
    part = training()[modality]
    often = np.argsort(-(counts(part) > 0).sum(axis=0))[[0, 2, 3]]
    with pytest.warns(InputWarning, match=f"W068 query, {modality}: 3 of {part.n_vars}"):
        found = late_model().predict(zeroed(part, often), modality, target).X
    rest = np.setdiff1d(np.arange(part.n_vars), often)
    with pytest.warns(InputWarning, match="W036"):
        wanted = late_model().predict(part[:, rest].copy(), modality, target).X
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found - late_model().predict(part, modality, target).X).max() > 0.01


def test_check_says_of_a_query_what_predict_will():
    query = training()
    query = rebuilt({"rna": query["rna"], "adt": zeroed(query["adt"], [0, 5])})
    found = un.check(query, late_model(), batch_key="batch").findings
    (what,) = [str(each) for each in found if each.code == "W068"]
    assert what.startswith("W068 data, adt: 2 of 8 proteins are 0 in all 151 cells of 2 batches (b1, b2)")
    with noticed() as texts:
        late_model().predict(query, "adt", "rna")
    assert what.replace("data", "query", 1) in texts


def test_adapt_learns_the_style_of_a_batch_that_lacks_features():
    """Every figure of the adapted model is finite, and the cells of zeros are predicted as those without columns."""
    query = training()
    for part in query.mod.values():
        part.obs["batch"] = "new"
    zeros = rebuilt({"rna": query["rna"], "adt": zeroed(query["adt"], [0, 5])})
    short = rebuilt({"rna": query["rna"], "adt": query["adt"][:, [1, 2, 3, 4, 6, 7]].copy()})
    found = []
    for data in (zeros, short):
        with noticed():
            found.append(late_model().adapt(data, n_epochs=2).predict(query, "rna", "adt", style="new").X)
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_a_query_of_whole_cells_is_not_warned_of():
    with noticed() as texts:
        late_model().predict(test_cells(), "rna", "adt")
        late_model().predict(take(test_cells(), [3]), "adt", "rna")
    assert not [text for text in texts if "W068" in text]


def test_the_batch_of_training_lacks_in_a_query_what_it_lacked_in_training():
    """Three cells of zeros say nothing; that their batch did not measure the features does."""
    cells = take(simulated(), np.flatnonzero(simulated()["adt"].obs["batch"] == "b2")[-3:])
    features = np.flatnonzero(lost("adt"))
    with pytest.warns(InputWarning, match=f"W068 query, adt: {len(features)} of 13 proteins are 0 in all 3 cells"):
        fitted(True).predict(zeroed(cells["adt"], features), "adt", "rna")


def test_scores_are_over_the_cells_that_measured_a_feature():
    """One batch of the test lacks proteins: correlations are those within the other one, and no zero is scored."""
    test = take(simulated(), slice(N_TRAINING, None))
    second, gone = test["adt"].obs["batch"].to_numpy() == "b2", np.flatnonzero(lost("adt"))
    holes = rebuilt({"rna": test["rna"], "adt": zeroed(test["adt"], gone, np.flatnonzero(second))})
    model = fitted(False)
    with pytest.warns(InputWarning, match="W068"):
        found = un.evaluate(model, holes)
    whole, predicted = on_scale(test["adt"], "adt"), model.predict(test, "rna", "adt").X
    per_feature = [
        np.corrcoef(predicted[rows, j], whole[rows, j])[0, 1]
        for j in range(13)
        for rows in (~second if lost("adt")[j] else np.ones(len(second), dtype=bool),)
    ]
    assert found.value("rna", "adt", "pearson") == pytest.approx(np.mean(per_feature), abs=0.02)
    gap = (predicted - whole) ** 2
    gap[np.ix_(second, lost("adt"))] = np.nan
    assert found.value("rna", "adt", "rmse") == pytest.approx(np.sqrt(np.nanmean(gap)), rel=0.1)
    score = found.get("rna", "adt", "rmse")
    assert score.chance == pytest.approx(np.sqrt(np.nanmean((whole - np.nanmean(whole, axis=0)) ** 2)), rel=0.15)

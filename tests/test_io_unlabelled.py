"""Tests of cells without labels: they join a view, never a pair, and what they lack is refused rather than zero."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from anndata import AnnData
from io_fixtures import refusal
from model_fixtures import counts, noticed, rebuilt, take, test_cells, tiny, training
from scipy import sparse

from unisono.api import fit
from unisono.evaluation.scores import evaluate
from unisono.io.read import cells_from_mudata
from unisono.io.unlabelled import with_unlabelled
from unisono.messages import InputWarning
from unisono.types import Cells


def cells_of(mdata) -> Cells:
    return cells_from_mudata(mdata, batch_key="batch", is_training=False)[0]


def pair_of(mdata):
    return rebuilt({m: mdata[m] for m in ("rna", "adt")})


def beside(query):
    """Fitted to the training cells next to a query."""
    return fit(pair_of(training()), batch_key="batch", config=tiny(max_epochs=1), device="cpu", unlabelled=query)


@cache
def beside_test_cells():
    return beside(pair_of(test_cells()))


def test_unlabelled_cells_pair_with_nobody_even_under_the_same_names():
    given = cells_of(training())
    joined = with_unlabelled(given, given, "here")
    n_views = np.sum([joined.rows[m] >= 0 for m in joined.modalities], axis=0)
    assert (n_views == 3).sum() == len(given.names)
    assert (n_views == 1).sum() == sum(given.views[m].n_cells for m in given.modalities)
    assert [view.n_cells for view in joined.views.values()] == [2 * view.n_cells for view in given.views.values()]


def test_their_counts_stand_in_the_order_of_training_and_their_batches_are_kept():
    given, query = cells_of(training()), test_cells()
    turned = {name: part[:, ::-1].copy() for name, part in query.mod.items()}
    for part in turned.values():
        part.obs["batch"] = "b7"
    joined = with_unlabelled(given, cells_of(rebuilt(turned)), "here").views["rna"]
    np.testing.assert_array_equal(joined.counts[: training().n_obs].toarray(), given.views["rna"].counts.toarray())
    np.testing.assert_array_equal(joined.counts[training().n_obs :].toarray(), query["rna"].X.toarray())
    assert set(joined.batch[training().n_obs :]) == {"b7"}


def test_cells_that_lack_training_features_are_refused():
    fewer = take(test_cells(), slice(None))
    fewer.mod["rna"] = fewer["rna"][:, 6:].copy()
    found = refusal(with_unlabelled, cells_of(training()), cells_of(rebuilt(dict(fewer.mod))), "here")
    assert (found.code, found.where) == ("E036", "here, rna")
    assert "6 of 60 training features are missing" in found.what


def test_what_their_batch_did_not_measure_is_marked_and_said():
    query = test_cells()
    for part in query.mod.values():
        part.obs["batch"] = "b7"
    dense = counts(query["adt"])
    dense[:, [1, 6]] = 0
    query.mod["adt"] = AnnData(sparse.csr_matrix(dense), obs=query["adt"].obs, var=query["adt"].var)
    with pytest.warns(InputWarning, match="W068 here, adt: 2 of 8 proteins are 0 in all 43 cells of batch b7"):
        joined = with_unlabelled(cells_of(training()), cells_of(query), "here")
    assert {name: np.flatnonzero(mask).tolist() for name, mask in joined.views["adt"].unmeasured.items()} == {
        "b7": [1, 6]
    }
    assert joined.views["rna"].measured.is_complete


def test_counts_of_what_their_batch_did_not_measure_in_training_are_left_out():
    given = cells_of(training())
    mask = np.arange(8) == 2
    adt = given.views["adt"]
    dense = adt.counts.toarray()
    dense[np.ix_(adt.batch == "b2", mask)] = 0
    lacking = replace(adt, counts=sparse.csr_matrix(dense), unmeasured={"b2": mask})
    joined = with_unlabelled(Cells({**given.views, "adt": lacking}), given, "here").views["adt"]
    added = joined.counts[adt.n_cells :].toarray()
    np.testing.assert_array_equal(added, dense)
    np.testing.assert_array_equal(joined.unmeasured["b2"], mask)


def test_the_fit_learns_from_them_and_says_so():
    config = tiny(max_epochs=1, validation={"fraction": 0}, self_training={"matches": False})
    known, query = pair_of(training()), pair_of(test_cells())
    alone = fit(known, batch_key="batch", config=config, device="cpu")
    beside = fit(known, batch_key="batch", config=config, device="cpu", unlabelled=query)
    (seen,) = beside.record.unlabelled
    assert (seen.how, seen.n_cells) == ("fit", {"rna": 43, "adt": 43})
    assert alone.record.unlabelled == ()
    first, second = (model.fitted.preprocessors["rna"].projection.centre for model in (alone, beside))
    assert np.abs(first - second).max() > 1e-3


def test_their_pairing_is_not_looked_at():
    """Shuffled against each other the unlabelled views give the very same model."""
    shuffled = test_cells()
    names = shuffled["rna"].obs_names.to_numpy().copy()
    for batch in ("b1", "b2"):
        rows = np.flatnonzero(shuffled["rna"].obs["batch"] == batch)
        names[rows] = np.roll(names[rows], 7)
    shuffled["rna"].obs_names = names
    models = (beside_test_cells(), beside(pair_of(shuffled)))
    first, second = (model.fitted.predictor.network.state_dict() for model in models)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_every_later_evaluation_repeats_it():
    with noticed() as said:
        evaluate(beside_test_cells(), pair_of(test_cells()))
    (line,) = [line for line in said if line.startswith("W064 ")]
    assert "(fit: 43 rna, 43 adt, 43 matched; these very cells)" in line

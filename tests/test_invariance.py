"""Tests of what must not matter: threads, sizes of blocks, and the order of cells, features, modalities and batches."""

from __future__ import annotations

import importlib
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from model_fixtures import noticed, rebuilt, small_model, take, tiny, training
from threadpoolctl import threadpool_limits

import unisono as un

N_CELLS = 199
SAME = 1e-6
"""Between threads, blocks and orders of a query; probabilities and cosines lie within 1, predictions within 8."""


@cache
def query():
    """Cells of another seed, more than a block of any kind holds here, with cells of a new batch among them."""
    mdata = un.datasets.simulate(n_cells=N_CELLS, n_genes=60, n_peaks=90, n_proteins=8, batch_effect=0.8, seed=11)
    parts = {m: mdata[m].copy() for m in mdata.mod}
    for part in parts.values():
        part.obs["batch"] = np.where(np.arange(N_CELLS) % 3 == 0, "new", part.obs["batch"].astype(str))
    return rebuilt(parts)


def answers(mdata, model=None):
    """Predictions, novelty, embeddings and matchings, as tables with the names of cells.

    All right cells are listed: which of equal ones has the last place on a shorter list goes by the order.
    """
    model = model or small_model()
    with noticed():
        predicted = model.predict(mdata, source="rna", target="adt")
        back = model.predict(mdata, source="adt", target="atac")
        placed = model.embed(take(mdata, slice(None)))
        links = model.match(mdata["rna"], mdata["adt"], depth=True, top=N_CELLS).to_anndata()
    found = {
        "adt": predicted.to_df(),
        "atac": back.to_df(),
        "novelty": predicted.obs[["unisono_novelty"]],
        "matching": pd.DataFrame(links.X.toarray(), links.obs_names, links.var_names),
        "unmatched": links.obs[["p_unmatched"]],
    }
    for m, part in placed.mod.items():
        found[f"embedding of {m}"] = pd.DataFrame(part.obsm["X_unisono"], part.obs_names)
    return found


@cache
def wanted():
    return answers(query())


def assert_same(found, wanted_ones=None, within=SAME):
    for name, table in (wanted() if wanted_ones is None else wanted_ones).items():
        np.testing.assert_allclose(
            found[name].loc[table.index, table.columns], table, rtol=0, atol=within, err_msg=name
        )


@pytest.fixture
def threads(request):
    """So many threads for torch and for linear algebra, inside a test."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    with threadpool_limits(request.param):
        yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [pytest.param(2, marks=pytest.mark.slow), 4], indirect=True)
@pytest.mark.usefixtures("threads")
def test_answers_are_those_of_one_thread():
    assert_same(answers(query()))


BLOCKS = {
    ("nn.infer", "_CELLS_AT_A_TIME"): 41,
    ("nn.parts", "_ENTRIES_AT_A_TIME"): 1009,
    ("preprocessing.kernel_ridge", "_ROWS_AT_A_TIME"): 43,
    ("preprocessing.projection", "_ROWS_AT_A_TIME"): 47,
    ("matching.candidates", "_BLOCK_ENTRIES"): 1013,
    ("matching.candidates", "_ROWS_AT_A_TIME"): 53,
    ("matching.log_sum", "_ENTRIES_AT_A_TIME"): 1019,
}


@pytest.mark.parametrize(
    "blocks", [tuple(BLOCKS), *(pytest.param((each,), marks=pytest.mark.slow) for each in BLOCKS)], ids=str
)
def test_answers_do_not_depend_on_the_size_of_blocks(blocks, monkeypatch):
    for module, name in blocks:
        place = importlib.import_module(f"unisono.{module}")
        assert getattr(place, name) > BLOCKS[module, name]
        monkeypatch.setattr(place, name, BLOCKS[module, name])
    assert_same(answers(query()))


def shuffled(n: int, seed: int = 0):
    return np.random.default_rng(seed).permutation(n)


def with_features_in_another_order(mdata):
    return rebuilt({m: part[:, shuffled(part.n_vars, 1)].copy() for m, part in mdata.mod.items()})


def with_sides_in_different_orders(mdata):
    return rebuilt({m: part[shuffled(part.n_obs, seed)].copy() for seed, (m, part) in enumerate(mdata.mod.items())})


ORDERS = {
    "cells": lambda mdata: take(mdata, shuffled(mdata.n_obs)),
    "cells, in each modality another one": with_sides_in_different_orders,
    "features": with_features_in_another_order,
    "modalities": lambda mdata: rebuilt({m: mdata[m].copy() for m in reversed(list(mdata.mod))}),
    "all of these": lambda mdata: ORDERS["modalities"](
        with_features_in_another_order(with_sides_in_different_orders(mdata))
    ),
    "batches, one after the other": lambda mdata: take(
        mdata, np.argsort(mdata["rna"].obs["batch"].astype(str).to_numpy(), kind="stable")[::-1]
    ),
}


@pytest.mark.parametrize(
    "order", [each if each == "all of these" else pytest.param(each, marks=pytest.mark.slow) for each in ORDERS]
)
def test_answers_do_not_depend_on_the_order_of_the_query(order):
    assert_same(answers(ORDERS[order](query())))


def test_nor_does_a_matching_of_more_cells_than_are_summed(monkeypatch):
    """Where a sample stands for all, as it does for those beyond 1,024 and 2,000."""
    monkeypatch.setattr(importlib.import_module("unisono.matching.log_sum"), "_MAX_SAMPLED", 61)
    monkeypatch.setattr(importlib.import_module("unisono.matching.unmatched"), "MAX_CELLS", 71)
    sampled = answers(query())
    assert np.abs(sampled["unmatched"] - wanted()["unmatched"]).to_numpy().max() > 1e-3
    assert_same(answers(with_sides_in_different_orders(query())), sampled)


def test_the_order_of_cells_is_not_that_of_their_names_alone():
    """Counts that change places with their cells' names left behind are other cells."""
    mdata = query()
    parts = {m: part.copy() for m, part in mdata.mod.items()}
    parts["rna"].X = parts["rna"].X[shuffled(N_CELLS)]
    assert np.abs(answers(rebuilt(parts))["adt"] - wanted()["adt"]).to_numpy().max() > 1e-2


def pair(mdata):
    return rebuilt({m: mdata[m] for m in ("rna", "adt")})


def fitted(mdata, **changes):
    with noticed():
        return un.fit(mdata, batch_key="batch", config=tiny(**changes), device="cpu")


def predicted(model):
    with noticed():
        return model.predict(query(), source="rna", target="adt").to_df()


@cache
def reference(seed: int = 0):
    return predicted(fitted(pair(training()), max_epochs=1, validation={"fraction": 0}, seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize("change", ["modalities", "categories"])
def test_a_fit_does_not_depend_on_the_order_of_modalities_or_of_the_levels_of_batches(change):
    mdata = pair(training())
    if change == "modalities":
        mdata = ORDERS["modalities"](mdata)
    else:
        for part in mdata.mod.values():
            part.obs["batch"] = pd.Categorical(part.obs["batch"].astype(str), ["unused", "b2", "b1"])
    found = predicted(fitted(mdata, max_epochs=1, validation={"fraction": 0}))
    pd.testing.assert_frame_equal(found, reference(), rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["cells", "features"])
def test_a_fit_in_another_order_lies_no_farther_than_one_of_another_seed(order):
    """What is drawn for a cell or a feature is drawn by its place: another order is another seed."""
    models = [predicted(fitted(pair(training()), max_epochs=6, seed=seed)) for seed in range(7)]
    seeds = [distance(a, b) for i, a in enumerate(models) for b in models[:i]]
    orders = [
        distance(predicted(fitted(of(pair(training()), seed, order), max_epochs=6)), models[0]) for seed in range(4)
    ]
    assert np.mean(orders) < 1.2 * np.mean(seeds)
    assert np.max(orders) < 1.2 * np.max(seeds)


def distance(a, b) -> float:
    """Root mean squared difference of two predictions, whatever the order of their columns."""
    return float(np.sqrt(np.square(a[b.columns] - b).to_numpy().mean()))


def of(mdata, seed: int, order: str):
    if order == "cells":
        return take(mdata, shuffled(mdata.n_obs, seed))
    return rebuilt({m: part[:, shuffled(part.n_vars, seed)].copy() for m, part in mdata.mod.items()})

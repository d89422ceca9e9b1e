"""Cells of another kind are told from those that a model knows by how little of their variance its codes hold."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

import unisono as un
from unisono.model.query import of_another_kind, query_view


@pytest.fixture(scope="module")
def model():
    return un.load("human-blood-cite")


def cells(model, n_cells=60, is_strange=False, seed=0):
    """RNA counts whose rates follow the model's own directions over genes, or other ones."""
    projection = model.fitted.preprocessors["rna"].projection
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n_cells, projection.n_codes)) * np.linspace(1, 0.1, projection.n_codes)
    log_rate = np.zeros((n_cells, len(projection.features)))
    directions = projection.basis
    if is_strange:
        directions = np.linalg.qr(rng.standard_normal(directions.shape))[0]
    log_rate[:, projection.selected] = 8 * (z @ directions.T)
    rate = projection.fraction * np.exp(np.clip(log_rate, -4, 4))
    depth = rng.uniform(2000, 6000, (n_cells, 1))
    counts = rng.poisson(depth * rate / rate.sum(axis=1, keepdims=True)).astype(np.int32)

    adata = AnnData(sparse.csr_matrix(counts))
    adata.var_names = projection.features.astype(object)
    return adata


def found(model, adata):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        view = query_view(adata, "rna", model.fitted.preprocessors, model.record)
    return [each.code for each in of_another_kind(view, model.fitted.preprocessors["rna"], "query, rna")]


def test_cells_that_vary_as_the_model_has_learned_are_not_remarked_on(model):
    assert found(model, cells(model)) == []


def test_cells_that_vary_in_other_directions_are_told(model):
    assert found(model, cells(model, is_strange=True)) == ["W071"]


def test_of_few_cells_nothing_is_told(model):
    assert found(model, cells(model, n_cells=19, is_strange=True)) == []


def test_predict_says_it(model):
    strange = cells(model, is_strange=True)
    with pytest.warns(un.InputWarning, match=r"W071 query, rna: these cells hardly vary in what the model has learned"):
        model.predict(strange, "rna", "adt")


def test_the_fraction_is_that_of_the_variance_in_the_space_of_the_basis(model):
    preprocessor = model.fitted.preprocessors["rna"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        view = query_view(cells(model), "rna", model.fitted.preprocessors, model.record)
    counts = preprocessor.projection.counts(view)
    values = preprocessor.projection.values(counts).toarray().astype(float)
    centred = values - values.mean(axis=0)
    q = np.linalg.qr(preprocessor.projection.basis.astype(float))[0]
    held, by_chance = preprocessor.projection.variance_held(counts)
    assert held == pytest.approx(1 - np.square(centred - centred @ q @ q.T).sum() / np.square(centred).sum(), rel=1e-4)
    assert by_chance == pytest.approx(preprocessor.projection.n_codes / len(preprocessor.projection.selected))

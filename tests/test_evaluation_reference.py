"""Tests of references: they are the figures of the mean profile and of a blind match, computed the long way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from unisono.evaluation import reference
from unisono.evaluation.figures import matching_figures, prediction_figures


@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_the_mean_profile_is_judged_as_any_prediction(modality):
    rng = np.random.default_rng(3)
    truth = rng.poisson(rng.gamma(0.7, size=13), size=(37, 13)).astype(np.float64)
    truth = np.log1p(truth) if modality == "rna" else (truth > 0).astype(np.float64)
    profile = np.tile(truth.mean(axis=0), (37, 1))
    wanted = prediction_figures(sparse.csc_matrix(truth), profile, modality)
    found = reference.of_the_mean_profile(sparse.csc_matrix(truth))
    names = set(wanted) - {"features without correlation", "spearman"}
    assert {name: found[name] for name in names} == pytest.approx({name: wanted[name] for name in names}, abs=1e-9)
    assert found["pearson per cell"] > 0.1
    assert found["spearman"] == 0.0


@pytest.mark.parametrize("is_grouped", [False, True])
def test_a_blind_match_is_judged_as_any_matching(is_grouped):
    labels = np.array(["a"] * 7 + ["b"] * 4)
    groups = (labels, labels) if is_grouped else None
    same = labels[:, None] == labels[None, :] if is_grouped else np.ones((11, 11))
    posterior = sparse.csr_matrix(same / same.sum(axis=1, keepdims=True))
    vectors = np.ones((11, 3)) / np.sqrt(3)
    nothing = sparse.csr_matrix((np.ones(11), (np.arange(11), np.arange(11))), shape=(11, 11))
    wanted = matching_figures(vectors, vectors, posterior, nothing, np.arange(11), groups)
    found = reference.of_a_blind_match(11, groups)
    assert found["match probability"] == pytest.approx(wanted["match probability"])
    assert found["pair auroc"] == pytest.approx(wanted["pair auroc"])
    assert found["pair auprc"] == pytest.approx(wanted["pair auprc"])
    assert found["foscttm"] == wanted["foscttm"] == 0.5
    assert found["recall@5"] == pytest.approx((7 * 5 / 7 + 4) / 11 if is_grouped else 5 / 11)
    assert found["one-to-one accuracy"] == pytest.approx(2 / 11 if is_grouped else 1 / 11)

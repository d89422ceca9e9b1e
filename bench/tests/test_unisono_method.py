"""Tests of Unisono in the benchmark: each ablation switches off what it says and nothing else."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import unisono as un
from fixtures import simulated, tiny
from unisono_bench.data import to_anndata
from unisono_bench.matching import matched
from unisono_bench.unisono_method import ABLATIONS, UnisonoEstimator, ablations, changed, full

SWITCHED = {
    "no-instance-norm": {"architecture.instance_norm": False},
    "no-style": {"architecture.style": False},
    "no-contrastive": {"weights.contrastive": 0.0},
    "no-cross": {"weights.cross": 0.0},
    "no-kl": {"weights.kl": 0.0},
    "no-thinning": {"thinning": (1.0, 1.0)},
    "one-member": {"n_members": 1},
    "no-linear-path": {"architecture.linear_path": False},
    "no-kernel-member": {"architecture.kernel": False},
    "no-refit": {"refit_below": 0},
}


def flat(config: un.FitConfig) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in config.model_dump().items():
        found |= {f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value}
    return found


@pytest.mark.parametrize("part", SWITCHED)
def test_an_ablation_changes_what_it_says_and_nothing_else(part):
    before, after = flat(tiny()), flat(changed(tiny(), ABLATIONS[part]))
    assert {key: value for key, value in after.items() if value != before[key]} == SWITCHED[part]


@pytest.mark.parametrize("part", ABLATIONS)
def test_every_ablation_is_a_config_that_differs_from_the_default(part):
    assert changed(un.FitConfig.preset("default"), ABLATIONS[part]) != un.FitConfig.preset("default")


def test_a_part_that_is_off_already_is_no_ablation():
    names = [method.name for method in ablations(tiny(n_members=1), "cpu")]
    assert "unisono-one-member" not in names
    assert names == [f"unisono-{part}" for part in ABLATIONS if part != "one-member"]


def test_an_unknown_switch_is_refused():
    with pytest.raises(ValueError, match="no_such_part"):
        changed(tiny(), {"architecture": {"no_such_part": False}})


def test_settings_tell_configs_apart_but_not_seeds():
    assert full(tiny(seed=1), "cpu").settings == full(tiny(seed=2), "cpu").settings
    assert full(tiny(), "cpu").settings != full(tiny(n_codes=13), "cpu").settings
    assert full(tiny(), "cpu").settings != full(tiny(), "cuda").settings


def test_a_method_can_be_sent_to_another_process():
    sent = pickle.loads(pickle.dumps(full(tiny(), "cpu")))  # noqa: S301
    assert sent.make().config == tiny()


@pytest.fixture(scope="module")
def fitted():
    return UnisonoEstimator("unisono", tiny(), "cpu").fit(simulated().take(np.arange(120)), 3)


@pytest.fixture(scope="module")
def views():
    return simulated().take(np.arange(120, 151)).views


def test_it_is_fitted_on_the_cells_given_with_the_seed_given(fitted):
    assert fitted.model.record.fingerprint == un.fingerprint(simulated().take(np.arange(120)))
    assert fitted.model.config == un.modalities.resolved(tiny(seed=3), {"atac": 97, "rna": 61, "adt": 7})


def test_it_predicts_as_the_model_does(fitted, views):
    found = fitted.predict(views["rna"], "adt")
    wanted = fitted.model.predict(to_anndata(views["rna"]), "rna", "adt")
    np.testing.assert_array_equal(found, wanted.X)
    assert fitted.predict(views["rna"], "rna") is None


def test_its_probabilities_are_those_of_match_where_all_partners_are_there(fitted, views):
    left, right = views["rna"], views["adt"]
    for depth in (False, True):
        similarity = fitted.similarity(left, right, depth=depth, groups=(left.batch, right.batch))
        found = matched(similarity, "soft", (left.batch, right.batch)).probabilities
        sides = to_anndata(left), to_anndata(right)
        between = {"between": ("rna", "adt"), "within": "batch", "top": 1000, "prior_unmatched": 0.0}
        wanted = fitted.model.match(*sides, depth=depth, **between).to_anndata().X
        np.testing.assert_allclose(found.toarray(), wanted.toarray(), atol=1e-6)

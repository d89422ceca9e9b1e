"""Tests of Unisono in the benchmark: each ablation switches off what it says and nothing else."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from model_fixtures import small_model, tiny
from model_fixtures import test_cells as leave_one_out_codes

from unisono_bench.ours import ABLATIONS, FittedUnisono, changed, whole, without_parts
from unisono.config import FitConfig
from unisono.io.read import cells_from_mudata

SWITCHED = {
    "no-instance-norm": {"architecture.instance_norm": False},
    "no-style": {"architecture.style": False},
    "no-contrastive": {"weights.contrastive": 0.0},
    "no-cross": {"weights.cross": 0.0},
    "no-kl": {"weights.kl": 0.0},
    "no-thinning": {"thinning": (1.0, 1.0)},
    "one-member": {"n_members": 1},
    "no-linear-path": {"architecture.linear_path": False},
    "no-kernel-member": {"architecture.kernel_member": False},
    "no-refit": {"refit_below": 0},
}


def flat(config: FitConfig) -> dict[str, object]:
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
    assert changed(FitConfig.preset("default"), ABLATIONS[part]) != FitConfig.preset("default")


def test_a_part_that_is_off_already_is_no_ablation():
    names = [contender.name for contender in without_parts(tiny(n_members=1), "cpu")]
    assert "unisono-one-member" not in names
    assert names == [f"unisono-{part}" for part in ABLATIONS if part != "one-member"]


def test_an_unknown_switch_is_refused():
    with pytest.raises(ValueError, match="no_such_part"):
        changed(tiny(), {"architecture": {"no_such_part": False}})


def test_settings_tell_configs_apart_but_not_seeds():
    assert whole(tiny(seed=1), "cpu").settings == whole(tiny(seed=2), "cpu").settings
    assert whole(tiny(), "cpu").settings != whole(tiny(n_codes=13), "cpu").settings
    assert whole(tiny(), "cpu").settings != whole(tiny(), "cuda").settings


def test_a_contender_can_be_sent_to_another_process():
    sent = pickle.loads(pickle.dumps(whole(tiny(), "cpu")))  # noqa: S301
    assert sent.make().config == tiny()


@pytest.fixture(scope="module")
def views():
    cells, _ = cells_from_mudata(leave_one_out_codes(), batch_key="batch")
    return cells.views


def test_it_predicts_and_matches_as_the_model_does(views):
    ours = FittedUnisono(small_model())
    wanted = small_model().prediction_of(views["rna"], "adt").dense()
    np.testing.assert_array_equal(ours.predict(views["rna"], "adt"), wanted)
    groups = views["rna"].batch, views["adt"].batch
    for depth in (False, True):
        found = ours.vectors(views["rna"], views["adt"], depth=depth, groups=groups)
        vectors = small_model().match_vectors(views["rna"], views["adt"], depth=depth, groups=groups)
        assert found is not None
        np.testing.assert_array_equal(found.left, vectors.left)
        assert found.beta == vectors.beta


def test_it_offers_no_prediction_of_the_source_itself(views):
    assert FittedUnisono(small_model()).predict(views["rna"], "rna") is None

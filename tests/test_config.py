"""A config is what its preset says, merges changes, survives JSON and refuses what it does not know."""

import pytest
from pydantic import ValidationError

from unisono import config as config_module
from unisono.config import Architecture, FitConfig, Weights


def test_the_default_preset_is_the_config_without_changes():
    assert FitConfig.preset("default") == FitConfig()


def test_presets_differ_from_the_default_only_in_members_and_length_of_training():
    default = FitConfig().model_dump()
    for name, wanted in {
        "fast": {"n_members": 1, "max_epochs": 18},
        "best": {"n_members": 8, "max_epochs": 200, "patience": 12},
    }.items():
        found = FitConfig.preset(name).model_dump()
        assert {key: found[key] for key in found if found[key] != default[key]} == wanted


def test_an_unknown_preset_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="preset 'slow' unknown, expected one of fast, default, best"):
        FitConfig.preset("slow")


def test_a_change_overrules_the_preset_and_keeps_the_rest_of_it():
    config = FitConfig.preset("best", max_epochs=7)
    assert (config.max_epochs, config.n_members, config.patience) == (7, 8, 12)


def test_a_nested_change_keeps_the_other_fields_of_its_section():
    config = FitConfig.preset("fast", weights={"kl": 0.25}, architecture={"n_tokens": 5})
    assert config.weights == Weights(kl=0.25)
    assert config.architecture == Architecture(n_tokens=5)
    assert config.weights.contrastive == FitConfig().weights.contrastive
    assert config.n_members == 1


def test_a_nested_change_keeps_what_the_preset_says_in_its_section(monkeypatch):
    monkeypatch.setitem(config_module._PRESETS, "fast", {"weights": {"kl": 0.5, "readout": 2.0}})
    assert FitConfig.preset("fast", weights={"readout": 0.1}).weights == Weights(kl=0.5, readout=0.1)
    assert FitConfig.preset("fast").weights == Weights(kl=0.5, readout=2.0)


def test_a_change_does_not_leak_into_the_next_config_of_the_preset():
    FitConfig.preset("fast", max_epochs=1)
    assert FitConfig.preset("fast").max_epochs == 18


@pytest.mark.parametrize("changes", [{"n_memebrs": 3}, {"weights": {"clip": 1.0}}, {"architecture": {"depth": 2}}])
def test_an_unknown_key_is_refused_at_every_level(changes):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        FitConfig.preset("default", **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_members": 0},
        {"learning_rate": 0.0},
        {"validation": {"fraction": 1.0}},
        {"batch_size": 1},
        {"seed": -1},
        {"weights": {"kl": -0.1}},
        {"architecture": {"n_tokens": 1}},
        {"likelihoods": {"adt": "poisson"}},
        {"max_features": {"rna": 0}},
    ],
)
def test_a_value_out_of_range_is_refused(changes):
    with pytest.raises(ValidationError, match="Input should be"):
        FitConfig.preset("default", **changes)


@pytest.mark.parametrize("thinning", [(0.0, 1.0), (0.7, 0.3), (0.5, 1.1), (-0.2, 0.5)])
def test_a_thinning_that_is_no_range_of_keep_rates_is_refused(thinning):
    with pytest.raises(ValidationError, match="is no range of keep rates, expected 0 < low <= high <= 1"):
        FitConfig(thinning=thinning)


@pytest.mark.parametrize("thinning", [(1.0, 1.0), (0.3, 0.3), (0.01, 1.0)])
def test_a_thinning_at_the_edge_of_its_range_is_accepted(thinning):
    assert FitConfig(thinning=thinning).thinning == thinning


def test_a_config_survives_json_bit_by_bit():
    config = FitConfig.preset(
        "best",
        seed=11,
        thinning=(1 / 3, 0.7),
        learning_rate=1e-3 / 7,
        likelihoods={"adt": "negative_binomial"},
        max_features={"rna": 61},
        weights={"readout": 0.1},
        architecture={"instance_norm": False},
    )
    assert FitConfig.model_validate_json(config.model_dump_json()) == config
    assert FitConfig.model_validate_json(FitConfig().model_dump_json()) != config


def test_a_json_with_an_unknown_key_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        FitConfig.model_validate_json('{"seed": 1, "sede": 2}')


def test_a_config_and_its_sections_are_frozen():
    config = FitConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.weights.kl = 3.0

"""The coding is chosen by how well the linear path names held-out partners, and the model keeps it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from model_fixtures import rebuilt, tiny
from model_fixtures import test_cells as unseen
from model_fixtures import training as training_data
from scipy.special import log_softmax
from training_fixtures import simulated, small_config

import unisono as un
from unisono import modalities
from unisono.config import FitConfig
from unisono.modalities import RNA, Coding, for_several_data_sets, register, resolved, spec_of, with_codings
from unisono.nn import infer
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.training import codings
from unisono.training.codings import first_of_the_best, with_chosen_codings
from unisono.training.fit import fit_views, start_of
from unisono.training.validation import split
from unisono.types import Cells

CONFIG = small_config(max_features={"rna": 61}, validation={"min_coding_cells": 20})


@pytest.fixture(scope="module")
def parts():
    """One batch, in which codes are the same with and without a fit of the factors of batches."""
    return split(Cells({m: simulated().views[m].in_one_batch("one") for m in ("rna", "adt")}), CONFIG)


def chosen(config, training, validation, modality="rna"):
    return with_chosen_codings(config, training, validation).preprocessing.codings[modality]


def from_choices(config, *names):
    """The config with these codings of genes to choose from."""
    return modalities.with_codings(config, {"rna": names})


def with_rna(monkeypatch, **more):
    """Genes with other codings in addition, in this test alone."""
    monkeypatch.setattr(modalities, "_SPECS", dict(modalities._SPECS))
    register(replace(RNA, codings={**RNA.codings, **more}))


def scrambled(coding):
    """Its values, each cell with those of another one."""

    def normalise(counts, total, weight, n_measured):
        order = np.random.default_rng(len(total)).permutation(len(total))
        return coding.normalise(counts[order], total[order], weight, n_measured[order])

    return Coding(normalise, coding.learn)


def losses_by_networks(config, coding, training, validation):
    """Cross-entropy of validation partners by the network before its first step, with the linear path alone."""
    config = from_choices(config, coding)
    path = config.linear_path.model_copy(update={"max_repeats": 1})
    config = config.model_copy(update={"linear_path": path})
    views = fit_views(training, config, {})
    predictor = start_of(views, 10**6, config, torch.device("cpu"))
    left, right = (
        infer.vectors(predictor.network, m, views[m].preprocessor.transform(validation.views[m]).x, 1.0)
        for m in ("rna", "adt")
    )
    scores = left.astype(float) @ right.T
    both = (
        -np.diag(log_softmax(b * scores, axis=0) + log_softmax(b * scores, axis=1)) for b in np.geomspace(0.1, 300, 400)
    )
    return min(both, key=np.mean)


def test_the_coding_is_one_by_which_validation_partners_are_likeliest(parts):
    training, validation = parts
    losses = {name: losses_by_networks(CONFIG, name, training, validation) for name in RNA.codings}
    best, worst = (most(losses, key=lambda name: losses[name].mean()) for most in (min, max))
    gap = losses[worst] - losses[best]
    assert gap.mean() > 1.6 * gap.std() / np.sqrt(len(gap))
    assert chosen(from_choices(CONFIG, worst, best), *parts) == (best,)
    assert chosen(from_choices(CONFIG, best, worst), *parts) == (best,)


def test_a_loss_within_the_margin_of_the_least_is_as_good_and_the_first_of_these_is_taken():
    rng = np.random.default_rng(3)
    least = rng.normal(size=61)
    noise = rng.normal(size=61)
    noise = (noise - noise.mean()) / noise.std()
    near, far = (least + noise + gap / np.sqrt(61) for gap in (0.9, 1.1))
    assert first_of_the_best([near, least], 1.0) == 0
    assert first_of_the_best([far, least], 1.0) == 1
    assert first_of_the_best([far, least], 1.2) == 0
    assert first_of_the_best([far, near, least], 1.0) == 1
    assert first_of_the_best([least, near], 1.0) == 0
    assert first_of_the_best([np.zeros(0), np.zeros(0)], 1.0) == 0


@pytest.mark.parametrize("order", [("scrambled", "log"), ("log", "scrambled")])
@pytest.mark.parametrize("min_cells", [20, 10**6])
def test_a_coding_that_says_nothing_of_its_cell_is_not_chosen(order, min_cells, parts, monkeypatch):
    with_rna(monkeypatch, scrambled=scrambled(RNA.codings["log"]))
    choice = CONFIG.validation.model_copy(update={"min_coding_cells": min_cells})
    config = from_choices(CONFIG.model_copy(update={"validation": choice}), *order)
    assert chosen(config, *parts) == ("log",)


def test_where_validation_cells_are_few_the_training_cells_choose_without_them(parts, monkeypatch):
    training, validation = parts
    few = small_config(max_features={"rna": 61})
    assert len(validation.names) < few.validation.min_coding_cells
    seen = []

    def kept(learning, held_out, *rest):
        seen.append(np.concatenate([learning.names, held_out.names]))
        assert not set(learning.names) & set(held_out.names)
        return found(learning, held_out, *rest)

    found = codings._codes
    monkeypatch.setattr(codings, "_codes", kept)
    assert chosen(few, *parts) == chosen(few, training, None)
    assert {len(names) for names in seen} == {len(training.names)}
    assert not set(np.concatenate(seen)) & set(validation.names)


def test_codings_of_a_third_modality_are_chosen_too(monkeypatch):
    with_rna(monkeypatch)
    adt = spec_of("adt")
    register(replace(adt, codings={"scrambled": scrambled(adt.codings["clr"]), **adt.codings}))
    training, validation = split(simulated(), CONFIG)
    found = with_chosen_codings(CONFIG, training, validation).preprocessing.codings
    assert set(found) == {"atac", "rna", "adt"}
    assert found["adt"] == ("clr",)


def test_one_coding_is_taken_as_it_is_and_nothing_is_fitted(parts, monkeypatch):
    monkeypatch.setattr(Preprocessor, "fit", None)
    assert chosen(from_choices(CONFIG, "pearson"), *parts) == ("pearson",)


def test_too_few_cells_have_the_first_coding(parts):
    training, _ = parts
    assert chosen(from_choices(CONFIG, "log", "root"), training.take(np.arange(21)), None) == ("log",)


def test_the_config_of_a_fit_names_the_codings_to_choose_from():
    found = resolved(from_choices(CONFIG, "log", "root"), {"rna": 83, "adt": 17}).preprocessing.codings
    assert found == {"rna": ("log", "root"), "adt": ("clr",)}


def test_a_model_keeps_its_coding_and_a_query_is_read_by_it(tmp_path):
    config, mdata = from_choices(tiny(), "pearson", "log"), rebuilt({m: training_data()[m] for m in ("rna", "adt")})
    model = un.fit(mdata, batch_key="batch", config=config, device="cpu")
    name = model.fitted.preprocessors["rna"].projection.coding
    other = {"pearson": "log", "log": "pearson"}[name]
    alone = un.fit(mdata, batch_key="batch", config=from_choices(tiny(), name), device="cpu")
    unlike = un.fit(mdata, batch_key="batch", config=from_choices(tiny(), other), device="cpu")
    model.save(tmp_path / "m")
    again = un.load(tmp_path / "m", device="cpu")
    assert model.config.preprocessing.codings["rna"] == ("pearson", "log")
    assert again.fitted.preprocessors["rna"].projection.coding == name
    assert f"rna: {name}" in repr(again)
    predicted = [each.predict(unseen(), "rna", "adt").X for each in (model, again, alone, unlike)]
    np.testing.assert_array_equal(predicted[1], predicted[0])
    np.testing.assert_array_equal(predicted[2], predicted[0])
    assert np.abs(predicted[3] - predicted[0]).max() > 1e-3


def test_genes_of_several_data_sets_are_coded_as_logs_unless_the_config_names_codings():
    several = for_several_data_sets(FitConfig(), ("rna", "adt"))
    assert several.preprocessing.codings == {"rna": ("log",)}
    named = with_codings(FitConfig(), {"rna": ("root", "blend")})
    assert for_several_data_sets(named, ("rna", "adt")) == named

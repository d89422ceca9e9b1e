"""Tests of fit and load as a user calls them: seeds, names, pairing, refusals, and what the record says."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from importlib.metadata import version
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from io_fixtures import refusal
from model_fixtures import (
    correlations,
    counts,
    noticed,
    on_scale,
    rebuilt,
    small_model,
    take,
    test_cells,
    tiny,
    training,
)
from scipy import sparse

import unisono as un
import unisono.api
import unisono.training.fit
from unisono.io.fingerprint import fingerprint
from unisono.io.read import cells_from_mudata
from unisono.messages import InputWarning
from unisono.modalities import resolved
from unisono.training.validation import split

QUICK = {"max_epochs": 1, "epochs_per_evaluation": 1, "validation": {"fraction": 0}}
"""One epoch that nothing judges: what a test needs that looks at names only."""
JUDGED = {"validation": {"fraction": 0.1}}


def fitted(mdata=None, *, options=None, **changes):
    mdata = training() if mdata is None else mdata
    return un.fit(mdata, batch_key="batch", config=tiny(**(QUICK | changes)), device="cpu", **(options or {}))


@cache
def two_modalities():
    """The quick model of RNA and protein."""
    return fitted(pair_of())


@cache
def judged():
    """The same with held-out cells."""
    return fitted(pair_of(), **JUDGED)


def pair_of(rna: str = "rna", adt: str = "adt", mdata=None):
    mdata = training() if mdata is None else mdata
    return rebuilt({rna: mdata["rna"], adt: mdata["adt"]})


def weights(model):
    return dict(model.fitted.predictor.network.state_dict())


def prediction(model, query=None, **options):
    query = test_cells() if query is None else query
    return model.predict(query, **({"source": "rna", "target": "adt"} | options)).X


def test_equal_seeds_give_equal_weights_and_answers():
    again = fitted(pair_of(), **JUDGED)
    for name, value in weights(judged()).items():
        assert torch.equal(weights(again)[name], value), name
    assert {p: a.beta for p, a in again.fitted.anchors.items()} == {
        p: a.beta for p, a in judged().fitted.anchors.items()
    }
    assert again.fitted.depth_terms == judged().fitted.depth_terms
    assert again.record.curve == judged().record.curve
    assert len(again.record.curve) == 2
    np.testing.assert_array_equal(prediction(again), prediction(judged()))


def test_another_seed_gives_other_weights_and_other_validation_cells():
    other = fitted(pair_of(), seed=1, **JUDGED)
    differs = [not torch.equal(weights(other)[name], value) for name, value in weights(judged()).items()]
    assert sum(differs) > len(differs) / 2
    assert other.record.curve[0] != judged().record.curve[0]
    assert np.abs(prediction(other) - prediction(judged())).max() > 1e-3


def test_the_networks_start_from_the_seed_and_members_differ():
    first, again, other = (weights(fitted(pair_of(), max_epochs=0, seed=seed)) for seed in (0, 0, 1))
    for name in ("contents.rna.to_tokens.weight", "contents.adt.mix.0.weight", "styles.rna.hidden.weight"):
        assert torch.equal(first[name], again[name])
        assert torch.corrcoef(torch.stack([first[name].ravel(), other[name].ravel()]))[0, 1].abs() < 0.3
        assert not torch.equal(first[name][0], first[name][1])


def test_preset_and_seed_make_the_config_unless_one_is_given(monkeypatch):
    fitted = small_model().fitted
    monkeypatch.setattr(
        unisono.api, "fit_cells", lambda cells, config, run, **_: dataclasses.replace(fitted, config=config)
    )
    assert un.fit(pair_of(), preset="fast", seed=41).config == un.FitConfig.preset("fast", seed=41)
    assert un.fit(pair_of()).config == un.FitConfig.preset("default", seed=0)
    assert un.fit(pair_of(), preset="best", seed=41, config=tiny(seed=3)).config == tiny(seed=3)


def test_nothing_global_is_seeded_or_drawn_from():
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fitted(pair_of())
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.mark.parametrize("names", [("gex", "prot"), ("Gene Expression", "Antibody Capture")])
def test_known_other_names_of_modalities_are_understood_in_fit_and_in_queries(names):
    model = fitted(pair_of(*names))
    assert model.modalities == ("rna", "adt")
    np.testing.assert_array_equal(prediction(model), prediction(two_modalities()))
    np.testing.assert_array_equal(prediction(model, pair_of(*names, mdata=test_cells())), prediction(two_modalities()))


def test_unusual_names_are_mapped_in_fit_and_remembered_for_queries():
    mapping = {"layer one": "rna", "layer two": "adt"}
    model = fitted(pair_of(*mapping), options={"modalities": mapping})
    assert model.modalities == ("rna", "adt")
    assert model.record.modalities == mapping
    query = pair_of(*mapping, mdata=test_cells())
    for same in (query, test_cells(), test_cells()["rna"]):
        np.testing.assert_array_equal(prediction(model, same), prediction(two_modalities()))
    assert set(model.embed(query)["layer two"].obsm) == {"X_unisono"}
    scores = un.evaluate(model, query)
    assert scores == un.evaluate(two_modalities(), pair_of(mdata=test_cells()))


def test_a_mapping_of_one_name_does_not_hide_the_known_names_of_a_query():
    mapping = {"layer one": "rna", "adt": "adt"}
    model = fitted(pair_of(*mapping), options={"modalities": mapping})
    np.testing.assert_array_equal(prediction(model, test_cells()), prediction(two_modalities()))


def test_an_unusual_name_without_a_mapping_is_refused_with_the_names_there():
    found = refusal(fitted, pair_of("layer one", "adt"))
    assert found.code == "E008"
    assert "layer one" in found.what + found.remedy


def test_a_mapping_to_no_kind_is_refused():
    found = refusal(fitted, pair_of(), options={"modalities": {"rna": "rna", "adt": "protein"}})
    assert found.code == "E007"
    assert "'protein'" in found.what


def test_counts_in_a_layer_are_read_from_it():
    mdata = pair_of()
    for part in mdata.mod.values():
        part.layers["counts"] = part.X.copy()
        part.X = part.X.multiply(0.37).tocsr()
    model = fitted(mdata, options={"layer": "counts"})
    assert model.record.layers == {"rna": "counts", "adt": "counts"}
    with pytest.warns(InputWarning, match=r"W010 .*layers\['counts'\].* X is read"):
        without_layer = prediction(model)
    np.testing.assert_array_equal(without_layer, prediction(two_modalities()))
    assert refusal(fitted, mdata).code == "E012"


def test_a_model_reads_its_queries_where_its_training_counts_were():
    mdata, query = pair_of(), test_cells()
    for data in (mdata, query):
        data["rna"].layers["counts"] = data["rna"].X.copy()
        data["rna"].X = data["rna"].X.multiply(0.37).tocsr()
    model = fitted(mdata, options={"layer": {"gex": "counts"}})
    assert model.record.layers == {"rna": "counts", "adt": "X"}
    np.testing.assert_array_equal(prediction(model, query), prediction(two_modalities(), test_cells()))
    assert refusal(model.predict, query, source="rna", target="adt", layer="X").code == "E012"
    query["rna"].layers["other"] = query["rna"].layers.pop("counts")
    assert refusal(model.predict, query, source="rna", target="adt").code == "E010"
    found = model.predict(query, source="rna", target="adt", layer={"rna": "other"})
    np.testing.assert_array_equal(found.X, prediction(two_modalities(), test_cells()))


def test_cells_may_lack_a_modality():
    mdata = training()
    parts = {"rna": mdata["rna"][20:].copy(), "adt": mdata["adt"][:120].copy(), "atac": mdata["atac"][10:140].copy()}
    with noticed() as texts:
        model = fitted(rebuilt(parts))
    assert any("W026" in text and "100 of 151 cells paired" in text for text in texts)
    assert model.record.n_cells == {"atac": 130, "rna": 131, "adt": 120}
    measured = on_scale(test_cells()["adt"], "adt")
    assert correlations(measured, prediction(model)).mean() > 0.2


def test_rows_are_paired_by_name_not_place():
    mdata = pair_of()
    order = np.random.default_rng(8).permutation(151)
    shuffled = rebuilt({"rna": mdata["rna"], "adt": mdata["adt"][order].copy()})
    options = {"thinning": (1, 1), "linear_path": {"min_cells_of_decoder": 0}, "preprocessing": {}, **JUDGED}
    model, wanted = fitted(shuffled, **options), fitted(pair_of(), **options)
    assert len(model.record.curve) == 2
    for found, other in zip(model.record.curve, wanted.record.curve, strict=True):
        assert found.foscttm == pytest.approx(other.foscttm, abs=0.02)
        assert found.correlation == pytest.approx(other.correlation, abs=0.01)
    assert model.record.curve[0].foscttm < 0.3
    np.testing.assert_allclose(prediction(model), prediction(wanted), atol=0.05)


def test_cells_under_wrong_names_teach_nothing():
    mdata = pair_of()
    adt = mdata["adt"].copy()
    adt.obs_names = np.roll(adt.obs_names, 5)
    adt.obs["batch"] = mdata["rna"].obs["batch"].reindex(adt.obs_names)
    with pytest.warns(InputWarning, match="W059"):
        model = fitted(rebuilt({"rna": mdata["rna"], "adt": adt}), **JUDGED)
    assert model.record.curve[0].foscttm > 0.35
    assert [each.code for each in model.record.findings] == ["W059"]
    for ask in (lambda: prediction(model), lambda: model.match(mdata, mdata, between=("rna", "adt"))):
        with pytest.warns(InputWarning, match="W059 model: the 30 validation cells"):
            ask()
    assert judged().record.findings == ()
    assert judged().record.curve[0].foscttm < 0.3


def test_one_modality_is_refused():
    found = refusal(fitted, rebuilt({"rna": training()["rna"]}))
    assert found.code == "E008"
    assert "two modalities" in found.what
    assert "rna only" in found.what


def test_one_table_is_refused():
    found = refusal(fitted, training()["rna"])
    assert found.code == "E008"
    assert "found rna only" in found.what


def test_cells_that_share_no_name_are_refused():
    mdata = training()
    adt = mdata["adt"].copy()
    adt.obs_names = [f"{name}-run2" for name in adt.obs_names]
    assert refusal(fitted, rebuilt({"rna": mdata["rna"], "adt": adt})).code == "E027"


def test_a_batch_column_that_is_not_there_is_refused():
    found = refusal(un.fit, pair_of(), batch_key="Batch", config=tiny())
    assert found.code == "E029"
    assert "batch" in found.remedy


def test_a_device_that_is_absent_is_refused_before_any_training():
    epochs = []
    options = {"config": tiny(), "device": "cuda:99", "on_epoch": epochs.append}
    found = refusal(un.fit, pair_of(), **options)
    assert found.code == "E052"
    assert "cuda:99" in found.what
    assert "auto" in found.remedy
    assert epochs == []


@pytest.mark.parametrize("n_cells", [3, 5, 11])
def test_a_handful_of_cells_can_be_fitted(n_cells):
    with noticed():
        model = fitted(take(training(), slice(0, n_cells)))
    assert model.record.n_validation == 0
    assert model.record.curve == ()
    assert np.isfinite(prediction(model)).all()


def test_too_few_cells_are_bad_input():
    with noticed():
        assert refusal(fitted, take(training(), slice(0, 2))).code.startswith("E")


def test_the_arguments_are_not_changed():
    mdata, untouched = training(), training()
    config, mapping = tiny(**QUICK), {"rna": "rna", "adt": "adt"}
    un.fit(mdata, batch_key="batch", modalities=mapping, config=config, device="cpu")
    assert mapping == {"rna": "rna", "adt": "adt"}
    assert config == tiny(**QUICK)
    for name, part in mdata.mod.items():
        np.testing.assert_array_equal(counts(part), counts(untouched[name]))
        pd.testing.assert_frame_equal(part.obs, untouched[name].obs)
        pd.testing.assert_frame_equal(part.var, untouched[name].var)
        assert list(part.obsm) + list(part.layers) + list(part.uns) == []
    pd.testing.assert_frame_equal(mdata.obs, untouched.obs)


def test_a_model_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        two_modalities().record = None
    with pytest.raises(ValueError, match="frozen"):
        two_modalities().config.seed = 3


def test_the_record_says_where_the_model_came_from():
    model, record = small_model(), small_model().record
    cells, _ = cells_from_mudata(training(), batch_key="batch", is_training=True)
    assert record.fingerprint == fingerprint(cells)
    assert record.versions == {
        name: version(name) for name in ("unisono", "torch", "numpy", "scipy", "anndata", "mudata")
    }
    assert record.n_cells == {"atac": 151, "rna": 151, "adt": 151}
    assert record.n_validation == 30
    assert (record.batch_key, record.modalities, record.device) == ("batch", None, "cpu")
    assert record.seconds > 0
    assert model.config == resolved(tiny(), {"atac": 90, "rna": 60, "adt": 8})
    assert json.loads(record.model_dump_json())["curve"][0]["epoch"] == 0


def test_the_curve_holds_each_evaluated_epoch_and_the_best_is_marked():
    curve = small_model().record.curve
    assert [epoch.epoch for epoch in curve] == [0, 2]
    assert curve[0].is_best
    for epoch in curve:
        assert 0 < epoch.foscttm < 0.45
        assert 0.05 < epoch.correlation < 1


def test_on_epoch_sees_every_epoch_as_it_ends():
    seen = []
    fitted(pair_of(), options={"on_epoch": seen.append}, max_epochs=3, epochs_per_evaluation=2, **JUDGED)
    assert [epoch.number for epoch in seen[:4]] == [0, 1, 2, 3]
    assert [epoch.scores is None for epoch in seen[:3]] == [False, True, False]
    assert len(seen) == 5
    assert seen[4].number == max(epoch.number for epoch in seen[:4] if epoch.is_best)
    assert all(np.isfinite(value) for epoch in seen[1:] for value in epoch.terms.values())
    both = {f"{whose}_{term}" for whose in ("own", "cross") for term in ("likelihood", "readout")}
    assert set(seen[1].terms) == both | {"kl", "contrastive"}


class StopError(Exception):
    """What ends a fit before its time."""


def stop_at(number):
    def on_epoch(epoch):
        if epoch.number == number:
            raise StopError

    return on_epoch


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A place for checkpoints, which are written after every epoch."""
    monkeypatch.setattr(unisono.training.fit, "_SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    return tmp_path / "model.checkpoint"


@pytest.mark.parametrize(("stopped_at", "fraction"), [(1, 0), (4, 0.1)])
def test_a_fit_taken_up_again_ends_with_the_bits_of_one_that_ran_through(checkpoint, stopped_at, fraction):
    changes = {"max_epochs": 5, "epochs_per_evaluation": 2, "validation": {"fraction": fraction}, "refit_below": 3000}
    with pytest.raises(StopError):
        fitted(pair_of(), options={"checkpoint": checkpoint, "on_epoch": stop_at(stopped_at)}, **changes)
    seen = []
    options = {"checkpoint": checkpoint, "resume": True, "on_epoch": lambda epoch: seen.append(epoch.number)}
    resumed, through = fitted(pair_of(), options=options, **changes), fitted(pair_of(), **changes)
    assert seen[: 6 - stopped_at] == list(range(stopped_at, 6))
    assert len(seen) > 6 - stopped_at or fraction == 0  # the refit on all cells tells its epochs too
    for name, value in weights(through).items():
        assert torch.equal(weights(resumed)[name], value), name
    assert resumed.record.curve == through.record.curve
    np.testing.assert_array_equal(prediction(resumed), prediction(through))


def test_a_checkpoint_of_other_data_or_another_config_is_refused_before_anything_is_fitted(checkpoint, monkeypatch):
    with pytest.raises(StopError):
        fitted(pair_of(), options={"checkpoint": checkpoint, "on_epoch": stop_at(1)})
    monkeypatch.setattr(unisono.training.fit, "fit_views", None)
    options = {"checkpoint": checkpoint, "resume": True}
    fewer = pair_of(mdata=take(training(), slice(1, None)))
    for what, found in (
        ("other data", refusal(fitted, fewer, options=options)),
        ("another config: seed 0, now 2", refusal(fitted, pair_of(), options=options, seed=2)),
    ):
        assert found.code == "E049"
        assert what in found.what
        assert "--resume" in found.remedy


def test_without_resume_a_checkpoint_is_not_used_and_it_is_said(checkpoint):
    with pytest.raises(StopError):
        fitted(pair_of(), options={"checkpoint": checkpoint, "on_epoch": stop_at(1)}, seed=9)
    with noticed() as texts:
        fresh = fitted(pair_of(), options={"checkpoint": checkpoint})
    assert [text[:4] for text in texts] == ["W077"]
    assert "the checkpoint of epoch 0 and 2 steps is not used" in texts[0]
    for name, value in weights(two_modalities()).items():
        assert torch.equal(weights(fresh)[name], value), name


def test_without_a_batch_column_all_cells_are_one_batch():
    model = un.fit(pair_of(), config=tiny(**QUICK), device="cpu")
    assert model.record.batch_key is None
    assert list(model.fitted.predictor.styles["adt"].batches) == ["all"]
    with noticed() as texts:
        values = prediction(model)
    assert texts == []
    np.testing.assert_allclose(prediction(model, style="all"), values, atol=0.02)


def test_styles_are_the_batches_of_training():
    for modality in ("atac", "rna", "adt"):
        assert list(small_model().fitted.predictor.styles[modality].batches) == ["b1", "b2"]


def test_switching_style_off_makes_the_latents_of_all_batches_equal():
    sizes = tiny().architecture.model_dump() | {"style": False}
    book = fitted(pair_of(), architecture=sizes).fitted.predictor.styles["adt"]
    np.testing.assert_array_equal(book.latents[0], book.latents[1])
    assert np.abs(np.diff(two_modalities().fitted.predictor.styles["adt"].latents, axis=0)).max() > 0


def test_the_package_offers_what_the_readme_names():
    assert un.load.__module__ == "unisono.api"
    assert un.Unisono is type(small_model())
    assert un.__version__ == version("unisono")
    assert dir(un) == sorted(un.__all__)
    with pytest.raises(AttributeError, match="'transmogrify'"):
        un.transmogrify  # noqa: B018


@pytest.mark.parametrize(("at_least", "refit_below", "n_cells"), [(10, 0, 30), (31, 0, 121), (10, 3000, 151)])
def test_the_embedding_is_aligned_on_validation_cells_if_there_are_enough(monkeypatch, at_least, refit_below, n_cells):
    asked, align = [], unisono.training.fit.fit_moment_alignment

    def noted(vectors, *options):
        asked.append(len(vectors["rna"]))
        return align(vectors, *options)

    monkeypatch.setattr(unisono.training.fit, "fit_moment_alignment", noted)
    choice = {"fraction": 0.1, "min_embedding_cells": at_least}
    model = fitted(pair_of(), refit_below=refit_below, validation=choice)
    assert model.record.n_validation == 30
    assert asked == [n_cells]
    assert set(model.fitted.moment_alignment) == {"rna", "adt"}


def test_the_last_figure_of_the_progress_bar_is_the_correlation_of_predict_on_the_validation_cells():
    """In the style of predict, over the features with the most counts, whatever was selected after training."""
    seen, mdata = [], pair_of()
    model = fitted(mdata, options={"on_epoch": seen.append}, **JUDGED)
    cells, _ = cells_from_mudata(mdata, batch_key="batch")
    kept_aside = split(cells, model.config)[1]
    query = mdata[kept_aside.names].copy()
    found = []
    for source, target in permutations(model.modalities, 2):
        predicted, measured = model.predict(query, source, target), on_scale(query[target], target)
        correlation = correlations(predicted.X, np.maximum(measured, 0))
        found.append(np.nan_to_num(correlation).mean())
    assert seen[-1].scores.correlation == pytest.approx(np.mean(found), abs=1e-6)
    assert model.record.validation.correlation == seen[-1].scores.correlation
    assert np.mean(found) > 0.05


def ordinary(n_cells: int, seed: int, *, is_shuffled: bool = False):
    """Simulated cells of three modalities, under right names or each modality's shuffled."""
    mdata = un.datasets.simulate(n_cells=n_cells, n_genes=60, n_peaks=90, n_proteins=8, seed=seed)
    parts = {}
    for place, (name, part) in enumerate(mdata.mod.items()):
        order = np.random.default_rng([seed, place]).permutation(n_cells)
        moved = part[order].copy()
        moved.obs = part.obs.copy()
        parts[name] = moved if is_shuffled else part
    return rebuilt(parts)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_cells", [30, 60, 120])
def test_ordinary_data_are_not_told_to_be_at_chance(n_cells, seed):
    with noticed() as texts:
        model = un.fit(ordinary(n_cells, seed), config=tiny(seed=seed), device="cpu")
    assert model.record.findings == ()
    assert not [text for text in texts if not text.startswith("W021")]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_cells", [60, 120])
def test_shuffled_data_are_told_to_be_at_chance(n_cells, seed):
    with pytest.warns(InputWarning, match="W059 data: the .* validation cells are .*no better than by chance"):
        model = un.fit(ordinary(n_cells, seed, is_shuffled=True), config=tiny(seed=seed), device="cpu")
    assert [each.code for each in model.record.findings] == ["W059"]


def layered(mdata, name: str = "umis"):
    """RNA and protein, the counts of RNA in a layer and logs in X."""
    mdata["rna"].layers[name] = mdata["rna"].X.copy()
    mdata["rna"].X = mdata["rna"].X.log1p()
    return pair_of(mdata=mdata)


@cache
def of_a_layer():
    return fitted(layered(training()), options={"layer": {"rna": "umis"}})


@pytest.mark.parametrize("said", [None, {"rna": "umis", "adt": "X"}])
def test_every_method_reads_the_layer_of_each_modality_remembered_or_said(said):
    """One option names the place of every modality, also where a step reads one of them."""
    model, query, plain = of_a_layer(), layered(test_cells()), pair_of(mdata=test_cells())
    wanted, between = two_modalities(), ("rna", "adt")
    with noticed() as texts:
        np.testing.assert_array_equal(prediction(model, query, layer=said), prediction(wanted, plain))
        found = model.match(query, query, between=between, layer=said).match_posterior.probabilities
        same = wanted.match(plain, plain, between=between).match_posterior.probabilities
        embedded, other = model.embed(query, layer=said), wanted.embed(plain)
        scores = un.evaluate(model, query, layer=said)
        effects = model.feature_effects(query, "rna", "adt", layer=said)
        calibrated = model.calibrate(query, layer=said)
    assert texts == []
    np.testing.assert_allclose(found.toarray(), same.toarray(), atol=1e-6)
    np.testing.assert_array_equal(embedded["rna"].obsm["X_unisono"], other["rna"].obsm["X_unisono"])
    np.testing.assert_allclose(
        [row.value for row in scores.rows], [row.value for row in un.evaluate(wanted, plain).rows], rtol=1e-6
    )
    np.testing.assert_array_equal(effects.pushes, wanted.feature_effects(plain, "rna", "adt").pushes)
    assert calibrated.record.layers == {"rna": "umis", "adt": "X"}


def test_whole_numbers_in_x_are_not_taken_for_the_counts_of_the_layer():
    query = layered(test_cells())
    query["rna"].X = (query["rna"].layers["umis"] > 0).astype(np.float32)
    with noticed() as texts:
        found = prediction(of_a_layer(), query)
    assert texts == []
    np.testing.assert_array_equal(found, prediction(two_modalities(), pair_of(mdata=test_cells())))


def test_a_model_of_a_layer_that_was_saved_or_adapted_reads_it_still(tmp_path):
    of_a_layer().save(tmp_path / "m")
    loaded, query = un.load(tmp_path / "m", device="cpu"), layered(test_cells())
    np.testing.assert_array_equal(prediction(loaded, query), prediction(of_a_layer(), query))
    for part in query.mod.values():
        part.obs["batch"] = "b9"
    adapted = loaded.adapt(query, n_epochs=1)
    assert adapted.record.layers == {"rna": "umis", "adt": "X"}
    assert prediction(adapted, query).shape == (43, 8)


def test_a_layer_that_no_modality_of_the_query_has_is_refused_with_the_one_there():
    query = layered(test_cells(), "others")
    assert refusal(of_a_layer().predict, query, source="rna", target="adt").remedy == 'layer={"rna": "others"}'
    wrong = {"rnaa": "others"}
    assert refusal(of_a_layer().predict, query, source="rna", target="adt", layer=wrong).code == "E007"


def with_raw(mdata):
    """RNA with all genes in .raw, and in X the logs of some."""
    rna = mdata["rna"]
    part = rna[:, :47].copy()
    part.X = part.X.log1p()
    part.raw = rna
    return rebuilt({"rna": part, "adt": mdata["adt"]})


def test_counts_in_raw_are_read_from_it_in_fit_and_query():
    model = fitted(with_raw(training()), options={"layer": {"rna": ".raw"}})
    assert model.record.layers == {"rna": ".raw", "adt": "X"}
    np.testing.assert_array_equal(prediction(model, with_raw(test_cells())), prediction(two_modalities()))


def corrected(mdata, seed: int = 0):
    """Counts of which something was taken away, so little that rounding gives it back."""
    rng, values = np.random.default_rng(seed), counts(mdata["rna"])
    is_taken = (values > 0) & (rng.random(values.shape) < 0.3)
    mdata["rna"].X = np.where(is_taken, values - 0.4 * rng.random(values.shape), values)
    return pair_of(mdata=mdata)


def test_corrected_counts_are_rounded_if_asked_and_the_model_rounds_its_queries():
    assert "round_counts=True" in refusal(fitted, corrected(training())).remedy
    model = fitted(corrected(training()), options={"round_counts": True})
    assert model.record.is_rounded
    wanted = prediction(two_modalities(), pair_of(mdata=test_cells()))
    np.testing.assert_array_equal(prediction(model, corrected(test_cells(), 7)), wanted)
    ask = {"source": "rna", "target": "adt"}
    assert refusal(model.predict, corrected(test_cells(), 7), round_counts=False, **ask).code == "E012"
    assert refusal(two_modalities().predict, corrected(test_cells(), 7), **ask).code == "E012"
    np.testing.assert_array_equal(prediction(two_modalities(), corrected(test_cells(), 7), round_counts=True), wanted)


def with_controls(mdata):
    mdata["adt"].var_names = [*mdata["adt"].var_names[:6], "IgG1_isotype", "HTO_1"]
    return pair_of(mdata=mdata)


@pytest.mark.parametrize(("is_kept", "n_proteins"), [(False, 6), (True, 8)])
def test_controls_are_left_out_of_fit_and_query_unless_kept(is_kept, n_proteins):
    with pytest.warns(InputWarning, match=r"W045 .*2 \(IgG1_isotype, HTO_1\) look like controls"):
        model = fitted(with_controls(training()), options={"keep_controls": is_kept})
    assert model.record.keeps_controls is is_kept
    with noticed() as texts:
        assert prediction(model, with_controls(test_cells())).shape == (43, n_proteins)
        assert prediction(model, with_controls(test_cells()), source="adt", target="rna").shape == (43, 60)
    assert texts == []


def test_antibodies_left_in_rna_are_predicted_from_rna_alone():
    """Columns of feature type or the very counts of protein make no difference to a model and its figures."""

    def mixed(mdata, is_typed: bool):
        rna, adt = mdata["rna"], mdata["adt"]
        var = pd.DataFrame(index=[*rna.var_names, *(f"{name}_TotalSeqB" for name in adt.var_names)])
        if is_typed:
            var["feature_types"] = ["Gene Expression"] * 60 + ["Antibody Capture"] * 8
        return rebuilt({"rna": AnnData(sparse.hstack([rna.X, adt.X]).tocsr(), rna.obs, var), "adt": adt})

    for is_typed in (True, False):
        with pytest.warns(InputWarning, match="W024 .* left out"):
            model = fitted(mixed(training(), is_typed))
        with noticed():
            found = prediction(model, mixed(test_cells(), is_typed))
        np.testing.assert_array_equal(found, prediction(two_modalities(), pair_of(mdata=test_cells())))


def suffixed(mdata):
    """RNA and protein whose cells share no name but for the modality behind it."""
    for name in ("rna", "adt"):
        mdata[name].obs_names = [f"{cell}_{name}" for cell in mdata[name].obs_names]
    return pair_of(mdata=mdata)


def test_cells_whose_names_end_in_their_modality_are_paired_in_every_method():
    plain, query, between = pair_of(mdata=test_cells()), suffixed(test_cells()), ("rna", "adt")
    with pytest.warns(InputWarning, match="W027 .*cell0001-b1_rna' read as 'cell0001-b1'"):
        model = fitted(suffixed(training()))
    np.testing.assert_array_equal(prediction(model, query), prediction(two_modalities(), plain))
    found = model.match(query, query, between=between, within="batch").match_posterior.probabilities
    wanted = two_modalities().match(plain, plain, between=between, within="batch").match_posterior.probabilities
    np.testing.assert_allclose(found.toarray(), wanted.toarray(), atol=1e-6)
    with pytest.warns(InputWarning, match="W027"):
        scores = un.evaluate(model, query)
    wanted_scores = un.evaluate(two_modalities(), plain)
    np.testing.assert_allclose([r.value for r in scores.rows], [r.value for r in wanted_scores.rows], rtol=1e-6)
    with pytest.warns(InputWarning, match="W027"):
        calibrated = model.calibrate(query, by="cell_type").fitted.intervals[between]
    wanted_widths = two_modalities().calibrate(plain, by="cell_type").fitted.intervals[between]
    assert calibrated.n_cells == wanted_widths.n_cells
    np.testing.assert_allclose(calibrated.scores, wanted_widths.scores, rtol=1e-6)

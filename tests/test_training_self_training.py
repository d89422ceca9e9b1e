"""Tests of self-training: which cells become pairs, that they validate nothing, and when none are made."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from model_fixtures import noticed, rebuilt, small_model, test_cells, tiny, training

from unisono.api import fit
from unisono.datasets import simulate
from unisono.inference.record import RecordedFinding
from unisono.io.read import cells_from_mudata
from unisono.io.unlabelled import with_unlabelled
from unisono.messages import InputWarning
from unisono.metrics import pearson_per_feature
from unisono.training.self_training import Matches, matches, with_matches
from unisono.training.validation import split
from unisono.types import Cells


def cells_of(mdata) -> Cells:
    return cells_from_mudata(mdata, batch_key="batch", is_training=False)[0]


def validated(model, **validation):
    """A fitted model whose fit says this of validation."""
    return replace(model.fitted, record=model.record.model_copy(update=validation))


def sides_of(query):
    """Training cells joined by a query, and the query's sides as self-training takes them."""
    given = cells_of(training())
    joined = with_unlabelled(given, cells_of(query), "here")
    return joined, {m: v.take(np.arange(given.views[m].n_cells, v.n_cells)) for m, v in joined.views.items()}


def test_matched_cells_are_one_cell_and_the_others_stay_alone():
    joined, sides = sides_of(test_cells())
    found = Matches("rna", {"atac": (np.array([3, 5]), np.array([0, 9])), "adt": (np.array([5]), np.array([2]))}, ())
    named, matched = with_matches(joined, sides, found)
    assert len(named.names) == training().n_obs + 3 * 43 - 3
    assert len(matched) == 2
    rows = {m: dict(zip(named.views[m].cells, range(named.views[m].n_cells), strict=True)) for m in named.views}
    start = training().n_obs
    assert [rows["rna"][name] - start for name in matched] == [3, 5]
    assert [rows["atac"][name] - start for name in matched] == [0, 9]
    assert [rows["adt"].get(name, start - 1) - start for name in matched] == [-1, 2]
    for modality, view in named.views.items():
        assert (view.counts != joined.views[modality].counts).nnz == 0


def test_matches_are_one_to_one_within_batches_and_towards_the_middle_of_the_dogma():
    _, sides = sides_of(test_cells())
    found = matches(small_model().fitted, sides, tiny())
    assert found.hub == "rna"
    assert set(found.rows) == {"atac", "adt"}
    for other, (rows, partners) in found.rows.items():
        assert len(rows) > 30
        assert len(set(rows)) == len(rows)
        assert len(set(partners)) == len(partners)
        assert list(sides["rna"].batch[rows]) == list(sides[other].batch[partners])


def test_no_more_cells_of_a_side_are_matched_than_the_config_allows():
    _, sides = sides_of(test_cells())
    config = tiny(self_training={"max_cells": 20, "min_matched": 0.0})
    found = matches(small_model().fitted, sides, config)
    assert all(0 < len(rows) <= 20 for rows, _ in found.rows.values())


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"validation": None}, "too few validation cells to tell"),
        (
            {"findings": (RecordedFinding(code="W059", what="matched with FOSCTTM 0.49.", remedy=""),)},
            "matched with FOSCTTM 0.49.",
        ),
    ],
)
def test_a_fit_that_is_not_known_to_match_is_not_asked_to(update, reason):
    _, sides = sides_of(test_cells())
    found = matches(validated(small_model(), **update), sides, tiny())
    assert found.rows == {}
    assert reason in found.refused[0]


def test_sides_of_other_kinds_of_cells_are_not_matched():
    """Of four types RNA has the first half, proteins the second, in a batch that the model knows."""
    model, query = typed_model(), typed("b1", slice(120, None))
    is_left = np.isin(query.obs["cell_type"].astype(str), ["type1", "type2"])
    apart = rebuilt({"rna": query["rna"][is_left].copy(), "adt": query["adt"][~is_left].copy()})
    alike = rebuilt({"rna": query["rna"][::2].copy(), "adt": query["adt"][1::2].copy()})
    told = [matches(model.fitted, dict(cells_of(mdata).views), model.config) for mdata in (apart, alike)]
    assert told[0].rows == {}
    assert "the sides hold other kinds of cells" in told[0].refused[0]
    (rows, _) = told[1].rows["adt"]
    assert len(rows) > 0.8 * (query.n_obs // 2)


def test_matched_cells_are_never_validation_cells():
    cells = cells_of(training())
    matched = np.asarray(cells.names[:100])
    _, validation = split(cells, tiny(), matched)
    assert validation is not None
    assert not set(validation.names) & set(matched)
    assert split(cells, tiny(), np.asarray(cells.names))[1] is None


@cache
def _simulated():
    return simulate(n_cells=400, n_genes=60, n_peaks=20, n_proteins=12, batch_effect=1.0, n_types=4, seed=12)


def typed(batch, rows=slice(None)):
    """RNA and proteins of cells of one batch of two, 200 cells of four types; each call a new copy."""
    mdata = _simulated()
    cells = np.flatnonzero(mdata.obs["batch"].astype(str) == batch)[rows]
    found = rebuilt({m: mdata[m][cells].copy() for m in ("rna", "adt")})
    found.obs["cell_type"] = mdata.obs["cell_type"].astype(str).to_numpy()[cells]
    return found


@cache
def typed_model():
    """Fitted to 120 cells of the first batch."""
    return fit(typed("b1", slice(120)), batch_key="batch", config=tiny(), device="cpu")


def with_query(query, **changes):
    return fit(typed("b1"), batch_key="batch", config=tiny(**changes), device="cpu", unlabelled=query)


def unpaired(query):
    """The same cells in another order on one side, and under names that pair nobody."""
    adt = query["adt"][np.random.default_rng(1).permutation(query.n_obs)].copy()
    adt.obs_names = [f"other {i}" for i in range(adt.n_obs)]
    return rebuilt({"rna": query["rna"].copy(), "adt": adt})


def test_matches_of_a_new_batch_teach_what_single_cells_of_it_do_not():
    query = typed("b2")
    truth = cells_of(query).views["adt"]
    values = typed_model().fitted.preprocessors["adt"].projection.on_scale(truth).toarray()

    def score(model):
        return pearson_per_feature(values, model.predict(query, "rna", "adt").X).mean()

    alone = with_query(unpaired(query), self_training={"matches": False}, seed=2)
    matched = with_query(unpaired(query), seed=2)
    assert [seen.n_matched for seen in alone.record.unlabelled] == [0]
    assert matched.record.unlabelled[0].n_matched > 150
    assert score(matched) > score(alone) + 0.01  # 0.04, and 0.01 to 0.05 with other seeds


def test_cells_of_one_modality_are_used_as_such_without_a_word():
    query = typed("b2")
    with noticed() as said:
        one = with_query(rebuilt({"rna": query["rna"]}))
    assert one.record.unlabelled[0].n_matched == 0
    assert not [line for line in said if line.startswith("W072")]


def test_what_was_not_matched_is_said():
    query = test_cells()
    with pytest.warns(InputWarning, match="W072 data, unlabelled: a fit without them had too few validation cells"):
        fit(
            training(),
            batch_key="batch",
            config=tiny(validation={"fraction": 0}, max_epochs=1),
            device="cpu",
            unlabelled=query,
        )


def test_a_fit_interrupted_in_either_half_resumes_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("unisono.training.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    query, folder = typed("b2", slice(60)), tmp_path / "checkpoint"
    config = tiny(max_epochs=2)

    def stop_at(n):
        seen = []

        def on_epoch(epoch):
            seen.append(epoch)
            if len(seen) == n:
                raise KeyboardInterrupt

        return on_epoch

    def run(**options):
        known = typed("b1", slice(120))
        return fit(known, batch_key="batch", config=config, device="cpu", unlabelled=query, **options)

    wanted = run()
    for n in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            run(checkpoint=folder, resume=n > 2, on_epoch=stop_at(n))
    found = run(checkpoint=folder, resume=True)
    first, second = (model.fitted.predictor.network.state_dict() for model in (wanted, found))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not (tmp_path / "checkpoint.first").exists()

"""Tests of the files between us and a method: nothing that says who is whose partner, and nothing that is unpickled."""

from __future__ import annotations

import json
import pickle

import anndata
import numpy as np
import pytest

from published_fixtures import GENES, PROTEINS, both, small_request
from unisono_bench.published.environment import Failure
from unisono_bench.published.exchange import (
    MatchingRequest,
    PredictionRequest,
    Request,
    Response,
    read_array,
    read_response,
    write_request,
)


def dense(path):
    return anndata.read_h5ad(path).X.toarray()


def answered(folder, question: Request):
    """Write a full answer: each prediction a running number, each vector the totals of its cell."""
    for i, asked in enumerate(question.predictions):
        n_features = len(question.training.views[asked.target].features)
        values = np.arange(asked.source.n_cells * n_features, dtype=np.float32).reshape(-1, n_features)
        np.save(folder / f"prediction_{i}.npy", values)
    for i in range(len(question.matchings)):
        for side in ("left", "right"):
            total = dense(folder / f"{side}_{i}.h5ad").sum(axis=1)
            np.save(folder / f"{side}_{i}.npy", np.stack([total, total**2, -total], axis=1).astype(np.float32))
    said = {"wall_s": 1.5, "cpu_s": 2.5, "peak_bytes": 12345, "versions": {"numpy": "9"}, "notes": ["by hand"]}
    (folder / "response.json").write_text(json.dumps(said))


@pytest.fixture
def question():
    return small_request()


@pytest.fixture
def sent(tmp_path, question):
    """A folder with a question, and what was kept of it."""
    return tmp_path / "question", write_request(tmp_path / "question", question)


def test_the_counts_of_a_question_arrive_in_another_order(sent, question):
    folder, order = sent
    counts = dense(folder / "source_0.h5ad")
    wanted = question.predictions[0].source.counts.toarray()
    assert np.array_equal(counts[order.sources[0]], wanted)
    assert list(anndata.read_h5ad(folder / "source_0.h5ad").var_names) == GENES


def test_a_question_brings_the_source_and_nothing_of_the_target(sent):
    folder, _ = sent
    assert sorted(path.name for path in folder.iterdir()) == [
        "left_0.h5ad",
        "links.tsv",
        "request.json",
        "right_0.h5ad",
        "source_0.h5ad",
        "source_1.h5ad",
        "training_adt.h5ad",
        "training_rna.h5ad",
    ]
    source = anndata.read_h5ad(folder / "source_0.h5ad")
    assert list(source.obs.columns) == ["batch"]
    assert list(source.var.columns) == []
    assert not source.uns
    assert not source.obsm
    assert not source.layers


def test_no_name_of_a_cell_leaves_the_house(sent):
    folder, _ = sent
    for path in folder.iterdir():
        said = path.read_bytes()
        for prefix in (b"learn-", b"query-", b"pair-"):
            assert prefix not in said, (path.name, prefix)


def test_no_name_stands_in_two_questions(sent):
    folder, _ = sent
    files = ["source_0", "source_1", "left_0", "right_0", "training_rna"]
    names = [name for file in files for name in anndata.read_h5ad(folder / f"{file}.h5ad").obs_names]
    assert len(names) == 7 + 7 + 6 + 6 + 13
    assert len(set(names)) == len(names)


def test_partners_do_not_stand_in_the_same_order(tmp_path):
    pairs = both(97, 5, "pair-")
    question = Request(both(13, 10, "l"), matchings=(MatchingRequest(pairs.views["rna"], pairs.views["adt"]),))
    order = write_request(tmp_path / "question", question)
    agreeing = (order.lefts[0] == order.rights[0]).mean()
    assert agreeing < 0.1
    assert (np.argsort(order.lefts[0]) == np.arange(97)).mean() < 0.1


def test_equal_tasks_give_equal_files_and_another_seed_others(tmp_path):
    order = [write_request(tmp_path / str(i), small_request(seed=seed)) for i, seed in enumerate((4, 4, 5))]
    names = [list(anndata.read_h5ad(tmp_path / str(i) / "source_0.h5ad").obs_names) for i in range(3)]
    assert names[0] == names[1] != names[2]
    assert np.array_equal(order[0].lefts[0], order[1].lefts[0])
    assert [tuple(one.lefts[0]) for one in order][1] != tuple(order[2].lefts[0])
    assert np.array_equal(dense(tmp_path / "0" / "training_rna.h5ad"), dense(tmp_path / "1" / "training_rna.h5ad"))


def test_what_a_method_draws_from_the_seed_does_not_undo_the_order(tmp_path):
    pairs = both(97, 5, "pair-")
    question = Request(both(13, 10, "l"), matchings=(MatchingRequest(pairs.views["rna"], pairs.views["adt"]),), seed=6)
    order = write_request(tmp_path / "question", question)
    drawn = np.random.default_rng(6).permutation(97)
    for side in (order.lefts[0], order.rights[0]):
        assert (side == drawn).mean() < 0.1
        assert (np.argsort(side) == drawn).mean() < 0.1


def test_training_cells_are_paired_by_fresh_names(sent, question):
    folder, _ = sent
    rna, adt = (anndata.read_h5ad(folder / f"training_{one}.h5ad") for one in ("rna", "adt"))
    assert set(rna.obs_names) == set(adt.obs_names)
    known = {tuple(row): i for i, row in enumerate(question.training.views["rna"].counts.toarray())}
    place = [known[tuple(row)] for row in rna.X.toarray()]
    assert sorted(place) == list(range(13))
    assert place != list(range(13))
    assert np.array_equal(adt[rna.obs_names].X.toarray(), question.training.views["adt"].counts.toarray()[place])


def test_batches_travel_with_their_cells(sent, question):
    folder, order = sent
    batch = anndata.read_h5ad(folder / "source_0.h5ad").obs["batch"].to_numpy().astype(str)
    assert batch[order.sources[0]].tolist() == question.predictions[0].source.batch.tolist()


def test_the_request_says_what_is_asked(tmp_path, question):
    write_request(tmp_path / "question", question, variant="paired")
    said = json.loads((tmp_path / "question" / "request.json").read_text())
    assert said["training"] == ["rna", "adt"]
    assert said["predictions"] == [{"source": "rna", "target": "adt"}, {"source": "adt", "target": "rna"}]
    assert said["matchings"] == [{"left": "rna", "right": "adt"}]
    assert (said["seed"], said["epochs"], said["variant"]) == (0, None, "paired")


def test_answers_come_back_in_the_order_asked(sent, question):
    folder, order = sent
    answered(folder, question)
    response = read_response(folder, order)
    assert isinstance(response, Response)
    adt = response.predictions[0]
    assert adt is not None
    assert adt.shape == (7, len(PROTEINS))
    assert np.array_equal(adt[:, 0], order.sources[0] * len(PROTEINS))
    vectors = response.matchings[0]
    assert vectors is not None
    asked = question.matchings[0]
    assert np.array_equal(vectors.left[:, 0], np.asarray(asked.left.counts.sum(axis=1)).ravel())
    assert np.array_equal(vectors.right[:, 0], np.asarray(asked.right.counts.sum(axis=1)).ravel())
    assert (response.spent.wall_s, response.spent.cpu_s, response.spent.peak_bytes) == (1.5, 2.5, 12345)
    assert response.versions == {"numpy": "9"}
    assert response.notes == ("by hand",)


def test_what_is_not_offered_is_none(sent, question):
    folder, order = sent
    answered(folder, question)
    for name in ("prediction_1.npy", "left_0.npy", "right_0.npy"):
        (folder / name).unlink()
    response = read_response(folder, order)
    assert isinstance(response, Response)
    assert response.predictions[0] is not None
    assert response.predictions[1] is None
    assert response.matchings == (None,)


def numbers(n_rows: int, n_columns: int) -> np.ndarray:
    return np.zeros((n_rows, n_columns), dtype=np.float32)


WRONG = {
    "objects": ("prediction_0.npy", np.asarray([[{"a": 1}]], dtype=object), "Object arrays cannot be loaded"),
    "float64": ("prediction_0.npy", numbers(7, 5).astype(np.float64), "prediction_0.npy holds float64, wanted float32"),
    "too few cells": ("prediction_0.npy", numbers(6, 5), "prediction_0.npy is (6, 5), wanted 7 x 5"),
    "too few features": ("prediction_1.npy", numbers(7, 5), "prediction_1.npy is (7, 5), wanted 7 x 11"),
    "one axis": ("prediction_0.npy", np.zeros(35, dtype=np.float32), "prediction_0.npy is (35,), wanted 7 x 5"),
    "NaN": ("prediction_0.npy", numbers(7, 5) * np.nan, "prediction_0.npy holds 35 numbers that are not finite"),
    "other dimensions": ("right_0.npy", numbers(6, 2), "right_0.npy is (6, 2), wanted 6 x 3"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_array_is_a_failure_that_names_it(sent, question, what):
    folder, order = sent
    answered(folder, question)
    name, values, reason = WRONG[what]
    np.save(folder / name, values, allow_pickle=True)
    failure = read_response(folder, order)
    assert isinstance(failure, Failure)
    assert reason in failure.reason


def test_a_pickle_is_refused_whatever_it_is_called(sent, question, tmp_path):
    folder, order = sent
    answered(folder, question)

    class Opens:
        def __reduce__(self):
            return (open, (str(tmp_path / "was-run"), "w"))

    (folder / "prediction_0.npy").write_bytes(pickle.dumps(Opens()))
    with pytest.raises(ValueError, match=r"prediction_0\.npy is no \.npy file"):
        read_array(folder / "prediction_0.npy")
    failure = read_response(folder, order)
    assert isinstance(failure, Failure)
    assert failure.reason == "its answer cannot be used: prediction_0.npy is no .npy file"
    assert not (tmp_path / "was-run").exists()


def test_one_side_of_a_match_is_not_enough(sent, question):
    folder, order = sent
    answered(folder, question)
    (folder / "right_0.npy").unlink()
    failure = read_response(folder, order)
    assert isinstance(failure, Failure)
    assert "only one of left_0.npy and right_0.npy is there" in failure.reason


@pytest.mark.parametrize("said", ["", "{", "[]", '{"wall_s": 1}', '{"wall_s": null}'])
def test_an_outcome_that_cannot_be_read_is_a_failure(sent, question, said):
    folder, order = sent
    answered(folder, question)
    (folder / "response.json").write_text(said)
    failure = read_response(folder, order)
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("its answer cannot be used: ")


def test_a_modality_that_training_cells_lack_cannot_be_asked_for():
    cells = both(5, 0, "c")
    with pytest.raises(ValueError, match="the training cells have rna, adt and no atac"):
        Request(cells, predictions=(PredictionRequest(cells.views["rna"], "atac"),))


def test_features_in_another_order_are_refused():
    cells = both(5, 0, "c")
    view = cells.views["rna"]
    turned = type(view)("rna", view.counts[:, ::-1], view.cells, view.features[::-1], view.batch)
    with pytest.raises(ValueError, match="rna: 11 features asked about, in another order"):
        Request(cells, predictions=(PredictionRequest(turned, "adt"),))
    with pytest.raises(ValueError, match="rna: 11 features asked about"):
        Request(cells, matchings=(MatchingRequest(cells.views["adt"], turned),))


def test_a_folder_that_is_there_is_not_written_over(sent, question):
    folder, _ = sent
    with pytest.raises(FileExistsError):
        write_request(folder, question)

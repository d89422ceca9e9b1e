"""Tests of the files between us and a peer: nothing that says who is whose partner, and nothing that is unpickled."""

from __future__ import annotations

import json
import pickle

import anndata
import numpy as np
import pytest
from peers_fixtures import GENES, PROTEINS, both, small_task

from unisono_bench.peers import Failure, Outcome, Task, ToMatch, ToPredict, read_outcome, write_task
from unisono_bench.peers.exchange import read_array


def dense(path):
    return anndata.read_h5ad(path).X.toarray()


def answered(folder, task: Task):
    """Write a full answer: each prediction a running number, each vector the totals of its cell."""
    for i, asked in enumerate(task.predictions):
        n_features = len(task.training.views[asked.target].features)
        values = np.arange(asked.source.n_cells * n_features, dtype=np.float32).reshape(-1, n_features)
        np.save(folder / f"prediction_{i}.npy", values)
    for i in range(len(task.matchings)):
        for side in ("left", "right"):
            total = dense(folder / f"{side}_{i}.h5ad").sum(axis=1)
            np.save(folder / f"{side}_{i}.npy", np.stack([total, total**2, -total], axis=1).astype(np.float32))
    said = {"wall_s": 1.5, "cpu_s": 2.5, "peak_bytes": 12345, "versions": {"numpy": "9"}, "notes": ["by hand"]}
    (folder / "outcome.json").write_text(json.dumps(said))


@pytest.fixture
def task():
    return small_task()


@pytest.fixture
def sent(tmp_path, task):
    """A folder with a task, and what was kept of it."""
    return tmp_path / "task", write_task(tmp_path / "task", task)


def test_the_counts_of_a_question_arrive_in_another_order(sent, task):
    folder, sealed = sent
    counts = dense(folder / "source_0.h5ad")
    wanted = task.predictions[0].source.counts.toarray()
    assert np.array_equal(counts[sealed.sources[0]], wanted)
    assert list(anndata.read_h5ad(folder / "source_0.h5ad").var_names) == GENES


def test_a_question_brings_the_source_and_nothing_of_the_target(sent):
    folder, _ = sent
    assert sorted(path.name for path in folder.iterdir()) == [
        "left_0.h5ad",
        "links.tsv",
        "right_0.h5ad",
        "source_0.h5ad",
        "source_1.h5ad",
        "task.json",
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
    task = Task(both(13, 10, "l"), matchings=(ToMatch(pairs.views["rna"], pairs.views["adt"]),))
    sealed = write_task(tmp_path / "task", task)
    agreeing = (sealed.lefts[0] == sealed.rights[0]).mean()
    assert agreeing < 0.1
    assert (np.argsort(sealed.lefts[0]) == np.arange(97)).mean() < 0.1


def test_equal_tasks_give_equal_files_and_another_seed_others(tmp_path):
    sealed = [write_task(tmp_path / str(i), small_task(seed=seed)) for i, seed in enumerate((4, 4, 5))]
    names = [list(anndata.read_h5ad(tmp_path / str(i) / "source_0.h5ad").obs_names) for i in range(3)]
    assert names[0] == names[1] != names[2]
    assert np.array_equal(sealed[0].lefts[0], sealed[1].lefts[0])
    assert [tuple(one.lefts[0]) for one in sealed][1] != tuple(sealed[2].lefts[0])
    assert np.array_equal(dense(tmp_path / "0" / "training_rna.h5ad"), dense(tmp_path / "1" / "training_rna.h5ad"))


def test_what_a_peer_draws_from_the_seed_does_not_undo_the_order(tmp_path):
    pairs = both(97, 5, "pair-")
    task = Task(both(13, 10, "l"), matchings=(ToMatch(pairs.views["rna"], pairs.views["adt"]),), seed=6)
    sealed = write_task(tmp_path / "task", task)
    drawn = np.random.default_rng(6).permutation(97)
    for order in (sealed.lefts[0], sealed.rights[0]):
        assert (order == drawn).mean() < 0.1
        assert (np.argsort(order) == drawn).mean() < 0.1


def test_training_cells_are_paired_by_fresh_names(sent, task):
    folder, _ = sent
    rna, adt = (anndata.read_h5ad(folder / f"training_{one}.h5ad") for one in ("rna", "adt"))
    assert set(rna.obs_names) == set(adt.obs_names)
    known = {tuple(row): i for i, row in enumerate(task.training.views["rna"].counts.toarray())}
    place = [known[tuple(row)] for row in rna.X.toarray()]
    assert sorted(place) == list(range(13))
    assert place != list(range(13))
    assert np.array_equal(adt[rna.obs_names].X.toarray(), task.training.views["adt"].counts.toarray()[place])


def test_batches_travel_with_their_cells(sent, task):
    folder, sealed = sent
    batch = anndata.read_h5ad(folder / "source_0.h5ad").obs["batch"].to_numpy().astype(str)
    assert batch[sealed.sources[0]].tolist() == task.predictions[0].source.batch.tolist()


def test_the_task_says_what_is_wanted(tmp_path, task):
    write_task(tmp_path / "task", task, variant="paired")
    said = json.loads((tmp_path / "task" / "task.json").read_text())
    assert said["training"] == ["rna", "adt"]
    assert said["predictions"] == [{"source": "rna", "target": "adt"}, {"source": "adt", "target": "rna"}]
    assert said["matchings"] == [{"left": "rna", "right": "adt"}]
    assert (said["seed"], said["epochs"], said["variant"]) == (0, None, "paired")


def test_answers_come_back_in_the_order_asked(sent, task):
    folder, sealed = sent
    answered(folder, task)
    outcome = read_outcome(folder, sealed)
    assert isinstance(outcome, Outcome)
    adt = outcome.predictions[0]
    assert adt is not None
    assert adt.shape == (7, len(PROTEINS))
    assert np.array_equal(adt[:, 0], sealed.sources[0] * len(PROTEINS))
    vectors = outcome.matchings[0]
    assert vectors is not None
    asked = task.matchings[0]
    assert np.array_equal(vectors.left[:, 0], np.asarray(asked.left.counts.sum(axis=1)).ravel())
    assert np.array_equal(vectors.right[:, 0], np.asarray(asked.right.counts.sum(axis=1)).ravel())
    assert (outcome.spent.wall_s, outcome.spent.cpu_s, outcome.spent.peak_bytes) == (1.5, 2.5, 12345)
    assert outcome.versions == {"numpy": "9"}
    assert outcome.notes == ("by hand",)


def test_what_is_not_offered_is_none(sent, task):
    folder, sealed = sent
    answered(folder, task)
    for name in ("prediction_1.npy", "left_0.npy", "right_0.npy"):
        (folder / name).unlink()
    outcome = read_outcome(folder, sealed)
    assert isinstance(outcome, Outcome)
    assert outcome.predictions[0] is not None
    assert outcome.predictions[1] is None
    assert outcome.matchings == (None,)


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
def test_a_wrong_array_is_a_failure_that_names_it(sent, task, what):
    folder, sealed = sent
    answered(folder, task)
    name, values, reason = WRONG[what]
    np.save(folder / name, values, allow_pickle=True)
    failure = read_outcome(folder, sealed)
    assert isinstance(failure, Failure)
    assert reason in failure.reason


def test_a_pickle_is_refused_whatever_it_is_called(sent, task, tmp_path):
    folder, sealed = sent
    answered(folder, task)

    class Opens:
        def __reduce__(self):
            return (open, (str(tmp_path / "was-run"), "w"))

    (folder / "prediction_0.npy").write_bytes(pickle.dumps(Opens()))
    with pytest.raises(ValueError, match=r"prediction_0\.npy is no \.npy file"):
        read_array(folder / "prediction_0.npy")
    failure = read_outcome(folder, sealed)
    assert isinstance(failure, Failure)
    assert failure.reason == "its answer cannot be used: prediction_0.npy is no .npy file"
    assert not (tmp_path / "was-run").exists()


def test_one_side_of_a_match_is_not_enough(sent, task):
    folder, sealed = sent
    answered(folder, task)
    (folder / "right_0.npy").unlink()
    failure = read_outcome(folder, sealed)
    assert isinstance(failure, Failure)
    assert "only one of left_0.npy and right_0.npy is there" in failure.reason


@pytest.mark.parametrize("said", ["", "{", "[]", '{"wall_s": 1}', '{"wall_s": null}'])
def test_an_outcome_that_cannot_be_read_is_a_failure(sent, task, said):
    folder, sealed = sent
    answered(folder, task)
    (folder / "outcome.json").write_text(said)
    failure = read_outcome(folder, sealed)
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("its answer cannot be used: ")


def test_a_modality_that_training_cells_lack_cannot_be_asked_for():
    cells = both(5, 0, "c")
    with pytest.raises(ValueError, match="the training cells have rna, adt and no atac"):
        Task(cells, predictions=(ToPredict(cells.views["rna"], "atac"),))


def test_features_in_another_order_are_refused():
    cells = both(5, 0, "c")
    view = cells.views["rna"]
    turned = type(view)("rna", view.counts[:, ::-1], view.cells, view.features[::-1], view.batch)
    with pytest.raises(ValueError, match="rna: 11 features asked about, in another order"):
        Task(cells, predictions=(ToPredict(turned, "adt"),))
    with pytest.raises(ValueError, match="rna: 11 features asked about"):
        Task(cells, matchings=(ToMatch(cells.views["adt"], turned),))


def test_a_folder_that_is_there_is_not_written_over(sent, task):
    folder, _ = sent
    with pytest.raises(FileExistsError):
        write_task(folder, task)

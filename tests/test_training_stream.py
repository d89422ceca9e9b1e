"""A fit that holds some of the cells and reads the others for each epoch."""

import threading
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from model_fixtures import rebuilt, tiny

import unisono as un
from unisono.io.read import ReadOptions, inspect
from unisono.io.store import InMemory
from unisono.io.survey import read_like, survey
from unisono.training.fit import fit_views, seen_of
from unisono.training.held import read_training_cells
from unisono.training.mini_batches import MiniBatches, TrainingView
from unisono.training.stream import Stream, StreamedMiniBatches

CONFIG = tiny(seed=3, max_held_cells=200, max_cells_per_epoch=150, cells_of_a_run=16, batch_size=64)


@cache
def cells():
    return un.datasets.simulate(n_cells=500, n_genes=60, n_proteins=8, n_peaks=30, seed=1)


def take_each(mdata, rows):
    return rebuilt({name: mdata[name][some].copy() for name, some in rows.items()})


def rna_and_adt():
    mdata = cells()
    return {m: mdata.mod[m] for m in ("rna", "adt")}


def pair(n: int = 500):
    from mudata import MuData

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MuData({m: part[:n].copy() for m, part in rna_and_adt().items()})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    place = tmp_path_factory.mktemp("stream") / "cells.h5mu"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair().write(place)
    return place


@cache
def fitted_in_memory():
    return un.fit(pair(), batch_key="batch", config=CONFIG, progress=False)


def weights(model):
    return {name: value.numpy() for name, value in model.fitted.predictor.network.state_dict().items()}


def test_cells_on_disk_and_in_memory_give_the_same_model_which_knows_them_all(path):
    one = fitted_in_memory()
    other = un.fit(un.open(path), batch_key="batch", config=CONFIG, progress=False)
    for name, value in weights(one).items():
        np.testing.assert_allclose(weights(other)[name], value, rtol=1e-6, atol=1e-7, err_msg=name)
    assert one.record.n_cells == other.record.n_cells == {"rna": 500, "adt": 500}
    assert max(one.record.n_held.values()) <= 200
    view = inspect(pair(), ReadOptions("batch", is_training=True)).cells.views["rna"]
    assert other.fitted.has_seen(view).all()
    np.testing.assert_array_equal(other.fitted.seen["rna"], seen_of(inspect(pair(), ReadOptions("batch")).cells)["rna"])


def test_held_cells_are_in_one_order_whether_in_memory_or_on_disk(tmp_path):
    """Modalities of a MuData may list their cells in orders of their own, and lack some; a store is read in one."""
    rng = np.random.default_rng(0)
    mdata = take_each(pair(97), {"rna": rng.permutation(97)[:89], "adt": rng.permutation(97)[:83]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata.write(tmp_path / "cells.h5mu")
        given = (mdata, un.open(tmp_path / "cells.h5mu"))
        options = ReadOptions("batch", is_training=True)
        held, stored = (read_training_cells(each, options, CONFIG, None, "data").cells for each in given)
    assert held.names.tolist() == stored.names.tolist()
    for name, view in held.views.items():
        assert view.cells.tolist() == stored.views[name].cells.tolist()
        assert (view.counts != stored.views[name].counts).nnz == 0
        assert sorted(view.cells) == sorted(mdata[name].obs_names)


def stream_of(mdata) -> tuple[Stream, dict]:
    source, options = InMemory(mdata), ReadOptions("batch", is_training=True)
    held = inspect(source.take(np.arange(0, len(source.names), 3)), options)
    found = survey(source, held, options, "data")
    return (
        Stream(
            source.names.to_numpy(dtype=str),
            found.rows,
            np.unique(held.cells.batch),
            source.pattern,
            source.fetch,
            lambda parts: read_like(source.joined(parts), found.inspection, options, "data"),
            found.fingerprint,
        ),
        held,
    )


def test_an_epoch_draws_runs_of_cells_that_depend_on_seed_and_number_alone():
    stream, _ = stream_of(pair())
    rows = stream.drawn(CONFIG, 4)
    np.testing.assert_array_equal(rows, stream.drawn(CONFIG, 4))
    assert not np.array_equal(rows, stream.drawn(CONFIG, 5))
    assert 100 < len(rows) < CONFIG.max_cells_per_epoch + 1
    assert len(np.unique(rows)) == len(rows)
    seen = np.unique(np.concatenate([stream.drawn(CONFIG, number) for number in range(40)]))
    np.testing.assert_array_equal(seen, stream.rows)


def few_pairs():
    """500 cells with RNA, of which the last 60 have proteins, too."""
    return take_each(pair(), {"rna": np.arange(500), "adt": np.arange(440, 500)})


def test_cells_that_pair_modalities_are_held_and_drawn_though_they_are_few():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = read_training_cells(few_pairs(), ReadOptions("batch", is_training=True), CONFIG, None, "data")
    assert held.cells.views["adt"].n_cells == 60
    small = CONFIG.model_copy(update={"max_cells_per_epoch": 64})
    for number in range(8):
        rows = held.stream.drawn(small, number)
        assert 28 <= (rows >= 440).sum() <= 32  # two of their runs of 16, the last of which has 12
        assert (rows < 440).sum() > 16
        assert len(np.unique(rows)) == len(rows)


def test_an_epoch_may_lack_cells_of_a_modality():
    """An assay of 1 in 1,000 cells is in few of the runs that an epoch reads."""
    stream, held = stream_of(few_pairs())
    without = replace(stream, rows=stream.rows[stream.rows < 440])
    batches = list(StreamedMiniBatches(fit_views(held.cells, CONFIG), without, CONFIG, "cpu").epoch(1))
    assert batches
    for batch in batches:
        assert not batch.views["adt"].has.any()
        assert batch.views["rna"].has.all()


def test_validation_cells_are_never_drawn():
    stream, held = stream_of(pair())
    left = stream.without(held.cells)
    drawn = np.unique(np.concatenate([left.drawn(CONFIG, number) for number in range(40)]))
    assert len(drawn) == 500 - len(held.cells.names)
    assert not np.isin(stream.names[drawn], held.cells.names).any()


def test_a_cell_is_the_same_cell_in_every_modality_of_a_batch(monkeypatch):
    """The proteins lie in another order in the file than the genes."""
    mdata = pair()
    order = np.random.default_rng(0).permutation(500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mudata import MuData

        mixed = MuData({"rna": mdata["rna"], "adt": mdata["adt"][order].copy()})
    stream, _ = stream_of(mixed)
    found = stream.read(stream.fetch(stream.drawn(CONFIG, 1)))
    a, b = found.paired("rna", "adt")
    assert len(a) == len(found.names)
    np.testing.assert_array_equal(found.views["rna"].cells[a], found.views["adt"].cells[b])
    truth = mdata["adt"][list(found.views["rna"].cells[a])].X.toarray()
    np.testing.assert_array_equal(found.views["adt"].counts[b].toarray(), truth)


def batches_of(stream, views, number):
    """The mini-batches of an epoch, in one thread."""
    cells = stream.read(stream.fetch(stream.drawn(CONFIG, number)))
    own = {m: TrainingView.of_others(view.preprocessor, cells) for m, view in views.items()}
    technical = np.searchsorted(stream.batches, cells.batch)
    weights = {m: view.code_weight for m, view in views.items()}
    n_steps = StreamedMiniBatches(views, stream, CONFIG, "cpu").steps_per_epoch
    return list(MiniBatches(own, technical, CONFIG, "cpu", code_weights=weights, n_steps=n_steps).epoch(number))


def tensors(batch):
    found = {"technical": batch.technical, "permuted": batch.permuted}
    for modality, view in batch.views.items():
        found |= {f"{modality} {name}": getattr(view, name) for name in ("x", "depth", "counts", "target", "offset")}
    return {name: value.numpy() for name, value in found.items()}


def test_mini_batches_that_are_prepared_ahead_are_those_of_one_thread():
    stream, held = stream_of(pair())
    views = fit_views(held.cells, CONFIG)
    ahead = StreamedMiniBatches(views, stream, CONFIG, "cpu")
    for number in (1, 2, 3):
        found, wanted = list(ahead.epoch(number)), batches_of(stream, views, number)
        assert len(found) == len(wanted) == ahead.steps_per_epoch
        for one, other in zip(found, wanted, strict=True):
            for name, value in tensors(other).items():
                np.testing.assert_array_equal(tensors(one)[name], value, err_msg=f"epoch {number}, {name}")


def test_cells_are_fetched_and_projected_in_a_thread_of_their_own_and_read_in_that_of_the_fit(monkeypatch):
    """A MuData is made under options of the process, which a second thread must not change."""
    threads = {"fetch": set(), "read": set(), "project": set()}

    def noted(name, function):
        def call(*args):
            threads[name].add(threading.current_thread().name)
            return function(*args)

        return call

    stream, held = stream_of(pair())
    views = fit_views(held.cells, CONFIG)
    monkeypatch.setattr(TrainingView, "of_others", noted("project", TrainingView.of_others))
    watched = replace(stream, fetch=noted("fetch", stream.fetch), read=noted("read", stream.read))
    batches = StreamedMiniBatches(views, watched, CONFIG, "cpu")
    for number in (1, 2):
        assert list(batches.epoch(number))
    assert threads["read"] == {threading.current_thread().name}
    assert threads["fetch"] == threads["project"] == {"unisono-read_0"}


def test_cells_that_were_not_asked_for_end_the_fit():
    stream, held = stream_of(pair())
    other = replace(stream, fetch=lambda rows: stream.fetch((rows + 200) % 500))
    batches = StreamedMiniBatches(fit_views(held.cells, CONFIG), other, CONFIG, "cpu")
    with pytest.raises(RuntimeError, match="were read that were not asked for"):
        next(batches.epoch(1))


def test_a_feature_that_the_held_cells_of_a_batch_never_count_is_measured_if_others_count_it():
    mdata = pair()
    counts = mdata["adt"].X.tolil()
    first = np.flatnonzero((mdata["adt"].obs["batch"] == "b1").to_numpy())
    counts[first, 0] = 0
    counts[first[first % 3 != 0][:4], 0] = 3
    mdata["adt"].X = counts.tocsr()
    options = ReadOptions("batch", is_training=True)
    source = InMemory(mdata)
    held = inspect(source.take(np.arange(0, 500, 3)), options)
    assert held.views["adt"].unmeasured["b1"][0]
    found = survey(source, held, options, "data")
    assert "b1" not in found.inspection.views["adt"].unmeasured


def test_one_table_of_all_features_is_read_by_rows_too(tmp_path):
    import anndata

    parts = rna_and_adt()
    kinds = {"rna": "Gene Expression", "adt": "Antibody Capture"}
    parts = {name: part.copy() for name, part in parts.items()}
    for name, part in parts.items():
        part.var["feature_types"] = kinds[name]
    whole = anndata.concat(list(parts.values()), axis=1, merge="first")
    whole.write_h5ad(tmp_path / "one.h5ad")
    found = un.fit(un.open(tmp_path / "one.h5ad"), batch_key="batch", config=CONFIG, progress=False)
    wanted = fitted_in_memory()
    assert found.modalities == wanted.modalities
    for name, value in weights(wanted).items():
        np.testing.assert_allclose(weights(found)[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_fit_that_reads_goes_on_where_it_was_interrupted(path, tmp_path):
    class StopError(Exception):
        pass

    def stop(epoch):
        if epoch.number == 1:
            raise StopError

    config = CONFIG.model_copy(update={"max_epochs": 3})
    kept = {"batch_key": "batch", "config": config, "progress": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unisono.training.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
        with pytest.raises(StopError):
            un.fit(un.open(path), **kept, checkpoint=tmp_path / "c", on_epoch=stop)
    resumed = un.fit(un.open(path), **kept, checkpoint=tmp_path / "c", resume=True)
    whole = un.fit(un.open(path), **kept)
    for name, value in weights(whole).items():
        np.testing.assert_array_equal(weights(resumed)[name], value, err_msg=name)

"""Answers that workers of a cluster write together, against those of one process."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from contextlib import contextmanager

import anndata
import dask
import mudata
import numpy as np
import pandas as pd
import pytest
from io_fixtures import refusal
from model_fixtures import rebuilt, small_model, test_cells
from process_fixtures import forked

import unisono as un
from unisono.cluster import connected
from unisono.messages import bad_input

N_ROWS = 16
"""Rows of a chunk, and of a task two of them, of the 43 cells of the query."""


def query():
    """The 43 cells, of a new batch, of which some have no RNA, nor any of the rows of the second task."""
    mdata = rebuilt({m: test_cells()[m].copy() for m in ("rna", "adt")})
    counts = mdata["rna"].X.tolil()
    counts[[3, 16, 17, *range(2 * N_ROWS, 43)]] = 0
    mdata["rna"].X = counts.tocsr()
    for part in mdata.mod.values():
        part.obs["batch"] = "another donor"
    return mdata


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster") / "query.zarr"
    with quiet():
        query().write_zarr(path)
    return path


@pytest.fixture(autouse=True)
def _small_regions(monkeypatch):
    monkeypatch.setattr("unisono.io.regions.ZARR_ROWS", N_ROWS)
    monkeypatch.setattr("unisono.cluster.run.ROWS_OF_A_REGION", 2 * N_ROWS)


@contextmanager
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def client():
    """Two workers that are threads of this process."""
    from distributed import Client

    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        yield client


@pytest.mark.parametrize(
    "options",
    [{"interval": 0.8}, *(pytest.param(each, marks=pytest.mark.slow) for each in ({}, {"n_draws": 4, "style": "b1"}))],
)
def test_workers_write_what_one_process_predicts(client, path, tmp_path, options):
    with quiet():
        un.cluster.predict(client, small_model(), path, tmp_path / "adt.zarr", source="rna", target="adt", **options)
        wanted = small_model().predict(query(), "rna", "adt", **options)
    found = anndata.read_zarr(tmp_path / "adt.zarr")
    assert found.shape == (29, 8)
    assert list(found.obs_names) == list(wanted.obs_names)
    np.testing.assert_allclose(found.X, wanted.X, rtol=1e-4, atol=1e-5)
    assert set(found.layers) == set(wanted.layers)
    for name in wanted.layers:
        np.testing.assert_allclose(found.layers[name], wanted.layers[name], rtol=1e-3, atol=1e-5)
    novelty = [each.obs.pop("unisono_novelty") for each in (found, wanted)]
    np.testing.assert_allclose(*novelty, rtol=1e-3)
    pd.testing.assert_frame_equal(found.obs.astype(str), wanted.obs.astype(str), check_like=True)
    pd.testing.assert_frame_equal(found.var.astype(str), wanted.var.astype(str), check_like=True)
    assert found.uns["unisono"] == wanted.uns["unisono"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["adt.zarr"]


def test_workers_write_codes_and_loadings(client, path, tmp_path):
    with quiet():
        out = tmp_path / "rna.zarr"
        un.cluster.predict(client, small_model(), path, out, source="adt", target="rna", factored=True)
        wanted = small_model().prediction(query(), "adt", "rna")
    found = un.read_factored(out)
    assert list(found.cells) == list(wanted.cells)
    np.testing.assert_allclose(found.dense(), wanted.dense(), rtol=1e-4, atol=1e-5)


def test_workers_write_what_one_process_embeds(client, path, tmp_path):
    with quiet():
        un.cluster.embed(client, small_model(), path, tmp_path / "all.zarr")
        wanted = small_model().embed(query())
        found = mudata.read_zarr(tmp_path / "all.zarr")
    for name in ("rna", "adt"):
        assert found[name].shape == (43, 0)
        assert list(found[name].obs_names) == list(wanted[name].obs_names)
        np.testing.assert_allclose(found[name].obsm["X_unisono"], wanted[name].obsm["X_unisono"], atol=1e-4)
        novelty = [each[name].obs["unisono_novelty"] for each in (found, wanted)]
        np.testing.assert_allclose(*novelty, rtol=1e-3)


def test_workers_write_what_one_process_finds(client, path, tmp_path):
    index = small_model().index(test_cells(), "adt")
    index.save(tmp_path / "index")
    with quiet():
        out = tmp_path / "found.tsv"
        un.cluster.search(client, small_model(), tmp_path / "index", path, out, 3, modality="rna")
        wanted = index.search(query(), 3, modality="rna")
    found = pd.read_csv(out, sep="\t")
    assert list(found["query"]) == list(wanted["query"])
    np.testing.assert_allclose(found["similarity"], wanted["similarity"], atol=1e-4)


def test_what_a_worker_refuses_is_refused_and_leaves_nothing(client, path, tmp_path, monkeypatch):
    def refuses(*arguments):
        raise bad_input("E015", "query, rna", "3 values are NaN.", "replace them")

    monkeypatch.setattr("unisono.cluster.tasks.fill_rows", refuses)
    with quiet():
        found = refusal(un.cluster.embed, client, small_model(), path, tmp_path / "all.zarr")
    assert found.code == "E015"
    assert list(tmp_path.iterdir()) == []


def test_an_output_of_which_a_region_was_not_written_is_not_kept(client, path, tmp_path, monkeypatch):
    monkeypatch.setattr("unisono.cluster.tasks.fill_rows", lambda *arguments: None)
    with quiet(), pytest.raises(RuntimeError, match="0 of 3 chunks were written"):
        un.cluster.embed(client, small_model(), path, tmp_path / "all.zarr")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_done_together_is_refused_first(client, path, tmp_path):
    asked = {"source": "rna", "target": "adt"}
    assert refusal(un.cluster.predict, client, small_model(), path, tmp_path / "a.h5ad", **asked).code == "E053"
    assert refusal(un.cluster.predict, client, small_model(), path, path, **asked).code == "E055"
    assert refusal(lambda: connected().__enter__()).code == "E053"
    with dask.config.set({"distributed.comm.timeouts.connect": "100ms"}):
        assert refusal(lambda: connected("tcp://127.0.0.1:1").__enter__()).code == "E053"


class OneIsLost:
    """A client whose first task over some rows, once it has written them, waits to be lost with its worker."""

    def __init__(self, client, start: int, marker) -> None:
        self._client, self._start, self._marker = client, start, str(marker)
        self.cancel = client.cancel

    def submit(self, task, *arguments, pure):
        marker, is_waiting = self._marker, arguments[-2] == self._start

        def waits(*given):
            found = task(*given)
            if is_waiting and not os.path.exists(marker):
                with open(f"{marker}.new", "w") as file:
                    file.write(str(os.getpid()))
                os.rename(f"{marker}.new", marker)
                time.sleep(60)
            return found

        return self._client.submit(waits, *arguments, pure=pure)


FORKED = {"distributed.worker.multiprocessing-method": "forkserver"}
"""Workers that need not import everything anew."""


def test_a_run_whose_worker_is_killed_completes_and_its_output_is_complete_and_equal(path, tmp_path, monkeypatch):
    """Workers are processes, which have chunks of the usual size: the rows of a task are of one chunk each."""
    monkeypatch.setattr("unisono.io.regions.ZARR_ROWS", N_ROWS)
    monkeypatch.setattr("unisono.cluster.run.ROWS_OF_A_REGION", N_ROWS)
    marker, killed = tmp_path / "marker", []

    def kill():
        while not marker.exists():
            time.sleep(0.02)
        killed.append(int(marker.read_text()))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    out = tmp_path / "adt.zarr"
    forked()
    with quiet(), dask.config.set(FORKED), connected(n_workers=2) as client:
        thread.start()
        lost = OneIsLost(client, N_ROWS, marker)
        un.cluster.predict(lost, small_model(), path, out, source="rna", target="adt")
    assert len(killed) == 1
    with quiet():
        wanted = small_model().predict(query(), "rna", "adt")
    found = anndata.read_zarr(out)
    assert list(found.obs_names) == list(wanted.obs_names)
    np.testing.assert_allclose(found.X, wanted.X, rtol=1e-4, atol=1e-5)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["adt.zarr", "marker"]

"""Tests of the fingerprint: equal for equal data however stored, another for any change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from io_fixtures import counts
from scipy import sparse

from unisono.io.fingerprint import fingerprint
from unisono.types import Cells, View


def view(modality: str, n_cells: int, n_features: int, seed: int = 0) -> View:
    names = np.array([f"c{i}" for i in range(n_cells)])
    features = np.array([f"f{i}" for i in range(n_features)])
    matrix = sparse.csr_matrix(counts(n_cells, n_features, seed).astype(np.int32))
    return View(modality, matrix, names, features, np.array(["a", "b"])[np.arange(n_cells) % 2])


RNA, ADT = view("rna", 7, 11), view("adt", 7, 5, seed=1)
BASE = fingerprint(Cells({"rna": RNA, "adt": ADT}))


def changed(**fields) -> str:
    return fingerprint(Cells({"rna": replace(RNA, **fields), "adt": ADT}))


def test_it_is_sha256_in_hexadecimal():
    assert len(BASE) == 64
    assert int(BASE, 16) > 0


def test_the_order_of_modalities_and_the_dtypes_are_of_no_account():
    assert fingerprint(Cells({"adt": ADT, "rna": RNA})) == BASE
    wide = RNA.counts.astype(np.int64)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert changed(counts=wide, cells=RNA.cells.astype(object)) == BASE


def test_any_change_of_counts_names_or_batches_changes_it():
    other = RNA.counts.copy()
    other.data[4] += 1
    renamed = RNA.cells.copy()
    renamed[3] = "z"
    features, batch = RNA.features.copy(), RNA.batch.copy()
    features[[0, 1]] = features[[1, 0]]
    batch[0] = "b"
    others = [changed(counts=other), changed(cells=renamed), changed(features=features), changed(batch=batch)]
    others += [fingerprint(Cells({"rna": RNA})), fingerprint(Cells({"rna": RNA, "adt": ADT.take(np.arange(6))}))]
    assert len({BASE, *others}) == 7


def test_the_order_of_cells_counts():
    order = np.array([1, 0, 2, 3, 4, 5, 6])
    assert fingerprint(Cells({"rna": RNA.take(order), "adt": ADT.take(order)})) != BASE


def test_names_that_join_to_the_same_text_differ():
    assert changed(cells=np.array(["ab", "c", *RNA.cells[2:]])) != changed(cells=np.array(["a", "bc", *RNA.cells[2:]]))


@pytest.mark.parametrize("block", [3, 1 << 20])
def test_it_does_not_depend_on_the_size_of_blocks(monkeypatch, block):
    monkeypatch.setattr("unisono.io.fingerprint._BLOCK", block)
    assert fingerprint(Cells({"rna": RNA, "adt": ADT})) == BASE

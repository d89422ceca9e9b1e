"""Tests of the index of cells: what is found is what the embeddings say, also after a save, and else it is refused."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from anndata import AnnData
from io_fixtures import refusal, snapshot
from model_fixtures import changed, counts, late_model, noticed, rebuilt, small_model, test_cells, training
from safetensors.numpy import save_file

from unisono.api import load
from unisono.io.manifest import write_manifest
from unisono.matching import inverted_lists
from unisono.model import cell_index
from unisono.model.cell_index import CellIndex

K = 4


def embedded(mdata):
    return {m: part.obsm["X_unisono"].astype(np.float64) for m, part in small_model().embed(mdata).mod.items()}


@pytest.fixture(scope="module")
def index():
    return small_model().index(training(), "rna")


@pytest.fixture
def folder(index, tmp_path):
    index.save(tmp_path / "an index")
    return tmp_path / "an index"


def test_an_index_holds_the_embedding_of_the_cells_under_their_names(index):
    assert index.modality == "rna"
    assert list(index.cells) == list(training()["rna"].obs_names)
    np.testing.assert_allclose(index.vectors, embedded(training())["rna"], atol=1e-6)
    assert "151 rna cells" in repr(index)
    assert small_model().fitted.fingerprint in index._repr_html_()


@pytest.mark.parametrize("modality", ["rna", "adt", "atac"])
def test_what_is_found_is_what_inner_products_of_the_embeddings_rank_first(index, modality):
    found = index.search(test_cells(), K, modality=modality)
    assert list(found) == ["query", "cell", "similarity"]
    similarity = embedded(test_cells())[modality] @ embedded(training())["rna"].T
    best = np.argsort(-similarity, axis=1)[:, :K]
    assert found["query"].tolist() == np.repeat(test_cells()[modality].obs_names, K).tolist()
    assert found["cell"].tolist() == training()["rna"].obs_names[best.ravel()].tolist()
    np.testing.assert_allclose(found["similarity"], np.take_along_axis(similarity, best, axis=1).ravel(), atol=1e-5)


def test_a_cell_that_is_indexed_finds_itself_first(index):
    found = index.search(training(), 1, modality="rna")
    assert found["cell"].tolist() == found["query"].tolist()
    np.testing.assert_allclose(found["similarity"], 1.0, atol=1e-5)


def test_the_one_modality_of_an_object_need_not_be_named(index):
    query, one = test_cells(), rebuilt({"adt": test_cells()["adt"]})
    wanted = index.search(query, K, modality="adt")
    assert index.search(query["adt"], K).equals(wanted)
    assert index.search(one, K).equals(wanted)
    assert small_model().index(one).modality == "adt"
    assert small_model().index(query, "gex").modality == "rna"


def test_of_several_modalities_one_must_be_named(index):
    for call in (small_model().index, index.search):
        found = refusal(call, test_cells())
        assert found.code == "E007"
        assert "atac, rna, adt" in found.what
        assert found.remedy == 'name one: modality="rna"'


def test_a_query_that_lacks_the_modality_is_refused(index):
    query = rebuilt({"adt": test_cells()["adt"]})
    found = refusal(index.search, query, modality="rna")
    assert (found.code, found.where) == ("E007", "query, rna")
    assert "the file has adt" in found.what
    assert refusal(index.search, query, modality="spatial").code == "E043"
    assert refusal(index.search, test_cells()["atac"], modality="adt").code == "E037"
    assert refusal(small_model().index, query, "rna").where == "cells, rna"


def test_less_than_one_cell_is_refused_and_more_than_there_are_is_all_of_them(index):
    assert "k=0" in refusal(index.search, test_cells(), 0, modality="rna").what
    found = index.search(test_cells(), 1000, modality="rna")
    assert len(found) == 43 * 151
    assert set(found["cell"][:151]) == set(index.cells)


def test_cells_without_counts_are_in_no_index_and_find_nothing(index):
    query, x = test_cells(), counts(test_cells()["rna"])
    x[[5, 11]] = 0
    query = AnnData(x, obs=query["rna"].obs, var=query["rna"].var)
    left = [name for i, name in enumerate(query.obs_names) if i not in (5, 11)]
    with noticed() as texts:
        few, found = small_model().index(query, "rna"), index.search(query, 1)
    assert sum("W020" in text for text in texts) == 2
    assert list(few.cells) == found["query"].tolist() == left


def test_a_loaded_index_is_the_one_that_was_saved(index, folder, tmp_path):
    small_model().save(tmp_path / "model")
    again = load(tmp_path / "model", device="cpu").load_index(folder)
    assert again.modality == "rna"
    np.testing.assert_array_equal(again.cells, index.cells)
    np.testing.assert_array_equal(again.vectors, index.vectors)
    assert again.search(test_cells(), K, modality="adt").equals(index.search(test_cells(), K, modality="adt"))
    assert sorted(path.name for path in folder.iterdir()) == ["index.json", "manifest.json", "vectors.safetensors"]


@pytest.mark.parametrize("name", ["index.json", "vectors.safetensors"])
def test_a_changed_byte_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    found = refusal(small_model().load_index, folder)
    assert found.code == "E049"
    assert f"{name} sha256 mismatch" in found.what


def test_another_model_is_refused_with_both_fingerprints(folder):
    found = refusal(late_model().load_index, folder)
    assert found.code == "E049"
    for model in (small_model(), late_model()):
        assert model.fitted.fingerprint in found.what


def rewritten(folder, document=None, **arrays):
    """The folder with other contents under a manifest that is right."""
    if document is not None:
        (folder / "index.json").write_text(document if isinstance(document, str) else json.dumps(document))
    if arrays:
        save_file(arrays, folder / "vectors.safetensors")
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    return folder


def said(folder):
    found = refusal(small_model().load_index, folder)
    assert found.code == "E049"
    return found.what


def test_vectors_that_do_not_fit_are_refused_by_file_and_field(index, folder):
    vectors = index.vectors
    n, dim = vectors.shape
    assert said(rewritten(folder, vectors=vectors[:, :5].copy())) == (
        f"vectors.safetensors, vectors: float32 of shape ({n}, 5), expected float32, cell x {dim} dimensions."
    )
    assert "float64" in said(rewritten(folder, vectors=vectors.astype(np.float64)))
    assert "151 names for 7 vectors" in said(rewritten(folder, vectors=vectors[:7].copy()))
    assert "expected alone, found more, vectors" in said(rewritten(folder, vectors=vectors, more=vectors))
    broken = vectors.copy()
    broken[3, 2:4] = np.nan
    assert said(rewritten(folder, vectors=broken)).startswith("vectors.safetensors, vectors: 2 of ")
    (folder / "vectors.safetensors").write_bytes(b"no header at all")
    assert said(rewritten(folder)).startswith("vectors.safetensors, header: has")


def test_a_document_that_does_not_fit_is_refused_by_file_and_field(folder):
    document = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    cells = document["cells"]
    repeated = [cells[1], *cells[1:]]
    assert said(rewritten(folder, document | {"cells": repeated})).startswith("index.json, cells: 1 names occur again")
    assert said(rewritten(folder, document | {"cells": [4, *cells[1:]]})).startswith("index.json, cells.0: ")
    assert said(rewritten(folder, document | {"owner": "me"})).startswith("index.json, owner: ")
    assert said(rewritten(folder, document | {"modality": "spatial"})).startswith("index.json, modality: spatial")
    assert said(rewritten(folder, "{")).startswith("index.json: is no JSON")


def test_a_model_is_no_index_and_an_index_no_model(folder, tmp_path):
    small_model().save(tmp_path / "model")
    found = refusal(small_model().load_index, tmp_path / "model")
    assert (found.code, found.what) == ("E049", "no index.json: not an index of cells.")
    found = refusal(load, folder)
    assert (found.code, found.what) == ("E049", "no config.json: not a model folder.")
    assert refusal(small_model().load_index, tmp_path / "nothing").code == "E001"


def test_an_index_replaces_an_index_with_force_alone_and_a_model_never(index, folder, tmp_path):
    small_model().save(tmp_path / "model")
    before = snapshot(tmp_path)
    assert refusal(index.save, folder).code == "E055"
    assert refusal(index.save, tmp_path / "model", force=True).code == "E055"
    assert snapshot(tmp_path) == before
    small_model().index(test_cells(), "adt").save(folder, force=True)
    assert small_model().load_index(folder).modality == "adt"


def test_names_and_vectors_that_do_not_fit_make_no_index(index):
    infinite = index.vectors.copy()
    infinite[8, 1] = np.inf
    for cells, vectors, words in (
        (index.cells[:-1], index.vectors, "150 names for 151 vectors"),
        (index.cells[:0], index.vectors[:0], "0 names"),
        (index.cells, index.vectors[:, 1:], "dimensions"),
        (index.cells, infinite, "vectors: 1 of .* not finite"),
    ):
        with pytest.raises(ValueError, match=words):
            CellIndex(index.fitted, "rna", cells, vectors)


def test_the_dimension_is_that_of_the_embedding_with_and_without_alignment(index):
    plain = changed(small_model(), moment_alignment={})
    assert small_model().fitted.embedding_dim("adt") == index.vectors.shape[1]
    assert plain.fitted.embedding_dim("adt") == plain.index(test_cells(), "rna").vectors.shape[1] == (2 + 1) * (8 + 1)


def test_many_cells_are_searched_by_lists_where_faiss_is_there_and_exactly_where_not(index, monkeypatch):
    pytest.importorskip("faiss")
    wanted = index.search(test_cells(), K, modality="adt")
    monkeypatch.setattr(cell_index, "MIN_REFERENCES", 150)
    monkeypatch.setattr(inverted_lists, "_PROBES", 3)
    many = CellIndex(index.fitted, "rna", index.cells, index.vectors)
    found = many.search(test_cells(), K, modality="adt")
    both = found.merge(wanted, on=["query", "cell"])
    assert 0.9 * len(wanted) <= len(both) < len(wanted)
    np.testing.assert_allclose(both["similarity_x"], both["similarity_y"], rtol=1e-6)
    assert "faiss" in repr(many)
    assert many.search(test_cells(), K, modality="adt", exact=True).equals(wanted)
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert "exact" in repr(many)
    assert many.search(test_cells(), K, modality="adt").equals(wanted)


def test_a_model_never_replaces_an_index_whose_folder_has_a_manifest_too(tmp_path):
    small_model().index(training()["rna"]).save(tmp_path / "atlas")
    found = refusal(small_model().save, tmp_path / "atlas", force=True)
    assert (found.code, "it is a folder of an index" in found.what) == ("E055", True)
    assert small_model().load_index(tmp_path / "atlas").modality == "rna"

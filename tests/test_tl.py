"""Tests of the tools that write into the object: what they write is what the model says, by name, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from io_fixtures import refusal
from model_fixtures import rebuilt, small_model, test_cells

import unisono as un


def emptied(name: str):
    """Test cells of which the fourth has no counts in one modality."""
    mdata = test_cells()
    values = mdata[name].X.tolil()
    values[3] = 0
    mdata[name].X = values.tocsr()
    return mdata


def test_an_embedding_stands_under_the_key_that_is_asked_for():
    mdata, wanted = test_cells(), small_model().embed(test_cells())
    un.tl.embed(mdata, small_model(), key_added="X_content")
    for name in ("atac", "rna", "adt"):
        np.testing.assert_allclose(mdata[name].obsm["X_content"], wanted[name].obsm["X_unisono"], rtol=1e-6)
        assert "X_unisono" not in mdata[name].obsm
        assert "unisono_novelty" in mdata[name].obs


def test_a_prediction_is_a_table_of_named_features_beside_the_source():
    mdata, wanted = test_cells(), small_model().predict(test_cells(), "rna", "adt")
    un.tl.predict(mdata, small_model(), "gex", "protein")
    found = mdata["rna"].obsm["unisono_adt"]
    pd.testing.assert_frame_equal(found, wanted.to_df(), check_names=False)
    assert mdata["rna"].uns["unisono_adt"]["scale"] == "per-cell CLR"
    assert mdata["rna"].uns["unisono_adt"]["model"] == small_model().fitted.fingerprint
    assert "unisono_adt" not in mdata["adt"].obsm


def test_the_ends_of_intervals_stand_beside_the_prediction():
    mdata = test_cells()
    un.tl.predict(mdata, small_model(), "rna", "adt", interval=0.8, key_added="p")
    wanted = small_model().predict(test_cells(), "rna", "adt", interval=0.8)
    for end in ("lower", "upper"):
        np.testing.assert_allclose(mdata["rna"].obsm[f"p_{end}"], wanted.layers[end], rtol=1e-5)


@pytest.mark.filterwarnings("ignore:W020")
def test_a_cell_without_counts_has_no_prediction_and_the_others_keep_their_rows():
    mdata = emptied("rna")
    un.tl.predict(mdata, small_model(), "rna", "adt")
    found = mdata["rna"].obsm["unisono_adt"]
    assert found.isna().all(axis=1).to_numpy().nonzero()[0].tolist() == [3]
    assert found.index.equals(mdata["rna"].obs_names)


def test_a_partner_is_the_first_pair_of_the_matching():
    mdata = test_cells()
    un.tl.match(mdata, small_model(), "rna", "adt", key_added="m")
    links = small_model().match(test_cells(), test_cells(), between=("rna", "adt"))
    first = links.pairs.drop_duplicates("left").set_index("left")
    assert mdata["rna"].obs["m"].tolist() == first["right"].tolist()
    confidence = links.to_anndata().obs["confidence"]
    np.testing.assert_allclose(mdata["rna"].obs["m_probability"], confidence, rtol=1e-6)
    assert [name for name in mdata["adt"].obs if str(name).startswith("m")] == []


def test_a_modality_that_is_not_there_is_refused():
    mdata = rebuilt({"rna": test_cells()["rna"]})
    assert refusal(un.tl.match, mdata, small_model(), "rna", "adt").code == "E007"

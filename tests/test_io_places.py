"""Tests of where counts are: X, .raw or a layer, by modality, by the model's record, and what is said when not."""

from __future__ import annotations

import warnings

import mudata
import numpy as np
import pytest
from anndata import AnnData
from io_fixtures import codes, counts, findings_of, mu, only, table, two
from scipy import sparse

from unisono.io.naming import Source
from unisono.io.places import CountsAt, looks_raw
from unisono.io.read import Inspection, ReadOptions, inspect
from unisono.messages import typed_in_shell

GENES, PROTEINS = counts(7, 11), counts(7, 5, seed=1)


def at(mdata, layer=None, *, remembered=None, is_training: bool = True) -> Inspection:
    return inspect(mdata, ReadOptions(counts=CountsAt(layer, remembered), is_training=is_training), "x.h5mu")


def normalised(name: str | None = "umis", make=np.asarray):
    """RNA with log values in X and counts in a layer, proteins with counts in X."""
    mdata = two(make(np.log1p(7.3 * GENES).astype(np.float32)))
    if name is not None:
        mdata["rna"].layers[name] = make(GENES.astype(np.float32))
    return mdata


@pytest.mark.parametrize("layer", [{"rna": "umis"}, {"gex": "umis", "protein": "X"}, {"Gene Expression": "umis"}])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_a_layer_of_one_modality_leaves_x_of_the_other(layer, make):
    found = at(normalised(make=make), layer)
    np.testing.assert_array_equal(found.views["rna"].counts.toarray(), GENES)
    np.testing.assert_array_equal(found.views["adt"].counts.toarray(), PROTEINS)
    assert found.places == {"rna": "umis", "adt": "X"}


def test_the_name_in_the_file_goes_before_the_kind():
    mdata = normalised("b")
    renamed = mu(expression=mdata["rna"], tags=mdata["adt"])
    kinds = {"expression": "rna", "tags": "adt"}
    found = inspect(renamed, ReadOptions(None, kinds, CountsAt({"tags": "X", "expression": "b"}), is_training=True))
    np.testing.assert_array_equal(found.views["rna"].counts.toarray(), GENES)


def test_one_name_for_all_is_refused_where_one_modality_lacks_it_with_a_place_for_each():
    finding = only(list(at(normalised(), "umis").findings), "E010")
    assert finding.where == "x.h5mu, adt"
    assert finding.remedy == 'layer={"rna": "umis", "adt": "X"}'


def test_the_remedy_of_a_refusal_is_accepted():
    found = at(normalised(), {"rna": "umis", "adt": "X"})
    assert not codes(found.findings) & {"E010", "E013"}
    assert codes(at(normalised()).findings) == {"E013"}


def test_a_layer_for_a_modality_that_is_not_there_is_refused_in_training_alone():
    finding = only(list(at(normalised(), {"rna": "umis", "atac": "X"}).findings), "E007")
    assert finding.what == "layer names atac; there are rna, adt."
    assert not at(normalised(), {"rna": "umis", "atac": "X"}, is_training=False).findings


def test_a_layer_for_what_is_no_modality_is_refused_in_a_query_too():
    assert "layer names rnaa" in only(list(at(normalised(), {"rnaa": "umis"}, is_training=False).findings), "E007").what


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_raw_is_read_with_all_its_features(make):
    whole = table(7, 13, "g", matrix=make(counts(7, 13, seed=4).astype(np.float32)))
    part = whole[:, :11].copy()
    part.X = make(np.log1p(7.3 * GENES).astype(np.float32))
    part.raw = whole
    found = at(mu(rna=part, adt=table(7, 5, "p", seed=1)), {"rna": ".raw"})
    np.testing.assert_array_equal(found.views["rna"].counts.toarray(), counts(7, 13, seed=4))
    assert found.views["rna"].features.tolist() == [f"g{i}" for i in range(13)]
    assert part.shape == (7, 11)


def test_raw_that_is_not_there_is_refused():
    finding = only(list(at(normalised("b"), {"rna": ".raw"}).findings), "E010")
    assert finding.what == "mdata['rna'] has no .raw (has: X, b)."
    assert 'layer={"rna": "b", "adt": "X"}' in finding.remedy
    with typed_in_shell():
        finding = only(list(at(normalised("b"), {"rna": ".raw"}).findings), "E010")
    assert "--layer rna=b,adt=X" in finding.remedy
    assert "layer=" not in finding.remedy


def test_without_counts_anywhere_the_remedy_of_a_missing_layer_names_no_place():
    finding = only(list(at(normalised(None), {"rna": "umis"}).findings), "E010")
    assert "no layer and no .raw of this modality looks like counts" in finding.remedy


def test_where_x_is_absent_the_layer_is_named_and_read():
    mdata = normalised()
    mdata["rna"].X = None
    assert only(findings_of(mdata), "E011").remedy == 'layer={"rna": "umis", "adt": "X"}'
    np.testing.assert_array_equal(at(mdata, {"rna": "umis"}).views["rna"].counts.toarray(), GENES)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("place", ["umis", ".raw"])
def test_a_backed_file_is_read_at_a_layer_and_at_raw(tmp_path, make, place):
    mdata = normalised(make=make)
    mdata["rna"].raw = table(7, 11, "g", matrix=make(GENES.astype(np.float32)))
    mdata.write_h5mu(tmp_path / "x.h5mu")
    backed = mudata.read_h5mu(tmp_path / "x.h5mu", backed=True)
    np.testing.assert_array_equal(at(backed, {"rna": place}).views["rna"].counts.toarray(), GENES)
    assert backed["rna"].isbacked
    backed.file.close()


def test_a_query_is_read_where_the_model_was_and_not_at_whole_numbers_of_x():
    mdata = two((GENES > 0).astype(np.float32))
    mdata["rna"].layers["umis"] = GENES.astype(np.float32)
    found = at(mdata, remembered={"rna": "umis", "adt": "X"}, is_training=False)
    np.testing.assert_array_equal(found.views["rna"].counts.toarray(), GENES)
    assert not found.findings


def test_a_query_without_the_models_layer_is_read_at_x_with_a_warning_if_x_holds_counts():
    finding = only(list(at(two(), remembered={"rna": "umis"}, is_training=False).findings), "W010")
    assert finding.what == (
        "layers['umis'], where the model's training counts were, is not there; X holds whole numbers. X is read."
    )
    assert codes(at(normalised("other"), remembered={"rna": "umis"}, is_training=False).findings) == {"E010"}


def test_what_the_user_says_goes_before_what_the_model_remembers():
    found = at(normalised("other"), {"rna": "other"}, remembered={"rna": "umis"}, is_training=False)
    np.testing.assert_array_equal(found.views["rna"].counts.toarray(), GENES)
    assert not found.findings


def test_the_likeliest_of_several_layers_is_named_first():
    mdata = normalised(None)
    mdata["rna"].layers["ranks"] = GENES.copy()
    mdata["rna"].layers["raw_UMI"] = GENES.copy()
    remedy = only(findings_of(mdata), "E013").remedy
    assert "layers['raw_UMI'] (or ranks)" in remedy


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([[0.0, 3.0]], True),
        ([[0.0, 0.5]], False),
        ([[0.0, -1.0]], False),
        ([[0.0, 0.0]], False),
        ([[0.0, 2.0**54]], False),
        ([[0.0, np.nan]], False),
    ],
)
def test_what_looks_raw_is_whole_not_negative_not_empty_and_not_huge(values, wanted):
    assert looks_raw(np.array(values)) is wanted
    assert looks_raw(sparse.csr_matrix(values)) is wanted


def test_a_place_is_x_unless_said():
    source = Source("rna", "rna", AnnData(GENES.astype(np.float32)), "x")
    assert CountsAt().place(source) == ("X", [])
    assert CountsAt({"adt": "umis"}).place(source) == ("X", [])


def test_counts_of_sixteen_bit_floats_look_raw_without_a_word():
    assert looks_raw(GENES.astype(np.float16))
    assert not looks_raw(GENES.astype(np.float16) + np.float16(0.5))


def test_repeated_names_of_raw_are_refused_without_a_word_of_anndata():
    mdata = two(GENES.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        mdata["rna"].var_names = ["G1", "G1", *mdata["rna"].var_names[2:]]
        mdata["rna"].raw = mdata["rna"].copy()
    assert only(at(mdata, {"rna": ".raw"}).findings, "E022").where == "x.h5mu, rna"

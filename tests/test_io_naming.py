"""Tests of which modality is which: known names, given mappings, and what is refused."""

from __future__ import annotations

from io_fixtures import codes, findings_of, mu, only, table, two

from unisono.io.naming import kind_of
from unisono.io.read import cells_from_mudata


def test_a_known_name_is_read_whatever_its_case_and_separators():
    kinds = {
        "Gene Expression": "rna",
        "GEX": "rna",
        "sc-RNA": "rna",
        "Antibody_Capture": "adt",
        "prot": "adt",
        "Peaks": "atac",
        "chromatin accessibility": "atac",
    }
    assert {name: kind_of(name) for name in kinds} == kinds


def test_an_unknown_name_has_no_kind():
    assert [name for name in ("", "rna2", "spatial", "hto") if kind_of(name)] == []


def test_known_names_are_read_and_said():
    mdata = mu(**{"Gene Expression": table(7, 11, "g"), "prot": table(7, 5, "p")})
    cells, findings = cells_from_mudata(mdata, batch_key=None, is_training=True, source_name="x.h5mu")
    assert cells.modalities == ("rna", "adt")
    assert [str(finding) for finding in findings if finding.code == "I007"] == [
        "I007 x.h5mu, Gene Expression: read as rna.",
        "I007 x.h5mu, prot: read as adt.",
    ]


def test_a_mapping_overrides_the_known_names():
    mdata = mu(rna=table(7, 11, "g"), spliced=table(7, 13, "s"), adt=table(7, 5, "p"))
    cells, findings = cells_from_mudata(
        mdata, batch_key=None, modalities={"spliced": "rna", "adt": "adt"}, is_training=True
    )
    assert cells.views["rna"].counts.shape == (7, 13)
    assert only(findings, "I007").where == "data, rna"


def test_an_unknown_modality_is_ignored_and_said():
    findings = findings_of(mu(rna=table(7, 11, "g"), adt=table(7, 5, "p"), hto=table(7, 3, "h")))
    assert str(only(findings, "I007")) == "I007 data, hto: modality ignored: not a known name."


def test_two_modalities_of_one_kind_are_refused():
    findings = findings_of(mu(rna=table(7, 11, "g"), gex=table(7, 13, "s")), is_training=False)
    finding = only(findings, "E007")
    assert finding.what == "modalities 'rna' and 'gex' both stand for rna."
    assert 'modalities={"rna": "rna"}' in finding.remedy


def test_a_mapping_to_two_of_one_kind_is_refused_too():
    assert "both stand for rna" in only(findings_of(two(), modalities={"rna": "rna", "adt": "rna"}), "E007").what


def test_no_known_modality_is_refused_with_what_there_is():
    finding = only(findings_of(mu(hto=table(7, 3, "h"), spatial=table(7, 5, "s")), is_training=False), "E007")
    assert finding.what == "no known modality; file has hto, spatial, known are atac, rna, adt."


def test_a_name_that_is_not_there_is_refused_with_the_one_that_is():
    mdata = mu(rna=table(7, 11, "g"), prot=table(7, 5, "p"))
    finding = only(findings_of(mdata, modalities={"rna": "rna", "protein": "adt"}), "E007")
    assert finding.what == "modality 'protein' not found; file has rna, prot."
    assert finding.remedy == 'modalities={"rna": "rna", "prot": "adt"}'


def test_a_kind_that_is_none_is_refused():
    finding = only(findings_of(two(), modalities={"rna": "rna", "adt": "protein"}), "E007")
    assert "'protein', which is no kind (known: atac, rna, adt)" in finding.what
    assert finding.remedy == 'modalities={"rna": "rna", "adt": "adt"}'


def test_training_on_one_modality_is_refused_and_a_query_of_one_is_not():
    mdata = mu(rna=table(7, 11, "g"), hto=table(7, 3, "h"))
    finding = only(findings_of(mdata), "E008")
    assert finding.what == "training needs two modalities; found rna only, unused: hto."
    assert 'modalities={"rna": "rna", "hto": "adt"}' in finding.remedy
    assert "E008" not in codes(findings_of(mdata, is_training=False))

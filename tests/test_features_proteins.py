"""Tests of proteins found by antibody name: spellings that are one, names that differ, panels read by panels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unisono.features.proteins import _read, _rows, _with_aliases, is_control, match_proteins


def meaning_of(name, aliases=None):
    """The one name of the protein that is read in an antibody's name."""
    return _read(name, _with_aliases(aliases or {})).canonical


def listed(text: str) -> list[str]:
    return text.split()


PBMC10K = listed("CD127 CD14 CD15 CD16 CD19 CD25 CD3 CD45RA CD45RO CD4 CD56 CD8a PD-1 TIGIT")

PANEL224 = listed("""
cd39 cd107a cd62p tcrab cd30 cd31 cd34 cd35 cd36 cd223 tigit tcr.v.9 cd226 cd178 cd319 cd171 siglec.8 cd340 vegfr3 cd29
cd62e cd4.2 cd4.1 cd22 cd3.1 cd20 cd27 cd45rb cd25 cd24 cd146 galectin.9 cd142 cd141 cd294 cd45ra cx3cr1 cd56.2 cd56.1
cd45ro cd303 gp130 cd253 cd357 cd11b.1 cd354 cd11b.2 clec12a cd38.2 cd38.1 folate cd209 cd152 cd154 cd155 cadherin cd201
cd204 cd205 cd206 cd207 cd1d cd284 cd1c podoplanin cd1a cd366 igd igm cd66a.c.e cd49d lox.1 tim.4 cd98 cd370 cd49a
cd44.2 c5l2 cd44.1 cd158e1 cd124 cd127 cd126 cd279 cd278 cd123 cd122 cd96 cd274 cd95 cd271 cd270 cd90 cd272 cd16 cd14
cd15 cd13 cd267 cd26.2 cd200 cd26.1 cd18 cd19 cd194 tcrgd tcr.v.7.2 cd70 cd71 cd72 cd73 tcr.v.2 cd177 cd301 cd140a
cd140b cd305 cd304 cd2 cd309 cd85g cd110 cd8 cd9 hla.dr cd137 cd134 cd135 cd61 cd192 cd268 cd269 cd81 cd80 cd83 cd193
tslpr cd86 ccr10 notch1 notch3 cd337 cd79b cd275.2 cd275.1 cd79a cd49b cd64 cd63 cd45.2 cd45.1 cd133.2 cd133.1 cd69 cd68
cd314 cd11a.cd18 cd186 cd185 cd184 cd103 cd102 cd106 cd105 cd66b cd252 cd109 tcr.v.24.j.18 integrin.7 cd158b cd158f cd8a
cd203c cd52 cd195 cd196 cd57 cd54 cd55 cd99 cd59 cd199 cd93 cd244 cd158 cd235ab cd273 cd243 cd325 cd324 cd307e cd172a
cd307d cd42b cd115 cd117 xcr1 cd112 mertk b7.h4 cd21 cd307c.fcrl3 clec1b cd48 cd47 cd46 cd41 cd40 cd43 cd338 cd235a
cd335 cd3.2 cd119 cd169 cd28 cd161 cd163 cd138.1 cd164 cd138.2 cd144 cd202b cd11c
""")

BMMC = listed("""
CD86 CD274 CD270 CD155 CD112 CD47 CD48 CD40 CD154 CD52 CD3 CD8 CD56 CD19 CD33 CD11c HLA-A-B-C CD45RA CD123 CD7 CD105
CD49f CD194 CD4 CD44 CD14 CD16 CD25 CD45RO CD279 TIGIT CD20 CD335 CD31 Podoplanin CD146 IgM CD5 CD195 CD32 CD196 CD185
CD103 CD69 CD62L CD161 CD152 CD223 KLRG1 CD27 CD107a CD95 CD134 HLA-DR CD1c CD11b CD64 CD141 CD1d CD314 CD35 CD57 CD272
CD278 CD58 CD39 CX3CR1 CD24 CD21 CD11a CD79b CD244 CD169 integrinB7 CD268 CD42b CD54 CD62P CD119 TCR CD192 CD122 FceRIa
CD41 CD137 CD163 CD83 CD124 CD13 CD2 CD226 CD29 CD303 CD49b CD81 IgD CD18 CD28 CD38 CD127 CD45 CD22 CD71 CD26 CD115 CD63
CD304 CD36 CD172a CD72 CD158 CD93 CD49a CD49d CD73 CD9 TCRVa7.2 TCRVd2 LOX-1 CD158b CD158e1 CD142 CD319 CD352 CD94 CD162
CD85j CD23 CD328 HLA-E CD82 CD101 CD88 CD224
""")

MOUSE = [
    "ADT_CD127(IL-7Ra)_A0198",
    "ADT_CD16-32_A0109",
    "ADT_CD21-CD35(CR2-CR1)_A0107",
    "ADT_CD274(B7-H1_PD-L1)_A0190",
    "ADT_CD279(PD-1)_A0004",
    "ADT_CD4_A0001",
    "ADT_CD45_A0096",
    "ADT_CD45.1_A0178",
    "ADT_CD45.2_A0157",
    "ADT_CD45R-B220_A0103",
    "ADT_CD8a_A0002",
    "ADT_CD90.2_A0075",
    "ADT_CD93(AA4.1_earlyBlineage)_A0113",
    "ADT_NK-1.1_A0118",
    "ADT_TCRVb5.1_5.2_A0354",
    "ADT_TCRr-d_A0121",
    "ADT_anti-P2RY12_A0415",
    "ADT_integrinb7_A0214",
    "HTO_B6_spl_r4_206_A0301",
]

TABLE_NAMES = [(name, row[0]) for row in _rows() for field in row for name in field.split("|") if name]


def names(values: list[str]) -> NDArray[np.str_]:
    return np.array(values, dtype=str)


def partners(wanted: list[str], found: list[str], aliases: dict[str, str] | None = None) -> dict[str, str]:
    """Which found name each wanted name takes; names without partner are left out."""
    match = match_proteins(names(wanted), names(found), aliases)
    return {name: found[column] for name, column in zip(wanted, match, strict=True) if column >= 0}


SPELLINGS_OF_CD3 = [
    *("CD3", "cd3", "CD3E", "CD3D", "CD3G", "CD3ε", "CD3 epsilon", "CD3_TotalSeqB", "CD3-TotalSeqC", "CD3.TotalSeq-A"),
    *("anti-CD3", "anti-human CD3", "anti_CD3", "ADT_CD3_A0034", "CD3_0034", "CD3_PROT", "prot_CD3", "Ab_CD3"),
    *("CD3.1", "CD3-1", "CD3_2", "Hu.CD3", "HuMs.CD3", "CD3-UCHT1", "CD3 (UCHT1)", "CD3_OKT3", "ADT_anti-CD3_A0034"),
    *("CD3 (any clone)", "(CD3)", "CD3:UCHT1|CD3E|AHS0231|pAbO"),
]


def test_every_spelling_of_cd3_is_cd3():
    assert [name for name in SPELLINGS_OF_CD3 if meaning_of(name) != "CD3"] == []


PROTEIN_OF_NAME = {
    "PD1": "CD279",
    "PD-1": "CD279",
    "PD_1": "CD279",
    "PDCD1": "CD279",
    "ADT_CD279(PD-1)_A0004": "CD279",
    "ADT_CD127(IL-7Ra)_A0198": "CD127",
    "CD127..IL.7Ra.": "CD127",
    "IL7RA": "CD127",
    "IL-7Rα": "CD127",
    "NCAM1": "CD56",
    "FCGR3A": "CD16",
    "B220": "CD45R",
    "CD45R/B220": "CD45R",
    "anti-human/mouse CD44": "CD44",
    "CD274_B7-H1_PD-L1_TotalSeqC": "CD274",
    "CD158b_KIR2DL2_L3_NKAT2": "CD158b",
    "CD158 (KIR2DL1/S1/S3/S5)": "CD158",
    "CD8 beta": "CD8b",
    "TCR α/β": "TCR alpha/beta",
    "TCRgd": "TCR gamma/delta",
    "TCR.Va7.2": "TCR V alpha 7.2",
    "tcr.v.24.j.18": "TCR V alpha 24-J alpha 18",
    "FcεRIα": "Fc epsilon RI alpha",
    "integrin ß7": "Integrin beta 7",
    "41BB": "CD137",
    "4-1BB": "CD137",
    "CD45RA-HI100": "CD45RA",
    "cd4.1": "CD4",
    "CD41": "CD41",
    "CD31": "CD31",
    "HLA-A0201": "hlaa0201",
    "some-New_TotalSeqA": "somenew",
    "ROBO-4": "robo4",
    "CD4_CD8": "cd4cd8",
    "CD4 (CD8)": "cd4cd8",
    "lectin-like (CD161)": "CD161",
}


def test_a_name_leads_to_its_protein():
    assert {name: meaning_of(name) for name in PROTEIN_OF_NAME} == PROTEIN_OF_NAME


DIFFERENT = [
    ["CD45", "CD45RA", "CD45RB", "CD45RO", "CD45R", "CD45.1", "CD45.2"],
    ["CD11a", "CD11b", "CD11c", "CD11a/CD18", "CD11b (activated)", "CD18"],
    ["CD1a", "CD1b", "CD1c", "CD1d", "CD1e"],
    ["CD49a", "CD49b", "CD49c", "CD49d", "CD49e", "CD49f"],
    ["CD62E", "CD62L", "CD62P"],
    ["CD66a", "CD66b", "CD66c", "CD66a.c.e"],
    ["CD158", "CD158a", "CD158b", "CD158d", "CD158e1", "CD158f"],
    ["TCRab", "TCRgd", "TCR Va7.2", "TCR Vd2", "TCR Vg9", "TCR Vb13.1"],
    ["CD8a", "CD8b"],
    ["CD16", "CD16-32", "CD16b", "CD32"],
    ["CD21", "CD35", "CD21-CD35(CR2-CR1)"],
    ["CD235a", "CD235ab", "CD235b"],
    ["HLA-DR", "HLA-DP", "HLA-DQ", "HLA-E", "HLA-A-B-C", "HLA-A2"],
    ["IgA", "IgD", "IgE", "IgG", "IgM", "CD79a", "CD79b"],
    ["CD4", "CD41", "CD42b"],
    ["CD3", "CD31", "CD3 zeta"],
    ["PD-1", "PD-L1", "PD-L2"],
]


def test_proteins_that_differ_stay_apart():
    confused = [group for group in DIFFERENT if len({meaning_of(name) for name in group}) < len(group)]
    assert confused == []
    for group in DIFFERENT:
        tags = {name: f"ADT_{name}_A0034" for name in group}
        assert partners(group, list(tags.values())[::-1]) == tags


def test_every_name_of_the_table_leads_to_its_row_and_to_no_other():
    spellings = (str, str.upper, "anti-human {}_TotalSeqC".format)
    lost = [
        (spell(name), canonical)
        for name, canonical in TABLE_NAMES
        for spell in spellings
        if meaning_of(spell(name)) != canonical
    ]
    assert len(TABLE_NAMES) > 1600
    assert lost == []


def test_a_canonical_name_has_one_row():
    canonicals = [row[0] for row in _rows()]
    assert len(canonicals) == len(set(canonicals)) > 400


def test_cd8_takes_cd8a_only_when_there_is_no_cd8():
    assert partners(["CD8"], ["cd8b", "cd8a"]) == {"CD8": "cd8a"}
    assert partners(["CD8a"], ["CD8"]) == {"CD8a": "CD8"}
    assert partners(["CD8_TotalSeqB"], ["cd8a", "cd8.2"]) == {"CD8_TotalSeqB": "cd8.2"}
    assert partners(["CD8", "CD8a"], ["cd8a", "cd8"]) == {"CD8": "cd8", "CD8a": "cd8a"}


@pytest.mark.parametrize(
    ("name", "chain"), [("CD3", "CD3E"), ("CD3", "CD3G"), ("CD16", "CD16A"), ("HLA-DR", "HLA-DRA")]
)
def test_a_complex_takes_its_chain_only_when_it_is_not_there_itself(name: str, chain: str):
    assert partners([name], [chain]) == {name: chain}
    assert partners([chain], [name]) == {chain: name}
    assert partners([name], [chain, name.lower()]) == {name: name.lower()}
    assert partners([chain], [chain.lower(), name]) == {chain: chain.lower()}


def test_of_two_clones_the_exact_spelling_wins_and_else_the_first_by_name():
    assert partners(["CD4"], ["cd4.2", "cd4.1"]) == {"CD4": "cd4.1"}
    assert partners(["cd4.2"], ["cd4.1", "cd4.2"]) == {"cd4.2": "cd4.2"}
    assert partners(["CD4-2"], ["cd4.1", "cd4.2"]) == {"CD4-2": "cd4.2"}


def test_a_column_goes_to_one_protein_only():
    assert partners(["cd4.2", "cd4.1"], ["CD4"]) == {"cd4.1": "CD4"}


def test_alleles_of_mouse_are_clones_in_a_panel_that_numbers_its_clones():
    assert partners(["CD45"], ["cd45.2", "cd45.1"]) == {}
    assert partners(["CD45"], ["cd45.2", "cd45.1", "cd3.1"]) == {"CD45": "cd45.1"}
    assert partners(["ADT_CD45.1_A0178", "ADT_CD45_A0096"], PANEL224) == {"ADT_CD45_A0096": "cd45.1"}


CONTROLS = [
    "IgG1",
    "IgG2a",
    "IgG2b_control_TotalSeqB",
    "Mouse IgG1, κ isotype Ctrl",
    "Rat IgG2b",
    "Rat_IgM",
    "Armenian Hamster IgG",
    "Isotype_MOPC.21",
    "Isotype.CD3",
    "Hashtag1",
    "HTO_B6_spl_r4_206_A0301",
]


def test_a_control_pairs_with_its_very_name_only():
    alone = {control: partners([control], [control, "CD3"]) for control in CONTROLS}
    assert alone == {control: {control: control} for control in CONTROLS}
    others = {c: partners([c], [c.lower() + "_TotalSeqA", "IgM", "IgG", "CD3"]) for c in CONTROLS}
    assert {control: met for control, met in others.items() if met} == {}


def test_an_antibody_to_mouse_igm_is_no_control():
    assert partners(["anti-mouse IgM"], ["IgM"]) == {"anti-mouse IgM": "IgM"}


def test_names_of_the_user_go_over_the_table():
    assert partners(["my marker"], ["CD19"]) == {}
    assert partners(["my marker"], ["CD19"], {"My-Marker": "CD19"}) == {"my marker": "CD19"}
    assert partners(["PD-1"], ["CD279", "CD4"], {"PD1": "CD4"}) == {"PD-1": "CD4"}
    assert partners(["CD8"], ["CD8a"], {"CD8": "CD8"}) == {}
    assert meaning_of("tag_TotalSeqB", {"tag": "PD-1"}) == "CD279"
    assert meaning_of("PD-1") == "CD279"


@pytest.mark.parametrize("panel", [PBMC10K, PANEL224, BMMC, MOUSE], ids=["pbmc10k", "panel224", "bmmc", "mouse"])
def test_a_panel_matched_with_itself_stays_in_place(panel: list[str]):
    np.testing.assert_array_equal(match_proteins(names(panel), names(panel)), range(len(panel)))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_either_panel_does_not_change_which_names_pair(seed: int):
    rng = np.random.default_rng(seed)
    found, wanted = rng.permutation(PANEL224).tolist(), rng.permutation(BMMC).tolist()
    assert found != PANEL224
    assert partners(wanted, found) == partners(BMMC, PANEL224)


def test_no_column_of_a_panel_is_given_twice():
    match = match_proteins(names(PANEL224), names(BMMC))
    assert len(np.unique(match[match >= 0])) == (match >= 0).sum()


def test_a_panel_of_14_reads_one_of_224():
    assert partners(PBMC10K, PANEL224) == {
        "CD127": "cd127",
        "CD14": "cd14",
        "CD15": "cd15",
        "CD16": "cd16",
        "CD19": "cd19",
        "CD25": "cd25",
        "CD3": "cd3.1",
        "CD45RA": "cd45ra",
        "CD45RO": "cd45ro",
        "CD4": "cd4.1",
        "CD56": "cd56.1",
        "CD8a": "cd8a",
        "PD-1": "cd279",
        "TIGIT": "tigit",
    }


def test_a_panel_of_14_reads_bone_marrow_all_but_cd15_that_is_not_there():
    assert partners(PBMC10K, BMMC) == {
        "CD127": "CD127",
        "CD14": "CD14",
        "CD16": "CD16",
        "CD19": "CD19",
        "CD25": "CD25",
        "CD3": "CD3",
        "CD45RA": "CD45RA",
        "CD45RO": "CD45RO",
        "CD4": "CD4",
        "CD56": "CD56",
        "CD8a": "CD8",
        "PD-1": "CD279",
        "TIGIT": "TIGIT",
    }


def test_bone_marrow_reads_112_of_its_134_proteins_in_the_panel_of_224():
    found = partners(BMMC, PANEL224)
    other_spelling = {name: partner for name, partner in found.items() if name.lower() != partner}
    assert len(BMMC) == 134
    assert len(PANEL224) == 224
    assert len(found) == 112
    assert other_spelling == {
        "CD3": "cd3.1",
        "CD4": "cd4.1",
        "CD11b": "cd11b.1",
        "CD26": "cd26.1",
        "CD38": "cd38.1",
        "CD44": "cd44.1",
        "CD45": "cd45.1",
        "CD56": "cd56.1",
        "HLA-DR": "hla.dr",
        "LOX-1": "lox.1",
        "TCR": "tcrab",
        "TCRVa7.2": "tcr.v.7.2",
        "TCRVd2": "tcr.v.2",
        "integrinB7": "integrin.7",
    }


def test_bone_marrow_misses_what_the_panel_of_224_has_not():
    missing = "CD33 HLA-A-B-C CD7 CD49f CD5 CD32 CD62L KLRG1 CD58 CD11a FceRIa CD352 CD94 CD162 CD85j CD23 CD328 HLA-E"
    assert set(BMMC) - set(partners(BMMC, PANEL224)) == {*missing.split(), "CD82", "CD101", "CD88", "CD224"}


def test_the_panel_of_224_reads_the_same_112_in_bone_marrow():
    back = partners(PANEL224, BMMC)
    assert {name: partner for partner, name in back.items()} == partners(BMMC, PANEL224)


def test_a_panel_of_mouse_meets_one_of_human():
    assert partners(MOUSE, BMMC) == {
        "ADT_CD127(IL-7Ra)_A0198": "CD127",
        "ADT_CD274(B7-H1_PD-L1)_A0190": "CD274",
        "ADT_CD279(PD-1)_A0004": "CD279",
        "ADT_CD4_A0001": "CD4",
        "ADT_CD45_A0096": "CD45",
        "ADT_CD8a_A0002": "CD8",
        "ADT_CD93(AA4.1_earlyBlineage)_A0113": "CD93",
        "ADT_integrinb7_A0214": "integrinB7",
    }
    assert meaning_of("ADT_CD90.2_A0075") == "CD90.2"
    assert meaning_of("ADT_TCRVb5.1_5.2_A0354") == "tcrvb5.1.5.2"
    assert meaning_of("ADT_NK-1.1_A0118") == "NK-1.1"


def test_no_names_are_no_error():
    assert match_proteins(names([]), names(BMMC)).shape == (0,)
    np.testing.assert_array_equal(match_proteins(names(["CD3", "CD4"]), names([])), [-1, -1])


OTHER_CONTROLS = [
    "IgG1_control_TotalSeqB",
    "Mouse-IgG1-kappa-isotype-Ctrl-TotalSeqC",
    "Rat_IgG2b",
    "Isotype_MOPC.21",
    "isotype_RTK2071",
    "IgG2a, κ isotype",
    "Ctrl-IgG1",
    "HTO_1",
    "HTO-A-ACCCACCAGTAAGAC",
    "TotalSeq-B0251_Hashtag1",
    "B0251 anti-human Hashtag 1 Antibody",
    "Hash-Tag-3",
    "CMO301",
    "CMO_12",
    "SampleTag01_hs|AHS0001|stAbO",
    "Sample_Tag_1",
    "unmapped",
    "no_match",
]
ANTIGENS = [
    *("HLA-DR", "HLA.A.B.C", "HLA-A2", "CD158", "CD158b", "CD158e1", "IgM", "IgD", "IgE", "IgG-Fc", "IgG"),
    *("anti-IgM", "Ig light chain κ", "CD16", "CD32", "CD64", "CD45RA-TotalSeqC", "TCR γ/δ", "CD300", "CD301"),
    *("Hu.IgM", "B7-H4", "CMKLR1", "CD11b (mouse/human)", "Rat CD4", "HTR2A", "Notch-1", "Galectin-9", "CD303:AHS0001"),
]


@pytest.mark.parametrize("name", OTHER_CONTROLS)
def test_controls_and_sample_tags_of_every_vendor_are_known(name):
    assert is_control(name)


@pytest.mark.parametrize("name", ANTIGENS)
def test_an_antigen_is_no_control(name):
    assert not is_control(name)


def test_no_name_of_the_table_is_a_control():
    assert [name for row in _rows() for field in row for name in field.split("|") if name and is_control(name)] == []

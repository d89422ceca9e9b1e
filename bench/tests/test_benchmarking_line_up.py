"""Tests of the line-up: who takes part by default and by name, and who cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_fixtures import tiny

from unisono_bench import line_up as room
from unisono_bench.line_up import NEED_SCIKIT_LEARN, line_up
from unisono_bench.ours import ABLATIONS
from unisono_bench.baselines import BASELINES
from unisono.messages import BadInput


def names(methods=None, peers=None, **options) -> tuple[list[str], list[str]]:
    found = line_up(tiny(), "cpu", methods, peers, **options)
    return [one.name for one in found.contenders], [one.name for one in found.ablations]


def test_unisono_and_all_baselines_take_part_unless_told():
    assert names() == (["unisono", *BASELINES], [])


def test_named_methods_and_peers_take_part_in_their_order():
    assert names(["cca", "mean"], ["scvi"]) == (["cca", "mean", "scvi"], [])


def test_an_ablation_brings_unisono_with_it():
    assert names(["cca"], ablation=True) == (["unisono", "cca"], [f"unisono-{part}" for part in ABLATIONS])


@pytest.mark.parametrize(
    ("methods", "peers", "words"),
    [
        (["rigde"], None, "E053 --methods: 'rigde' is unknown"),
        (["ridge"], ["scvj"], "E053 --peers: 'scvj' is unknown"),
        ([], None, "E053 --methods: no method is named"),
    ],
)
def test_unknown_names_are_refused(methods, peers, words):
    with pytest.raises(BadInput, match=words):
        names(methods, peers)


def test_scikit_learn_is_asked_for_only_by_methods_that_need_it(monkeypatch):
    monkeypatch.setattr(room, "find_spec", lambda _: None)
    assert names(["mean", "cca"]) == (["mean", "cca"], [])
    with pytest.raises(BadInput, match=r"E063 .*ridge needs scikit-learn.*pip install unisono\[benchmark\]"):
        names(["cca", "ridge"])


def test_the_methods_that_need_scikit_learn_are_those_of_files_that_import_it():
    folder = Path(room.__file__).parents[1] / "evaluation" / "baselines"
    importing = {path.stem for path in folder.glob("*.py") if "from sklearn" in path.read_text()}
    assert importing == {"ridge", "kernel", "neighbours"}
    assert set(BASELINES) - NEED_SCIKIT_LEARN == {"mean", "cca", "procrustes", "clip-mlp"}


def test_a_table_of_genes_that_is_missing_is_refused(tmp_path):
    with pytest.raises(BadInput, match="E001"):
        names(["mean"], ["scglue"], genes=tmp_path / "genes.tsv")

"""Tests of the selection: who takes part by default and by name, and who cannot."""

from __future__ import annotations

import pytest

from fixtures import tiny
from unisono_bench import ChoiceError
from unisono_bench.baselines import BASELINES
from unisono_bench.selection import select_methods
from unisono_bench.unisono_method import ABLATIONS


def names(methods=None, published=None, **options) -> tuple[list[str], list[str]]:
    found = select_methods(tiny(), "cpu", methods, published, **options)
    return [one.name for one in found.methods], [one.name for one in found.ablations]


def test_unisono_and_all_baselines_take_part_by_default():
    assert names() == (["unisono", *BASELINES], [])


def test_named_methods_and_published_ones_take_part_in_their_order():
    assert names(["cca", "mean"], ["scvi"]) == (["cca", "mean", "scvi"], [])


def test_an_ablation_brings_unisono_with_it():
    assert names(["cca"], ablation=True) == (["unisono", "cca"], [f"unisono-{part}" for part in ABLATIONS])


@pytest.mark.parametrize(
    ("methods", "published", "words"),
    [
        (["rigde"], None, "--methods: 'rigde' is unknown; choose some of unisono, mean"),
        (["ridge"], ["scvj"], "--peers: 'scvj' is unknown; choose some of scvi"),
        ([], None, "--methods names no method"),
    ],
)
def test_unknown_names_are_refused(methods, published, words):
    with pytest.raises(ChoiceError, match=words):
        names(methods, published)


def test_a_table_of_genes_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ChoiceError, match="no such file"):
        names(["mean"], ["scglue"], genes=tmp_path / "genes.tsv")

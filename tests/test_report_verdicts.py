"""Tests of the verdicts: each sentence says what its figures say, and turns where they do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_fixtures import PROBES, report

from unisono.evaluation.score_table import Scores
from unisono.messages import Finding
from unisono.metrics import Curve
from unisono.report import verdicts


def with_scores(pair, **values):
    """The report of one direction or pair, with other values of some scores by content alone, or without those."""
    rows = []
    for row in report().scores.rows:
        is_changed = (row.source, row.target) == pair and row.within is None and not row.depth and row.metric in values
        if not is_changed:
            rows.append(row)
        elif values[row.metric] is not None:
            rows.append(replace(row, value=values[row.metric]))
    return replace(
        report(),
        scores=Scores(tuple(rows), "cell_type"),
        directions=tuple(each for each in report().directions if (each.source, each.target) == pair),
        pairings=tuple(each for each in report().pairings if (each.left, each.right) == pair),
    )


@pytest.mark.parametrize(
    ("pearson", "ridge", "wanted"),
    [
        (
            0.85,
            0.81,
            "Better than a ridge on the same codes, so that the networks add something: RNA → protein (0.850 ",
        ),
        (
            0.85,
            0.845,
            "No better than a ridge on the same codes, a linear model would do as well: RNA → protein (0.850 ",
        ),
        (0.85, 0.87, "Worse than a ridge on the same codes, a linear model would do better: RNA → protein (0.850 "),
        (0.02, 0.01, "At chance, not to be used: RNA → protein (0.02)."),
        (0.85, None, "Above chance: RNA → protein (0.85)."),
    ],
)
def test_a_prediction_is_held_against_chance_and_the_ridge(pearson, ridge, wanted):
    (found,) = verdicts.prediction(with_scores(("rna", "adt"), pearson=pearson, ridge_pearson=ridge))
    assert found.startswith(wanted)
    assert ridge in (None, 0.01) or found.endswith(f"against {ridge:.3f}).")


def test_peaks_are_judged_by_their_auroc_whose_chance_is_a_half():
    (found,) = verdicts.prediction(with_scores(("rna", "atac"), auroc=0.52, pearson=0.4))
    assert found == "At chance, not to be used: RNA → chromatin (0.52)."
    (found,) = verdicts.prediction(with_scores(("rna", "atac"), auroc=0.72, ridge_auroc=0.60))
    assert found.startswith("Better than a ridge")


def test_every_direction_stands_in_one_sentence_of_its_kind():
    found = " ".join(verdicts.prediction(report()))
    names = ("Chromatin → RNA", "Chromatin → protein", "RNA → chromatin", "RNA → protein", "Protein → chromatin")
    assert [found.count(name) for name in names] == [1] * 5


def test_a_matching_says_how_often_partner_and_type_are_found_and_how_often_by_chance():
    some = with_scores(("rna", "adt"), foscttm=0.1, recall_at_10=0.31, label_transfer_accuracy=0.87)
    chance = some.scores.get("rna", "adt", "label_transfer_accuracy").chance
    assert verdicts.matching(some) == [
        "RNA ↔ protein: the partner is among the first 10 of 43 cells for 31 % (23 % by chance) and the likeliest cell "
        f"has the right type for 87 % ({100 * chance:.0f} % by chance)."
    ]
    bare = with_scores(("rna", "adt"), foscttm=0.1, recall_at_10=0.31, label_transfer_accuracy=None)
    assert verdicts.matching(bare)[0].endswith("for 31 % (23 % by chance).")
    (blind,) = verdicts.matching(with_scores(("rna", "adt"), foscttm=0.48))
    assert blind == "RNA ↔ protein: at chance, the cells of one say nothing of the other; not to be used."


@pytest.mark.parametrize(
    ("stated", "right", "wanted"),
    [(0.42, 0.37, "too high by 0.05"), (0.30, 0.37, "too low by 0.07"), (0.38, 0.37, "stated probabilities hold")],
)
def test_stated_probabilities_are_held_against_how_often_they_are_right(stated, right, wanted):
    curve = Curve(np.array([stated - 0.1, stated + 0.1]), np.array([right, right]), np.array([2000, 2000]))
    pairing = replace(report().pairings[-1], within=None, depth=False, reliability=curve)
    (found,) = verdicts.probabilities(replace(report(), pairings=(pairing,)))
    assert wanted in found
    assert f"(stated {100 * stated:.0f} %, right 37 %)" in found


def test_few_cells_do_not_convict_a_probability():
    curve = Curve(np.array([0.42]), np.array([0.37]), np.array([43]))
    pairing = replace(report().pairings[-1], within=None, depth=False, reliability=curve)
    assert "stated probabilities hold" in verdicts.probabilities(replace(report(), pairings=(pairing,)))[0]


def test_intervals_are_told_apart_by_what_they_hold_of_nine_in_ten():
    held = [0.9, 0.7, 0.97]
    three = [
        replace(each, coverage=Curve(np.array([0.5, 0.9]), np.array([0.5, share]), np.array([7, 7])))
        for each, share in zip(report().directions, held, strict=False)
    ]
    found = verdicts.intervals(three)
    assert "Intervals that promise 90 % hold it: Chromatin → RNA (90 %)." in found
    assert "Too narrow, measure some cells and calibrate: Chromatin → protein (70 %)." in found
    assert "Wider than they need be: RNA → chromatin (97 %)." in found
    assert verdicts.intervals([replace(three[0], coverage=None)]) == ""


def probe(label, of, content, embedding, **more):
    return {
        "what": label,
        "of": of,
        "probe": "linear",
        "chance": 0.5,
        "content": content,
        "embedding": embedding,
    } | more


def test_where_content_tells_the_modality_it_says_so_and_what_it_means():
    (found,) = verdicts.content([probe("modality", "rna+adt", 0.93, 0.52)])
    assert found.startswith("Content tells the modality: balanced accuracy 0.93 (RNA ↔ protein), 0.5 at chance.")
    assert "hardly hinders matching" in found
    assert "use X_unisono, not content; there they are mixed: balanced accuracy 0.52" in found
    (found,) = verdicts.content([probe("modality", "rna+adt", 0.93, 0.71)])
    assert "X_unisono tells it too: balanced accuracy 0.71" in found
    assert "carry its labels over by match" in found
    (found,) = verdicts.content([probe("modality", "rna+adt", 0.55, 0.52)])
    assert found.startswith("Content does not tell the modality, as it should be: balanced accuracy 0.55")


def test_the_probe_that_tells_the_most_of_a_space_is_the_one_that_counts():
    rows = [probe("modality", "rna+adt", 0.95, 0.55), probe("modality", "rna+adt", 0.99, 0.87, probe="neighbours")]
    (found,) = verdicts.content(rows)
    assert "0.99 (RNA ↔ protein)" in found
    assert "X_unisono tells it too: balanced accuracy 0.87" in found
    by_type = [
        probe("batch", "rna", 0.8, 0.5, **{"cell type": 0.5}),
        probe("batch", "rna", 0.7, 0.5, **{"cell type": 0.75}),
    ]
    assert verdicts.content(by_type) == []


def test_pairs_that_part_are_named_together_and_those_that_mix_apart():
    rows = [probe("modality", f"{a}+{b}", told, 0.5) for a, b, told in
            (("atac", "rna", 0.9), ("atac", "adt", 0.5), ("rna", "adt", 0.8))]  # fmt: skip
    told, mixed = verdicts.content(rows)
    assert "0.90 (Chromatin ↔ RNA) and 0.80 (RNA ↔ protein)" in told
    assert "0.50 (Chromatin ↔ protein)" in mixed
    assert "protein), 0.5 at chance" in mixed


def test_content_is_blamed_for_a_batch_only_beyond_what_cell_types_explain():
    assert verdicts.content([probe("batch", "rna", 0.8, 0.5, **{"cell type": 0.75})]) == []
    (found,) = verdicts.content([probe("batch", "rna", 0.8, 0.5, **{"cell type": 0.55})])
    assert found.startswith("RNA: content tells the batch (0.80, 0.5 at chance, 0.55 from cell types alone)")
    assert verdicts.content(PROBES) == []


def test_findings_are_counted_by_how_grave_they_are():
    notes = [Finding("I024", "x", "y", "z")] * 2
    assert verdicts.data(replace(report(), findings=())).startswith("Nothing: counts, names")
    assert verdicts.data(replace(report(), findings=tuple(notes))).endswith("figures above: 2 notes for information.")
    grave = Finding("W036", "x", "y", "z")
    found = verdicts.data(replace(report(), findings=(grave, *notes)))
    assert found == "1 warning and 2 notes: read them before you trust the figures above."


def test_the_space_is_judged_by_partners_against_any_two_cells():
    pairing = replace(report().pairings[0], partner_similarity=0.83, other_similarity=0.05)
    found = verdicts.space(replace(report(), pairings=(pairing,)))
    assert found.startswith(
        "A cell and its partner lie closer together than any two cells: similarity 0.83 against 0.05"
    )
    alike = replace(pairing, other_similarity=0.82)
    assert "hardly closer" in verdicts.space(replace(report(), pairings=(alike,)))
    assert verdicts.space(replace(report(), pairings=())) == ""

"""Tests of the page as text: no name breaks out of it, every figure is told in words, and it is written whole."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import torch
from report_fixtures import HOSTILE, PROBES, report

from unisono import palette
from unisono.evaluation.score_table import Scores
from unisono.messages import BadInput
from unisono.metrics import Curve
from unisono.modalities import spec_of
from unisono.report import figures, page, tables, words
from unisono.report.payload import plane


class Elements(HTMLParser):
    """Every element with its attributes, and the text of scripts and of what is read."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self.read = [], [], []
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.open = ""

    def handle_data(self, data):
        if self.open == "script":
            self.scripts[-1] += data
        elif self.open != "style":
            self.read.append(data)

    def all(self, tag, **wanted):
        return [a for name, a in self.found if name == tag and all(a.get(k) == v for k, v in wanted.items())]


@pytest.fixture(autouse=True)
def _flat(monkeypatch):
    """No UMAP where its places do not matter."""
    monkeypatch.setattr(page, "plane", lambda vectors: vectors[:, :2])


@cache
def rendered():
    return page.render(report(), command=["unisono", "evaluate", "model", f"{HOSTILE}.h5mu"], probes=PROBES)


def test_no_name_breaks_out_of_the_page():
    text = rendered()
    found = Elements(text)
    assert len(found.scripts) == 3
    assert len(found.all("img")) == 0
    assert "<script>document" not in text
    assert not any(name.startswith("on") for _, attributes in found.found for name in attributes)


def test_hostile_names_are_still_read_as_they_are():
    found = Elements(rendered())
    document = json.loads(found.scripts[0])
    assert document["features"]["adt"][0] == HOSTILE
    assert HOSTILE in [each["name"] for each in document["space"]["labels"]]
    assert HOSTILE in document["space"]["labels"][2]["levels"]
    read = "".join(found.read)
    assert read.count(HOSTILE) >= 6
    assert f"rename {HOSTILE}" in read


def test_only_the_two_scripts_of_the_page_may_run_and_nothing_is_fetched():
    found = Elements(rendered())
    policy = found.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert "default-src 'none'" in policy
    for code in found.scripts[1:]:
        assert page.Script(code).allowed in policy
    assert page.Script(found.scripts[0]).allowed not in policy
    assert [a for _, a in found.found if {"src"} & set(a)] == []
    assert found.all("link") == []
    assert all(a["href"].startswith("#") for a in found.all("a"))


def test_a_script_cannot_end_its_own_element():
    assert page.Script.of("a = '</script>'\r\n").code == "a = '<\\/script>'\n"


def test_every_figure_of_evaluate_stands_in_a_table():
    lines = [cell for table in tables.figure_tables(report()) for line in table.lines for cell in line.cells]
    rows = report().scores.rows
    assert len([value for value, _ in lines if value]) == len(rows)
    assert len([chance for _, chance in lines if chance]) == len([row for row in rows if row.chance is not None])
    read = "".join(Elements(rendered()).read)
    for row in (rows[0], rows[-1], report().scores.get("rna", "adt", "recall_at_5", within="batch")):
        assert words.figure(row.value) in read


def test_figures_and_their_chance_levels_stand_in_the_column_of_their_task():
    table = tables.figure_tables(report())[0]
    place = table.columns.index("RNA → protein")
    line = next(line for line in table.lines if line.meaning.name == "Root mean squared error")
    score = report().scores.get("rna", "adt", "rmse")
    assert line.cells[place] == (f"{score.value:.3f}", f"{score.chance:.3f}".rstrip("0"))
    counted = next(line for line in table.lines if line.meaning.name == "Features without a correlation")
    assert counted.cells[table.columns.index("RNA → chromatin")] == ("1", "")


def test_figures_are_written_with_three_places_and_chance_without_noughts():
    assert [words.figure(value) for value in (0.5, 0.00213, -0.25, 12.3456)] == ["0.500", "0.002", "-0.250", "12.346"]
    assert [words.level(value) for value in (0.0, 0.5, 0.0316, 0.0002, 1.0)] == ["0", "0.5", "0.032", "0.0002", "1"]
    assert [words.share(value) for value in (0.5, 0.049, 0.0004, 0.0)] == ["50 %", "4.9 %", "0.04 %", "0 %"]


def test_one_pair_has_its_settings_side_by_side_and_several_pairs_have_a_table_each():
    several = tables.figure_tables(report())
    assert [table.is_more for table in several] == [False, False, True, True, True]
    assert several[1].columns == ("Chromatin ↔ RNA", "Chromatin ↔ protein", "RNA ↔ protein")
    pairings = tuple(each for each in report().pairings if (each.left, each.right) == ("rna", "adt"))
    one = tables.figure_tables(replace(report(), pairings=pairings))[1]
    assert one.columns == ("By content alone", "Within batch", "With depth", "Within batch, with depth")
    assert one.lines[0].cells[1][0] == words.figure(report().scores.value("rna", "adt", "foscttm", within="batch"))


def with_equal_settings(pairings, which, like):
    """The report of some pairings, in which one setting has the figures of another."""
    named = {
        (row.source, row.target, row.metric): row for row in report().scores.rows if (row.within, row.depth) == like
    }
    rows = tuple(
        replace(named[row.source, row.target, row.metric], within=row.within, depth=row.depth)
        if row.task == "matching" and (row.within, row.depth) == which
        else row
        for row in report().scores.rows
    )
    return replace(report(), pairings=pairings, scores=Scores(rows))


@pytest.mark.parametrize(
    ("which", "like", "word"),
    [
        (
            (None, True),
            (None, False),
            "With depth: the same figures as by content alone, as in this model the agreement",
        ),
        (("batch", False), (None, False), "Within batch: the same figures as by content alone, as no cell is matched"),
    ],
)
def test_settings_of_equal_figures_stand_once_with_a_word_why(which, like, word):
    one = tuple(each for each in report().pairings if (each.left, each.right) == ("rna", "adt"))
    (joined,) = tables.matching_tables(with_equal_settings(one, which, like))
    assert len(joined.columns) == 3
    assert word in joined.note
    assert "total counts help" in joined.note
    without = [each for each in one if each.within is None]
    (alone,) = tables.matching_tables(with_equal_settings(tuple(without), which, like))
    assert ("total counts help" in alone.note) == (len(alone.columns) > 1)
    several = tables.matching_tables(with_equal_settings(report().pairings, which, like))
    assert len(several) == 3
    assert word in several[0].note
    assert not any(word in table.note for table in [*tables.matching_tables(report()), *several[1:]])


def test_cells_of_one_batch_are_said_to_have_no_figures_within_it():
    alone = tuple(each for each in report().pairings if each.within is None)
    assert "All test cells are of one batch" in tables.matching_tables(replace(report(), pairings=alone))[0].note
    assert "All test cells" not in tables.matching_tables(report())[0].note


def test_equal_columns_of_probes_stand_as_one_and_their_names_are_told():
    rows = [{"what": "depth", "content": 0.3, "codes": 0.5, "standardised codes": 0.5, "style": 0.25}]
    rows += [{"what": "type", "content": 0.5, "codes": 0.7, "standardised codes": 0.7, "style": 0.25}]
    found = tables.probe_table(rows)
    assert found.columns == ("what", "content", "codes = standardised codes", "style")
    assert found.rows[1] == ("type", "0.500", "0.700", "0.250")
    assert "Codes and standardised codes are equal, as one batch has no offset to take out." in found.caption
    apart = tables.probe_table([*rows, {"what": "batch", "codes": 0.9, "standardised codes": 0.1}])
    assert len(apart.columns) == 5


def test_ridge_and_type_stand_beside_the_headline_figures():
    prediction, matching = tables.headline(report())
    key = next(key for key in prediction.keys if key.of == "RNA → protein")
    scores = report().scores
    assert key.value == f"{scores.value('rna', 'adt', 'pearson'):.2f}"
    assert key.compared == (f"ridge {scores.value('rna', 'adt', 'ridge_pearson'):.2f}",)
    peaks = next(key for key in prediction.keys if key.of == "RNA → chromatin")
    assert peaks.compared == (f"ridge {scores.value('rna', 'atac', 'ridge_auroc'):.2f}",)
    pair = next(key for key in matching.keys if key.of == "RNA ↔ protein")
    same, first = (scores.get("rna", "adt", name) for name in ("label_transfer_accuracy", "recall_at_10"))
    assert pair.compared == (
        f"right type: {words.share(same.value)} (chance {words.share(same.chance)})",
        f"partner in first 10: {words.share(first.value)} (chance {words.share(first.chance)})",
    )


def test_the_page_says_which_column_the_cell_types_are_from():
    assert ("Cell types read from", "obs column cell_type") in tables.provenance(report())
    bare = replace(report(), scores=Scores(report().scores.rows))
    assert not any("types" in name for name, _ in tables.provenance(bare))


def test_pictures_stand_before_tables_and_a_verdict_before_both():
    text = rendered()
    for name in ("space", "prediction", "matching"):
        section = text[text.index(f'<section id="{name}"') :]
        section = section[: section.index("</section>")]
        places = [section.index(part) for part in ('class="verdict"', 'class="plot', "<table")]
        assert places == sorted(places), name
        assert section.rindex('class="plot') < section.find('class="figures"') or name == "space"


def test_the_colours_of_the_page_are_those_of_all_pictures():
    document = json.loads(Elements(rendered()).scripts[0])
    assert document["palette"] == {"light": list(palette.CLASSES), "dark": list(palette.CLASSES_ON_DARK)}
    assert {name: each["light"] for name, each in document["modalities"].items()} == {
        spec_of(m).label: spec_of(m).colour for m in ("atac", "rna", "adt")
    }
    style = (files("unisono.report") / "page.css").read_text(encoding="utf-8")
    for name, colour in (("ink", palette.INK), ("ghost", palette.FAINT), ("bad", palette.ACCENT)):
        assert f"--{name}: {colour};" in style.split("@media")[0]


def test_the_best_and_the_worst_are_listed_with_their_rank_and_unscored_ones_left_out():
    direction = report().directions[0]
    scores = np.linspace(1, -1, 60)[np.random.default_rng(5).permutation(60)]
    scores[scores.argmin()] = np.nan
    found = tables.extremes(replace(direction, accuracy={"AUROC": scores}), "AUROC", n=2)
    assert found.caption == "Chromatin → RNA: AUROC of the 2 best and 2 worst of 59 features"
    assert [row[0] for row in found.rows] == ["1", "2", "58", "59"]
    assert found.rows[0][1:] == (direction.features[np.nanargmax(scores)], "1.000")
    assert found.rows[3][2] == f"{np.nanmin(scores):.3f}"


def test_sections_appear_only_with_something_to_show():
    assert 'id="probes"' in rendered()
    assert "0.910" in rendered()
    bare = replace(
        report(), findings=(), directions=tuple(replace(each, coverage=None) for each in report().directions)
    )
    found = page.render(bare)
    assert 'id="probes"' not in found
    assert "plot-coverage" not in found
    assert "Nothing: counts" in found
    assert "written by the command" not in found


def test_one_direction_alone_and_no_labels_at_all_are_borne():
    space = replace(report().space, labels={}, numbers={})
    found = page.render(replace(report(), directions=report().directions[3:4], pairings=(), space=space))
    document = json.loads(Elements(found).scripts[0])
    assert [each["name"] for each in document["directions"]] == ["RNA → protein"]
    assert [each["name"] for each in document["space"]["labels"]] == ["modality"]
    without = page.render(replace(report(), directions=()))
    assert 'id="accuracy"' not in without


def test_every_plot_has_words_in_its_place():
    plots = Elements(rendered()).all("div", role="img")
    assert len(plots) == 6
    assert all(len(each["aria-label"]) > 30 for each in plots)


def test_controls_are_labelled_and_headings_do_not_skip_a_level():
    found = Elements(rendered())
    controls = [a["id"] for tag in ("select", "input") for a in found.all(tag)]
    assert len(controls) == 11
    assert {a["for"] for a in found.all("label")} == set(controls)
    levels = [int(tag[1]) for tag, _ in found.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    ids = [a["id"] for _, a in found.found if "id" in a]
    assert len(ids) == len(set(ids))


def test_the_words_of_curves_say_what_the_curves_show():
    pairing = replace(
        report().pairings[0],
        reliability=Curve(np.array([0.1, 0.5]), np.array([0.2, 0.4]), np.array([30, 10])),
        abstention=Curve(np.array([0.25, 1.0]), np.array([0.6, 0.3]), np.array([25, 100])),
    )
    text = figures.reliability([pairing]).texts["by content alone"]
    assert "given 20 % on average and is right in 25 % of cells" in text
    assert (
        "30 % right if all cells are matched, 60 % among the surest quarter"
        in figures.abstention([pairing]).texts["by content alone"]
    )
    direction = report().directions[3]
    held = replace(direction, coverage=Curve(np.array([0.5, 0.9]), np.array([0.4, 0.87]), np.array([7, 7])))
    assert "promise 90 % hold 87 %" in figures.coverage([held]).texts[""]


def test_curves_over_the_surest_cells_begin_where_answers_are_enough():
    n = np.array([5, 19, 20, 100])
    pairing = replace(report().pairings[0], abstention=Curve(n / 100, np.array([1.0, 0.9, 0.8, 0.3]), n))
    assert figures.abstention([pairing]).document["data"][0]["y"] == [0.8, 0.3]
    few = replace(pairing, abstention=Curve(np.array([0.5, 1.0]), np.array([1.0, 0.5]), np.array([3, 6])))
    assert figures.abstention([few]).document["data"][0]["y"] == [0.5]


def test_the_page_is_written_whole_and_replaced_only_when_told(tmp_path):
    target = tmp_path / "report.html"
    page.write_report(target, report())
    first = target.read_text(encoding="utf-8")
    assert first.rstrip().endswith("</html>")
    assert first.startswith("<!DOCTYPE html>")
    with pytest.raises(BadInput, match="E055"):
        page.write_report(target, report())
    page.write_report(target, report(), command=["unisono", "evaluate"], force=True)
    assert "<code>unisono evaluate</code>" in target.read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_what_is_missing_is_named_with_how_to_install_it(monkeypatch):
    assert page.missing() is None
    monkeypatch.setattr(page, "find_spec", lambda name: None if name in ("umap", "plotly") else name)
    found = str(page.missing())
    assert found.startswith("W063 report.html: not written: plotly and umap-learn are not installed.")
    assert found.endswith("Fix: pip install plotly umap-learn")
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "jinja2" else name)
    assert "jinja2 is not installed" in str(page.missing())


@pytest.mark.slow  # numba compiles UMAP
@pytest.mark.parametrize("n_points", [1, 2, 11, 12, 37])
def test_any_number_of_points_has_a_plane(n_points):
    vectors = np.random.default_rng(1).normal(size=(n_points, 5)).astype(np.float32)
    found = plane(vectors)
    assert found.shape == (n_points, 2)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, plane(vectors))


@pytest.mark.slow
def test_a_plane_leaves_the_threads_of_torch_as_they_were():
    before = torch.get_num_threads()
    plane(np.random.default_rng(1).normal(size=(37, 5)).astype(np.float32))
    assert torch.get_num_threads() == before == 1


@pytest.mark.slow
def test_near_cells_are_near_in_the_plane():
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(3, 9))
    group = np.arange(61) % 3
    found = plane((centres[group] + 0.05 * rng.normal(size=(61, 9))).astype(np.float32))
    gap = np.linalg.norm(found[:, None] - found[None], axis=2)
    same = group[:, None] == group[None]
    assert gap[same].mean() < 0.5 * gap[~same].mean()

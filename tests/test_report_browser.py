"""Tests of the page in a real browser: it opens without a network, answers its controls, and suits eyes and hands."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from report_fixtures import HOSTILE, PROBES, report

from unisono.modalities import spec_of
from unisono.report import page as room

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_NEEDED = os.environ.get("UNISONO_NEEDS_BROWSER") == "1"
"""Set by the CI: there a missing browser is a failure."""

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None

_LACK = "playwright is not installed" if sync_playwright is None else "no chromium found" if _BROWSER is None else ""
pytestmark = pytest.mark.skipif(bool(_LACK) and not _NEEDED, reason=f"{_LACK}: pip install .[test] and chromium")

PLOTS = ("space", "accuracy", "values", "reliability", "abstention", "coverage")


@pytest.fixture(scope="module")
def browser():
    assert not _LACK, _LACK
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=_BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    place = tmp_path_factory.mktemp("report") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "plane", lambda vectors: vectors[:, :2])  # UMAP is long in starting, and tested elsewhere
        room.write_report(place, report(), command=["unisono", "evaluate", "model", "test.h5mu"], probes=PROBES)
    return place.as_uri()


@pytest.fixture(scope="module")
def visit(browser, address):
    """Opens the page in a window of its own; `said` is all that the browser complained of, `asked` what it fetched."""

    def opened(**options):
        context = browser.new_context(offline=True, **options)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        return page

    return opened


@pytest.fixture(scope="module")
def wide(visit):
    """A page that tests change and leave with other choices made: each sets what it needs."""
    return visit(viewport={"width": 1100, "height": 800})


def traces(page, name):
    return page.evaluate(f"document.getElementById('plot-{name}').data.map((trace) => trace.name ?? '')")


def values(page, name, axis, trace=-1):
    return page.evaluate(f"Array.from(document.getElementById('plot-{name}').data.at({trace}).{axis})")


def label(page, name):
    return page.get_attribute(f"#plot-{name}", "aria-label")


def background(page, name):
    return page.evaluate(f"document.getElementById('plot-{name}')._fullLayout.paper_bgcolor")


def luminance(colour):
    text = colour.strip().lstrip("#")
    parts = [int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_opens_without_a_network_and_without_complaint(wide, address):
    for name in PLOTS:
        assert wide.evaluate(f"document.getElementById('plot-{name}').data.length") > 0, name
    assert wide.said == []
    assert wide.asked == [address]
    assert wide.title().startswith(HOSTILE)


def test_the_policy_keeps_other_scripts_and_the_network_out(visit):
    page = visit()
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.intruder = 1";
          document.body.append(script);
        }"""
    )
    assert page.evaluate("window.intruder") is None
    assert any("Content Security Policy" in text for text in page.said)
    assert page.evaluate("fetch('data:text/plain,hello').then(() => 'let out', () => 'kept in')") == "kept in"


def test_the_colour_selector_changes_the_traces(wide):
    wide.select_option("#space-colour", label="modality")
    assert sorted(traces(wide, "space")) == ["RNA", "chromatin", "protein"]
    wide.select_option("#space-colour", label="batch")
    assert sorted(traces(wide, "space")) == ["b1", "b2"]
    assert "coloured by batch" in label(wide, "space")
    wide.select_option("#space-colour", label="log depth")
    assert wide.evaluate("document.getElementById('plot-space').data[0].marker.color.length") == 129
    assert wide.is_disabled("#space-highlight")


def test_hostile_names_are_shown_letter_by_letter(wide):
    wide.select_option("#space-colour", label="cell_type")
    shortened = f"{HOSTILE[:27]}…"
    assert shortened.replace("<", "&lt;").replace(">", "&gt;") in traces(wide, "space")
    assert shortened in wide.text_content("#plot-space")
    assert HOSTILE in wide.text_content("#space-table")
    wide.select_option("#accuracy-direction", label="RNA → protein")
    assert HOSTILE[:20] in wide.text_content("#plot-accuracy")
    assert wide.query_selector("img") is None


def test_highlighting_greys_all_but_one_value(wide):
    wide.select_option("#space-colour", label="batch")
    wide.select_option("#space-highlight", label="b2")
    colours = dict(wide.evaluate("document.getElementById('plot-space').data.map((t) => [t.name, t.marker.color])"))
    wide.select_option("#space-highlight", label="nothing")
    before = dict(wide.evaluate("document.getElementById('plot-space').data.map((t) => [t.name, t.marker.color])"))
    assert colours["b2"] == before["b2"]
    assert colours["b1"] != before["b1"]


def test_one_kind_of_measurement_can_be_shown_alone(wide):
    wide.select_option("#space-colour", label="modality")
    wide.select_option("#space-shown", label="protein")
    assert traces(wide, "space") == ["protein"]
    assert len(values(wide, "space", "x")) == 43
    wide.select_option("#space-shown", label="all measurements")
    assert len(traces(wide, "space")) == 3


def test_pointing_at_a_cell_draws_lines_to_its_partners(wide):
    shapes = "document.getElementById('plot-space').layout.shapes ?? []"
    wide.select_option("#space-colour", label="modality")
    wide.evaluate(
        """() => {
          const plot = document.getElementById("plot-space");
          plot.emit("plotly_hover", { points: [{ customdata: plot.data[0].customdata[4] }] });
        }"""
    )
    lines = wide.evaluate(shapes)
    assert len(lines) == 2
    start = [lines[0]["x0"], lines[0]["y0"]]
    found = wide.evaluate(
        """() => document.getElementById("plot-space").data.map(
          (t) => Array.from(t.x).map((x, i) => [x, t.y[i]]))"""
    )
    ends = [[line["x1"], line["y1"]] for line in lines]
    places = [[i for i, point in enumerate(points) if point in [start, *ends]] for points in found]
    assert [len(each) for each in places] == [1, 1, 1]
    wide.evaluate("document.getElementById('plot-space').emit('plotly_unhover', {})")
    assert wide.evaluate(shapes) == []


def test_lines_between_all_partners_come_with_a_tick(wide):
    shapes = "document.getElementById('plot-space').layout.shapes.length"
    wide.check("#space-lines")
    assert wide.evaluate(shapes) == 2 * 43
    wide.uncheck("#space-lines")
    assert wide.evaluate(shapes) == 0


def test_the_search_filters_the_features(wide):
    wide.select_option("#accuracy-direction", label="Protein → RNA")
    wide.fill("#accuracy-search", "")
    everything = len(values(wide, "accuracy", "y"))
    wide.fill("#accuracy-search", "gene000")
    assert everything == 60
    assert len(values(wide, "accuracy", "y")) == 8
    assert "8 of 60 genes match" in label(wide, "accuracy")
    shown = wide.evaluate("document.getElementById('plot-accuracy').layout.yaxis.ticktext")
    assert sorted(shown)[0] == "GENE0002"
    wide.fill("#accuracy-search", "nothing like it")
    assert values(wide, "accuracy", "y") == []
    assert wide.text_content("#accuracy-caption").startswith("0 of 60")
    wide.fill("#accuracy-search", "")
    assert len(values(wide, "accuracy", "y")) == 60


def test_accuracies_are_sorted_and_are_those_of_the_report(wide):
    wide.select_option("#accuracy-direction", label="RNA → chromatin")
    wide.select_option("#accuracy-measure", label="correlation")
    direction = next(each for each in report().directions if (each.source, each.target) == ("rna", "atac"))
    wanted = sorted(direction.accuracy["correlation"], reverse=True)
    assert values(wide, "accuracy", "y") == pytest.approx(wanted, abs=1e-6)
    wide.select_option("#accuracy-measure", label="AUROC")
    assert min(values(wide, "accuracy", "y")) >= 0
    assert values(wide, "accuracy", "y") != pytest.approx(wanted[: len(values(wide, "accuracy", "y"))])


def test_the_feature_selector_changes_the_values(wide):
    direction = next(each for each in report().directions if (each.source, each.target) == ("rna", "adt"))
    wide.select_option("#values-direction", label="RNA → protein")
    seen = []
    for place in (2, 5):
        wide.select_option("#values-feature", str(place))
        assert values(wide, "values", "x") == pytest.approx(direction.sample.measured[:, place], abs=0.02)
        assert values(wide, "values", "y") == pytest.approx(direction.sample.predicted[:, place], abs=0.02)
        assert str(direction.features[place]) in label(wide, "values")
        seen.append(values(wide, "values", "y"))
    assert seen[0] != seen[1]


def test_the_search_for_a_feature_shortens_the_selector(wide):
    wide.select_option("#values-direction", label="Protein → RNA")
    wide.fill("#values-search", "gene0055")
    assert wide.locator("#values-feature option").count() == 1
    assert "GENE0055" in label(wide, "values")
    wide.fill("#values-search", "nothing like it")
    assert wide.is_disabled("#values-feature")
    assert "No shown feature" in wide.text_content("#values-caption")
    wide.fill("#values-search", "")
    assert wide.locator("#values-feature option").count() == 60


def test_peaks_are_shown_as_two_groups_of_cells(wide):
    wide.select_option("#values-direction", label="RNA → chromatin")
    assert traces(wide, "values") == ["closed in this cell", "open in this cell"]
    assert len(values(wide, "values", "x", 0)) + len(values(wide, "values", "x", 1)) == 43
    assert "mean predicted probability" in label(wide, "values")
    for place in range(0, 60, 4):
        wide.select_option("#values-feature", str(place))
        bars = wide.evaluate("document.getElementById('plot-values').calcdata.map((bars) => bars.map((bar) => bar.p))")
        widths = [np.diff(each).min() for each in bars if len(each) > 1]
        assert np.ptp(widths) < 1e-9, place


def test_the_setting_changes_the_curves_and_their_words(wide):
    before, words = values(wide, "abstention", "y"), label(wide, "abstention")
    wide.select_option("#curves-setting", label="with depth")
    assert values(wide, "abstention", "y") != before
    assert "with depth" in label(wide, "abstention")
    assert wide.text_content("#text-abstention") == label(wide, "abstention")
    wide.select_option("#curves-setting", label="by content alone")
    assert label(wide, "abstention") == words


def test_every_figure_has_words_and_every_caption_is_filled(wide):
    page = wide
    for name in PLOTS:
        assert page.get_attribute(f"#plot-{name}", "role") == "img"
        assert len(label(page, name)) > 60, name
        assert "loading" not in label(page, name)
    captions = page.evaluate(
        "[...document.querySelectorAll('figcaption')].map((each) => each.textContent.trim().length)"
    )
    assert len(captions) == len(PLOTS)
    assert min(captions) > 60


def test_a_phone_never_scrolls_the_page_sideways(visit):
    page = visit(viewport={"width": 375, "height": 700}, has_touch=True)
    for summary in page.query_selector_all("summary"):
        summary.click()
    for width in (375, 320):
        page.set_viewport_size({"width": width, "height": 700})
        page.wait_for_function(f"document.documentElement.scrollWidth === {width}")
    assert page.evaluate("document.getElementById('plot-space')._fullLayout.dragmode") is False


def test_a_phone_shows_the_headline_figures_and_the_first_picture_on_two_screens(visit):
    page = visit(viewport={"width": 360, "height": 640}, has_touch=True)
    page.evaluate(
        "document.querySelector('.lead .file').textContent = 'test.h5mu'"
    )  # its name has no end in these tests
    ends = page.evaluate(
        "[...document.querySelectorAll('.keys, #plot-space')].map((each) => each.getBoundingClientRect().bottom)"
    )
    assert len(ends) == 3
    assert max(ends[:2]) < 800
    assert ends[2] <= 2 * 640
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert not any(legends(page).values())


def legends(page):
    """Of each plot with a legend, whether it and the rectangle of the data overlap."""
    measure = """(name) => {
      const plot = document.getElementById(`plot-${name}`);
      const legend = plot.querySelector(".legend")?.getBoundingClientRect();
      if (!legend) return null;
      const [own, size] = [plot.getBoundingClientRect(), plot._fullLayout._size];
      const [left, top] = [own.left + size.l, own.top + size.t];
      const isBeside = legend.right <= left + 1 || legend.left >= left + size.w - 1;
      return !isBeside && legend.bottom > top + 1 && legend.top < top + size.h - 1;
    }"""
    found = {name: page.evaluate(measure, name) for name in PLOTS}
    return {name: overlaps for name, overlaps in found.items() if overlaps is not None}


def test_legends_lie_outside_the_data(wide):
    wide.select_option("#values-direction", label="RNA → chromatin")
    wide.select_option("#space-colour", label="batch")
    assert legends(wide) == dict.fromkeys(("space", "values", "reliability", "abstention", "coverage"), False)


def test_a_modality_has_the_colour_that_all_pictures_give_it(wide):
    wide.select_option("#space-colour", label="modality")
    read = "document.getElementById('plot-space').data.map((t) => [t.name, t.marker.color])"
    assert dict(wide.evaluate(read)) == {spec_of(m).label: spec_of(m).colour for m in ("atac", "rna", "adt")}
    wide.select_option("#accuracy-direction", label="RNA → protein")
    colour = wide.evaluate("document.getElementById('plot-accuracy').data[0].marker.color")
    assert colour == spec_of("adt").colour


def test_dark_readers_get_dark_plots_at_once_and_when_they_change_their_mind(visit, wide):
    page = wide
    light = {name: background(page, name) for name in PLOTS}
    assert min(luminance(each) for each in light.values()) > 0.9
    marks = page.evaluate("document.getElementById('plot-values').data.at(-1).marker.color")
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    dark = {name: background(page, name) for name in PLOTS}
    assert max(luminance(each) for each in dark.values()) < 0.02
    assert page.evaluate("document.getElementById('plot-values').data.at(-1).marker.color") != marks
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(300)
    assert {name: background(page, name) for name in PLOTS} == light
    assert background(visit(color_scheme="dark"), "space") == dark["space"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_the_paper(wide, scheme):
    page = wide
    page.emulate_media(color_scheme=scheme)
    read = "getComputedStyle(document.documentElement).getPropertyValue('--{}').trim()"
    paper = luminance(page.evaluate(read.format("paper")))
    contrast = {}
    for name in ("ink", "soft", "accent", "warn", "bad"):
        other = luminance(page.evaluate(read.format(name)))
        contrast[name] = (max(paper, other) + 0.05) / (min(paper, other) + 0.05)
    page.emulate_media(color_scheme="light")
    assert min(contrast.values()) >= 4.5, contrast
    palette = page.evaluate("JSON.parse(document.getElementById('data-of-the-page').textContent).palette")[scheme]
    marks = [(max(paper, luminance(c)) + 0.05) / (min(paper, luminance(c)) + 0.05) for c in palette]
    assert min(marks) >= 2.0, dict(zip(palette, marks, strict=True))


def test_tab_reaches_the_skip_link_first_and_every_control_in_order(visit):
    page = visit()
    reached, outlines = [], []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "space"
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        outlines.append(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
        if reached[-1] == "curves-setting":
            break
    controls = [each for each in reached if each.startswith(("space-", "accuracy-", "values-", "curves-"))]
    in_page = page.evaluate("[...document.querySelectorAll('select, input')].map((each) => each.id)")
    assert controls == in_page
    assert set(outlines[: len(reached)]) == {"solid"}


def test_a_selector_is_moved_by_the_keyboard_alone(wide):
    page = wide
    page.select_option("#space-colour", label="batch")
    page.focus("#space-colour")
    before = traces(page, "space")
    page.keyboard.press("Home")
    assert traces(page, "space") != before
    assert sorted(traces(page, "space")) == ["RNA", "chromatin", "protein"]

"""What the rows say: tables of methods, of single sources, of the number of data sets, and of an ablation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from unisono_bench.studies.left_out.figures import SHARED
from unisono_bench.studies.report import Row, Settings, figure_table, grouped, spread
from unisono_bench.unisono_method import NAME

SINGLE = "best single source"
SOURCE_FIGURES = ("pearson", "foscttm", "foscttm_of_posterior")
MEAN = "mean"


class Figure(NamedTuple):
    """A figure of the tables and pictures.

    Attributes:
        title: for display.
        name: in the rows.
        source: in the rows.
        best: what good values are: the highest, the lowest, or those nearest to a number.
    """

    title: str
    name: str
    source: str
    best: float

    def badness(self, value: float) -> float:
        """Less is better."""
        return abs(value - self.best)


FIGURES = (
    Figure("RNA→ADT", "pearson", "rna", 1.0),
    Figure("ADT→RNA", "pearson", "adt", 1.0),
    Figure("FOSCTTM", "foscttm", "rna", 0.0),
    Figure("FOSCTTM of posterior", "foscttm_of_posterior", "rna", 0.0),
    Figure("in first 10", "recall_at_10", "rna", 1.0),
    Figure("cell type", "label_transfer_accuracy", "rna", 1.0),
    Figure("calibration error", "calibration_error", "rna", 0.0),
    Figure("coverage, RNA→ADT", "coverage_of_90", "rna", 0.9),
    Figure("coverage, ADT→RNA", "coverage_of_90", "adt", 0.9),
)
"""Ranks (RNA→ADT is the mean Pearson correlation over proteins) and probabilities of the tables, in their order."""


def figure_of(row: Row) -> Figure | None:
    """The figure that a row holds; None for one that the tables leave out."""
    return next((f for f in FIGURES if (f.name, f.source) == (row["figure"], row["source"])), None)


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """The whole page."""
    rows = results["rows"]
    parts = [
        _TEXT.format(preset=settings.preset, said=settings.said),
        f"## Methods\n\n{_TEXT_METHODS}\n\n{figure_table(method_rows(rows), ('held out', 'method'), digits=3)}",
        f"## Single sources\n\n{_TEXT_SOURCES}\n\n{source_table(rows)}",
        f"## Number of data sets\n\n{_TEXT_CURVE}\n\n{figure_table(curve_rows(rows), ('held out', 'sets'), digits=3)}",
    ]
    return "\n".join(parts)


def method_rows(rows: Iterable[Row]) -> list[Row]:
    """Methods of all other data sets, and the best single source of Unisono and of centred CCA, with titles.

    Correlations of a single source are left out: they are over other features.
    """
    rows = list(rows)
    found = [row for row in rows if row["n_sets"] == _n_others(rows)]
    for method in (NAME, "cca-centred"):
        single = [row for row in best_single(rows, method) if row["figure"] != "pearson"]
        found += [{**row, "method": f"{method}, {SINGLE}"} for row in single]
    shown = [_shown(row) for row in found if row["features"] == SHARED and figure_of(row)]
    methods = sorted({row["method"] for row in shown}, key=lambda name: (not name.startswith(NAME), name))
    shown = sorted(_in_order(shown), key=lambda row: methods.index(row["method"]))
    means = [{**row, "held out": MEAN} for row in _over_held(shown, ("method",))]
    return [row for name in _held(rows) for row in shown if row["held out"] == name] + means


def best_single(rows: Iterable[Row], method: str) -> list[Row]:
    """Of each held set and figure, the rows of the source that was best there on the mean over seeds: an oracle."""
    single = [row for row in rows if row["method"] == method and row["n_sets"] == 1 and row["features"] == SHARED]
    known = [row for row in single if figure_of(row)]
    found: list[Row] = []
    for some in grouped(known, lambda row: (row["held"], row["figure"], row["source"])).values():
        found += _best(grouped(some, lambda row: (row["training"],)).values())
    return found


def source_table(rows: Iterable[Row]) -> str:
    """Markdown: what each source reaches alone, and all others, Unisono and the best baseline, on the same features."""
    rows = list(rows)
    single = [row for row in rows if (row["method"], row["n_sets"], row["features"]) == (NAME, 1, SHARED)]
    single = [row for row in single if row["figure"] in SOURCE_FIGURES]
    others = [row for row in rows if row["n_sets"] == _n_others(rows)]
    held = _held(rows)
    columns = ("held out", "figure", "source", "features", "alone", "all others", "best baseline of all others")
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    of_source = grouped(single, lambda row: (row["held"], row["figure"], row["source"], row["training"])).values()
    for own in sorted(of_source, key=lambda own: (held.index(own[0]["held"]), FIGURES.index(_figure(own[0])))):
        first = own[0]
        features = first["training"] if first["figure"] == "pearson" else SHARED
        wanted = first["held"], first["figure"], first["source"], features
        same = [r for r in others if (r["held"], r["figure"], r["source"], r["features"]) == wanted]
        by_method = grouped(same, lambda row: (row["method"],))
        union = by_method.pop((NAME,), [])
        baseline = _best(by_method.values())
        named = f"{_values(baseline)} {baseline[0]['method']}" if baseline else ""
        cells = first["held"], _figure(first).title, first["training"], str(first.get("n_features") or "")
        lines.append(f"| {' | '.join((*cells, _values(own), _values(union), named))} |")
    return "\n".join(lines) + "\n"


def curve_rows(rows: Iterable[Row]) -> list[Row]:
    """Unisono by the number of its data sets, with titles; a Pearson correlation over features of one of them.

    Every source is in as many choices of a number of sources as any other, so that the correlations of all numbers are
    over the same features: of each source, those that the held set measured too.
    """
    rows = [row for row in rows if row["method"] == NAME and figure_of(row)]
    kept = [row for row in rows if (row["features"] != SHARED) == (row["figure"] == "pearson")]
    shown = _in_order({**_shown(row), "sets": row["n_sets"]} for row in kept)
    shown.sort(key=lambda row: int(row["sets"]))
    means = [{**row, "held out": MEAN} for row in _over_held(shown, ("sets",))]
    return [row for name in _held(rows) for row in shown if row["held out"] == name] + means


def tell_ablation(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """The page of the ablation."""
    shown = _in_order(_shown(row) for row in results["rows"] if row["features"] == SHARED and figure_of(row))
    shown = [row for some in grouped(shown, lambda row: (row["held out"], row["method"])).values() for row in some]
    return (
        f"Preset {settings.preset}, {settings.said} Models of all data sets but one, asked about that one; figures as "
        "on the [page of methods](left-out.md).\n\n## What is lost without a part\n\n"
        "The figure of the whole model, averaged over held-out sets and seeds, and the difference without each part "
        "under the same seeds, the smallest and largest of a seed; in brackets in how many of the held-out sets the "
        "figure is better without it. Instance norm, style and the contrastive term are left out under every seed, "
        "the others under the first.\n\n"
        f"{difference_table(shown)}\n## Figures\n\n{figure_table(shown, ('held out', 'method'), digits=3)}"
    )


def difference_table(shown: Sequence[Row]) -> str:
    """Markdown: the whole model, and the mean difference of each other to it over held sets and seeds."""
    titles = [figure.title for figure in FIGURES if any(row["figure"] == figure.title for row in shown)]
    values: dict[tuple[str, str], dict[tuple[str, int], float]] = {}
    for row in shown:
        values.setdefault((row["method"], row["figure"]), {})[row["held out"], row["seed"]] = row["value"]
    lines = [f"| | seeds | {' | '.join(titles)} |", "|" + " --- |" * (len(titles) + 2)]
    for method in dict.fromkeys(row["method"] for row in shown):
        n_seeds = len({row["seed"] for row in shown if row["method"] == method})
        cells = [_difference(values, method, title) for title in titles]
        lines.append(f"| {method} | {n_seeds} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _difference(values: Mapping[tuple[str, str], Mapping[tuple[str, int], float]], method: str, title: str) -> str:
    """The mean difference, those of the least and of the largest seed, and in how many held-out sets it is better."""
    whole, found = values[NAME, title], values.get((method, title), {})
    held = list(dict.fromkeys(name for name, _ in found))
    if method == NAME:
        return f"{np.mean([_mean_of(whole, name, whole) for name in held]):.3f}"
    if not found:
        return ""
    badness = next(f for f in FIGURES if f.title == title).badness
    one, other = ({name: _mean_of(part, name, found) for name in held} for part in (whole, found))
    n_better = sum(badness(other[name]) < badness(one[name]) for name in held)
    lost = [other[name] - one[name] for name in held]
    of_seeds = [
        float(np.mean([value - whole[key] for key, value in found.items() if key[1] == seed]))
        for seed in dict.fromkeys(seed for _, seed in found)
    ]
    spread = f", {min(of_seeds):+.4f} to {max(of_seeds):+.4f}" if len(of_seeds) > 1 else ""
    return f"{np.mean(lost):+.4f}{spread} ({n_better} of {len(held)})"


def _mean_of(values: Mapping[tuple[str, int], float], name: str, among: Iterable[tuple[str, int]]) -> float:
    """Of one held-out set, over the seeds that are asked for."""
    return float(np.mean([values[key] for key in among if key[0] == name]))


def _shown(row: Row) -> Row:
    figure = figure_of(row)
    return {
        "held out": row["held"],
        "method": row["method"],
        "seed": row["seed"],
        "figure": row["figure"] if figure is None else figure.title,
        "value": row["value"],
    }


def _over_held(shown: Iterable[Row], by: tuple[str, ...]) -> list[Row]:
    """One row a figure and seed: the mean over held sets of the mean of each."""
    found = []
    keys = (*by, "figure", "seed")
    for some in grouped(shown, lambda row: tuple(str(row[name]) for name in keys)).values():
        of_held = grouped(some, lambda row: (row["held out"],)).values()
        value = float(np.mean([np.mean([row["value"] for row in part]) for part in of_held]))
        found.append({name: some[0][name] for name in keys} | {"value": value})
    return found


def _in_order(shown: Iterable[Row]) -> list[Row]:
    """Rows by their figures, in the order of tables."""
    titles = [figure.title for figure in FIGURES]
    return sorted(shown, key=lambda row: titles.index(row["figure"]))


def _held(rows: Iterable[Row]) -> list[str]:
    return sorted({row["held"] for row in rows})


def _n_others(rows: Iterable[Row]) -> int:
    return max(int(row["n_sets"]) for row in rows)


def _figure(row: Row) -> Figure:
    return next(figure for figure in FIGURES if (figure.name, figure.source) == (row["figure"], row["source"]))


def _best(several: Iterable[list[Row]]) -> list[Row]:
    """Of rows of one figure, those that are best on their mean; none of none."""
    return min(several, key=lambda rows: _figure(rows[0]).badness(_mean(rows)), default=[])


def _mean(rows: Iterable[Row]) -> float:
    return float(np.mean([row["value"] for row in rows]))


def _values(rows: Iterable[Row]) -> str:
    return spread([row["value"] for row in rows], 3)


_TEXT = """\
Every data set is held out in turn; a model of other ones is asked about it zero-shot, all of its batches being new.
Preset {preset}, {said} At most 3,000 cells of a set are asked about, the same for all methods. RNA→ADT and ADT→RNA are
the mean Pearson correlation over the features that the held-out set and any of the training sets measured. FOSCTTM is
by the vectors that `embed` writes, then by the match posterior of all pairs; *in first 10* is how often the partner is
there; *cell type* how often the likeliest match is of the right one; coverage is that of intervals which promise 90 %.
"""

_TEXT_METHODS = """\
Unisono and baselines of all other data sets, and of the best single source, chosen figure by figure on the held-out set
itself: an oracle, whose correlations, over fewer features, are in the next table. Baselines get a footing that is
generous to them: every batch of training and query less its own mean, feature by feature, what a batch did not measure
counting as its mean; regressions learn each feature from the cells that measured it. `cca-centred` moreover scales
proteins to one deviation in all batches. `cca` alone takes the query as it is, less the mean of training."""

_TEXT_SOURCES = """\
What each source reaches alone, and Unisono and the best baseline of all other sets on the same features: those that
this source and the held-out set measured. The best baseline is chosen on the held-out set itself."""

_TEXT_CURVE = """\
Unisono of every choice of one, two, three or all other sets. The correlations of one line are over the features of one
of its sets each, so that all lines are over the same features. Ranges are over choices and seeds; of the last lines,
means over held-out sets, over seeds."""

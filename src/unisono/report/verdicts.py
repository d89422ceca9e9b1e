"""Verdicts: what the figures of each section come to, in a sentence or two for a reader in a hurry; draws nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from unisono.evaluation.report_data import Direction, EvaluationReport, Pairing
from unisono.evaluation.score_table import Score
from unisono.messages import Severity
from unisono.metrics import wilson
from unisono.report import words
from unisono.report.tables import Row

_GAP = 0.01
"""Correlation or AUROC by which a prediction has to differ from the ridge to be called better or worse."""

_ABOVE_CHANCE = 0.05
"""Correlation, AUROC or FOSCTTM by which a figure has to differ from chance to be called of use."""

_TOLD = 0.1
"""Balanced accuracy above chance from which on a space is said to tell a label."""

_HELD = 0.03
"""Share of values by which intervals may miss what they promise."""

_KINDS = {
    "chance": "At chance, not to be used: {}.",
    "better": "Better than a ridge on the same codes, so that the networks add something: {}.",
    "alike": "No better than a ridge on the same codes, a linear model would do as well: {}.",
    "worse": "Worse than a ridge on the same codes, a linear model would do better: {}.",
    "alone": "Above chance: {}.",
}


def prediction(report: EvaluationReport) -> list[str]:
    """Which directions beat chance and a ridge, with both figures: a sentence for each kind."""
    found: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for each in report.directions:
        kind, text = _judged(report, each)
        found[kind].append(text)
    return [sentence.format(words.listed(found[kind])) for kind, sentence in _KINDS.items() if found[kind]]


def _judged(report: EvaluationReport, direction: Direction) -> tuple[str, str]:
    pair = direction.source, direction.target
    metric = "auroc" if report.scores.get(*pair, "auroc") else "pearson"
    value, ridge = report.scores.get(*pair, metric), report.scores.get(*pair, f"ridge_{metric}")
    name = words.arrow(*pair)
    if value is None or not np.isfinite(value.value):
        return "chance", name
    if abs(value.value - (value.chance or 0.0)) < _ABOVE_CHANCE:
        return "chance", f"{name} ({value.value:.2f})"
    if ridge is None:
        return "alone", f"{name} ({value.value:.2f})"
    gap = value.value - ridge.value
    kind = "better" if gap > _GAP else "worse" if gap < -_GAP else "alike"
    return kind, f"{name} ({value.value:.3f} against {ridge.value:.3f})"


def matching(report: EvaluationReport) -> list[str]:
    """For each pair how often the partner, and the type, is found; a sentence each."""
    return [_matched(report, each) for each in report.pairings if each.is_content_alone]


def _matched(report: EvaluationReport, pairing: Pairing) -> str:
    pair = pairing.left, pairing.right
    name = words.tie(*pair)
    if abs(report.scores.value(*pair, "foscttm") - 0.5) < _ABOVE_CHANCE:
        return f"{name}: at chance, the cells of one say nothing of the other; not to be used."
    first, same = (report.scores.get(*pair, metric) for metric in ("recall_at_10", "label_transfer_accuracy"))
    n_cells = f"{pairing.n_cells:,} cells"
    parts = [f"the partner is among the first 10 of {n_cells} for {_with_chance(first)}"] if first else []
    parts += [f"the likeliest cell has the right type for {_with_chance(same)}"] if same else []
    return f"{name}: {words.listed(parts)}."


def _with_chance(score: Score) -> str:
    return words.share(score.value) + ("" if score.chance is None else f" ({words.share(score.chance)} by chance)")


def probabilities(report: EvaluationReport) -> list[str]:
    """Whether the stated probabilities of matches hold, by content alone, in each pair."""
    return [_stated(each) for each in report.pairings if each.is_content_alone]


def _stated(pairing: Pairing) -> str:
    curve, name = pairing.reliability, words.tie(pairing.left, pairing.right)
    stated, right = (float(np.average(values, weights=curve.n)) for values in (curve.x, curve.y))
    low, high = wilson(np.array([right]), np.array([curve.n.sum()]))
    both = f"stated {words.share(stated)}, right {words.share(right)}"
    if low[0] <= stated <= high[0]:
        return f"{name}: stated probabilities hold ({both})."
    way = "too high" if stated > right else "too low"
    return f"{name}: stated probabilities are {way} by {abs(stated - right):.2f} ({both})."


def intervals(directions: Sequence[Direction]) -> str:
    """Whether intervals that promise nine values in ten hold as many."""
    held = {
        words.arrow(each.source, each.target): float(each.coverage.y[int(np.argmin(np.abs(each.coverage.x - 0.9)))])
        for each in directions
        if each.coverage is not None
    }
    narrow = [f"{name} ({words.share(share)})" for name, share in held.items() if share < 0.9 - _HELD]
    wide = [f"{name} ({words.share(share)})" for name, share in held.items() if share > 0.9 + _HELD]
    kept = [f"{name} ({words.share(share)})" for name, share in held.items() if abs(share - 0.9) <= _HELD]
    parts = [
        f"Intervals that promise 90 % hold it: {words.listed(kept)}." if kept else "",
        f"Too narrow, measure some cells and calibrate: {words.listed(narrow)}." if narrow else "",
        f"Wider than they need be: {words.listed(wide)}." if wide else "",
    ]
    return " ".join(part for part in parts if part)


def space(report: EvaluationReport) -> str:
    """How much closer partners lie than any two cells."""
    pairs = [each for each in report.pairings if each.is_content_alone]
    if not pairs:
        return ""
    partners, others = [each.partner_similarity for each in pairs], [each.other_similarity for each in pairs]
    is_close = all(partner - other > _ABOVE_CHANCE for partner, other in zip(partners, others, strict=True))
    near = "" if is_close else "hardly "
    return (
        f"A cell and its partner lie {near}closer together than any two cells: similarity {words.span(partners)} "
        f"against {words.span(others)}, where 1 is the same place."
    )


def content(probes: Sequence[Row]) -> list[str]:
    """What content and the shared space tell that they should not, and what that means for their use."""
    rows = _of(probes, "modality")
    told = [row for row in rows if _above_chance(row, "content")]
    mixed = [row for row in rows if not _above_chance(row, "content")]
    batches = [text for row in _of(probes, "batch") if (text := _of_batch(row))]
    return [*([_told(told)] if told else []), *([_mixed(mixed)] if mixed else []), *batches]


def _above_chance(row: Row, space: str) -> bool:
    return float(row[space]) - float(row["chance"]) > _TOLD


def _of(probes: Sequence[Row], label: str) -> list[Row]:
    """A row for each modality or pair, of the probe that tells the most of each space."""
    wanted = {"what", "of", "chance", "content", "embedding"}
    found: dict[str, dict[str, str | float]] = {}
    for row in (row for row in probes if wanted <= set(row) and row["what"] == label):
        best = found.setdefault(str(row["of"]), dict(row))
        for space in {"content", "embedding", "cell type"} & set(row):
            best[space] = max(float(best[space]), float(row[space]))
    return list(found.values())


def _mixed(rows: Sequence[Row]) -> str:
    return f"Content does not tell the modality, as it should be: {_accuracies(rows, 'content')}."


def _told(rows: Sequence[Row]) -> str:
    """That modalities part in content, what it does to matching, and what to cluster on."""
    text = (
        f"Content tells the modality: {_accuracies(rows, 'content')}. Cells part by modality there. It hardly "
        "hinders matching, which ranks cells across modalities and corrects for what all cells of one have in common."
    )
    shared = _accuracies(rows, "embedding")
    if not any(_above_chance(row, "embedding") for row in rows):
        return f"{text} To cluster cells of both use X_unisono, not content; there they are mixed: {shared}."
    return (
        f"{text} X_unisono tells it too: {shared}. Clusters of both may part by modality: cluster one, and carry its "
        "labels over by match."
    )


def _accuracies(rows: Sequence[Row], space: str) -> str:
    """The balanced accuracy of each pair, and that of chance."""
    parts = [f"{float(row[space]):.2f} ({_tie_of(str(row['of']))})" for row in rows]
    return f"balanced accuracy {words.listed(parts)}, {words.level(float(rows[0]['chance']))} at chance"


def _of_batch(row: Row) -> str:
    """Nothing where content tells the batch no better than chance or than cell types do."""
    least = max(float(row["chance"]), float(row.get("cell type", 0.0)))
    own = float(row["content"])
    if own - least <= _TOLD:
        return ""
    name = words.name_of(str(row["of"]))
    return (
        f"{name}: content tells the batch ({own:.2f}, {words.level(float(row['chance']))} at chance, "
        f"{least:.2f} from cell types alone): match within batch, and compare batches with care."
    )


def _tie_of(pair: str) -> str:
    a, b = pair.split("+")
    return words.tie(a, b)


def data(report: EvaluationReport) -> str:
    """How many findings there are, the gravest kind first."""
    if not report.findings:
        return "Nothing: counts, names and batches are as the model expects them."
    n_found = Counter(each.severity for each in report.findings)
    names: tuple[tuple[Severity, str], ...] = (("error", "error"), ("warning", "warning"), ("information", "note"))
    text = words.listed([words.counted(n_found[kind], name) for kind, name in names if n_found[kind]])
    if n_found["error"] + n_found["warning"]:
        return f"{text}: read them before you trust the figures above."
    return f"Nothing that touches the figures above: {text} for information."

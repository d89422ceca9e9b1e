"""What metrics, modalities and settings are called on the page, and what each means; plain sentences, no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unisono.modalities import spec_of
from unisono.types import Modality


class Meaning(NamedTuple):
    """A metric as a reader meets it: its name, one sentence, and whether high or low values are good."""

    name: str
    sentence: str
    better: str = "higher"


PREDICTION: dict[str, Meaning] = {
    "pearson": Meaning(
        "Correlation by feature",
        "Does a feature go up and down over cells as measured? Pearson correlation, mean over features.",
    ),
    "ridge_pearson": Meaning(
        "Correlation of a ridge",
        "The same for a linear ridge of the model's own codes, fitted to the same training cells: what to beat.",
    ),
    "spearman": Meaning(
        "Rank correlation by feature",
        "The same with ranks in place of values, so that a few extreme cells do not decide.",
    ),
    "auroc": Meaning(
        "AUROC by peak",
        "How often a cell in which a peak is open is ranked above one in which it is closed, mean over peaks.",
    ),
    "ridge_auroc": Meaning(
        "AUROC of a ridge", "The same for a linear ridge of the model's own codes, fitted to the same training cells."
    ),
    "auprc": Meaning(
        "AUPRC by peak", "Precision of finding the cells in which a peak is open, over all cut-offs, mean over peaks."
    ),
    "pearson_per_cell": Meaning(
        "Correlation by cell",
        "Does the profile of a cell look as measured? High for the average cell too: compare with the grey number.",
    ),
    "overall_pearson": Meaning(
        "Correlation over all values",
        "All cells and features as one list. High for the average cell too: compare with the grey number.",
    ),
    "rmse": Meaning(
        "Root mean squared error",
        "Typical distance of prediction and measurement, on the scale of the target; large errors weigh more.",
        "lower",
    ),
    "mae": Meaning(
        "Mean absolute error", "Mean distance of prediction and measurement, on the scale of the target.", "lower"
    ),
    "n_without_correlation": Meaning(
        "Features without a correlation",
        "Constant in these cells or in the prediction; each counts as a correlation of 0.",
        "lower",
    ),
}

MATCHING: dict[str, Meaning] = {
    "foscttm": Meaning(
        "Closer than the true partner",
        "Share of the other cells that lie closer to a cell than its own partner does (FOSCTTM).",
        "lower",
    ),
    "one_to_one_accuracy": Meaning(
        "Right partner, one to one", "Share of cells that get their own partner when each cell may be given only once."
    ),
    "match_probability": Meaning(
        "Probability of the true partner", "Probability that the model gives to a cell's own partner, mean over cells."
    ),
    "recall_at_1": Meaning("Partner ranked first", "Share of cells whose partner is the closest cell."),
    "recall_at_5": Meaning("Partner in the first 5", "Share of cells whose partner is among the 5 closest."),
    "recall_at_10": Meaning("Partner in the first 10", "Share of cells whose partner is among the 10 closest."),
    "label_transfer_accuracy": Meaning(
        "Right type of the matched cell",
        "Share of cells whose likeliest cell on the other side has their type, be it their partner or not.",
    ),
    "calibration_error": Meaning(
        "Calibration error",
        "How far stated probabilities are from how often they are right. 0 where they are equal.",
        "lower",
    ),
    "pair_auroc": Meaning(
        "AUROC of pairs", "How often a true pair of cells is given more probability than a pair drawn at random."
    ),
    "pair_auprc": Meaning("AUPRC of pairs", "Precision of finding the true pairs among all pairs, over all cut-offs."),
}


def arrow(source: Modality, target: Modality) -> str:
    """A direction of prediction, as `RNA → protein` or `Chromatin → RNA`."""
    return opening(f"{spec_of(source).label} → {spec_of(target).label}")


def tie(left: Modality, right: Modality) -> str:
    """A pair that is matched, as `RNA ↔ protein`."""
    return opening(f"{spec_of(left).label} ↔ {spec_of(right).label}")


def name_of(modality: Modality) -> str:
    """A modality at the beginning of a sentence."""
    return opening(spec_of(modality).label)


def counted(n: int, noun: str) -> str:
    """A number of things, as `1 warning` or `2 warnings`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def span(values: Sequence[float]) -> str:
    """Numbers from the least to the greatest, as `0.56 to 0.57`, or one where they are alike."""
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def unbroken(text: str) -> str:
    """A text whose per cent signs stay with their numbers at the end of a line."""
    return text.replace(" %", "\u00a0%")


def listed(names: list[str]) -> str:
    """Names in a sentence: `a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def setting(within: str | None, depth: bool) -> str:
    """How cells were matched, as `by content alone` or `within batch, with depth`."""
    parts = [*([] if within is None else [f"within {within}"]), *(["with depth"] if depth else [])]
    return ", ".join(parts) or "by content alone"


def opening(text: str) -> str:
    """A text with its first letter in upper case."""
    return text[0].upper() + text[1:]


def lower(text: str) -> str:
    """A text with its first letter in lower case, as in the middle of a sentence."""
    return text[0].lower() + text[1:]


def figure(value: float) -> str:
    """A figure with three places behind the point, or its first digit where these are all 0."""
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.1g}"


def level(value: float) -> str:
    """A chance level: as a figure, without noughts at the end."""
    return "0" if value == 0 else figure(value).rstrip("0").rstrip(".")


def share(value: float) -> str:
    """A share in per cent, with a place behind the point where it is small."""
    if value == 0:
        return "0 %"
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.2f} %"

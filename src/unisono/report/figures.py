"""Curves of probabilities and intervals as plotly figures, each also in words; styles come from the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unisono.evaluation.report_data import Direction, Pairing
from unisono.metrics import Curve, wilson
from unisono.report import words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MIN_MATCHES = 20
"""Of fewer matches the share that is right is uncertain: curves over the surest cells begin there."""

_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up")


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure as plotly's own JSON, and what it shows in words for each setting, "" where there is none."""

    name: str
    texts: dict[str, str]
    document: dict[str, Any]


def reliability(pairings: Sequence[Pairing]) -> Drawing:
    """Share of right answers over stated probability; on the diagonal where probabilities hold."""
    curves = [(words.tie(each.left, each.right), _setting(each), each.reliability) for each in pairings]
    texts = [
        f"{words.tie(each.left, each.right)}, {_setting(each)}: the likeliest partner is given "
        f"{words.share(_mean(each.reliability.x, each.reliability.n))} on average and is right in "
        f"{words.share(_mean(each.reliability.y, each.reliability.n))} of cells."
        for each in pairings
    ]
    top = max((float(max(curve.x.max(), curve.y.max())) for _, _, curve in curves), default=1.0)
    axes = ("stated probability of the likeliest partner", "share that is right")
    return Drawing("reliability", _by_setting(pairings, texts), _document(curves, axes, diagonal=top, bars=True))


def abstention(pairings: Sequence[Pairing]) -> Drawing:
    """Precision over the share of cells that are matched."""
    curves = [(words.tie(each.left, each.right), _setting(each), _begun(each.abstention)) for each in pairings]
    texts = [
        f"{words.tie(each.left, each.right)}, {_setting(each)}: "
        f"{words.share(float(each.abstention.y[-1]))} right if all cells are matched, "
        f"{words.share(_at(each.abstention, 0.25))} among the surest quarter."
        for each in pairings
    ]
    axes = ("share of cells matched, the surest first", "share that is right")
    return Drawing("abstention", _by_setting(pairings, texts), _document(curves, axes, markers=False))


def coverage(directions: Sequence[Direction]) -> Drawing:
    """Share of measured values inside their intervals over the share promised."""
    known = [(each, each.coverage) for each in directions if each.coverage is not None]
    curves = [(words.arrow(each.source, each.target), "", curve) for each, curve in known]
    text = " ".join(
        f"{words.arrow(each.source, each.target)}: intervals that promise {words.share(float(curve.x[i]))} hold "
        f"{words.share(float(curve.y[i]))} of the measured values."
        for each, curve in known
        for i in [int(np.argmin(np.abs(curve.x - 0.9)))]
    )
    return Drawing("coverage", {"": text}, _document(curves, ("share promised", "share of values held"), diagonal=1.0))


def _setting(pairing: Pairing) -> str:
    return words.setting(pairing.within, pairing.depth)


def _by_setting(pairings: Sequence[Pairing], texts: Sequence[str]) -> dict[str, str]:
    """The sentences of each setting, one after the other."""
    found: dict[str, list[str]] = {}
    for pairing, text in zip(pairings, texts, strict=True):
        found.setdefault(_setting(pairing), []).append(text)
    return {setting: " ".join(sentences) for setting, sentences in found.items()}


def _document(
    curves: Sequence[tuple[str, str, Curve]],
    axes: tuple[str, str],
    diagonal: float | None = None,
    markers: bool = True,
    bars: bool = False,
) -> dict[str, Any]:
    """One line per curve; `meta` says to the script which setting it belongs to, or that it is a guide."""
    from plotly import graph_objects as go

    figure: Figure = go.Figure(layout=go.Layout(template=go.layout.Template()))
    if diagonal is not None:
        line = {"dash": "dot", "width": 1.5}
        ends = [0, diagonal]
        figure.add_scatter(
            x=ends, y=ends, mode="lines", line=line, name="as stated", meta={"guide": True}, hoverinfo="skip"
        )
    names = list(dict.fromkeys(name for name, _, _ in curves))
    for name, setting, curve in curves:
        place = names.index(name)
        figure.add_scatter(
            x=curve.x.round(5).tolist(),
            y=curve.y.round(5).tolist(),
            customdata=curve.n.tolist(),
            mode="lines+markers" if markers else "lines",
            marker={"symbol": _SYMBOLS[place % len(_SYMBOLS)], "size": 7},
            line={"width": 2},
            name=name,
            meta={"setting": setting, "place": place},
            error_y=_bars(curve) if bars else None,
            hovertemplate="%{x:.1%} → %{y:.1%}, %{customdata:,}<extra>%{fullData.name}</extra>",
        )
    for axis, title in zip((figure.layout.xaxis, figure.layout.yaxis), axes, strict=True):
        axis.update(title={"text": title}, tickformat=".0%", rangemode="tozero")
    found: dict[str, Any] = figure.to_plotly_json()
    return found


def _bars(curve: Curve) -> dict[str, Any]:
    """Where the true share may lie, from how many matches are behind a point."""
    low, high = wilson(curve.y, curve.n)
    return {
        "type": "data",
        "symmetric": False,
        "array": (high - curve.y).round(5).tolist(),
        "arrayminus": (curve.y - low).round(5).tolist(),
        "thickness": 1,
        "width": 0,
    }


def _begun(curve: Curve) -> Curve:
    """The curve from 20 matches on; its end at least."""
    is_shown = curve.n >= min(_MIN_MATCHES, curve.n[-1])
    return Curve(*(part[is_shown] for part in curve))


def _mean(values: np.ndarray[Any, np.dtype[np.float64]], n: np.ndarray[Any, np.dtype[np.intp]]) -> float:
    return float(np.average(values, weights=n))


def _at(curve: Curve, share: float) -> float:
    """The curve's height at a share of cells."""
    return float(curve.y[np.argmin(np.abs(curve.x - share))])

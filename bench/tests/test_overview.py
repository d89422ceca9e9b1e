"""The picture of the README: its legends hide no data, and its figures are those of the metrics."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import unisono as un
from unisono_bench.studies.overview import draw_prediction, draw_ranks


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(3)
    truth = rng.standard_normal((43, 7))
    ours, ridge = (truth + noise * rng.standard_normal(truth.shape) for noise in (0.5, 1.5))
    vectors = rng.standard_normal((43, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    draw_prediction(left, truth, ours, ridge, np.array([f"CD{i}" for i in range(7)]))
    draw_ranks(right, un.matching.Similarity(vectors, vectors, 1.0), 0.0)
    figure.canvas.draw()
    return figure, truth, ours, ridge


def test_legends_stand_outside_the_axes_and_within_the_picture(drawn):
    figure = drawn[0]
    for axes in figure.axes:
        legend = axes.get_legend().get_window_extent()
        assert not legend.overlaps(axes.get_window_extent())
        assert not legend.overlaps(axes.xaxis.label.get_window_extent())
        assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= legend.y0


def test_the_legend_has_the_mean_of_what_is_drawn(drawn):
    figure, truth, ours, ridge = drawn
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    means = [np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(truth.T, x.T, strict=True)]) for x in (ridge, ours)]
    assert texts == [f"ridge, mean {means[0]:.3f}", f"Unisono, mean {means[1]:.3f}"]
    assert figure.axes[1].lines[0].get_ydata()[0] == 1.0

"""Figures of a shared space: scib-metrics' own where it is installed, and a plain word where it is not."""

import sys

import numpy as np
import pytest

from unisono.metrics import shared_space

TYPES = np.array(["B", "NK", "T"])[np.arange(131) % 3]
BATCHES = np.array(["b1", "b2"])[np.arange(131) // 3 % 2]


def cells(between_types=0.0, between_batches=0.0, seed=0):
    """131 cells in five dimensions: types lie apart along the first, batches along the second."""
    z = 0.3 * np.random.default_rng(seed).normal(size=(131, 5))
    z[:, 0] += between_types * (np.arange(131) % 3)
    z[:, 1] += between_batches * (BATCHES == "b2")
    return z


@pytest.fixture
def scib():
    return pytest.importorskip("scib_metrics", reason="scib-metrics is not installed")


@pytest.mark.slow
def test_every_figure_is_between_zero_and_one(scib):
    found = shared_space(cells(2.0, 0.5), BATCHES, TYPES)
    assert set(found) == {
        "silhouette_label",
        "clisi",
        "nmi",
        "ari",
        "graph_connectivity",
        "ilisi",
        "silhouette_batch",
    }
    assert all(type(figure) is float and 0 <= figure <= 1 for figure in found.values())


@pytest.mark.slow
def test_silhouette_and_clusters_are_those_of_scikit_learn(scib):
    from sklearn.metrics import silhouette_score

    z = cells(3.0)
    found = shared_space(z, BATCHES, TYPES)
    assert found["silhouette_label"] == pytest.approx((silhouette_score(z, TYPES) + 1) / 2, abs=1e-4)
    assert found["nmi"] == pytest.approx(1, abs=1e-6)
    assert found["ari"] == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_types_apart_raise_the_figures_of_types_and_batches_apart_lower_those_of_batches(scib):
    mixed, apart = shared_space(cells(3.0), BATCHES, TYPES), shared_space(cells(3.0, 3.0), BATCHES, TYPES)
    blurred = shared_space(cells(0.0), BATCHES, TYPES)
    for name in ("silhouette_label", "clisi", "nmi", "ari"):
        assert mixed[name] > blurred[name] + 0.1, name
    for name in ("ilisi", "silhouette_batch"):
        assert mixed[name] > apart[name] + 0.1, name


@pytest.mark.slow
def test_batch_and_type_are_not_mixed_up(scib):
    given, style_transfer = shared_space(cells(3.0), BATCHES, TYPES), shared_space(cells(3.0), TYPES, BATCHES)
    assert given["silhouette_label"] > style_transfer["silhouette_label"] + 0.2
    assert given["ilisi"] > style_transfer["ilisi"] + 0.2


@pytest.mark.slow
def test_one_batch_or_one_type_leaves_out_what_it_cannot_tell(scib):
    one = np.full(131, "all")
    assert set(shared_space(cells(2.0), one, TYPES)) == {
        "silhouette_label",
        "clisi",
        "nmi",
        "ari",
        "graph_connectivity",
    }
    assert set(shared_space(cells(2.0), BATCHES, one)) == {"ilisi", "silhouette_batch"}
    assert "silhouette_batch" not in shared_space(cells(2.0), TYPES, TYPES)


def test_what_cannot_be_scored_is_refused():
    one = np.full(131, "all")
    with pytest.raises(ValueError, match="nothing to compare"):
        shared_space(cells(), one, one)
    with pytest.raises(ValueError, match="131 cells, 130 batch entries and 131 cell types"):
        shared_space(cells(), BATCHES[1:], TYPES)
    with pytest.raises(ValueError, match="not finite"):
        shared_space(np.full((131, 5), np.nan), BATCHES, TYPES)


def test_without_the_library_the_remedy_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "scib_metrics", None)
    with pytest.raises(ImportError, match=r"^shared_space needs scib-metrics: pip install scib-metrics$"):
        shared_space(cells(), BATCHES, TYPES)

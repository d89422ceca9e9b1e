"""The simulated co-assay has the structure it says it has."""

import inspect
import re
from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from unisono.datasets import Recipe, simulate, simulate_cells

SMALL = Recipe(n_cells=313, n_genes=90, n_peaks=280, n_proteins=11)
MODALITIES = ("atac", "rna", "adt")


@cache
def made(**changes):
    return simulate_cells(replace(SMALL, **changes))


def counts(simulation, modality):
    return simulation.cells.views[modality].counts.toarray()


def log_normalised(simulation, modality):
    values = counts(simulation, modality)
    return np.log1p(values / values.sum(axis=1, keepdims=True) * np.median(values.sum(axis=1)))


def batch_difference(simulation, modality):
    """Mean absolute t-like difference of log-normalised features between the two batches; near 0.8 by chance."""
    values, is_first = log_normalised(simulation, modality), simulation.batch == "b1"
    one, other = values[is_first], values[~is_first]
    error = np.sqrt(one.var(axis=0) / len(one) + other.var(axis=0) / len(other))
    return np.mean(np.abs(one.mean(axis=0) - other.mean(axis=0)) / np.maximum(error, 1e-9))


def column_correlation(x, y):
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return (x * y).sum(axis=0) / np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))


def test_same_seed_same_counts_other_seed_other_counts():
    again, other = simulate_cells(SMALL), made(seed=1)
    for modality in MODALITIES:
        assert (counts(made(), modality) == counts(again, modality)).all()
        assert (counts(made(), modality) != counts(other, modality)).any()


def test_no_cell_is_empty_even_at_low_depth_and_high_dropout():
    thin = made(atac_depth=1.0, rna_depth=1.0, adt_depth=1.0, dropout=0.9)
    for modality in MODALITIES:
        view = thin.cells.views[modality]
        assert np.issubdtype(view.counts.dtype, np.integer)
        assert view.depth.min() >= 1


def test_sparsity_is_that_of_real_assays():
    simulation = simulate_cells(Recipe())
    filled = {m: (counts(simulation, m) > 0).mean() for m in MODALITIES}
    assert 0.05 < filled["atac"] < 0.10
    assert 0.15 < filled["rna"] < 0.25
    assert filled["adt"] > 0.95


def test_shapes_and_names():
    simulation = made()
    assert {m: simulation.cells.views[m].counts.shape for m in MODALITIES} == {
        "atac": (313, 280),
        "rna": (313, 90),
        "adt": (313, 11),
    }
    assert (simulation.cells.views["rna"].cells == simulation.cells.views["adt"].cells).all()
    assert re.fullmatch(r"cell0001-b[12]", simulation.cells.names[0])
    assert all(re.fullmatch(r"chr\d+:\d+-\d+", name) for name in simulation.cells.views["atac"].features)
    assert simulation.cells.views["rna"].features[0] == "GENE0001"
    assert [name.split("-")[1] for name in simulation.cells.names] == simulation.batch.tolist()


def test_cis_peaks_lie_near_one_another_on_one_chromosome():
    simulation = simulate_cells(Recipe(n_cells=2, n_genes=50, n_peaks=333))
    peaks = simulation.cells.views["atac"].features
    chromosome = np.array([name.split(":")[0] for name in peaks])
    start = np.array([int(name.split(":")[1].split("-")[0]) for name in peaks])
    for gene in range(50):
        linked = simulation.linked_gene == gene
        assert linked.sum() >= 5
        assert len(set(chromosome[linked])) == 1
        assert np.ptp(start[linked]) < 50_000


def test_rates_of_genes_follow_their_own_peaks():
    simulation = made()
    is_cis = simulation.linked_gene >= 0
    own = simulation.linked_gene[is_cis]
    with_own = column_correlation(simulation.accessibility[:, is_cis], simulation.rna_rate[:, own])
    with_other = column_correlation(simulation.accessibility[:, is_cis], simulation.rna_rate[:, (own + 1) % 90])
    assert with_own.mean() > 0.6
    assert np.abs(with_other.mean()) < 0.2


def test_protein_counts_follow_their_own_gene():
    simulation = made()
    rates = np.log(simulation.rna_rate)
    own = column_correlation(log_normalised(simulation, "adt"), rates[:, simulation.coding_gene])
    other = column_correlation(log_normalised(simulation, "adt"), rates[:, np.roll(simulation.coding_gene, 1)])
    assert own.mean() > 0.5
    assert np.abs(other.mean()) < 0.4


def test_lag_pulls_protein_to_its_cell_type():
    def within_type(simulation):
        log_rate = np.log(simulation.adt_rate)
        parts = [log_rate[simulation.cell_type == name] for name in np.unique(simulation.cell_type)]
        return np.mean([part.std(axis=0).mean() for part in parts])

    assert within_type(made(lag=1.0)) == pytest.approx(0, abs=1e-9)
    assert within_type(made(lag=0.6)) == pytest.approx(0.4 * within_type(made(lag=0.0)))


def test_counts_have_the_means_that_the_truth_says():
    plain = simulate_cells(Recipe(3000, 40, 70, 9, batch_effect=0, depth_spread=0, dropout=0))
    found = counts(plain, "rna").mean(axis=0)
    np.testing.assert_allclose(found, plain.rna_rate.mean(axis=0), rtol=0.2, atol=0.05)
    opened = counts(plain, "atac").mean(axis=0)
    expected = plain.accessibility.mean(axis=0)
    assert np.corrcoef(opened, expected)[0, 1] > 0.97
    assert (counts(plain, "adt").mean(axis=0) > plain.adt_rate.mean(axis=0)).all()


def test_depth_is_as_asked():
    shallow, deep = made(), made(atac_depth=300.0, rna_depth=600.0, adt_depth=4500.0)
    for modality in MODALITIES:
        ratio = np.median(deep.cells.views[modality].depth) / np.median(shallow.cells.views[modality].depth)
        assert ratio == pytest.approx(3, rel=0.15)
    assert np.median(shallow.cells.views["rna"].depth) == pytest.approx(200, rel=0.15)


def test_depths_of_one_cell_are_as_correlated_as_asked():
    def correlation(shared):
        plain = made(shared_depth=shared, depth_spread=1.0, atac_depth=1000.0, rna_depth=2000.0, n_cells=1500)
        log_depth = [np.log(plain.cells.views[m].depth) for m in MODALITIES]
        return np.corrcoef(log_depth)[np.triu_indices(3, 1)]

    assert correlation(0.0).max() < 0.25
    assert correlation(1.0).min() > 0.75


def test_without_batch_effect_batches_differ_by_chance_and_with_it_by_more():
    for modality in MODALITIES:
        assert batch_difference(made(batch_effect=0.0), modality) < 1.2
        assert batch_difference(made(batch_effect=0.6), modality) > 1.6


def test_batches_are_of_one_size_and_hold_the_same_types():
    simulation = made(n_cells=600, n_batches=3)
    assert np.unique(simulation.batch, return_counts=True)[1].tolist() == [200, 200, 200]
    for name in np.unique(simulation.cell_type):
        share = [(simulation.cell_type[simulation.batch == b] == name).mean() for b in ("b1", "b2", "b3")]
        assert np.ptp(share) < 0.12


def test_content_explains_counts_of_cells_not_fitted_on():
    simulation = simulate_cells(replace(SMALL, n_cells=900, batch_effect=0.0, depth_spread=0.1))
    for modality, wanted in (("rna", 0.12), ("adt", 0.4)):
        values = log_normalised(simulation, modality)
        fitted = Ridge().fit(simulation.content[:600], values[:600])
        assert fitted.score(simulation.content[600:], values[600:]) > wanted
        wrong = Ridge().fit(simulation.content[:600], values[:600][::-1])
        assert wrong.score(simulation.content[600:], values[600:]) < 0.05


def test_dropout_loses_its_share_of_entries_and_spares_protein():
    none, half = made(dropout=0.0), made(dropout=0.5)
    for modality, wanted in (("atac", 0.5), ("rna", 0.5), ("adt", 1.0)):
        left_over = (counts(half, modality) > 0).sum() / (counts(none, modality) > 0).sum()
        assert left_over == pytest.approx(wanted, abs=0.04)


def test_a_recipe_that_cannot_be_cooked_is_refused():
    with pytest.raises(ValueError, match="n_proteins=9: each needs a coding gene, there are 8"):
        Recipe(n_genes=8, n_proteins=9)
    with pytest.raises(ValueError, match=r"lag=1\.5: expected 0 to 1"):
        Recipe(lag=1.5)
    with pytest.raises(ValueError, match="n_cells=0: expected at least 1"):
        Recipe(n_cells=0)


def test_smallest_and_oddest_sizes_work():
    for recipe in (Recipe(1, 1, 1, 1, 1, 1, 1), Recipe(5, 13, 3, 2, n_batches=7, n_types=9)):
        simulation = simulate_cells(recipe)
        for view in simulation.cells.views.values():
            assert view.depth.min() >= 1


def test_simulate_has_the_defaults_of_the_recipe():
    defaults = {name: p.default for name, p in inspect.signature(simulate).parameters.items()}
    assert defaults == asdict(Recipe())


def test_mudata_holds_the_same_counts_labels_and_truth():
    mdata = simulate(313, 90, 280, 11, batch_effect=0.1, lag=0.7, seed=5)
    simulation = made(batch_effect=0.1, lag=0.7, seed=5)
    assert mdata.obs_names.tolist() == simulation.cells.names.tolist()
    for modality in MODALITIES:
        assert (simulation.cells.views[modality].counts != mdata[modality].X).nnz == 0
        assert mdata[modality].obs["batch"].tolist() == simulation.batch.tolist()
    assert mdata.obs["cell_type"].tolist() == simulation.cell_type.tolist()
    np.testing.assert_array_equal(mdata.obsm["content"], simulation.content)
    linked = mdata["atac"].var["gene"].to_numpy()
    assert (linked[simulation.linked_gene < 0] == "").all()
    assert linked[0] == f"GENE{simulation.linked_gene[0] + 1:04d}"
    assert (mdata["adt"].var_names == "ADT-" + mdata["adt"].var["gene"]).all()

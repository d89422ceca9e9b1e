"""A transform is fitted on training cells, then frozen: names, not places, and no other cell, make a cell's codes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from unisono import modalities
from unisono.config import FitConfig
from unisono.datasets import Recipe, simulate_cells
from unisono.modalities import normalise
from unisono.modalities.normalise import multinomial_deviance
from unisono.preprocessing import projection
from unisono.preprocessing.projection import Projection, on_scale

CONFIG = FitConfig(n_codes=7, max_features={"rna": 61, "atac": 127}, preprocessing={"codings": {"rna": ("anscombe",)}})


@pytest.fixture(scope="module")
def cells():
    return simulate_cells(Recipe(n_cells=211, n_genes=83, n_peaks=149, n_proteins=17, n_factors=5, seed=3)).cells


@pytest.fixture(scope="module")
def fitted(cells):
    return {m: Projection.fit(view, CONFIG) for m, view in cells.views.items()}


MODALITIES = pytest.mark.parametrize("modality", ["rna", "atac", "adt"])


def columns_of(view, columns):
    return replace(view, counts=view.counts[:, columns], features=view.features[columns])


def unit_rows(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


EXPONENTS = {"root": 1 / 2, "anscombe": 2 / 3, "pearson": 1.0}
CODINGS = pytest.mark.parametrize("coding", EXPONENTS)


def with_coding(coding, **changes):
    """The config with one coding of genes."""
    choice = CONFIG.preprocessing.model_copy(update={"codings": {"rna": (coding,)}, **changes})
    return CONFIG.model_copy(update={"preprocessing": choice})


def residuals(x, total, exponent, at_most=10.0):
    """Residuals of a power of counts at the mean depth, for Poisson noise and 1 % of squared variation, by formula."""
    mean = total.mean() * (x.sum(axis=0) + 0.5) / total.sum()
    noise = np.sqrt(mean + 0.01 * mean**2)
    scaled = x * total.mean() / total[:, None]
    return np.minimum((scaled**exponent - mean**exponent) / (exponent * mean ** (exponent - 1) * noise), at_most)


def dense_codes(modality, made, view):
    """Codes by their formulas on dense float64 matrices."""
    x = view.counts.toarray().astype(float)[:, made.selected]
    depth = view.counts.toarray().sum(axis=1, keepdims=True)
    values = {
        "rna": lambda: np.minimum((x / depth) ** (2 / 3) * made.parameters[0], made.parameters[1]),
        "atac": lambda: unit_rows(np.log1p(1e4 * x / depth) * made.parameters[0]),
        "adt": lambda: np.log1p(x / np.exp(np.log1p(x).mean(axis=1, keepdims=True))),
    }[modality]()
    return (values - made.centre) @ made.basis.astype(float)


@MODALITIES
def test_codes_equal_their_formula_on_dense_matrices(modality, cells, fitted):
    made, view = fitted[modality], cells.views[modality]
    np.testing.assert_allclose(made.codes(made.counts(view)), dense_codes(modality, made, view), atol=2e-4)


@CODINGS
@pytest.mark.parametrize("at_most", [10.0, 1.5])
def test_codes_of_genes_are_those_of_centred_residuals(coding, at_most, cells):
    view = cells.views["rna"]
    made = Projection.fit(view, with_coding(coding, max_residual=at_most))
    found = residuals(view.counts.toarray()[:, made.selected].astype(float), view.depth, EXPONENTS[coding], at_most)
    wanted = (found - found.mean(axis=0)) @ made.basis.astype(float)
    assert made.coding == coding
    assert ((found == at_most).any(axis=0)).any()
    np.testing.assert_allclose(made.codes(made.counts(view)), wanted, atol=2e-4 * np.abs(wanted).max())


def test_codes_of_logs_are_those_of_log1p_over_the_root_of_its_deviation(cells):
    view = cells.views["rna"]
    made = Projection.fit(view, with_coding("log"))
    logs = np.log1p(1e4 * view.counts.toarray()[:, made.selected] / view.depth[:, None])
    values = logs / np.sqrt(logs.std(axis=0))
    wanted = (values - values.mean(axis=0)) @ made.basis.astype(float)
    np.testing.assert_allclose(made.codes(made.counts(view)), wanted, atol=2e-3)


def test_a_blend_is_the_sum_of_residuals_and_logs_that_vary_alike(cells):
    view = cells.views["rna"]
    made = Projection.fit(view, with_coding("blend"))
    x = view.counts.toarray()[:, made.selected].astype(float)
    logs = np.log1p(1e4 * x / view.depth[:, None])
    parts = residuals(x, view.depth, 1.0), logs / np.sqrt(logs.std(axis=0))
    wanted = sum((part - part.mean(axis=0)) / np.sqrt(part.var(axis=0).sum()) for part in parts)
    wanted = wanted * np.sqrt(parts[0].var(axis=0).sum()) @ made.basis.astype(float)
    np.testing.assert_allclose(made.codes(made.counts(view)), wanted, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("coding", [*EXPONENTS, "log", "blend"])
def test_a_cell_that_was_read_three_times_as_deeply_has_the_same_code(coding, cells):
    view = cells.views["rna"]
    made = Projection.fit(view, with_coding(coding))
    deeper = replace(view, counts=view.counts * 3)
    found, wanted = (made.codes(made.counts(each)) for each in (deeper, view))
    np.testing.assert_allclose(found, wanted, atol=1e-3)


@CODINGS
def test_weights_and_limits_of_a_gene_are_those_of_the_cells_that_measured_it(coding, cells):
    view = cells.views["rna"]
    lacked = np.arange(83) % 3 == 1
    dense = view.counts.toarray()
    dense[np.ix_(view.batch == "b2", lacked)] = 0
    holes = replace(view, counts=sparse.csr_matrix(dense), unmeasured={"b2": lacked})
    made = Projection.fit(holes, with_coding(coding))
    counts, total = made.counts(holes), made.counts(holes).total
    for chosen, rows in ((lacked, view.batch == "b1"), (~lacked, np.ones(211, dtype=bool))):
        columns = np.flatnonzero(chosen[made.selected])
        x = counts.selected.toarray()[np.ix_(rows, columns)].astype(float)
        constant = residuals(np.vstack([x, np.zeros((1, len(columns)))])[:-1], total[rows], EXPONENTS[coding], np.inf)
        values = made.values(counts).toarray()[np.ix_(rows, columns)]
        gap = values - np.minimum(constant, 10.0)
        np.testing.assert_allclose(gap, np.broadcast_to(gap[0], gap.shape), atol=1e-3)
        np.testing.assert_allclose(made.parameters[1, columns] - gap[0], 10.0, atol=1e-3)


@MODALITIES
def test_the_basis_is_orthonormal(modality, fitted):
    basis = fitted[modality].basis.astype(float)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-5)


def test_codes_of_training_cells_have_mean_zero_where_the_modality_is_centred_and_not_for_atac(cells, fitted):
    mean = {m: np.abs(made.codes(made.counts(cells.views[m])).mean(axis=0)).max() for m, made in fitted.items()}
    assert max(mean["rna"], mean["adt"]) < 1e-4
    assert mean["atac"] > 1e-3
    np.testing.assert_array_equal(fitted["atac"].centre, 0.0)


def test_weights_are_those_of_the_training_cells(cells, fitted):
    peaks = cells.views["atac"].counts[:, fitted["atac"].selected]
    np.testing.assert_allclose(fitted["atac"].parameters[0], normalise.peak_weight(peaks))
    rna = cells.views["rna"]
    genes = rna.counts[:, fitted["rna"].selected]
    np.testing.assert_allclose(fitted["rna"].parameters[0], normalise.residual_weight(genes, rna.depth, 2 / 3, 0.01))
    logs = Projection.fit(rna, with_coding("log"))
    np.testing.assert_allclose(logs.parameters[0], normalise.gene_weight(normalise.log1p_cp10k(genes, rna.depth)))
    np.testing.assert_array_equal(fitted["adt"].parameters, np.ones((1, 17)))


def test_loadings_are_the_least_squares_map_from_codes_to_every_feature_on_its_scale(cells, fitted):
    for m, made in fitted.items():
        codes = made.codes(made.counts(cells.views[m])).astype(float)
        values = on_scale(cells.views[m]).toarray()
        wanted = np.linalg.lstsq(np.column_stack([codes, np.ones(211)]), values, rcond=None)[0]
        np.testing.assert_allclose(made.loadings.T, wanted[:-1], atol=2e-3 * np.abs(wanted).max())
        np.testing.assert_allclose(made.intercept, wanted[-1], atol=2e-3 * np.abs(wanted).max())


def test_genes_are_selected_by_deviance_peaks_by_cells_and_proteins_all(cells, fitted):
    deviance = multinomial_deviance(cells.views["rna"].counts)
    assert set(fitted["rna"].selected) == set(np.argsort(-deviance)[:61])
    seen = (cells.views["atac"].counts.toarray() > 0).sum(axis=0)
    left_out = np.setdiff1d(np.arange(149), fitted["atac"].selected)
    assert len(left_out) == 22
    assert seen[fitted["atac"].selected].min() - seen[left_out].max() >= 0
    assert fitted["adt"].selected.tolist() == list(range(17))


def test_fractions_of_all_features_sum_to_one(cells, fitted):
    for m, made in fitted.items():
        x = cells.views[m].counts.toarray()
        np.testing.assert_allclose(made.fraction, x.sum(axis=0) / x.sum())


def test_codes_are_never_more_than_asked_or_than_the_data_can_bear(cells, fitted):
    assert fitted["rna"].n_codes == 7
    few = Projection.fit(cells.views["rna"].take(np.arange(5)), CONFIG)
    assert few.n_codes == 4


def test_one_seed_gives_the_same_transform_bit_by_bit_and_another_seed_nearly_so(cells, fitted):
    view = cells.views["rna"]
    same = Projection.fit(view, CONFIG)
    other = Projection.fit(view, CONFIG.model_copy(update={"seed": 1}))
    np.testing.assert_array_equal(same.basis, fitted["rna"].basis)
    assert (other.basis != same.basis).any()
    np.testing.assert_allclose(np.abs((other.basis * same.basis).sum(axis=0))[:3], 1.0, atol=1e-3)


@MODALITIES
def test_a_query_with_permuted_features_gets_bit_identical_codes(modality, cells, fitted):
    made, view = fitted[modality], cells.views[modality]
    permuted = columns_of(view, np.random.default_rng(0).permutation(len(view.features)))
    np.testing.assert_array_equal(made.codes(made.counts(permuted)), made.codes(made.counts(view)))


def test_features_permuted_without_their_names_change_the_codes(cells, fitted):
    made, view = fitted["rna"], cells.views["rna"]
    wrong = replace(view, counts=view.counts[:, np.random.default_rng(0).permutation(83)])
    assert np.abs(made.codes(made.counts(wrong)) - made.codes(made.counts(view))).max() > 0.5


@MODALITIES
def test_unknown_features_are_ignored_and_counted(modality, cells, fitted):
    made, view = fitted[modality], cells.views[modality]
    unknown = sparse.csr_matrix(np.random.default_rng(1).poisson(50.0, size=(211, 3)))
    wider = replace(
        view,
        counts=sparse.hstack([unknown, view.counts], format="csr"),
        features=np.concatenate([["new-a", "new-b", "new-c"], view.features]),
    )
    counts = made.counts(wider)
    assert (counts.alignment.n_unknown, counts.alignment.n_missing) == (3, 0)
    np.testing.assert_array_equal(made.codes(counts), made.codes(made.counts(view)))


@pytest.mark.parametrize(("modality", "n_seen"), [("rna", 67), ("atac", 119), ("adt", 14)])
def test_codes_from_four_fifths_of_the_features_correlate_with_the_full_codes(modality, n_seen, cells, fitted):
    made, view = fitted[modality], cells.views[modality]
    seen = np.random.default_rng(2).permutation(len(view.features))[:n_seen]
    counts = made.counts(columns_of(view, seen))
    assert counts.alignment.n_missing == len(view.features) - n_seen
    found, full = made.codes(counts).astype(float), made.codes(made.counts(view)).astype(float)
    assert np.corrcoef(found.ravel(), full.ravel())[0, 1] > 0.9


def test_codes_of_a_partial_query_are_those_of_cells_completed_by_their_expectation(cells, fitted):
    """B_mᵀ x_m + B_uᵀ E[x_u | x_m], with the covariance B diag(s) Bᵀ + noise that the training codes imply."""
    made, view = fitted["adt"], cells.views["adt"]
    seen = np.array([0, 2, 3, 5, 6, 8, 9, 10, 12, 13, 14, 16])
    unseen = np.setdiff1d(np.arange(17), seen)
    x = view.counts.toarray()[:, seen].astype(float)
    mean_log = np.log1p(x).sum(axis=1, keepdims=True) / made.term_fraction[seen].sum() / 17
    values = np.log1p(x / np.exp(mean_log)) - made.centre[seen]
    basis, mean = made.basis.astype(float), made.mean_code.astype(float)
    covariance = basis @ np.diag(1.0 / made.noise) @ basis.T + np.eye(17)
    gain = covariance[np.ix_(unseen, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    expected = basis[unseen] @ mean + (values - basis[seen] @ mean) @ gain.T
    wanted = values @ basis[seen] + expected @ basis[unseen]
    np.testing.assert_allclose(made.codes(made.counts(columns_of(view, seen))), wanted, atol=1e-4)


def test_a_missing_feature_outside_the_selection_leaves_the_projection_as_it_was(cells, fitted):
    made, view = fitted["rna"], cells.views["rna"]
    gone = np.setdiff1d(np.arange(83), made.selected)[0]
    found = made.codes(made.counts(columns_of(view, np.setdiff1d(np.arange(83), [gone]))))
    np.testing.assert_allclose(found, made.codes(made.counts(view)), atol=0.2)


def test_the_total_of_a_partial_query_is_raised_by_the_fraction_of_the_missing_features(cells, fitted):
    """A query without unselected genes has the codes of one whose unselected genes had their usual fraction."""
    made, view = fitted["rna"], cells.views["rna"]
    x = view.counts.toarray()[:, made.selected].astype(float)
    total = x.sum(axis=1, keepdims=True) / made.fraction[made.selected].sum()
    values = np.minimum((x / total) ** (2 / 3) * made.parameters[0], made.parameters[1])
    wanted = (values - made.centre) @ made.basis.astype(float)
    np.testing.assert_allclose(made.codes(made.counts(columns_of(view, made.selected))), wanted, atol=2e-4)


def test_a_view_of_another_modality_is_refused(cells, fitted):
    with pytest.raises(ValueError, match="a projection of rna was given a view of adt"):
        fitted["rna"].counts(cells.views["adt"])


def test_a_view_without_a_known_feature_is_refused(cells, fitted):
    stranger = replace(cells.views["adt"], features=np.array([f"new-{i}" for i in range(17)]))
    with pytest.raises(ValueError, match="adt: none of the 17 features is known to the model"):
        fitted["adt"].counts(stranger)


def test_too_few_cells_or_features_are_refused(cells):
    with pytest.raises(ValueError, match="adt: 2 cells and 17 proteins with counts cannot make a code"):
        Projection.fit(cells.views["adt"].take(np.arange(2)), CONFIG)
    with pytest.raises(ValueError, match="atac: 211 cells and 1 peaks with counts cannot make a code"):
        Projection.fit(columns_of(cells.views["atac"], np.array([4])), CONFIG)


@MODALITIES
def test_codes_of_a_cell_do_not_depend_on_the_other_cells_of_the_query(modality, cells, fitted):
    made, view = fitted[modality], cells.views[modality]
    rows = np.array([101, 7, 43])
    np.testing.assert_allclose(
        made.codes(made.counts(view.take(rows))), made.codes(made.counts(view))[rows], rtol=1e-6, atol=1e-6
    )


def test_reading_a_query_leaves_the_projection_as_it_was(cells, fitted):
    made = Projection.fit(cells.views["rna"], CONFIG)
    made.codes(made.counts(cells.views["rna"].take(np.arange(5))))
    for name in ("centre", "basis", "parameters", "loadings", "intercept", "fraction"):
        np.testing.assert_array_equal(getattr(made, name), getattr(fitted["rna"], name))


@MODALITIES
def test_values_and_codes_in_pieces_equal_those_in_one(modality, cells, fitted, monkeypatch):
    made, view = fitted[modality], cells.views[modality]
    counts = made.counts(view)
    values, codes, loo_shrinkage = made.values(counts), made.codes(counts), made.loo_shrinkage(counts, 0.95)
    monkeypatch.setattr(projection, "_ROWS_AT_A_TIME", 13)
    again = made.counts(view)
    np.testing.assert_array_equal(again.total, view.depth)
    np.testing.assert_array_equal(again.rest, counts.rest)
    np.testing.assert_allclose(made.values(again).toarray(), values.toarray(), rtol=1e-6)
    np.testing.assert_allclose(made.codes(again), codes, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(made.loo_shrinkage(again, 0.95), loo_shrinkage, rtol=1e-5)


def test_selected_counts_and_rest_add_up_to_the_depth_of_the_cell(cells, fitted):
    for m, made in fitted.items():
        counts = made.counts(cells.views[m])
        np.testing.assert_array_equal(counts.total, cells.views[m].depth)
        np.testing.assert_allclose(counts.log_depth, np.log1p(cells.views[m].depth))
        assert (counts.rest.sum() == 0) == (m == "adt")


def test_thinning_takes_from_the_rest_what_it_takes_from_the_selection(cells, fitted):
    counts = fitted["rna"].counts(cells.views["rna"])
    before = counts.rest.copy()
    found = counts.thinned(0.3, 0.3, np.random.default_rng(0))
    assert (counts.rest - found.rest).min() >= 0
    for part, whole in ((found.rest.sum(), counts.rest.sum()), (found.selected.sum(), counts.selected.sum())):
        assert abs(part - 0.3 * whole) < 4.5 * np.sqrt(0.21 * whole)
    np.testing.assert_array_equal(counts.rest, before)


def test_each_cell_is_thinned_at_a_rate_of_its_own_within_the_range(cells, fitted):
    counts = fitted["adt"].counts(cells.views["adt"])
    rate = counts.thinned(0.2, 0.9, np.random.default_rng(0)).total / counts.total
    assert 0.15 < rate.min() < 0.25
    assert 0.85 < rate.max() < 0.95
    assert rate.mean() == pytest.approx(0.55, abs=0.06)


def test_thinned_counts_follow_the_generator_and_another_seed_gives_others(cells, fitted):
    counts = fitted["rna"].counts(cells.views["rna"])
    one, same, other = (counts.thinned(0.2, 1.0, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.selected.toarray(), same.selected.toarray())
    np.testing.assert_array_equal(one.rest, same.rest)
    assert (one.rest != other.rest).any()


def strongest_link_to_depth(codes, view):
    """Largest absolute correlation within batches of a component of the codes with log depth."""
    codes, depth = codes.astype(float), np.log1p(view.depth)
    for name in np.unique(view.batch):
        rows = view.batch == name
        codes[rows] -= codes[rows].mean(axis=0)
        depth[rows] -= depth[rows].mean()
    return np.abs(codes.T @ depth / np.sqrt((codes**2).sum(axis=0) * (depth**2).sum()))


def test_a_component_that_follows_depth_is_dropped_for_atac_and_kept_for_rna():
    views = simulate_cells(
        Recipe(n_cells=211, n_genes=83, n_peaks=149, n_proteins=17, depth_spread=1.0, seed=3)
    ).cells.views
    made = Projection.fit(views["atac"], CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(modalities._SPECS, "atac", replace(modalities.spec_of("atac"), drops_depth=False))
        everything = Projection.fit(views["atac"], CONFIG)
        follows = strongest_link_to_depth(everything.codes(everything.counts(views["atac"])), views["atac"]) > 0.5
    assert follows.sum() == 1
    np.testing.assert_array_equal(made.basis, everything.basis[:, ~follows])
    assert made.n_codes == 6
    assert made.loadings.shape == (149, 6)
    assert strongest_link_to_depth(made.codes(made.counts(views["atac"])), views["atac"]).max() < 0.5
    assert Projection.fit(views["rna"], CONFIG).n_codes == 7


def test_a_component_is_left_even_where_all_follow_depth():
    rng = np.random.default_rng(0)
    depth = rng.normal(size=53)
    codes = np.stack([depth, depth + 0.1 * rng.normal(size=53)], axis=1).astype(np.float32)
    follows = projection._follows_depth(codes, depth, np.array(["all"] * 53), 0.5)
    assert follows.tolist() == [True, False]


def test_depth_is_followed_within_batches_and_not_between_them():
    rng = np.random.default_rng(1)
    batch = np.array(["p"] * 29 + ["q"] * 37)
    between = np.where(batch == "p", 3.0, -3.0)
    depth = between + rng.normal(size=66)
    noise = rng.normal(size=(3, 66))
    codes = np.stack([between + 0.5 * noise[0], depth + 0.1 * noise[1], noise[2]], axis=1).astype(np.float32)
    assert projection._follows_depth(codes, depth, batch, 0.5).tolist() == [False, True, False]
    assert projection._follows_depth(codes, depth, np.array(["all"] * 66), 0.5).tolist() == [True, True, False]


def test_measured_values_stand_on_the_scale_of_their_modality(cells):
    x = {m: view.counts.toarray().astype(float) for m, view in cells.views.items()}
    found = {m: on_scale(view).toarray() for m, view in cells.views.items()}
    np.testing.assert_allclose(found["rna"], np.log1p(1e4 * x["rna"] / x["rna"].sum(axis=1, keepdims=True)), rtol=1e-5)
    geometric = np.exp(np.log1p(x["adt"]).mean(axis=1, keepdims=True))
    np.testing.assert_allclose(found["adt"], np.log1p(x["adt"] / geometric), rtol=1e-5)
    np.testing.assert_array_equal(found["atac"], x["atac"] > 0)


@pytest.mark.parametrize(("modality", "n_strong"), [("atac", 3), ("rna", 3), ("adt", 3)])
def test_loo_shrinkage_is_what_a_code_loses_when_its_cell_is_left_out_of_the_training(modality, n_strong, cells):
    view = cells.views[modality]
    config = CONFIG.model_copy(update={"n_codes": 5})
    made = Projection.fit(view, config)
    counts = made.counts(view)
    codes, left_out = made.codes(counts), np.arange(0, view.n_cells, 4)
    without = np.empty((len(left_out), made.n_codes))
    for place, cell in enumerate(left_out):
        others = np.delete(np.arange(view.n_cells), cell)
        refitted = Projection.fit(view.take(others), config)
        sign = np.sign((refitted.codes(refitted.counts(view.take(others))) * codes[others]).sum(axis=0))
        without[place] = sign * refitted.codes(refitted.counts(view.take(np.array([cell]))))[0]
    kept = (without * codes[left_out]).sum(axis=0) / (codes[left_out].astype(float) ** 2).sum(axis=0)
    np.testing.assert_allclose(kept[:n_strong], 1 - made.loo_shrinkage(counts, 0.95)[:n_strong], atol=0.06)


def test_loo_shrinkage_is_a_fraction_of_noise_and_zero_where_components_explain_all(cells, fitted):
    shares = {m: made.loo_shrinkage(made.counts(cells.views[m]), 0.95) for m, made in fitted.items()}
    assert all(((share >= 0) & (share < 1)).all() for share in shares.values())
    assert np.median(shares["atac"]) > np.median(shares["rna"]) > np.median(shares["adt"])
    proteins = Projection.fit(cells.views["adt"], FitConfig(n_codes=17))
    assert proteins.loo_shrinkage(proteins.counts(cells.views["adt"]), 0.95).max() < 1e-3

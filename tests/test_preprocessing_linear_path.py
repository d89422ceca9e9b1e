"""The linear path finds the directions and correlations of a known probabilistic CCA, and no others."""

import numpy as np
import pytest

from unisono.config import LinearPathConfig
from unisono.preprocessing.linear_path import fit_linear_path

RHO = np.array([0.9, 0.7, 0.4])


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def white_views(n_cells, dims, rho=RHO, seed=0):
    """Views of population covariance I whose k-th canonical correlation is rho[k]: shrinkage then turns nothing."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n_cells, len(rho)))
    codes, directions = {}, {}
    for modality, dim in dims.items():
        u = rng.normal(size=(n_cells, dim))
        u[:, : len(rho)] = np.sqrt(rho) * z + np.sqrt(1 - rho) * u[:, : len(rho)]
        rotation = orthogonal(rng, dim)
        codes[modality], directions[modality] = u @ rotation.T, rotation[:, : len(rho)]
    return codes, directions


def all_of(codes):
    return {m: np.ones(len(x), dtype=bool) for m, x in codes.items()}


def fit(codes, dim, seed=0, has=None, **changes):
    config = LinearPathConfig(**changes)
    return fit_linear_path(codes, has or all_of(codes), dim, config, np.random.default_rng(seed))


def in_sample_correlation(codes, path, a, b, dim):
    u, v = codes[a] @ path.encoders[a][:, dim], codes[b] @ path.encoders[b][:, dim]
    return np.corrcoef(u, v)[0, 1]


def test_correlations_and_directions_of_two_views_are_those_of_the_population():
    codes, directions = white_views(20_000, {"rna": 7, "adt": 5})
    path = fit(codes, 3)
    np.testing.assert_allclose(path.correlation, RHO, atol=0.02)
    for m, wanted in directions.items():
        cosine = np.abs((path.encoders[m] / np.linalg.norm(path.encoders[m], axis=0)).T @ wanted)
        np.testing.assert_allclose(cosine, np.eye(3), atol=0.06)


def test_content_is_the_posterior_mean_root_rho_times_a_variate_of_unit_variance():
    codes, _ = white_views(2003, {"rna": 7, "adt": 5})
    path = fit(codes, 3)
    for m, x in codes.items():
        z = x @ path.encoders[m].astype(float)
        np.testing.assert_allclose((z**2).mean(axis=0), path.correlation, rtol=1e-4)


def test_contents_of_the_two_views_have_the_same_sign():
    codes, _ = white_views(2003, {"rna": 7, "adt": 5})
    path = fit(codes, 3)
    for dim, rho in enumerate(RHO):
        assert in_sample_correlation(codes, path, "rna", "adt", dim) == pytest.approx(rho, abs=0.05)


def test_a_decoder_is_root_rho_times_the_covariance_of_codes_and_variates():
    codes, _ = white_views(503, {"rna": 7, "adt": 5})
    path = fit(codes, 3)
    for m, x in codes.items():
        variates = x @ (path.encoders[m] / np.sqrt(path.correlation)).astype(float)
        wanted = (x.T @ variates / len(x) * np.sqrt(path.correlation)).T
        np.testing.assert_allclose(path.decoders[m], wanted, rtol=1e-3, atol=1e-5)


def test_cross_prediction_equals_least_squares_when_shrinkage_is_negligible():
    rng = np.random.default_rng(3)
    codes, _ = white_views(20_000, {"rna": 7, "adt": 5}, rho=np.array([0.95, 0.8, 0.7, 0.5, 0.3]))
    codes = {m: x @ rng.normal(size=(x.shape[1], x.shape[1])) for m, x in codes.items()}
    path = fit(codes, 5, shrinkage=1e-9)
    for source, target in (("rna", "adt"), ("adt", "rna")):
        wanted = codes[source] @ np.linalg.lstsq(codes[source], codes[target], rcond=None)[0]
        found = codes[source] @ (path.encoders[source] @ path.decoders[target])
        assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).std()


def test_correlations_of_independent_views_are_near_zero_though_in_sample_they_are_large():
    rng = np.random.default_rng(4)
    codes = {"rna": rng.normal(size=(307, 61)), "adt": rng.normal(size=(307, 53))}
    path = fit(codes, 11)
    assert in_sample_correlation(codes, path, "rna", "adt", 0) > 0.6
    assert path.correlation.max() < 0.2
    assert path.correlation.mean() < 0.08


def test_three_views_share_the_factor_that_all_of_them_carry():
    codes, directions = white_views(20_000, {"rna": 7, "adt": 5, "atac": 11}, rho=np.array([0.8, 0.5]))
    path = fit(codes, 2)
    np.testing.assert_allclose(path.correlation, [0.8, 0.5], atol=0.02)
    for m in codes:
        cosine = np.abs((path.encoders[m] / np.linalg.norm(path.encoders[m], axis=0)).T @ directions[m])
        np.testing.assert_allclose(np.diag(cosine), 1.0, atol=0.01)


@pytest.mark.parametrize("filler", [np.nan, 1e9])
def test_values_of_cells_that_lack_a_modality_do_not_enter(filler):
    codes, _ = white_views(307, {"rna": 7, "adt": 5})
    has = {"rna": np.arange(307) % 5 != 0, "adt": np.arange(307) % 3 != 0}
    zeroed = {m: np.where(has[m][:, None], x, 0.0) for m, x in codes.items()}
    filled = {m: np.where(has[m][:, None], x, filler) for m, x in codes.items()}
    one, other = fit(zeroed, 3, has=has), fit(filled, 3, has=has)
    np.testing.assert_array_equal(one.correlation, other.correlation)
    for m in codes:
        np.testing.assert_array_equal(one.encoders[m], other.encoders[m])
        np.testing.assert_array_equal(one.decoders[m], other.decoders[m])


def test_cells_with_one_modality_alone_do_enter_its_covariance():
    codes, _ = white_views(307, {"rna": 7, "adt": 5})
    paired = np.arange(307) < 101
    everything = fit(codes, 3, has={"rna": np.ones(307, bool), "adt": paired})
    paired_alone = fit(codes, 3, has={"rna": paired, "adt": paired})
    assert np.abs(everything.encoders["rna"] - paired_alone.encoders["rna"]).max() > 1e-3


def test_views_that_share_no_cell_have_the_least_correlation_and_finite_matrices():
    codes, _ = white_views(307, {"rna": 7, "adt": 5})
    path = fit(codes, 3, has={"rna": np.arange(307) < 101, "adt": np.arange(307) >= 101})
    np.testing.assert_allclose(path.correlation, 1e-3)
    assert all(np.isfinite(matrix).all() for matrix in (*path.encoders.values(), *path.decoders.values()))


def test_content_beyond_the_codes_is_padded_with_zeros():
    codes, _ = white_views(307, {"rna": 7, "adt": 5})
    path, narrow = fit(codes, 11), fit(codes, 5)
    np.testing.assert_array_equal(path.encoders["rna"][:, 5:], np.zeros((7, 6)))
    np.testing.assert_array_equal(path.decoders["adt"][5:], np.zeros((6, 5)))
    np.testing.assert_allclose(path.correlation[5:], 1e-3)
    np.testing.assert_array_equal(path.encoders["rna"][:, :5], narrow.encoders["rna"])
    np.testing.assert_array_equal(path.decoders["adt"][:5], narrow.decoders["adt"])


def test_scaling_one_view_scales_its_matrices_and_leaves_content_as_it_was():
    codes, _ = white_views(307, {"rna": 7, "adt": 5})
    one, other = fit(codes, 3), fit({"rna": codes["rna"] * 8.0, "adt": codes["adt"]}, 3)
    np.testing.assert_allclose(np.abs(other.encoders["rna"]) * 8.0, np.abs(one.encoders["rna"]), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(np.abs(other.decoders["rna"]), np.abs(one.decoders["rna"]) * 8.0, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(other.correlation, one.correlation, atol=1e-5)


def test_scaling_one_code_of_a_view_does_change_content():
    codes, _ = white_views(307, {"rna": 7, "adt": 5})
    stretched = codes["rna"] * np.where(np.arange(7) == 2, 8.0, 1.0)
    z = codes["rna"] @ fit(codes, 3).encoders["rna"]
    z_stretched = stretched @ fit({"rna": stretched, "adt": codes["adt"]}, 3).encoders["rna"]
    assert np.abs(np.abs(z) - np.abs(z_stretched)).max() > 0.05


def test_correlations_follow_the_seed_of_the_folds_and_stay_close():
    codes, _ = white_views(307, {"rna": 7, "adt": 5})
    one, same, other = fit(codes, 3, seed=1), fit(codes, 3, seed=1), fit(codes, 3, seed=2)
    np.testing.assert_array_equal(one.correlation, same.correlation)
    assert (one.correlation != other.correlation).any()
    np.testing.assert_allclose(one.correlation, other.correlation, atol=0.1)


def test_equal_views_have_correlation_below_one():
    x = np.random.default_rng(5).normal(size=(307, 5))
    path = fit({"rna": x, "adt": x.copy()}, 5)
    np.testing.assert_allclose(path.correlation, 0.99)

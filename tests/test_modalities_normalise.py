"""Scales of the modalities equal their formulas on dense matrices and scikit-learn's."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.preprocessing import normalize

from unisono.modalities import normalise


@pytest.fixture
def counts():
    dense = np.random.default_rng(0).poisson(1.7, size=(7, 11))
    dense[3] = 0
    dense[:, 4] = 0
    return sparse.csr_matrix(dense)


def total_of(counts):
    return np.asarray(counts.sum(axis=1), dtype=float).ravel()


def test_log1p_cp10k_equals_l1_normalisation_and_log1p_of_scikit_learn(counts):
    found = normalise.log1p_cp10k(counts, total_of(counts))
    wanted = np.log1p(1e4 * normalize(counts.toarray().astype(float), norm="l1"))
    np.testing.assert_allclose(found.toarray(), wanted, rtol=1e-6)


def test_log1p_cp10k_divides_by_the_total_given_and_not_by_the_sum_of_the_columns(counts):
    total = total_of(counts) + np.arange(7) * 13.0
    wanted = np.log1p(np.divide(1e4, total, where=total > 0, out=np.zeros(7))[:, None] * counts.toarray())
    np.testing.assert_allclose(normalise.log1p_cp10k(counts, total).toarray(), wanted, rtol=1e-6)


def test_log1p_cp10k_sums_to_ten_thousand_when_sent_back_and_a_cell_without_counts_stays_zero(counts):
    back = np.expm1(normalise.log1p_cp10k(counts, total_of(counts)).toarray().astype(float)).sum(axis=1)
    np.testing.assert_allclose(back, np.where(np.arange(7) == 3, 0.0, 1e4), rtol=1e-5)


def test_log1p_cp10k_does_not_depend_on_the_depth_of_a_cell(counts):
    found = normalise.log1p_cp10k(counts, total_of(counts)).toarray()
    deeper = normalise.log1p_cp10k(counts * 3, total_of(counts) * 3).toarray()
    np.testing.assert_allclose(found, deeper, rtol=1e-6)


@pytest.mark.parametrize(("exponent", "n_deep"), [(0.5, 400.0), (2 / 3, 400.0), (1.0, 2.0)])
def test_residuals_of_cells_that_are_alike_have_variance_one(exponent, n_deep):
    """Of Poisson counts; of powers to first order, so that their means have to be large."""
    rng = np.random.default_rng(1)
    mean = n_deep * np.array([1.0, 2.0, 0.5, 3.0, 5.0])
    counts = sparse.csr_matrix(rng.poisson(mean, size=(20_011, 5)))
    total = np.full(20_011, mean.sum())
    weight = normalise.residual_weight(counts, total, exponent, 0.0)
    values = normalise.scale_columns(normalise.power_of_share(counts, total, exponent), weight).toarray()
    np.testing.assert_allclose(values.var(axis=0), 1.0, rtol=0.05)


def test_overdispersion_lowers_the_weight_of_genes_with_many_counts():
    counts = sparse.csr_matrix(np.random.default_rng(2).poisson([0.1, 3.0, 400.0], size=(307, 3)))
    total = np.full(307, 403.1)
    mean = total.mean() * normalise.mean_share(counts, total)
    plain, found = (normalise.residual_weight(counts, total, 1.0, each) for each in (0.0, 0.01))
    np.testing.assert_allclose(plain / found, np.sqrt(1.0 + 0.01 * mean), rtol=1e-6)


def test_the_power_of_a_share_is_its_power_and_a_cell_without_counts_stays_zero(counts):
    total = total_of(counts)
    wanted = np.divide(counts.toarray(), total[:, None], where=total[:, None] > 0, out=np.zeros((7, 11))) ** 0.3
    found = normalise.power_of_share(counts, total, 0.3)
    np.testing.assert_allclose(found.toarray(), wanted, rtol=1e-5)
    assert found.nnz == counts.nnz


def clr_dense(x):
    return np.log1p(x / np.exp(np.log1p(x).mean(axis=1, keepdims=True)))


def test_clr_equals_its_formula_on_the_dense_matrix(counts):
    np.testing.assert_allclose(normalise.clr(counts).toarray(), clr_dense(counts.toarray()), rtol=1e-6)


def test_clr_of_a_query_that_lacks_columns_is_the_mean_over_those_it_has(counts):
    has = np.array([0, 1, 4, 7, 9])
    padded = np.zeros((7, 11), dtype=int)
    padded[:, has] = counts.toarray()[:, has]
    found = normalise.clr(sparse.csr_matrix(padded), n_features=5).toarray()
    np.testing.assert_allclose(found[:, has], clr_dense(counts.toarray()[:, has]), rtol=1e-6)
    assert np.abs(found[:, has] - normalise.clr(sparse.csr_matrix(padded)).toarray()[:, has]).max() > 0.1


@pytest.fixture
def weight(counts):
    return normalise.peak_weight(counts)


def test_tf_idf_equals_its_formula_on_the_dense_matrix(counts, weight):
    total = total_of(counts) + 5.0
    wanted = normalize(np.log1p(1e4 * counts.toarray() / total[:, None]) * weight)
    np.testing.assert_allclose(normalise.tf_idf(counts, total, weight).toarray(), wanted, rtol=1e-5, atol=1e-9)


def test_rows_of_tf_idf_have_unit_length_and_a_cell_without_counts_has_none(counts, weight):
    length = np.linalg.norm(normalise.tf_idf(counts, total_of(counts), weight).toarray(), axis=1)
    np.testing.assert_allclose(length, np.where(np.arange(7) == 3, 0.0, 1.0), rtol=1e-6)


def test_tf_idf_is_the_same_when_counts_and_totals_double_but_not_when_counts_alone_do(counts, weight):
    found = normalise.tf_idf(counts, total_of(counts), weight).toarray()
    doubled = normalise.tf_idf(counts * 2, total_of(counts) * 2, weight).toarray()
    np.testing.assert_allclose(found, doubled, rtol=1e-5)
    counts_alone = normalise.tf_idf(counts * 200, total_of(counts), weight).toarray()
    assert np.abs(found - counts_alone).max() > 1e-3


def test_tf_idf_is_the_same_when_all_weights_double_but_not_when_one_does(counts, weight):
    found = normalise.tf_idf(counts, total_of(counts), weight).toarray()
    np.testing.assert_allclose(normalise.tf_idf(counts, total_of(counts), 2 * weight).toarray(), found, rtol=1e-5)
    one = weight * np.where(np.arange(11) == 2, 2.0, 1.0)
    assert np.abs(normalise.tf_idf(counts, total_of(counts), one).toarray() - found).max() > 0.01


def test_peak_weight_is_the_squared_log_of_one_plus_cells_over_total_counts(counts):
    dense = counts.toarray().astype(float)
    found = normalise.peak_weight(counts)
    for peak in range(11):
        seen = dense[:, peak].sum()
        assert found[peak] == pytest.approx(0.0 if seen == 0 else np.log(1 + 7 / seen) ** 2, rel=1e-12)


def test_a_rare_peak_weighs_more_than_a_common_one():
    counts = sparse.csr_matrix(np.array([[1, 1], [0, 1], [0, 1]]))
    rare, common = normalise.peak_weight(counts)
    assert rare == pytest.approx(np.log(4) ** 2)
    assert common == pytest.approx(np.log(2) ** 2)


def test_gene_weight_is_one_over_the_root_of_the_standard_deviation(counts):
    values = normalise.log1p_cp10k(counts, total_of(counts))
    deviation = values.toarray().astype(float).std(axis=0)
    wanted = np.where(deviation > 0, 1 / np.sqrt(np.where(deviation > 0, deviation, 1.0)), 0.0)
    np.testing.assert_allclose(normalise.gene_weight(values), wanted, rtol=1e-4)
    assert wanted[4] == 0.0


def test_weighted_genes_have_a_standard_deviation_that_is_the_root_of_the_first(counts):
    values = normalise.log1p_cp10k(counts, total_of(counts))
    weighted = normalise.scale_columns(values, normalise.gene_weight(values)).toarray()
    np.testing.assert_allclose(weighted.std(axis=0), np.sqrt(values.toarray().std(axis=0)), rtol=1e-4, atol=1e-6)


def test_scale_columns_multiplies_each_column_by_its_own_weight(counts):
    weight = np.arange(11) - 3.5
    np.testing.assert_allclose(normalise.scale_columns(counts, weight).toarray(), counts.toarray() * weight)


@pytest.mark.parametrize("name", ["log1p_cp10k", "clr", "tf_idf"])
def test_normalisation_leaves_the_counts_unchanged(name, counts, weight):
    before = counts.copy()
    arguments = {"log1p_cp10k": (total_of(counts),), "clr": (), "tf_idf": (total_of(counts), weight)}[name]
    getattr(normalise, name)(counts, *arguments)
    np.testing.assert_array_equal(counts.toarray(), before.toarray())
    assert counts.dtype == before.dtype


def test_parts_of_a_count_add_up_to_the_whole_in_tf_idf():
    """Before rows are scaled: a peak divided in halves, both of weight 2, against the whole of it."""
    total = np.array([5.0])
    whole = normalise.tf_idf(sparse.csr_matrix([[1.0, 0.0, 4.0]], dtype=np.float32), total, np.array([2.0, 2.0, 1.0]))
    halves = normalise.tf_idf(sparse.csr_matrix([[0.5, 0.5, 4.0]], dtype=np.float32), total, np.array([2.0, 2.0, 1.0]))
    whole, halves = whole.toarray()[0], halves.toarray()[0]
    assert halves[0] == halves[1]
    np.testing.assert_allclose((halves[0] + halves[1]) / halves[2], whole[0] / whole[2], rtol=1e-5)

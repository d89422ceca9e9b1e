"""Input codes are the field's formulas projected by an exact SVD, read by name and free of what else is asked."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import f_oneway

import unisono as un
from unisono_bench.baselines.codes import InputCodes

N_CELLS = 97
RECIPES = {"rna": 41, "adt": 29, "atac": 53}


def view(modality, n_cells=N_CELLS, n_features=None, seed=0):
    """Counts with three hidden factors, over two batches of which the second sees some features twice as well."""
    rng = np.random.default_rng([seed, len(modality)])
    n_features = n_features or RECIPES[modality]
    loadings = np.random.default_rng(len(modality)).normal(size=(3, n_features))
    batch = np.where(np.arange(n_cells) % 3 == 0, "b2", "b1")
    gain = np.where((batch == "b2")[:, None] & (np.arange(n_features) % 4 == 0), 2.0, 1.0)
    counts = rng.poisson(0.8 * gain * np.exp(0.7 * rng.normal(size=(n_cells, 3)) @ loadings)).astype(np.int32)
    counts[:, 0] += 1
    cells = np.array([f"c{i}" for i in range(n_cells)])
    return un.View(modality, sparse.csr_matrix(counts), cells, np.array([f"f{j}" for j in range(n_features)]), batch)


def columns(some, order):
    return replace(some, counts=some.counts[:, order], features=some.features[order])


def svd_scores(values, rank, skip=0):
    u, s, _ = np.linalg.svd(values, full_matrices=False)
    return (u * s)[:, skip : skip + rank]


def assert_same_up_to_sign(found, wanted, atol=2e-3):
    signs = np.sign((found * wanted).sum(axis=0))
    np.testing.assert_allclose(found * signs, wanted, atol=atol * np.abs(wanted).max())


def tf_idf(counts):
    idf = len(counts) / counts.sum(axis=0)
    return np.log(1 + 1e4 * counts / counts.sum(axis=1, keepdims=True) * idf)


def test_codes_of_rna_are_the_scores_of_centred_log_cp10k():
    some = view("rna")
    counts = some.counts.toarray()
    values = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    assert_same_up_to_sign(InputCodes.fit(some, 3, 0).raw(some), svd_scores(values - values.mean(axis=0), 3))


def test_codes_of_atac_are_the_scores_of_tf_idf_from_the_second_on():
    some = view("atac")
    found = InputCodes.fit(some, 3, 0).raw(some)
    assert_same_up_to_sign(found, svd_scores(tf_idf(some.counts.toarray()), 3, skip=1))


def test_few_proteins_are_their_own_codes_centred():
    some = view("adt", n_features=7)
    logs = np.log1p(some.counts.toarray())
    values = np.log1p(some.counts.toarray() / np.exp(logs.mean(axis=1, keepdims=True)))
    np.testing.assert_allclose(InputCodes.fit(some, 7, 0).raw(some), values - values.mean(axis=0), atol=1e-5)


def test_many_proteins_go_through_their_svd():
    some = view("adt")
    logs = np.log1p(some.counts.toarray())
    values = np.log1p(some.counts.toarray() / np.exp(logs.mean(axis=1, keepdims=True)))
    assert_same_up_to_sign(InputCodes.fit(some, 3, 0).raw(some), svd_scores(values - values.mean(axis=0), 3))


@pytest.mark.parametrize(("modality", "n_codes"), [("rna", 40), ("adt", 29), ("atac", 51)])
def test_there_are_never_more_codes_than_the_view_determines(modality, n_codes):
    assert InputCodes.fit(view(modality), 300, 0).raw(view(modality)).shape == (N_CELLS, n_codes)


@pytest.mark.parametrize("modality", RECIPES)
def test_features_are_found_by_name_not_by_place(modality):
    some, other = view(modality), view(modality, n_cells=13, seed=1)
    codes = InputCodes.fit(some, 5, 0)
    order = np.random.default_rng(3).permutation(len(other.features))
    np.testing.assert_allclose(codes.raw(columns(other, order)), codes.raw(other), atol=1e-5)
    renamed = replace(other, features=other.features[order])
    assert np.abs(codes.raw(renamed) - codes.raw(other)).max() > 0.1


@pytest.mark.parametrize("modality", RECIPES)
def test_a_feature_unknown_in_training_changes_nothing(modality):
    some, other = view(modality), view(modality, n_cells=13, seed=1)
    codes = InputCodes.fit(some, 5, 0)
    wider = replace(
        other,
        counts=sparse.csr_matrix(sparse.hstack([np.full((13, 1), 99, dtype=np.int32), other.counts])),
        features=np.concatenate([["new"], other.features]),
    )
    np.testing.assert_allclose(codes.raw(wider), codes.raw(other), atol=1e-5)
    np.testing.assert_allclose(codes.log_depth(wider), np.log1p(other.depth))


def test_a_gene_the_query_lacks_counts_as_its_training_mean():
    some, other = view("rna"), view("rna", n_cells=13, seed=1)
    codes = InputCodes.fit(some, 5, 0)
    kept = np.delete(np.arange(41), [7, 19])
    counts = other.counts.toarray()[:, kept]
    values = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    wanted = (values - codes.centre[kept]) @ codes.basis[kept]
    np.testing.assert_allclose(codes.raw(columns(other, kept)), wanted, rtol=1e-4, atol=1e-4)


def test_a_peak_the_query_lacks_counts_as_closed():
    codes, other = InputCodes.fit(view("atac"), 5, 0), view("atac", n_cells=13, seed=1)
    kept = np.delete(np.arange(53), [7, 19])
    closed = other.counts.toarray()
    closed[:, [7, 19]] = 0
    np.testing.assert_allclose(
        codes.raw(columns(other, kept)), codes.raw(replace(other, counts=sparse.csr_matrix(closed))), atol=1e-5
    )


def test_the_mean_log_of_proteins_is_over_those_the_query_has():
    some, other = view("adt", n_features=7), view("adt", n_cells=13, n_features=7, seed=1)
    kept = np.array([0, 1, 2, 4, 6])
    counts = other.counts.toarray()[:, kept]
    values = np.log1p(counts / np.exp(np.log1p(counts).mean(axis=1, keepdims=True)))
    codes = InputCodes.fit(some, 7, 0)
    found = codes.raw(columns(other, kept))
    np.testing.assert_allclose(found[:, kept], values - codes.centre[kept], atol=1e-5)
    np.testing.assert_array_equal(found[:, [3, 5]], 0.0)


def test_a_view_of_another_modality_or_of_no_known_feature_is_refused():
    codes = InputCodes.fit(view("rna"), 5, 0)
    with pytest.raises(ValueError, match="codes of rna were given a view of adt"):
        codes.raw(view("adt"))
    strange = replace(view("rna"), features=np.array([f"x{j}" for j in range(41)]))
    with pytest.raises(ValueError, match="rna: none of the 41 features is in the training view"):
        codes.raw(strange)


@pytest.mark.parametrize("modality", RECIPES)
def test_centring_takes_out_of_a_batch_what_chance_does_not_explain_of_its_mean(modality):
    some = view(modality)
    codes = InputCodes.fit(some, 5, 0)
    raw = codes.raw(some) - codes.raw(some).mean(axis=0)
    f = f_oneway(*(raw[some.batch == name].astype(np.float64) for name in ("b1", "b2"))).statistic
    for name in ("b1", "b2"):
        rows = some.batch == name
        left = raw[rows].mean(axis=0) * np.minimum(1.0, 1.0 / f)
        np.testing.assert_allclose(codes.centred(some)[rows].mean(axis=0), left, atol=1e-4)
        assert np.abs(left).max() < 0.8 * np.abs(codes.raw(some)[rows].mean(axis=0)).max()


@pytest.mark.parametrize("modality", RECIPES)
def test_centring_moves_a_batch_as_a_whole(modality):
    some = view(modality)
    codes = InputCodes.fit(some, 5, 0)
    moved = codes.centred(some) - codes.raw(some)
    for name in ("b1", "b2"):
        np.testing.assert_allclose(moved[some.batch == name].std(axis=0), 0.0, atol=1e-4)
    assert np.abs(moved[0] - moved[1]).max() > 0.1


@pytest.mark.parametrize("modality", RECIPES)
def test_a_component_is_scaled_to_the_root_of_its_share_of_the_largest_deviation(modality):
    some = view(modality)
    codes = InputCodes.fit(some, 5, 0)
    raw, standardised = codes.raw(some), codes.standardised(some)
    within = [
        np.concatenate([x[some.batch == b] - x[some.batch == b].mean(axis=0) for b in ("b1", "b2")])
        for x in (raw, standardised)
    ]
    deviation = within[0].std(axis=0)
    np.testing.assert_allclose(within[1].std(axis=0), np.sqrt(deviation / deviation.max()), rtol=1e-3)


def test_a_cell_of_a_training_batch_is_read_alike_whatever_else_is_read():
    codes, other = InputCodes.fit(view("rna"), 5, 0), view("rna", n_cells=13, seed=1)
    alone = codes.standardised(other.take(np.array([4])))
    np.testing.assert_allclose(alone[0], codes.standardised(other)[4], atol=1e-5)


def test_a_new_batch_is_centred_by_its_own_mean_shrunken_as_if_20_cells_lay_at_the_training_mean():
    codes, other = InputCodes.fit(view("rna"), 5, 0), view("rna", n_cells=31, seed=1)
    new = replace(other, batch=np.full(31, "b9"))
    raw = codes.raw(new)
    training_mean = codes.raw(view("rna")).mean(axis=0)
    wanted = raw - training_mean - (raw - training_mean).sum(axis=0) / (31 + 20)
    np.testing.assert_allclose(codes.centred(new), wanted, atol=1e-3)
    assert np.abs(codes.centred(new) - codes.centred(other)).max() > 0.1


@pytest.mark.parametrize("modality", RECIPES)
def test_reading_a_query_leaves_the_codes_as_they_were(modality):
    some, other = view(modality), view(modality, n_cells=13, seed=1)
    codes = InputCodes.fit(some, 5, 0)
    before = codes.standardised(some)
    codes.standardised(replace(other, batch=np.full(13, "b9")))
    np.testing.assert_array_equal(codes.standardised(some), before)


def test_an_empty_cell_and_a_peak_never_seen_give_finite_codes():
    some = view("atac")
    counts = some.counts.toarray()
    counts[:, 5], counts[8] = 0, 0
    codes = InputCodes.fit(replace(some, counts=sparse.csr_matrix(counts)), 5, 0)
    assert np.isfinite(codes.standardised(some)).all()
    assert codes.idf[5] == 0.0


@pytest.mark.parametrize("modality", ["rna", "adt", "atac"])
def test_rescaled_codes_of_a_new_batch_have_mean_0_whatever_it_adds_to_its_features(modality):
    codes = InputCodes.fit(view(modality), 5, 0)
    new = replace(view(modality, 61, seed=1), batch=np.full(61, "b9"))
    np.testing.assert_allclose(codes.rescaled(new).mean(axis=0), 0.0, atol=1e-5)
    assert np.abs(codes.standardised(new).mean(axis=0)).max() > 1e-3
    known = view(modality, 61, seed=1)
    assert np.abs(codes.rescaled(known)[known.batch == "b1"].mean(axis=0)).max() > 1e-3


def test_proteins_of_every_batch_deviate_as_within_training_and_genes_as_they_are():
    new = replace(view("adt", 61, seed=1), batch=np.full(61, "b9"))
    codes = InputCodes.fit(view("adt"), 50, 0)  # as many codes as proteins: the proteins themselves
    found = codes.rescaled(new) * codes.standardisation.scale
    np.testing.assert_allclose(found.std(axis=0), codes.moments.within, rtol=1e-4)
    log = un.preprocessing.clr(view("adt").counts).toarray()
    batch = view("adt").batch
    around = np.concatenate([log[batch == name] - log[batch == name].mean(axis=0) for name in ("b1", "b2")])
    np.testing.assert_allclose(codes.moments.within, around.std(axis=0), rtol=1e-4)
    genes, some = InputCodes.fit(view("rna"), 5, 0), view("rna")
    doubled = replace(some, batch=np.full(N_CELLS, "b9"))
    raw = genes.raw(doubled)
    wanted = (raw - raw.mean(axis=0)) / genes.standardisation.scale
    np.testing.assert_allclose(genes.rescaled(doubled), wanted, atol=1e-4)

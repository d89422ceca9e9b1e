"""CCA, Procrustes and CLIP on codes recover what was planted, and their temperatures come from cells held out."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA

import unisono as un
from unisono_bench.baselines import BASELINES, contrastive, linear
from unisono_bench.baselines.codes import InputCodes
from unisono_bench.baselines.contrastive import clip_loss, fit_clip
from unisono_bench.baselines.linear import canonical_directions, fit_cca, fit_procrustes
from unisono_bench.baselines.matcher import Matcher, PairedCodes
from unisono_bench.baselines.pairs import hold_out, n_paired
from unisono_bench.data import paired_views

N_CELLS = 1009
NOBODY = PairedCodes(np.empty((0, 7), np.float32), np.empty((0, 5), np.float32))
RECIPE = un.datasets.Recipe(
    n_cells=331, n_genes=47, n_peaks=71, n_proteins=9, batch_effect=0.8, shared_depth=0.9, seed=3
)


def planted(n_cells=N_CELLS, rho=0.9, seed=0):
    """White sides of 7 and 5 codes, in which column 2 of the left and column 4 of the right share one dimension."""
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(n_cells, 7)), rng.normal(size=(n_cells, 5))
    right[:, 4] = rho * left[:, 2] + np.sqrt(1 - rho**2) * right[:, 4]
    return PairedCodes(left.astype(np.float32), right.astype(np.float32))


def training():
    return un.datasets.simulate_cells(RECIPE).cells.take(np.arange(283))


def unseen():
    return un.datasets.simulate_cells(RECIPE).cells.take(np.arange(283, 331))


def without(cells, modality, rows):
    """The cells, of which some lack a modality."""
    kept = np.setdiff1d(np.arange(cells.views[modality].n_cells), rows)
    return un.Cells({**cells.views, modality: cells.views[modality].take(kept)})


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def foscttm(left, right):
    scores = left @ right.T
    own = np.diag(scores)
    return 0.5 * np.mean(scores > own[:, None]) + 0.5 * np.mean(scores > own[None])


def test_pairs_are_found_by_name_not_by_place():
    cells = training()
    shuffled = cells.views["adt"].take(np.random.default_rng(1).permutation(283)[:101])
    left, right = paired_views(un.Cells({"rna": cells.views["rna"], "adt": shuffled}), "rna", "adt")
    assert left.n_cells == 101
    np.testing.assert_array_equal(left.cells, right.cells)


def test_held_out_cells_are_a_tenth_or_60_or_a_fifth():
    for n_cells, wanted in ((283, 56), (331, 60), (701, 70)):
        cells = un.datasets.simulate_cells(replace(RECIPE, n_cells=n_cells)).cells
        learning, held_out = hold_out(cells, 0)
        assert (len(learning.names), len(held_out.names)) == (n_cells - wanted, wanted)
        assert set(learning.names) | set(held_out.names) == set(cells.names)


def test_cells_with_one_modality_are_never_held_out():
    cells = without(un.Cells({m: training().views[m] for m in ("rna", "adt")}), "adt", np.arange(0, 283, 2))
    _, held_out = hold_out(cells, 0)
    assert n_paired(held_out, "rna", "adt") == len(held_out.names) == 28


def test_another_seed_holds_out_other_cells():
    names = [set(hold_out(training(), seed)[1].names) for seed in (0, 0, 1)]
    assert names[0] == names[1]
    assert names[0] != names[2]


def test_cca_finds_the_one_planted_dimension_and_its_correlation(monkeypatch):
    monkeypatch.setattr(linear, "PENALTY", 1e-9)
    left, right, rho = canonical_directions(*planted(20_011), 5)
    assert rho[0] == pytest.approx(0.9, abs=0.01)
    assert rho[1:].max() < 0.05
    np.testing.assert_allclose(np.abs(unit(left.T)[0]), np.arange(7) == 2, atol=0.03)
    np.testing.assert_allclose(np.abs(unit(right.T)[0]), np.arange(5) == 4, atol=0.03)


def test_cca_without_penalty_is_that_of_sklearn(monkeypatch):
    monkeypatch.setattr(linear, "PENALTY", 1e-9)
    x, y = (side - side.mean(axis=0) for side in planted(307))
    left, right, rho = canonical_directions(x, y, 2)
    u, v = CCA(2, scale=False, tol=1e-12, max_iter=100_000).fit_transform(x.astype(float), y.astype(float))
    for k in range(2):
        assert rho[k] == pytest.approx(np.corrcoef(u[:, k], v[:, k])[0, 1], abs=1e-4)
        assert abs(np.corrcoef(u[:, k], x @ left[:, k])[0, 1]) > 0.999
        assert abs(np.corrcoef(v[:, k], y @ right[:, k])[0, 1]) > 0.999


def test_canonical_variates_are_white_and_paired_one_to_one(monkeypatch):
    monkeypatch.setattr(linear, "PENALTY", 1e-9)
    x, y = planted(307)
    left, right, rho = canonical_directions(x, y, 5)
    u, v = x @ left, y @ right
    np.testing.assert_allclose(u.T @ u / 307, np.eye(5), atol=1e-4)
    np.testing.assert_allclose(v.T @ v / 307, np.eye(5), atol=1e-4)
    np.testing.assert_allclose(u.T @ v / 307, np.diag(rho), atol=1e-4)


def test_the_penalty_lowers_correlations_that_few_cells_make_up():
    noise = planted(23, rho=0.0)
    assert canonical_directions(*noise, 1)[2][0] < 0.9
    assert np.isfinite(np.concatenate(canonical_directions(*planted(4), 5)[:2])).all()


def test_cca_weighs_each_variate_by_its_correlation(monkeypatch):
    monkeypatch.setattr(linear, "PENALTY", 1e-9)
    pairs = planted()
    left, right = fit_cca(pairs, NOBODY, 0)
    rho = canonical_directions(*pairs, 5)[2]
    for project, side in zip((left, right), pairs, strict=True):
        np.testing.assert_allclose(np.sqrt((project(side) ** 2).mean(axis=0)), rho, rtol=1e-3)


def rotated(n_left=7, n_right=7):
    rng = np.random.default_rng(5)
    left = rng.normal(size=(101, n_left)) * np.arange(1, n_left + 1)
    rotation = np.linalg.qr(rng.normal(size=(max(n_left, n_right),) * 2))[0]
    return PairedCodes(left.astype(np.float32), (np.pad(left, ((0, 0), (0, n_right - n_left))) @ rotation).astype("f4"))


@pytest.mark.parametrize("n_right", [7, 11])
def test_procrustes_recovers_a_rotation_exactly_where_one_side_is_wider_too(n_right):
    pairs = rotated(7, n_right)
    left, right = fit_procrustes(pairs, NOBODY, 0)
    np.testing.assert_allclose(left(pairs.left), right(pairs.right), atol=1e-4)
    style_transfer = fit_procrustes(PairedCodes(pairs.right, pairs.left), NOBODY, 0)
    np.testing.assert_allclose(style_transfer[0](pairs.right), style_transfer[1](pairs.left), atol=1e-4)


def test_procrustes_keeps_lengths_and_angles_even_where_a_stretch_would_fit_better():
    pairs = rotated()
    stretched = PairedCodes(pairs.left, pairs.right * np.float32(3.0) * np.arange(1, 8, dtype=np.float32))
    left, right = fit_procrustes(stretched, NOBODY, 0)
    np.testing.assert_allclose(left(pairs.left) @ left(pairs.left).T, pairs.left @ pairs.left.T, rtol=1e-3, atol=1e-2)
    assert np.abs(left(stretched.left) - right(stretched.right)).max() > 1.0


def tensors(n_cells=11, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.as_tensor(rng.normal(size=(n_cells, 5))) for _ in range(2)]


def test_the_clip_loss_is_the_mean_of_both_cross_entropies():
    left, right = tensors()
    scores = 3.0 * unit(left.numpy()) @ unit(right.numpy()).T
    own = np.diag(scores)
    wanted = 0.5 * (np.log(np.exp(scores).sum(axis=1)) - own).mean()
    wanted += 0.5 * (np.log(np.exp(scores).sum(axis=0)) - own).mean()
    assert float(clip_loss(left, right, torch.tensor(3.0).log())) == pytest.approx(wanted, rel=1e-6)


def test_the_clip_loss_is_log_n_where_all_look_alike_and_0_where_each_names_its_partner():
    alike = torch.ones(11, 5)
    assert float(clip_loss(alike, alike, torch.tensor(2.0))) == pytest.approx(np.log(11), rel=1e-6)
    apart = torch.eye(11)
    assert float(clip_loss(apart, apart, torch.tensor(4.0))) < 1e-10
    assert float(clip_loss(apart, apart.roll(1, dims=0), torch.tensor(4.0))) > 10


def test_the_inverse_temperature_is_never_above_100():
    left, right = tensors()
    at_most = float(clip_loss(left, right, torch.tensor(100.0).log()))
    assert float(clip_loss(left, right, torch.tensor(9.0))) == pytest.approx(at_most, rel=1e-6)
    assert float(clip_loss(left, right, torch.tensor(50.0).log())) != pytest.approx(at_most, rel=1e-3)


def test_batches_hold_every_cell_once_and_512_at_most():
    batches = contrastive._batches(1201, np.random.default_rng(0))
    assert [len(rows) for rows in batches] == [401, 400, 400]
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(1201))


def several_planted(n_cells, seed):
    """Sides that share three of their dimensions nearly."""
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(n_cells, 7)), rng.normal(size=(n_cells, 5))
    right[:, :3] = left[:, 3:6] + 0.1 * right[:, :3]
    return PairedCodes(left.astype(np.float32), right.astype(np.float32))


def test_clip_recovers_what_the_sides_share(monkeypatch):
    monkeypatch.setattr(contrastive, "MAX_EPOCHS", 40)
    left, right = fit_clip(several_planted(907, 0), several_planted(101, 1), 0)
    new = several_planted(103, 2)
    assert foscttm(unit(left(new.left)), unit(right(new.right))) < 0.06


def test_clip_is_the_same_for_a_seed_and_leaves_the_global_generator_alone(monkeypatch):
    monkeypatch.setattr(contrastive, "MAX_EPOCHS", 2)
    pairs = several_planted(101, 0)
    state = torch.random.get_rng_state()
    one, same, other = (fit_clip(pairs, several_planted(31, 1), seed)[0](pairs.left) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3
    assert torch.equal(torch.random.get_rng_state(), state)


def test_clip_ends_with_its_best_epoch_on_held_out_cells(monkeypatch):
    noise, held_out = planted(53, rho=0.0), planted(31, rho=0.0, seed=1)
    monkeypatch.setattr(contrastive, "LEARNING_RATE", 1e-2)
    monkeypatch.setattr(contrastive, "PATIENCE", 3)
    found = []
    for n_epochs in range(1, 13):
        monkeypatch.setattr(contrastive, "MAX_EPOCHS", n_epochs)
        found.append(fit_clip(noise, held_out, 0)[0](noise.left))
    has_moved = [not np.array_equal(before, after) for before, after in pairwise(found)]
    best = max([0, *(i + 1 for i, moved in enumerate(has_moved) if moved)])
    assert best < 8
    monkeypatch.setattr(contrastive, "PATIENCE", 10**6)
    monkeypatch.setattr(contrastive, "MAX_EPOCHS", best + 4)
    np.testing.assert_array_equal(fit_clip(noise, held_out, 0)[0](noise.left), found[best])


def test_dropout_is_off_once_training_is_over(monkeypatch):
    monkeypatch.setattr(contrastive, "MAX_EPOCHS", 1)
    pairs = several_planted(101, 0)
    left, _ = fit_clip(pairs, several_planted(31, 1), 0)
    np.testing.assert_array_equal(left(pairs.left), left(pairs.left))


def two_modalities():
    return un.Cells({m: training().views[m] for m in ("atac", "rna")})


@cache
def fitted(name="cca"):
    return BASELINES[name].fit(two_modalities(), 0)


@pytest.mark.parametrize("name", ["cca", "procrustes"])
def test_temperature_and_depth_are_fitted_on_vectors_of_cells_that_nothing_has_seen(name):
    learning, held_out = hold_out(two_modalities(), 0)
    views = paired_views(held_out, "atac", "rna")
    codes = {m: InputCodes.fit(learning.views[m], 50, 0) for m in ("atac", "rna")}
    pairs = PairedCodes(*(codes[v.modality].standardised(v) for v in paired_views(learning, "atac", "rna")))
    projections = BASELINES[name].fit_space(pairs, pairs, 0)
    vectors = [unit(p(codes[v.modality].standardised(v))) for p, v in zip(projections, views, strict=True)]
    depths = [np.log1p(v.depth) for v in views]
    terms = fitted(name).ratios["atac", "rna"]
    assert terms.beta == pytest.approx(un.matching.fit_beta(*vectors, within=views[0].batch), rel=1e-3)
    wanted = un.matching.fit_beta_and_depth_weight(*vectors, *depths, within=views[0].batch)
    assert terms.with_depth.weight == wanted.weight
    assert terms.with_depth.r == pytest.approx(wanted.r, rel=1e-3)


@pytest.mark.parametrize("name", ["cca", "procrustes"])
def test_projections_are_fitted_again_on_all_training_cells(name):
    codes = {m: InputCodes.fit(training().views[m], 50, 0) for m in ("atac", "rna")}
    pairs = PairedCodes(*(codes[v.modality].standardised(v) for v in paired_views(training(), "atac", "rna")))
    projections = BASELINES[name].fit_space(pairs, pairs, 0)
    views = [unseen().views[m] for m in ("atac", "rna")]
    wanted = [unit(p(codes[v.modality].standardised(v))) for p, v in zip(projections, views, strict=True)]
    found = fitted(name).similarity(*views, depth=False, groups=None)
    np.testing.assert_allclose(found.left, wanted[0], atol=1e-4)
    np.testing.assert_allclose(found.right, wanted[1], atol=1e-4)


def test_a_method_that_stops_on_held_out_cells_is_fitted_once():
    seen = []

    def fit_space(learning, held_out, seed):
        seen.append((len(learning.left), len(held_out.left)))
        return fit_cca(learning, held_out, seed)

    cells = un.Cells({m: training().views[m] for m in ("rna", "adt")})
    Matcher("once", 5, fit_space, stops_early=True).fit(cells, 0)
    assert seen == [(227, 56)]
    Matcher("twice", 5, fit_space, stops_early=False).fit(cells, 0)
    assert seen == [(227, 56), (227, 56), (283, 56)]


def test_depth_adds_to_the_cosine_what_log_totals_say_standardised_within_groups():
    model, views = fitted(), [unseen().views[m] for m in ("atac", "rna")]
    groups = (views[0].batch, views[1].batch)
    plain = model.similarity(*views, depth=False, groups=groups)
    found = model.similarity(*views, depth=True, groups=groups)
    term = model.ratios["atac", "rna"].with_depth
    assert term.weight > 0
    assert found.beta == term.beta
    x, y = (np.log1p(v.depth) for v in views)
    for name in np.unique(groups[0]):
        rows = groups[0] == name
        x[rows] = (x[rows] - x[rows].mean()) / x[rows].std()
        y[rows] = (y[rows] - y[rows].mean()) / y[rows].std()
    r = term.r
    x, y = x[:, None], y[None]
    ratio = -0.5 * np.log(1 - r**2) + r * x * y / (1 - r**2) - 0.5 * r**2 / (1 - r**2) * (x**2 + y**2)
    wanted = term.beta * plain.left @ plain.right.T + term.weight * ratio
    np.testing.assert_allclose(found.log_ratio(), wanted, atol=1e-3)


def test_depth_without_groups_is_standardised_over_the_whole_side():
    model, views = fitted(), [unseen().views[m] for m in ("atac", "rna")]
    one_group = (np.full(48, "x"), np.full(48, "x"))
    free, grouped, batched = (
        model.similarity(*views, depth=True, groups=groups)
        for groups in (None, one_group, (views[0].batch, views[1].batch))
    )
    np.testing.assert_array_equal(free.vectors[0], grouped.vectors[0])
    assert np.abs(free.vectors[0] - batched.vectors[0]).max() > 1e-3


def test_sides_can_be_swapped():
    model, views = fitted(), [unseen().views[m] for m in ("atac", "rna")]
    for depth in (False, True):
        one = model.similarity(views[0], views[1], depth=depth, groups=None)
        other = model.similarity(views[1], views[0], depth=depth, groups=None)
        assert one.beta == other.beta
        np.testing.assert_allclose(one.log_ratio(), other.log_ratio().T, atol=1e-3)


def test_modalities_with_too_few_cells_in_common_are_not_matched():
    cells = without(training(), "adt", np.arange(11, 283))
    model = BASELINES["cca"].fit(cells, 0)
    views = unseen().views
    assert model.similarity(views["rna"], views["adt"], depth=False, groups=None) is None
    assert model.similarity(views["atac"], views["rna"], depth=False, groups=None) is not None


def test_one_modality_with_itself_is_not_matched():
    view = unseen().views["rna"]
    assert fitted().similarity(view, view, depth=False, groups=None) is None

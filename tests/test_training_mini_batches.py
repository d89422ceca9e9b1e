"""Mini-batches give every cell once an epoch, thinned anew, with another cell of its own batch and its own numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_fixtures import CPU, prepare, simulated, small_config

from unisono.preprocessing.projection import on_scale
from unisono.training.mini_batches import MiniBatches, log_size
from unisono.types import Cells

CONFIG = small_config(max_features={"rna": 61}, batch_size=67, n_sampled_features=13, validation={"fraction": 0})


@pytest.fixture(scope="module")
def cells():
    """211 cells of three batches; some lack rna, others adt, and the views stand in different orders."""
    views = simulated(n_cells=211, n_batches=3, seed=5).views
    rng = np.random.default_rng(0)
    return Cells(
        {
            "atac": views["atac"].take(rng.permutation(211)[:203]),
            "rna": views["rna"].take(rng.permutation(211)[:191]),
            "adt": views["adt"].take(rng.permutation(211)[:173]),
        }
    )


@pytest.fixture(scope="module")
def prepared(cells):
    return prepare(cells, CONFIG)


def feed_of(prepared, **changes):
    return MiniBatches(prepared.views, prepared.technical, CONFIG.model_copy(update=changes), CPU)


@pytest.fixture(scope="module")
def mini_batches(prepared):
    return feed_of(prepared)


def full_targets(prepared):
    return np.concatenate([view.scatter(view.codes.scaled) for view in prepared.views.values()], axis=1)


def fed_targets(prepared, batch):
    return np.concatenate([batch.views[m].target.numpy() for m in prepared.views], axis=2)


def known_cells(prepared, batch):
    """Member x cell by the targets of all modalities together."""
    place = {row.tobytes(): i for i, row in enumerate(full_targets(prepared))}
    return np.array([[place[row.tobytes()] for row in member] for member in fed_targets(prepared, batch)])


def by_rows(values):
    return values[np.lexsort(values.T)]


def test_every_cell_comes_once_in_each_epoch_for_each_member_with_all_its_views(prepared, mini_batches):
    fed = np.concatenate([fed_targets(prepared, batch) for batch in mini_batches.epoch(1)], axis=1)
    assert fed.shape[:2] == (2, 211)
    for member in fed:
        np.testing.assert_array_equal(by_rows(member), by_rows(full_targets(prepared)))


def test_an_epoch_of_some_cells_draws_them_anew_and_gives_each_once(prepared):
    mini_batches = feed_of(prepared, max_cells_per_epoch=100)
    drawn = [np.concatenate([known_cells(prepared, b) for b in mini_batches.epoch(n)], axis=1) for n in (1, 2)]
    for members in drawn:
        assert members.shape == (2, 100)
        assert [len(set(member)) for member in members] == [100, 100]
        assert set(members[0]) == set(members[1])
    assert set(drawn[0][0]) != set(drawn[1][0])


def test_members_see_the_cells_in_different_orders_and_epochs_too(prepared, mini_batches):
    one, other = (np.concatenate([fed_targets(prepared, b) for b in mini_batches.epoch(n)], axis=1) for n in (1, 2))
    assert (one[0] != one[1]).any(axis=1).mean() > 0.9
    assert (one[0] != other[0]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("at_most", [100, 30_000])
def test_every_column_of_a_cell_is_its_own(prepared, cells, at_most):
    """Nothing is thinned here, so that what the encoder sees is the reading itself."""
    mini_batches = feed_of(prepared, thinning=(1.0, 1.0), max_cells_per_epoch=at_most)
    names = cells.names
    for batch in mini_batches.epoch(3):
        some = np.array([[names.tolist().index(name) for name in names[m]] for m in known_cells(prepared, batch)])
        np.testing.assert_array_equal(batch.technical.numpy(), prepared.technical[some])
        for m, view in prepared.views.items():
            fed = batch.views[m]
            np.testing.assert_array_equal(fed.has.numpy(), view.has[some])
            for name, wanted in (
                ("offset", view.codes.offset),
                ("target", view.codes.scaled),
                ("depth", view.codes.depth),
                ("log_size", log_size(view.preprocessor, view.counts)),
            ):
                np.testing.assert_array_equal(getattr(fed, name).numpy(), view.scatter(wanted)[some])
            np.testing.assert_allclose(fed.x.numpy(), view.scatter(view.codes.x)[some], atol=1e-5)
            raw = view.scatter(cells.views[m].counts.toarray()[:, fed.features.numpy()])[some]
            np.testing.assert_array_equal(fed.counts.numpy(), raw > 0 if m == "atac" else raw)


def test_cells_that_lack_a_modality_hold_zeros(prepared, mini_batches):
    for batch in mini_batches.epoch(1):
        for m, view in batch.views.items():
            lacks = ~view.has
            for name in ("x", "depth", "offset", "target", "counts", "log_size"):
                assert (getattr(view, name)[lacks] == 0).all(), (m, name)
    assert sum(int((~view.has).sum()) for batch in mini_batches.epoch(1) for view in batch.views.values()) == 2 * (
        8 + 20 + 38
    )


def test_the_permuted_cell_is_another_cell_of_the_same_batch_and_each_cell_lends_its_style_once(mini_batches):
    for batch in mini_batches.epoch(1):
        for technical, permuted in zip(batch.technical.numpy(), batch.permuted.numpy(), strict=True):
            np.testing.assert_array_equal(technical[permuted], technical)
            assert sorted(permuted) == list(range(len(permuted)))
            size = np.bincount(technical)[technical]
            assert ((permuted != np.arange(len(permuted))) == (size > 1)).all()


def test_a_cell_alone_in_its_batch_is_permuted_to_itself(prepared):
    lonely = MiniBatches(prepared.views, np.arange(211), CONFIG, CPU)
    for batch in lonely.epoch(1):
        np.testing.assert_array_equal(batch.permuted.numpy(), np.tile(np.arange(batch.permuted.shape[1]), (2, 1)))


def test_cells_of_a_batch_stand_side_by_side(prepared, mini_batches):
    order = np.concatenate([batch.technical.numpy() for batch in mini_batches.epoch(1)], axis=1)
    for member in order:
        assert (np.diff(member) != 0).sum() == 2


def x_by_cell(prepared, mini_batches, number, modality="rna"):
    """The codes that the encoder sees, in the order of the training cells, for the first member."""
    result = np.full((211, prepared.views[modality].codes.x.shape[1]), np.nan)
    for batch in mini_batches.epoch(number):
        result[known_cells(prepared, batch)[0]] = batch.views[modality].x[0].numpy()
    return result


def test_thinning_is_fresh_each_epoch_and_the_same_for_the_same_epoch(prepared, mini_batches):
    one, again, other = (x_by_cell(prepared, mini_batches, n) for n in (1, 1, 2))
    has = prepared.views["rna"].has
    np.testing.assert_array_equal(one, again)
    assert (one[has] != other[has]).any(axis=1).mean() > 0.95


def test_another_seed_thins_otherwise(prepared, mini_batches):
    one, other = x_by_cell(prepared, mini_batches, 1), x_by_cell(prepared, feed_of(prepared, seed=1), 1)
    has = prepared.views["rna"].has
    assert (one[has] != other[has]).any(axis=1).mean() > 0.95


def test_thinned_cells_are_shallower_and_resemble_the_full_ones(prepared, mini_batches):
    view = prepared.views["rna"]
    depth = np.concatenate([batch.views["rna"].depth[0][batch.views["rna"].has[0]] for batch in mini_batches.epoch(1)])
    assert depth.mean() < -1.0
    x = x_by_cell(prepared, mini_batches, 1)[view.has]
    full = view.scatter(view.codes.x)[view.has]
    assert np.corrcoef(x.ravel(), full.ravel())[0, 1] > 0.7


@pytest.mark.parametrize("n_sampled", [5, 13, 1000])
def test_a_step_costs_no_more_than_the_features_sampled(prepared, n_sampled):
    batch = next(feed_of(prepared, n_sampled_features=n_sampled).epoch(1))
    for m, n_selected in (("atac", 149), ("rna", 61), ("adt", 17)):
        view = batch.views[m]
        wanted = min(n_sampled, n_selected)
        assert view.counts.shape[-1] == len(view.features) == len(set(view.features.tolist())) == wanted
        assert set(view.features.tolist()) <= set(prepared.views[m].preprocessor.projection.selected.tolist())


def test_features_are_sampled_anew_each_epoch(mini_batches):
    one, other = (next(mini_batches.epoch(n)).views["atac"].features.tolist() for n in (1, 2))
    assert one != other


@pytest.mark.parametrize(
    ("n_cells", "batch_size", "steps"),
    [
        (50, 512, 1),
        (127, 512, 1),
        (128, 512, 2),
        (255, 512, 3),
        (256, 512, 4),
        (5000, 512, 10),
        (1024, 512, 4),
        (211, 30, 8),
    ],
)
def test_an_epoch_has_four_steps_where_each_has_64_cells_and_more_where_the_batch_size_asks(n_cells, batch_size, steps):
    mini_batches = MiniBatches(
        {}, np.zeros(n_cells, dtype=int), CONFIG.model_copy(update={"batch_size": batch_size}), CPU
    )
    assert mini_batches.steps_per_epoch == steps


def test_steps_share_the_cells_evenly(mini_batches):
    sizes = [batch.technical.shape[1] for batch in mini_batches.epoch(1)]
    assert len(sizes) == mini_batches.steps_per_epoch == 4
    assert sum(sizes) == 211
    assert max(sizes) - min(sizes) <= 1


def test_the_mean_of_all_codes_scores_one_under_the_weights_of_codes(prepared):
    for view in prepared.views.values():
        scaled = view.codes.scaled.astype(float)
        assert (scaled**2 @ view.code_weight).mean() == pytest.approx(1.0, abs=1e-4)
        ratio = view.code_weight / view.preprocessor.standardisation.scale**2
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


def test_values_on_the_scale_of_a_modality_times_the_size_are_counts_again(prepared, cells):
    for m in ("rna", "adt"):
        view = cells.views[m]
        size = np.exp(log_size(prepared.views[m].preprocessor, prepared.views[m].counts).astype(float))
        back = np.expm1(on_scale(view).toarray().astype(float)) * size[:, None]
        np.testing.assert_allclose(back, view.counts.toarray(), rtol=1e-4, atol=1e-4)
    atac = prepared.views["atac"]
    size = log_size(atac.preprocessor, atac.counts)
    for name in np.unique(atac.counts.batch):
        rows = atac.counts.batch == name
        log_depth = np.log1p(atac.counts.total[rows])
        np.testing.assert_allclose(size[rows], log_depth - log_depth.mean(), atol=1e-5)


def test_scatter_puts_values_in_the_order_of_all_cells_and_zero_where_the_modality_is_missing(prepared, cells):
    view = prepared.views["adt"]
    found = view.scatter(np.arange(1, 174))
    place = {name: i + 1 for i, name in enumerate(cells.views["adt"].cells.tolist())}
    assert found.tolist() == [place.get(name, 0) for name in cells.names.tolist()]


def test_feeding_leaves_the_training_counts_as_they_were(prepared, mini_batches):
    before = {m: view.counts.selected.copy() for m, view in prepared.views.items()}
    for _ in mini_batches.epoch(1):
        pass
    for m, view in prepared.views.items():
        np.testing.assert_array_equal(view.counts.selected.toarray(), before[m].toarray())


def test_each_epoch_can_be_fed_without_those_before_it(prepared, mini_batches):
    """As a training that is taken up again needs."""
    list(mini_batches.epoch(1))
    one, other = next(mini_batches.epoch(2)), next(feed_of(prepared).epoch(2))
    for field in ("x", "counts", "depth", "features"):
        assert torch.equal(getattr(one.views["adt"], field), getattr(other.views["adt"], field))
    assert torch.equal(one.permuted, other.permuted)


def test_a_view_of_one_modality_alone_is_fed_as_well(prepared):
    alone = replace(prepared, views={"rna": prepared.views["rna"]})
    assert set(next(feed_of(alone).epoch(1)).views) == {"rna"}


def test_errors_of_codes_that_do_not_vary_weigh_nothing():
    views = simulated(n_cells=31, seed=8).views
    alike = views["adt"].take(np.arange(31))
    alike = replace(alike, counts=alike.counts[np.zeros(31, dtype=int)])
    found = prepare(Cells({"rna": views["rna"], "adt": alike}), CONFIG).views
    np.testing.assert_array_equal(found["adt"].code_weight, np.zeros(len(found["adt"].code_weight)))
    assert found["rna"].code_weight.min() > 0

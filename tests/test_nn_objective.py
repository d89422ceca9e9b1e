"""Each term of the objective equals its formula, counts only cells that have all it needs, scales by its weight."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from unisono.config import FitConfig
from unisono.modalities import spec_of
from unisono.nn import losses
from unisono.nn.model import InitialWeights, Network
from unisono.nn.objective import Batch, MeasuredCells, ViewBatch, terms

N_CODES, N_FEATURES = {"atac": 6, "rna": 11, "adt": 5}, {"atac": 17, "rna": 13, "adt": 8}
SAMPLED = {
    "atac": torch.tensor([1, 4, 7, 15]),
    "rna": torch.tensor([0, 3, 12]),
    "adt": torch.tensor([1, 2, 4, 5, 7]),
}
HAS = {
    "atac": torch.tensor([[1, 1, 0, 1, 1, 1, 1], [1, 0, 1, 1, 1, 1, 0]]).bool(),
    "rna": torch.tensor([[1, 1, 1, 1, 0, 1, 1], [1, 1, 0, 1, 1, 0, 1]]).bool(),
    "adt": torch.tensor([[1, 0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 1, 1, 1]]).bool(),
}
TECHNICAL = torch.tensor([[0, 1, 0, 1, 0, 0, 1], [1, 1, 0, 0, 1, 0, 0]])
PEER = torch.tensor([[2, 3, 4, 6, 5, 0, 1], [1, 4, 3, 5, 0, 6, 2]])
RHO = torch.tensor([0.9, 0.5, 0.2, 0.04])
SIZES = {"content_dim": 4, "style_dim": 2, "n_channels": 3, "n_tokens": 5}


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def config_of(**changes):
    return FitConfig.preset("default", n_members=2, **({"architecture": SIZES} | changes))


def network_of(config=None):
    """Moved away from its start in every weight."""
    initial_weights = {
        m: InitialWeights(
            0.3 * randn(c, 4).float(),
            randn(4, c).float(),
            0.3 * randn(f, c).float(),
            *(randn(2, f).float() + 0.5),
            spec_of(m).likelihood(config or config_of()),
        )
        for (m, c), f in zip(N_CODES.items(), N_FEATURES.values(), strict=True)
    }
    network = Network(initial_weights, RHO, config or config_of(), torch.Generator().manual_seed(0)).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return network


def view_of(modality, seed=0):
    n_codes, features, has = N_CODES[modality], SAMPLED[modality], HAS[modality]
    counts = torch.poisson(torch.full((2, 7, len(features)), 2.0).double(), torch.Generator().manual_seed(seed))
    return {
        "x": randn(2, 7, n_codes, seed=seed) * has[..., None],
        "depth": randn(2, 7, seed=seed + 1) * has,
        "offset": randn(2, 7, n_codes, seed=seed + 2) * has[..., None],
        "target": randn(2, 7, n_codes, seed=seed + 3) * has[..., None],
        "counts": (counts.clamp(max=1) if modality == "atac" else counts) * has[..., None],
        "features": features,
        "log_size": randn(2, 7, seed=seed + 4) * has,
        "has": has,
        "code_weight": randn(n_codes, seed=seed + 5).abs(),
    }


VIEWS = {m: view_of(m, 10 * i) for i, m in enumerate(N_CODES)}


def batch_of(views=VIEWS, technical=TECHNICAL, peer=PEER):
    return Batch({m: ViewBatch(**view) for m, view in views.items()}, technical, peer)


def changed(modality, **fields):
    return VIEWS | {modality: VIEWS[modality] | fields}


def terms_of(batch=None, config=None, kl_fraction=1.0, seed=0, network=None):
    config = config or config_of()
    found = terms(
        network or network_of(config), batch or batch_of(), config, kl_fraction, torch.Generator().manual_seed(seed)
    )
    return {name: value.item() for name, value in found.items()}


@pytest.fixture
def silent(monkeypatch):
    """Draws are means, so that formulas can be written down."""
    monkeypatch.setattr(losses, "reparameterised", lambda mu, log_var, generator: mu)


@pytest.fixture
def encoded():
    """Content and style of every modality, by the network."""
    network = network_of()
    found = {}
    for m, view in VIEWS.items():
        content, statistics = network.content(m, view["x"])
        found[m] = content, network.style(m, statistics, view["depth"], view["offset"])
    return network, found


def mean_over(per_cell, mask):
    return torch.stack([value for value, kept in zip(per_cell.ravel(), mask.ravel(), strict=True) if kept]).mean()


def decoded(network, encoded, source, target):
    """Codes of the target from the source's content, in the style of the cell or, across modalities, of its peer."""
    style = encoded[target][1].mu
    if source != target:
        style = torch.stack([style[member, PEER[member]] for member in range(2)])
    return network.decode(target, encoded[source][0].mu, style, VIEWS[target]["offset"])


def cross_mask(source, target):
    has_peer = torch.stack([HAS[target][member, PEER[member]] for member in range(2)])
    return HAS[source] & HAS[target] & has_peer


def readout(network, encoded, source, target):
    view = VIEWS[target]
    error = (decoded(network, encoded, source, target) - view["target"]).square() @ view["code_weight"]
    return mean_over(error, HAS[target] if source == target else cross_mask(source, target))


def likelihood(network, encoded, source, target):
    """With the Gaussian for protein."""
    codes, view, head = decoded(network, encoded, source, target), VIEWS[target], network.head(target)
    features, counts = view["features"], view["counts"]
    if target == "atac":
        logits = head.logits(codes, view["log_size"], features)
        wanted = functional.binary_cross_entropy_with_logits(logits, counts, reduction="none")
    elif target == "adt":
        measured = torch.log1p(counts / view["log_size"].exp()[..., None])
        precision = head.log_theta[features].exp()
        wanted = 0.5 * ((measured - head.values(codes, features)) ** 2 * precision - precision.log())
    else:
        log_mean = head.log_mean_counts(head.values(codes, features), view["log_size"], features)
        theta = head.log_theta[features].exp().expand_as(log_mean)
        law = torch.distributions.NegativeBinomial(theta, logits=log_mean - theta.log())
        wanted = -law.log_prob(counts)
    return mean_over(wanted.mean(dim=-1), HAS[target] if source == target else cross_mask(source, target))


CROSS = [(source, target) for source in N_CODES for target in N_CODES if source != target]


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(("name", "formula"), [("readout", readout), ("likelihood", likelihood)])
def test_own_terms_are_the_sum_over_modalities_of_means_over_the_cells_that_have_it(name, formula, encoded):
    wanted = sum(formula(*encoded, m, m) for m in N_CODES).item()
    assert terms_of()[f"own_{name}"] == pytest.approx(wanted)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(("name", "formula"), [("readout", readout), ("likelihood", likelihood)])
def test_cross_terms_take_content_from_the_source_and_style_from_another_cell_in_the_target(name, formula, encoded):
    wanted = sum(formula(*encoded, source, target) for source, target in CROSS).item()
    assert terms_of()[f"cross_{name}"] == pytest.approx(wanted)


@pytest.mark.parametrize("kl_fraction", [1.0, 0.3])
def test_kl_is_that_of_content_and_style_in_nats_per_feature_times_the_warm_up(kl_fraction, encoded):
    wanted = 0.0
    for m, posteriors in encoded[1].items():
        nats = sum(
            kl_divergence(Normal(mu, torch.exp(0.5 * log_var)), Normal(0.0, 1.0)).sum(dim=-1)
            for mu, log_var in posteriors
        )
        wanted = wanted + mean_over(nats, HAS[m]) / N_FEATURES[m]
    assert terms_of(kl_fraction=kl_fraction)["kl"] == pytest.approx(kl_fraction * wanted.item())


def test_the_contrastive_term_is_the_mean_over_cells_with_both_views_within_their_batch(encoded):
    network, found = encoded
    wanted = 0.0
    for a, b in (("atac", "rna"), ("atac", "adt"), ("rna", "adt")):
        left, right = (network.similarity_features(found[m][0].mu) for m in (a, b))
        scores = network.inverse_temperature().exp()[:, None, None] * (left @ right.transpose(1, 2))
        per_cell = []
        for member in range(2):
            both = HAS[a][member] & HAS[b][member]
            for i in torch.nonzero(both)[:, 0]:
                similarity_pairs = both & (TECHNICAL[member] == TECHNICAL[member, i])
                row, column = scores[member, i, similarity_pairs], scores[member, similarity_pairs, i]
                per_cell.append((row.logsumexp(0) + column.logsumexp(0)) / 2 - scores[member, i, i])
        wanted = wanted + torch.stack(per_cell).mean()
    assert terms_of()["contrastive"] == pytest.approx(config_of().weights.contrastive * wanted.item())


TERMS = {"own_likelihood", "own_readout", "cross_likelihood", "cross_readout", "kl", "contrastive"}


@pytest.mark.parametrize(
    ("weight", "absent"),
    [
        ("likelihood", {"own_likelihood", "cross_likelihood"}),
        ("readout", {"own_readout", "cross_readout"}),
        ("cross", {"cross_likelihood", "cross_readout"}),
        ("kl", {"kl"}),
        ("contrastive", {"contrastive"}),
    ],
)
def test_a_weight_scales_its_terms_alone_and_at_zero_they_are_absent(weight, absent):
    unit, triple, none = (terms_of(config=config_of(weights={weight: w})) for w in (1.0, 3.0, 0.0))
    assert set(none) == TERMS - absent
    for name, value in unit.items():
        assert triple[name] == pytest.approx((3.0 if name in absent else 1.0) * value)
        assert name in absent or none[name] == pytest.approx(value)


def test_without_likelihood_and_readout_nothing_is_reconstructed():
    found = terms_of(config=config_of(weights={"likelihood": 0.0, "readout": 0.0}))
    assert set(found) == {"kl", "contrastive"}


def test_before_the_warm_up_there_is_no_kl():
    assert set(terms_of(kl_fraction=0.0)) == TERMS - {"kl"}


def test_what_stands_in_the_rows_of_cells_that_lack_a_modality_does_not_enter():
    wanted = terms_of()
    lacks = ~HAS["adt"]
    view = VIEWS["adt"]
    filled = {
        name: torch.where(lacks.reshape(2, 7, *[1] * (view[name].ndim - 2)), 7.0, view[name])
        for name in ("x", "depth", "offset", "target", "counts", "log_size")
    }
    assert terms_of(batch_of(changed("adt", **filled))) == pytest.approx(wanted)
    present = {"x": torch.where(lacks[..., None], view["x"], 7.0)}
    assert terms_of(batch_of(changed("adt", **present))) != pytest.approx(wanted)


def test_another_peer_changes_the_cross_terms_alone():
    one, other = terms_of(), terms_of(batch_of(peer=PEER.roll(1, dims=1)))
    differs = {name for name in one if one[name] != pytest.approx(other[name])}
    assert differs == {"cross_likelihood", "cross_readout"}


def test_another_division_into_batches_changes_the_contrastive_term_alone():
    one, other = terms_of(), terms_of(batch_of(technical=torch.zeros_like(TECHNICAL)))
    assert {name for name in one if one[name] != pytest.approx(other[name])} == {"contrastive"}
    assert other["contrastive"] > one["contrastive"]


def test_draws_enter_reconstruction_alone_and_follow_the_generator():
    one, same, other = terms_of(seed=1), terms_of(seed=1), terms_of(seed=2)
    assert one == same
    assert {name for name in one if one[name] != other[name]} == TERMS - {"kl", "contrastive"}


def test_with_style_switched_off_depth_does_not_matter_and_with_it_on_it_does():
    deeper = batch_of(changed("rna", depth=VIEWS["rna"]["depth"] + 2.0))
    on, off = config_of(), config_of(architecture={**SIZES, "style": False})
    assert terms_of(deeper, off) == pytest.approx(terms_of(config=off))
    assert terms_of(deeper, on)["own_readout"] != pytest.approx(terms_of(config=on)["own_readout"])


def test_style_switched_off_adds_nothing_to_the_kl():
    config = config_of(architecture={**SIZES, "style": False})
    network, wanted = network_of(config), 0.0
    for m, view in VIEWS.items():
        content = network.content(m, view["x"])[0]
        wanted += mean_over(losses.gaussian_kl(*content), HAS[m]).item() / N_FEATURES[m]
    assert terms_of(config=config, network=network)["kl"] == pytest.approx(wanted)


def test_protein_counts_can_follow_the_negative_binomial():
    config = config_of(likelihoods={"adt": "negative_binomial"})
    gaussian, counted = terms_of(), terms_of(config=config)
    assert {name for name in counted if counted[name] != pytest.approx(gaussian[name])} == {
        "own_likelihood",
        "cross_likelihood",
    }


def test_two_views_have_the_two_directions_of_a_pair_and_one_view_none():
    two = terms_of(batch_of({m: VIEWS[m] for m in ("rna", "adt")}))
    assert set(two) == TERMS
    assert two["contrastive"] < terms_of()["contrastive"]
    assert set(terms_of(batch_of({"rna": VIEWS["rna"]}))) == {"own_likelihood", "own_readout", "kl"}


def test_a_batch_in_which_no_cell_has_two_views_has_finite_terms_and_gradients():
    apart = torch.tensor([True, False, True, False, True, False, True]).expand(2, 7)
    views = {"rna": VIEWS["rna"] | {"has": apart}, "adt": VIEWS["adt"] | {"has": ~apart}}
    network, config = network_of(), config_of()
    found = terms(network, batch_of(views), config, 1.0, torch.Generator().manual_seed(0))
    assert found["contrastive"] == found["cross_readout"] == found["cross_likelihood"] == 0.0
    torch.stack(list(found.values())).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_every_weight_of_the_network_but_unsampled_features_gets_a_gradient():
    network = network_of()
    found = terms(network, batch_of(), config_of(), 1.0, torch.Generator().manual_seed(0))
    torch.stack(list(found.values())).sum().backward()
    silent = {n for n, p in network.named_parameters() if p.grad is None or not (p.grad != 0).any()}
    assert silent == {"heads.rna.log_slope", "heads.adt.log_slope", "heads.adt.log_bias", "heads.atac.log_theta"}
    grad = network.head("rna").log_bias.grad
    assert torch.nonzero(grad)[:, 0].tolist() == SAMPLED["rna"].tolist()


ROW_OF = torch.tensor([[0, 1, 1, 0, 1, 0, 0], [1, 1, 0, 0, 1, 0, 1]])


def measured_of(modality, is_measured):
    """Row 0 measured everything, row 1 some of the sampled features and, of the code, the first two dimensions."""
    rows = torch.stack([torch.ones(len(is_measured), dtype=torch.bool), torch.tensor(is_measured).bool()])
    root = VIEWS[modality]["code_weight"].sqrt()
    roots = torch.stack([torch.diag(root), torch.diag(root * (torch.arange(len(root)) < 2))])
    return MeasuredCells(ROW_OF, rows, roots)


@pytest.mark.parametrize(
    ("modality", "is_measured"), [("atac", [1, 0, 0, 1]), ("rna", [0, 1, 1]), ("adt", [1, 0, 1, 0, 0])]
)
def test_what_stands_where_nothing_was_measured_is_irrelevant(modality, is_measured):
    view = VIEWS[modality] | {"measured": measured_of(modality, is_measured)}
    is_hole = (ROW_OF == 1)[..., None] & ~torch.tensor(is_measured).bool()
    beyond = (ROW_OF == 1)[..., None] & (torch.arange(N_CODES[modality]) >= 2)
    other = view | {
        "counts": torch.where(is_hole, 1.0 - view["counts"].clamp(max=1), view["counts"]),
        "target": torch.where(beyond, view["target"] + 3.0, view["target"]),
    }
    found = [terms_of(batch_of(VIEWS | {modality: each})) for each in (view, other)]
    assert found[0] == pytest.approx(found[1])
    assert found[0] != pytest.approx(terms_of(), rel=1e-6)


def test_a_mask_of_everything_leaves_all_terms_as_they_are():
    view = VIEWS["rna"] | {"measured": measured_of("rna", [1, 1, 1])}
    whole = replace(view["measured"], roots=view["measured"].roots[[0, 0]])
    assert terms_of(batch_of(changed("rna", measured=whole))) == pytest.approx(terms_of())

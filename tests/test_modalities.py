"""A modality is one object: nothing else asks for its name, and a fourth one works once it is registered."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from io_fixtures import refusal
from model_fixtures import correlations, rebuilt, take, tiny
from scipy import sparse

import unisono as un
from unisono import modalities
from unisono.config import FitConfig
from unisono.datasets import Recipe, simulate_cells
from unisono.io.naming import kind_of
from unisono.modalities import Coding, ModalitySpec, check_config, in_order, register, registered, spec_of
from unisono.modalities.normalise import scale_columns
from unisono.modalities.spec import equal_weights
from unisono.preprocessing.projection import Projection
from unisono.types import Cells

ROOT = Path(un.__file__).parent
NAMES = ("atac", "rna", "adt")

MAY_NAME = {
    "modalities/atac.py": "is the object",
    "modalities/rna.py": "is the object",
    "modalities/adt.py": "is the object",
    "datasets/simulator.py": "simulates these three, each in its own way",
    "datasets/mudata.py": "the same, as MuData",
    "datasets/catalogue.py": "says what public files hold",
    "datasets/neurips.py": "reads files of a source, each of which holds what it holds",
    "datasets/snareseq.py": "the same",
    "datasets/tenx.py": "the same",
    "io/naming.py": "gives examples of a mapping in its remedies",
}


def named(source: str) -> list[int]:
    """Lines where the name of a modality stands as a string of its own, in code."""
    return [
        node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and node.value in NAMES
    ]


def test_no_file_but_its_own_names_a_modality():
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(ROOT.rglob("*.py"))
        if str(path.relative_to(ROOT)) not in MAY_NAME
        for line in named(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_what_may_name_a_modality_does():
    assert all(named((ROOT / name).read_text(encoding="utf-8")) for name in MAY_NAME)


@pytest.mark.parametrize(
    "source",
    ['if x == "atac":\n    pass', 'table = {"rna": 1}', 'y = table["adt"]', 'y = x in ("rna", "adt")', 'f("atac")'],
)
def test_a_planted_name_is_caught(source):
    assert named(source) != []
    assert named('"""Such as rna."""\nx = "rna->adt"\ny = rna') == []


def log1p(counts, total):
    return counts.astype(np.float32).log1p()


def log1p_normalised(counts, total, weights, n_measured):
    return scale_columns(log1p(counts, total), weights[0])


def no_size(counts, total):
    return np.zeros(len(total), dtype=np.float32)


HTO = ModalitySpec(
    name="hto",
    level=3,
    label="tags",
    features="tags",
    unit="log1p of counts",
    colour="#16a085",
    on_scale=log1p,
    codings={"log1p": Coding(log1p_normalised, equal_weights)},
    likelihoods=("gaussian",),
    link="identity",
    log_size=no_size,
    aliases=("hashtag",),
)
"""The fourth modality: Gaussian on log1p of counts, all in one place."""


@pytest.fixture
def hto(monkeypatch) -> Iterator[None]:
    """The fourth modality is known within a test, and forgotten after it."""
    monkeypatch.setattr(modalities, "_SPECS", dict(modalities._SPECS))
    register(HTO)


N_TRAINING, N_TEST, N_TAGS = 331, 67, 23


@cache
def cells_with_tags():
    """RNA and 23 tags over the same 398 cells of one batch; the tags' rates follow the content that drives RNA."""
    found = simulate_cells(Recipe(n_cells=N_TRAINING + N_TEST, n_genes=120, n_peaks=90, n_proteins=8, seed=4))
    rng = np.random.default_rng(11)
    content = (found.content - found.content.mean(axis=0)) / found.content.std(axis=0)
    rates = np.exp(1.5 + 0.5 * content @ rng.normal(size=(content.shape[1], N_TAGS)))
    view = found.cells.views["rna"]
    rna = AnnData(view.counts.copy())
    rna.obs_names, rna.var_names = view.cells, view.features
    tags = AnnData(sparse.csr_matrix(rng.poisson(np.minimum(rates, 200.0))))
    tags.obs_names, tags.var_names = view.cells, [f"tag{i}" for i in range(N_TAGS)]
    return rebuilt({"hashtag": tags, "rna": rna})


def training():
    return take(cells_with_tags(), slice(0, N_TRAINING))


def unseen():
    return take(cells_with_tags(), slice(N_TRAINING, None))


@cache
def model():
    """Needs the fourth modality to be registered."""
    return un.fit(training(), config=tiny(max_epochs=12, seed=2), device="cpu")


def dense(part):
    return np.asarray(part.X.toarray(), dtype=np.float64)


@pytest.mark.usefixtures("hto")
def test_a_fourth_modality_is_fitted_under_any_of_its_names_and_stands_in_its_order():
    assert model().modalities == ("rna", "hto")
    assert model().fitted.predictor.network.head("hto").likelihood == "gaussian"


@pytest.mark.usefixtures("hto")
def test_a_fourth_modality_is_predicted_on_its_scale_above_chance():
    found = model().predict(unseen(), "rna", "hto", interval=0.8)
    truth = np.log1p(dense(unseen()["hashtag"]))
    assert found.uns["unisono"]["scale"] == "log1p of counts"
    assert correlations(found.X, truth).mean() > 0.5
    assert np.sqrt(((found.X - truth) ** 2).mean()) < 0.9 * truth.std(axis=0).mean()
    inside = (truth >= found.layers["lower"]) & (truth <= found.layers["upper"])
    assert inside.mean() == pytest.approx(0.8, abs=0.1)


@pytest.mark.usefixtures("hto")
def test_rna_is_predicted_from_a_fourth_modality_above_chance():
    found = model().predict(unseen(), "hto", "rna")
    x = dense(unseen()["rna"])
    truth = np.log1p(1e4 * x / x.sum(axis=1, keepdims=True))
    best = np.argsort(-truth.mean(axis=0))[:40]
    assert correlations(found.X[:, best], truth[:, best]).mean() > 0.1


@pytest.mark.usefixtures("hto")
def test_cells_of_a_fourth_modality_are_matched_above_chance():
    order = np.random.default_rng(1).permutation(N_TEST)
    right = unseen()["hashtag"][order].copy()
    found = model().match(unseen()["rna"], right, between=("rna", "hto")).to_anndata()
    probability = np.asarray(found.X.toarray())
    partner = np.argsort(order)
    rank = (probability > probability[np.arange(N_TEST), partner][:, None]).sum(axis=1)
    assert (rank < 10).mean() > 3 * 10 / N_TEST


@pytest.mark.usefixtures("hto")
def test_a_fourth_modality_is_scored_by_correlation():
    scores = un.evaluate(model(), unseen())
    wanted = (
        ("rna", "hto", "pearson"),
        ("rna", "hto", "spearman"),
        ("hto", "rna", "pearson"),
        ("rna", "hto", "foscttm"),
    )
    assert all(scores.get(*key) is not None for key in wanted)
    assert scores.get("rna", "hto", "auroc") is None
    assert scores.value("rna", "hto", "foscttm") < 0.3


@pytest.mark.usefixtures("hto")
def test_a_saved_model_of_a_fourth_modality_predicts_the_same_once_it_is_registered(tmp_path, monkeypatch):
    model().save(tmp_path / "m")
    found = un.load(tmp_path / "m", device="cpu")
    np.testing.assert_array_equal(found.predict(unseen(), "rna", "hto").X, model().predict(unseen(), "rna", "hto").X)
    monkeypatch.delitem(modalities._SPECS, "hto")
    error = refusal(un.load, tmp_path / "m", device="cpu")
    assert error.code == "E043"
    assert error.what == "has the modality hto, which is not registered (known: atac, rna, adt)."


def test_the_three_stand_in_the_order_of_the_central_dogma_and_each_gives_its_name():
    assert registered() == NAMES == in_order(["adt", "atac", "rna"])
    assert [spec_of(name).name for name in NAMES] == list(NAMES)
    assert [spec_of(name).level for name in NAMES] == [0, 1, 2]


@pytest.mark.usefixtures("hto")
def test_a_registered_modality_stands_by_its_level_and_is_known_by_its_aliases():
    assert registered() == ("atac", "rna", "adt", "hto")
    register(replace(HTO, name="methylation", aliases=("5mc",), level=0))
    assert registered() == ("atac", "methylation", "rna", "adt", "hto")
    assert [kind_of(name) for name in ("HTO", "hash-tag", "5mC", "tag")] == ["hto", "hto", "methylation", None]


@pytest.mark.usefixtures("hto")
def test_a_modality_of_the_same_name_is_replaced():
    register(replace(HTO, unit="log counts"))
    assert spec_of("hto").unit == "log counts"
    assert registered() == ("atac", "rna", "adt", "hto")


@pytest.mark.usefixtures("hto")
@pytest.mark.parametrize("changes", [{"aliases": ("gex",)}, {"aliases": ("hto",)}, {"name": "hashtag", "aliases": ()}])
def test_a_name_or_alias_of_another_modality_is_refused(changes):
    with pytest.raises(ValueError, match=r"belongs to (rna|hto)"):
        register(replace(HTO, **({"name": "tags"} | changes)))


def test_an_unknown_modality_is_refused_with_what_is_known():
    with pytest.raises(ValueError, match=r"'hto' is not known \(known: atac, rna, adt\)"):
        spec_of("hto")


def test_aliases_colours_and_labels_tell_modalities_apart():
    specs = [spec_of(name) for name in NAMES]
    aliases = [name for spec in specs for name in (spec.name, *spec.aliases)]
    assert len(set(aliases)) == len(aliases)
    for field in ("level", "label", "features", "unit", "colour"):
        assert len({getattr(spec, field) for spec in specs}) == 3, field


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "h.to"}, "lower-case letters"),
        ({"name": "HTO"}, "lower-case letters"),
        ({"colour": "green"}, "expected one like"),
        ({"level": -1}, "level -1"),
        ({"likelihoods": ()}, "0 likelihoods"),
        ({"codings": {}}, "codings none"),
        ({"candidates": ("log",)}, "codings log1p, candidates"),
        ({"candidates_across": ("log",)}, "codings log1p, candidates"),
        ({"link": "logistic"}, "go together"),
        ({"log_size": None}, "go together"),
        ({"likelihoods": ("bernoulli",)}, "go together"),
        ({"likelihoods": ("gaussian", "bernoulli")}, "go together"),
        ({"likelihoods": ("bernoulli",), "link": "logistic"}, "go together"),
    ],
)
def test_a_modality_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(HTO, **changes)


def simulated() -> Cells:
    return simulate_cells(Recipe(n_cells=53, n_genes=31, n_peaks=47, n_proteins=9, seed=6)).cells


@pytest.mark.parametrize("name", ["rna", "adt"])
def test_the_size_carries_a_value_on_the_scale_back_to_its_count(name):
    view, spec = simulated().views[name], spec_of(name)
    assert spec.log_size is not None
    size = np.exp(spec.log_size(view.counts, view.depth)).astype(np.float64)
    values = spec.on_scale(view.counts, view.depth).toarray().astype(np.float64)
    np.testing.assert_allclose(np.expm1(values) * size[:, None], view.counts.toarray(), rtol=1e-4, atol=1e-4)


def test_a_binary_modality_has_values_of_0_and_1_and_the_others_grow_with_the_count():
    for name, view in simulated().views.items():
        values, counts = spec_of(name).on_scale(view.counts, view.depth).toarray(), view.counts.toarray()
        assert spec_of(name).is_binary == (name == "atac") == set(np.unique(values)).issubset({0.0, 1.0})
        np.testing.assert_array_equal(values > 0, counts > 0)


def test_a_config_chooses_the_likelihood_and_how_many_features_enter_the_code():
    view = simulated().views["rna"]
    config = FitConfig(max_features={"rna": 13}, likelihoods={"adt": "negative_binomial"})
    assert [spec_of(name).likelihood(config) for name in NAMES] == ["bernoulli"] + 2 * ["negative_binomial"]
    assert spec_of("adt").likelihood(FitConfig()) == "gaussian"
    assert len(Projection.fit(view, config).selected) == 13
    assert len(Projection.fit(view, FitConfig()).selected) == 31
    check_config(config)


def codings(**names):
    return {"preprocessing": {"codings": names}}


@pytest.mark.parametrize(
    ("changes", "what", "remedy"),
    [
        ({"likelihoods": {"prot": "gaussian"}}, "likelihoods: no modality 'prot'.", "name one of atac, rna, adt"),
        ({"max_features": {"genes": 9}}, "max_features: no modality 'genes'.", "name one of atac, rna, adt"),
        ({"likelihoods": {"atac": "gaussian"}}, "likelihoods: atac cannot have gaussian.", "choose bernoulli"),
        ({"likelihoods": {"adt": "bernoulli"}}, "adt cannot have bernoulli.", "choose gaussian or negative_binomial"),
        (
            {"preprocessing": {"codings": {"genes": ("log",)}}},
            "codings: no modality 'genes'.",
            "name one of atac, rna, adt",
        ),
        ({"preprocessing": {"codings": {"adt": ("log",)}}}, "codings: adt cannot have log.", "choose from clr"),
        ({"preprocessing": {"codings": {"atac": ()}}}, "codings: atac cannot have none.", "choose from tf_idf"),
        ({"max_features": {"adt": 9}}, "max_features: all proteins of adt enter its code.", "leave adt out"),
    ],
)
def test_a_config_that_says_what_a_modality_cannot_have_is_refused(changes, what, remedy):
    found = refusal(check_config, FitConfig(**changes))
    assert (found.code, found.remedy) == ("E053", remedy)
    assert what in found.what


def test_a_fit_refuses_such_a_config_before_it_starts():
    mdata = un.datasets.simulate(n_cells=53, n_genes=31, n_peaks=47, n_proteins=9, seed=6)
    found = refusal(un.fit, mdata, config=tiny(max_features={"adt": 3}), device="cpu")
    assert found.code == "E053"

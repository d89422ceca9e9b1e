"""One data set left out: features meet by name, baselines learn from what was measured, parts are kept, pages tell."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from sklearn.linear_model import Ridge

import unisono as un
from fixtures import tiny
from unisono_bench.baselines import contrastive
from unisono_bench.baselines.regression import ALPHAS
from unisono_bench.data import to_mudata
from unisono_bench.studies.kept import KeptRows
from unisono_bench.studies.left_out import baselines, figures, measure, model, page, pictures
from unisono_bench.studies.left_out.footing import footings
from unisono_bench.studies.left_out.sets import DataSets
from unisono_bench.studies.report import Settings

SIZES = {"sun": 97, "moon": 83, "mars": 71}
LACKS = {"sun": ("p1", "p5"), "moon": ("p0", "p3"), "mars": ("p2",)}


@pytest.fixture(scope="module", autouse=True)
def _few_epochs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrastive, "MAX_EPOCHS", 3)
        yield


def simulated(name: str, seed: int) -> MuData:
    """Cells of one tissue; each laboratory lacks some proteins and a gene, and names its batches alike."""
    recipe = un.datasets.Recipe(n_cells=251, n_genes=61, n_peaks=29, n_proteins=11, seed=5)
    cells = un.datasets.simulate_cells(recipe).cells
    start = sum(list(SIZES.values())[: list(SIZES).index(name)])
    part = cells.take(np.arange(start, start + SIZES[name]))
    views = {}
    for modality, letter in (("rna", "g"), ("adt", "p")):
        view = part.views[modality]
        names = np.array([f"{letter}{i}" for i in range(len(view.features))])
        lacks = [f"g{seed}"] if modality == "rna" else LACKS[name]
        kept = np.flatnonzero(~np.isin(names, lacks))
        views[modality] = replace(view, counts=view.counts[:, kept], features=names[kept], ids=None, unmeasured={})
    found = to_mudata(un.Cells(views))
    for table in found.mod.values():
        table.obs["cell_type"] = np.where(np.arange(table.n_obs) % 3, "T", "B")
    return found


@pytest.fixture(scope="module")
def data():
    return {name: simulated(name, seed) for seed, name in enumerate(SIZES)}


@pytest.fixture(scope="module")
def sets(data):
    return DataSets.of(data)


@pytest.fixture(scope="module")
def fitted(sets):
    return model.fitted(sets, ("sun", "moon"), tiny())


def values(rows, **about):
    return [row["value"] for row in rows if all(row[key] == value for key, value in about.items())]


def test_every_data_set_keeps_its_own_features_cells_and_batches(data, sets):
    for name, mdata in data.items():
        for modality in ("rna", "adt"):
            own = sets.mudata[name][modality]
            assert list(own.obs_names) == list(mdata[modality].obs_names)
            assert set(own.obs["batch"]) == set(mdata[modality].obs["batch"])
            assert set(own.var_names) == set(mdata[modality].var_names)
            np.testing.assert_array_equal(own[:, mdata[modality].var_names].X.toarray(), mdata[modality].X.toarray())


def test_several_data_sets_have_the_features_that_any_of_them_measured(sets):
    found = sets.cells(("sun", "moon")).views["adt"]
    assert set(found.features) == {f"p{i}" for i in range(11)}
    assert found.n_cells == 97 + 83
    for batch in np.unique(found.batch):
        lacking = set(found.features[found.unmeasured[batch]])
        assert lacking == set(LACKS[batch.split("/")[0]])


def test_a_query_is_paired_drawn_once_and_shuffled_with_its_labels(sets, monkeypatch):
    monkeypatch.setattr("unisono_bench.studies.left_out.sets.MAX_QUERY_CELLS", 31)
    query, again = sets.query("mars"), sets.query("mars")
    left, right = (query.cells.views[m].cells for m in ("rna", "adt"))
    assert len(left) == 31
    np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(left, again.cells.views["rna"].cells)
    assert not np.array_equal(query.matching.partner, np.arange(31))
    types, right_types = query.labels
    np.testing.assert_array_equal(right_types[query.matching.partner], types)
    place = [int(np.flatnonzero(sets.mudata["mars"]["rna"].obs_names == cell.split("/")[1])[0]) for cell in left]
    np.testing.assert_array_equal(types, np.where(np.array(place) % 3, "T", "B"))


def test_features_of_a_figure_are_those_that_query_and_prediction_share(sets):
    query = sets.query("mars")
    truth = query.truth["adt"]
    noise = np.random.default_rng(0).normal(size=len(truth))
    guess = pd.DataFrame({"p0": truth["p0"], "p1": -truth["p1"], "p2": noise, "p4": truth["p4"] * 3 + 1})
    rows = list(figures.of_prediction(query, "rna", guess, {"two": np.array(["p0", "p1"]), "none": np.array(["p2"])}))
    assert values(rows, features="shared") == [pytest.approx(1 / 3, abs=1e-6)]
    assert values(rows, features="two") == [pytest.approx(0, abs=1e-6)]
    assert [row["n_features"] for row in rows] == [3, 2]
    lower, upper = truth - 1, truth.assign(p4=-9.0) + 1
    inside = figures.of_intervals(query, "rna", lower[["p0", "p4"]], upper[["p0", "p4"]])
    assert inside["value"] == pytest.approx(0.5)


def test_a_matching_of_which_the_truth_is_known_is_perfect_and_its_reverse_is_not(sets):
    query = sets.query("mars")
    vectors = np.eye(71, dtype=np.float32)
    shuffled = np.empty_like(vectors)
    shuffled[query.matching.partner] = vectors
    right = {
        row["figure"]: row["value"]
        for row in figures.of_matching(query, un.matching.Similarity(vectors, shuffled, 40.0))
    }
    assert right["foscttm_of_posterior"] == 0
    assert right["label_transfer_accuracy"] == right["recall_at_10"] == 1
    assert right["match_probability"] == pytest.approx(1, abs=1e-3)
    wrong = {
        row["figure"]: row["value"]
        for row in figures.of_matching(query, un.matching.Similarity(vectors, -shuffled, 40.0))
    }
    assert wrong["foscttm_of_posterior"] == 1


@pytest.fixture(scope="module")
def sides(sets):
    return footings(sets, ("sun", "moon"), sets.query("mars"), 0)


def test_every_batch_of_a_footing_has_mean_0_and_what_it_did_not_measure_is_0(sets, sides):
    side = sides["adt"]
    for view, found in ((side.view, side.training), (sets.query("mars").cells.views["adt"], side.query)):
        dense = found.dense()
        for batch in np.unique(view.batch):
            np.testing.assert_allclose(dense[view.batch == batch].mean(axis=0), 0.0, atol=1e-6)
    is_sun = np.char.startswith(side.view.batch, "sun")
    lacking = np.isin(side.view.features, LACKS["sun"])
    assert not side.training.dense()[np.ix_(is_sun, lacking)].any()
    assert side.training.dense()[np.ix_(~is_sun, lacking)].any()
    assert not side.query.dense()[:, np.isin(side.view.features, LACKS["mars"])].any()


def test_codes_are_the_leading_components_of_the_dense_values(sides):
    for side in sides.values():
        dense = side.training.dense()
        codes, query = side.codes(9)
        _, s, vt = np.linalg.svd(dense, full_matrices=False)
        np.testing.assert_allclose(np.linalg.norm(codes, axis=0)[:3], s[:3], rtol=1e-4)
        np.testing.assert_allclose(np.abs(query[:, 0]), np.abs(side.query.dense() @ vt[0]), atol=0.05)
    np.testing.assert_allclose(sides["adt"].codes(11)[1], sides["adt"].query.dense(), atol=1e-5)  # proteins themselves


def test_a_query_as_it_is_differs_from_a_centred_one_by_one_offset_a_batch(sides):
    side = sides["rna"]
    shift = side.query_as_is.query.dense() - side.query.dense()
    for group in np.unique(side.query.group):
        np.testing.assert_allclose(np.ptp(shift[side.query.group == group], axis=0), 0.0, atol=1e-6)
    assert np.abs(shift).max() > 0.01
    measured = side.training.matrix.toarray()[:, 0]
    assert side.mean[0] == pytest.approx(measured[side.view.measured.rows[side.view.measured.row_of][:, 0]].mean())


def test_scaled_proteins_deviate_alike_in_all_batches(sides):
    side = sides["adt"].scaled
    for found in (side.training.deviations(), side.query.deviations()):
        wanted = np.broadcast_to(sides["adt"].deviation, found.shape)
        np.testing.assert_allclose(found[found > 0], wanted[found > 0], rtol=1e-4)


def test_ridge_learns_a_protein_from_the_cells_that_measured_it_alone(sets, sides):
    query = sets.query("mars")
    n_codes, fit = baselines.REGRESSIONS["ridge"]
    found = baselines.predicted(sides["rna"].codes(n_codes), sides["adt"], query, fit, 0)
    assert set(found.columns) == {f"p{i}" for i in range(11)} - set(LACKS["mars"])
    x, new = sides["rna"].codes(n_codes)
    is_moon = np.char.startswith(sides["adt"].view.batch, "moon")
    y = sides["adt"].training.dense()[:, sides["adt"].view.features == "p1"][is_moon]  # of proteins p1 and p5
    ratios = [
        np.corrcoef(Ridge(alpha=alpha).fit(x[is_moon], y).predict(new).ravel(), found["p1"])[0, 1] for alpha in ALPHAS
    ]
    assert max(ratios) == pytest.approx(1, abs=1e-5)


def test_baselines_answer_about_unseen_cells_better_than_chance(sets):
    rows = list(baselines.answers(sets, ("sun", "moon"), "mars", 0))
    assert {row["method"] for row in rows} == {*baselines.REGRESSIONS, *baselines.MATCHERS}
    for name in baselines.REGRESSIONS:
        assert values(rows, method=name, source="rna", features="shared", figure="pearson")[0] > 0.1
        assert {row["features"] for row in rows if row["method"] == name} == {"shared", "sun", "moon"}
    for name in ("cca", "cca-centred"):
        assert values(rows, method=name, figure="foscttm")[0] < 0.4


def test_a_model_of_two_sets_is_asked_everything_about_the_third(sets, fitted):
    rows = model.answers(fitted, sets, ("sun", "moon"), "mars")
    found = {(row["figure"], row["source"]) for row in rows}
    assert {(f.name, f.source) for f in page.FIGURES} <= found
    with pytest.warns(un.InputWarning):
        same = un.evaluate(fitted, sets.query("mars").mudata).value("rna", "adt", "foscttm")
    assert values(rows, figure="foscttm")[0] == pytest.approx(same, abs=0.05)


def test_every_source_is_in_as_many_choices_of_a_number_as_any_other():
    found = list(measure.choices("abcde"))
    assert len(found) == 2**5 - 2
    for n in (1, 2, 3, 4):
        counts = {letter: sum(letter in one for one in found if len(one) == n) for letter in "abcde"}
        assert len(set(counts.values())) == 1
    assert measure.without("abc", "b") == ("a", "c")


def test_a_part_that_is_there_is_not_measured_again(tmp_path):
    said, runs = [], []

    def found():
        runs.append(1)
        return [{"figure": "x", "value": 0.5}]

    kept = KeptRows(tmp_path / "parts", said.append)
    first = kept.rows("model of sun, seed 0", [1], found)
    assert kept.rows("model of sun, seed 0", [1], found) == first == [{"figure": "x", "value": 0.5}]
    assert len(runs) == 1
    assert "there already" in said[-1]
    kept.rows("model of sun, seed 0", [2], found)
    assert len(runs) == 2
    KeptRows(None, said.append).rows("model of sun, seed 0", [1], found)
    assert len(runs) == 3


def test_an_interrupted_study_goes_on_after_the_last_part(tmp_path, sets, monkeypatch):
    asked = []
    monkeypatch.setattr(baselines, "answers", lambda sets, training, held, seed: asked.append((training, held)) or [])
    monkeypatch.setattr(
        model, "answers", lambda fitted, sets, training, held: [{"figure": "x", "value": len(training)}]
    )

    def fit(sets, training, config):
        if len(asked) == 0 and len(training) == 2 and "mars" in training:
            raise KeyboardInterrupt
        asked.append(training)

    monkeypatch.setattr(model, "fitted", fit)
    settings = Settings(sets.names, 1, "fast", KeptRows(tmp_path, lambda line: None))
    rows = measure.everything_of(sets, settings)
    n_parts = len(list(tmp_path.glob("*.jsonl")))
    assert n_parts == 6 + 9
    assert [row["n_sets"] for row in rows] == [1] * 6 + [2] * 3
    asked.clear()
    assert measure.everything_of(sets, settings) == rows
    assert asked == []


def made_rows():
    """Two sources each of three held sets; the model of both is better than either by 0.1."""
    rows = []
    for held in "abc":
        others = measure.without("abc", held)
        for n in (1, 2):
            for training in combinations(others, n):
                about = {"seed": 0, "held": held, "method": "unisono", "training": ",".join(training), "n_sets": n}
                for place, figure in enumerate(page.FIGURES):
                    value = 0.1 * n + 0.01 * "abc".index(training[0]) + 0.001 * place
                    target = "adt" if figure.source == "rna" else "rna"
                    row = {**about, "source": figure.source, "target": target, "figure": figure.name, "value": value}
                    names = ("shared", *training) if figure.name == "pearson" else ("shared",)
                    rows += [{**row, "features": name, "n_features": 7} for name in names]
    return rows


def test_the_best_single_source_is_chosen_figure_by_figure_in_the_direction_of_the_figure():
    best = {
        (row["held"], row["figure"], row["source"]): row["training"] for row in page.best_single(made_rows(), "unisono")
    }
    assert best["a", "pearson", "rna"] == "c"
    assert best["a", "foscttm", "rna"] == "b"
    assert best["c", "coverage_of_90", "adt"] == "b"


def test_the_page_shows_union_and_single_source_on_the_same_features(tmp_path):
    rows = made_rows()
    table = page.source_table(rows)
    assert "| a | RNA→ADT | c | 7 | 0.120 | 0.210 |  |" in table
    curve = page.curve_rows(rows)
    mean = {row["sets"]: row["value"] for row in curve if row["held out"] == "mean" and row["figure"] == "RNA→ADT"}
    assert mean == {1: pytest.approx(0.11), 2: pytest.approx(0.2 + 0.01 / 3)}
    settings = Settings(("a", "b", "c"), 1, "fast")
    text = page.tell({"rows": rows}, settings)
    assert "| mean | unisono, best single source |" in text
    pictures.draw({"rows": rows}, settings, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["methods.png", "number_of_sets.png"]


def test_an_ablation_says_what_is_lost_and_in_how_many_sets_it_is_a_gain():
    rows = [row for row in made_rows() if row["n_sets"] == 2]
    less = [
        {**row, "method": "unisono-no-style", "value": row["value"] - (0.03 if row["held"] == "a" else -0.06)}
        for row in rows
    ]
    text = page.tell_ablation({"rows": [*rows, *less]}, Settings(("a", "b", "c"), 1, "fast"))
    line = next(line for line in text.splitlines() if line.startswith("| unisono-no-style |"))
    assert line.split("|")[2].strip() == "1"
    assert line.split("|")[3].strip() == "+0.0300 (2 of 3)"
    assert line.split("|")[5].strip() == "+0.0300 (1 of 3)"


def test_an_ablation_is_compared_under_its_own_seeds():
    whole = [
        {**row, "seed": seed, "value": row["value"] + 0.5 * seed}
        for row in made_rows()
        if row["n_sets"] == 2
        for seed in (0, 1)
    ]
    no_style = [
        {**row, "method": "unisono-no-style", "value": row["value"] - 0.01 - 0.02 * row["seed"]} for row in whole
    ]
    no_gains = [{**row, "method": "unisono-no-gains", "value": row["value"] - 0.01} for row in whole if not row["seed"]]
    text = page.tell_ablation({"rows": [*whole, *no_style, *no_gains]}, Settings(("a", "b", "c"), 2, "fast"))
    found = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:4]]
        for line in text.splitlines()
        if "| unisono" in line[:9] and line.count("|") == 12
    }
    assert found["unisono-no-style"] == ["2", "-0.0200, -0.0300 to -0.0100 (0 of 3)"]
    assert found["unisono-no-gains"] == ["1", "-0.0100 (0 of 3)"]


def test_parts_of_the_idea_are_left_out_under_every_seed_and_the_others_under_the_first(sets, monkeypatch):
    monkeypatch.setattr(model, "fitted", lambda sets, training, config: None)
    monkeypatch.setattr(model, "answers", lambda fitted, sets, training, held: [{"figure": "x", "value": 1.0}])
    rows = measure.ablation_of(sets, Settings(sets.names, 2, "fast"))
    seeds = {
        method: {row["seed"] for row in rows if row["method"] == method} for method in {row["method"] for row in rows}
    }
    assert {method for method, of in seeds.items() if of == {0, 1}} == {
        "unisono",
        *(f"unisono-{part}" for part in measure.OF_THE_IDEA),
    }
    assert len(seeds) == 1 + len(measure.PARTS)


def test_rows_of_the_study_are_plain_json(sets, fitted):
    rows = model.answers(fitted, sets, ("sun", "moon"), "mars")
    assert json.loads(json.dumps(rows)) == rows

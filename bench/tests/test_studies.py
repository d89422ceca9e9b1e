"""The studies: what is measured is told on their page, and each measures with the public model."""

from __future__ import annotations

import json

import numpy as np
import pytest

import unisono as un
from fixtures import simulated, tiny
from unisono_bench import ChoiceError
from unisono_bench.data import to_mudata
from unisono_bench.scores import Question, evaluated
from unisono_bench.studies import STUDIES, dogma, foreign, main_job, transfer, trust
from unisono_bench.studies.cells import of_batches, take
from unisono_bench.studies.report import Settings, Study, figure_table, run_study


@pytest.fixture(scope="module")
def mdata():
    cells = un.Cells({m: simulated().views[m] for m in ("rna", "adt")})
    found = to_mudata(cells)
    for part in found.mod.values():
        part.obs["cell_type"] = np.where(np.arange(151) % 3, "T", "B")
    return found


@pytest.fixture(scope="module")
def model(mdata):
    return un.fit(take(mdata, np.arange(120)), batch_key="batch", config=tiny(), device="cpu")


@pytest.fixture(scope="module")
def test(mdata):
    return take(mdata, np.arange(120, 151))


def test_a_table_is_mean_and_range_over_seeds():
    rows = [{"way": "a", "figure": "x", "value": value} for value in (0.25, 0.75)]
    table = figure_table([*rows, {"way": "b", "figure": "y", "value": 1.0}], ("way",), digits=2)
    assert table == "| way | x | y |\n| --- | --- | --- |\n| a | 0.50 (0.25–0.75) |  |\n| b |  | 1.00 |\n"


def measured(settings: Settings):
    return {"rows": [{"seed": s, "data": d, "value": 1.5} for s in range(settings.n_seeds) for d in settings.data]}


@pytest.mark.parametrize(("is_apart", "files"), [(False, ["trial"]), (True, ["moon", "sun"])])
def test_a_study_leaves_a_page_and_its_rows(tmp_path, capsys, is_apart, files):
    study = Study(
        "Of {data}", ("sun", "moon"), "fast", measured, lambda r, s: f"{s.preset} {len(r['rows'])}\n", is_apart
    )
    run_study("trial", study, tmp_path, None, 2, None, ["unisono-bench", "study", "trial"])
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == files
    document = json.loads((tmp_path / f"{files[-1]}.json").read_text())
    assert (tmp_path / f"{files[-1]}.md").read_text() == study.page(document)
    assert document["settings"]["n_seeds"] == 2
    assert "unisono-bench study trial" in capsys.readouterr().out


def test_a_data_set_that_a_study_does_not_know_is_refused(tmp_path):
    for name, words in (("trust", "it knows pbmc10k_cite"), ("dogma", "it simulates its own")):
        with pytest.raises(ChoiceError, match=words):
            run_study(name, STUDIES[name], tmp_path, ["mars"], 1, None, [])


def test_scores_of_evaluate_are_rows_of_the_same_values(model, test):
    found = un.evaluate(model, test)
    rows = {(row.question, row.metric): row.value for row in evaluated(found)}
    assert len(rows) == len(found.rows)
    assert rows[Question("prediction", "rna", "adt"), "pearson"] == pytest.approx(found.value("rna", "adt", "pearson"))
    within = Question("matching", "rna", "adt", "batch", True)
    wanted = found.value("rna", "adt", "recall_at_5", within="batch", depth=True)
    assert rows[within, "recall_at_5"] == pytest.approx(wanted)


def test_trust_asks_everything_of_a_model(model, test):
    intervals = list(trust.intervals(model, test))
    assert all(0 <= row["value"] <= 1 for row in intervals)
    assert {row["figure"] for row in intervals} <= {"of 50%", "of 80%", "of 90%", "of 95%"}
    assert [row["figure"] for row in trust.matches(model, test)][:2] == ["calibration error", "of luck alone"]
    types = test["rna"].obs["cell_type"].to_numpy()
    gone = {(r["gone on the right"], r["figure"]): r["value"] for r in trust.missing(model, test, types, ("B",), 0)}
    assert gone["nothing", "share gone"] == pytest.approx(0)
    assert gone["B", "share gone"] == pytest.approx((types == "B").mean())
    assert 0 <= gone["B", "AUROC"] <= 1
    novelty = list(trust.novelty(model, test, types == "B"))
    assert [(row["modality"], row["figure"]) for row in novelty][:2] == [("rna", "AUROC"), ("rna", "others beyond 1")]


def test_chromatin_is_compared_by_area_and_others_by_correlation():
    cells = simulated()
    for target, names in (("atac", {"AUROC", "RMSE"}), ("adt", {"Pearson", "RMSE"})):
        truth = un.preprocessing.on_scale(cells.views[target]).toarray()
        found = transfer.compared(cells, target, truth)
        assert set(found) == names
        assert found["RMSE"] == pytest.approx(0, abs=1e-6)
        assert found[min(names)] == pytest.approx(1, abs=1e-6)


def test_stripped_cells_keep_as_many_modalities_as_told():
    found = dogma.stripped(simulated(), np.random.default_rng(0), keeps=1)
    n_modalities = np.sum([rows >= 0 for rows in found.rows.values()], axis=0)
    assert set(n_modalities) == {1, 3}
    assert 0.45 < (n_modalities == 1).mean() < 0.75


def test_the_truth_of_a_simulation_is_on_the_scale_of_predictions():
    simulation = un.datasets.simulate_cells(
        un.datasets.Recipe(n_cells=211, n_genes=41, n_peaks=67, n_proteins=9, seed=1)
    )
    for target in un.modalities.registered():
        truth = dogma.true_values(simulation, target)
        measured = un.preprocessing.on_scale(simulation.cells.views[target]).toarray()
        assert truth.shape == measured.shape
        assert np.corrcoef(truth.ravel(), measured.ravel())[0, 1] > 0.1


def test_moved_peaks_keep_their_counts_and_merged_ones_their_sums():
    from unisono_bench.data import to_anndata

    atac = to_anndata(simulated().views["atac"])
    atac.var_names = [f"chr1:{1000 * i + 500}-{1000 * i + 900}" for i in range(atac.n_vars)]
    moved = foreign.moved(atac, np.random.default_rng(0))
    assert (moved.X != atac.X).nnz == 0
    assert set(moved.var_names) != set(atac.var_names)
    merged = foreign.merged(atac, np.random.default_rng(0))
    assert merged.n_vars < atac.n_vars
    np.testing.assert_array_equal(merged.X.sum(axis=1), atac.X.sum(axis=1))


def test_linear_methods_of_the_main_job_read_the_codes_of_the_model_and_beat_chance(mdata):
    found = list(main_job.linear(take(mdata, np.arange(120)), take(mdata, np.arange(120, 151)), "batch"))
    values = {(row["task"], row["source"], row["target"], row["metric"]): row["value"] for row in found}
    assert values["prediction", "rna", "adt", "pearson"] > 0.1
    assert values["matching", "rna", "adt", "foscttm"] < 0.45
    assert ("prediction", "adt", "rna", "rmse") in values


def test_canonical_variates_of_views_that_are_the_same_but_for_a_rotation_pair_all_cells():
    rng = np.random.default_rng(0)
    x, turn = rng.standard_normal((211, 7)), np.linalg.qr(rng.standard_normal((7, 7)))[0]
    left, right = main_job.canonical({"a": x, "b": x @ turn}, {"a": x[:31], "b": x[:31] @ turn}, "a", "b", 5)
    np.testing.assert_allclose(np.einsum("ij,ij->i", left, right), 1.0, atol=1e-6)
    assert left.shape == (31, 5)


def test_cells_of_a_batch_are_all_of_it(mdata):
    found = of_batches(mdata, ("b1",))
    assert found.n_obs == (mdata["rna"].obs["batch"] == "b1").sum()
    assert set(found["adt"].obs["batch"]) == {"b1"}

"""Tests of the command line: what each command writes reads back; bad input ends with 2, one line, nothing written."""

from __future__ import annotations

import inspect
import json
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from io_fixtures import snapshot
from model_fixtures import N_TEST, TINY, counts, rebuilt, small_model, take, test_cells, tiny, training

from unisono import cli
from unisono.api import fit, load
from unisono.cli.commands.answers import match
from unisono.evaluation import probes
from unisono.evaluation.disentanglement import disentanglement
from unisono.evaluation.scores import evaluate
from unisono.modalities import resolved
from unisono.model.unisono import PRIOR_UNMATCHED, Unisono
from unisono.reading import read
from unisono.report import page

QUICK = {**TINY, "max_epochs": 1, "epochs_per_evaluation": 1, "validation": {"fraction": 0}}


def as_toml(config: dict[str, Any], within: str = "") -> str:
    """A config as a file has it, one dotted key a line."""
    lines = (
        as_toml(value, f"{within}{name}.") if isinstance(value, dict) else f"{within}{name} = {json.dumps(value)}\n"
        for name, value in config.items()
    )
    return "".join(lines)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with data, a model and things that are no data; tests read it and write elsewhere."""
    folder = tmp_path_factory.mktemp("store")
    training().write_h5mu(folder / "training.h5mu")
    test_cells().write_h5mu(folder / "query.h5mu")
    test_cells()["rna"].write_h5ad(folder / "table.h5ad")
    half = test_cells()
    half["rna"].X = half["rna"].X.multiply(0.5).tocsr()
    half.write_h5mu(folder / "half.h5mu")
    pair = training()
    rebuilt({"gene stuff": pair["rna"], "tags": pair["adt"]}).write_h5mu(folder / "unusual.h5mu")
    (folder / "tiny.toml").write_text(as_toml(QUICK))
    (folder / "judged.toml").write_text(as_toml(QUICK | {"validation": {"fraction": 0.1}}))
    (folder / "unknown.toml").write_text(as_toml(QUICK).replace("n_codes", "n_kodes"))
    (folder / "notes.h5mu").write_text("hello")
    small_model().save(folder / "model")
    return folder


@pytest.fixture
def unisono(store, tmp_path, monkeypatch, capsys):
    """Runs a command line in an empty folder; `@` stands for the store."""
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> SimpleNamespace:
        arguments = [word.replace("@", f"{store}/") for word in shlex.split(line)]
        monkeypatch.setattr(sys, "argv", ["unisono", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code, out=printed.out, err=printed.err)

    return run


def refused(unisono, line: str) -> str:
    """The one line on stderr of a command that ends with 2 and writes nothing."""
    before = snapshot(Path())
    ended = unisono(line)
    assert ended.code == 2, ended.err
    assert len(ended.err.splitlines()) == 1, ended.err
    assert snapshot(Path()) == before
    assert sorted(path.name for path in Path().iterdir() if path.name.startswith(".")) == []
    return ended.err


def test_fit_writes_a_model_that_loads(unisono, store):
    ended = unisono("fit @training.h5mu -o 'a model' --batch-key batch --config @judged.toml --seed 4 --device cpu")
    assert ended.code == 0, ended.err
    model = load("a model", device="cpu")
    wanted = tiny(max_epochs=1, epochs_per_evaluation=1, seed=4)
    assert model.config == resolved(wanted, {"atac": 90, "rna": 60, "adt": 8})
    assert model.record.batch_key == "batch"
    assert list(model.fitted.predictor.styles["rna"].batches) == ["b1", "b2"]
    assert "validation cells: correlation " in ended.err
    assert [path.name for path in Path().iterdir()] == ["a model"]


def test_predict_writes_what_the_model_predicts(unisono, store):
    assert unisono("predict @model @query.h5mu --from rna --to adt -o out.h5ad --style b2 --device cpu").code == 0
    found = anndata.read_h5ad("out.h5ad")
    wanted = small_model().predict(test_cells(), source="rna", target="adt", style="b2")
    np.testing.assert_allclose(found.X, wanted.X, rtol=1e-6)
    assert list(found.obs_names) == list(test_cells().obs_names)
    assert list(found.var_names) == list(training()["adt"].var_names)
    said = dict(found.uns["unisono"])
    assert (said["source"], said["target"], said["scale"], said["seed"]) == ("rna", "adt", "per-cell CLR", 0)
    assert said["model"] == small_model().fitted.fingerprint
    assert found.obs["cell_type"].tolist() == test_cells()["rna"].obs["cell_type"].tolist()


def test_predict_takes_reference_cells_from_a_file(unisono, store):
    line = "predict @model @query.h5mu --from rna --to adt -o out.h5ad --style @query.h5mu --device cpu"
    assert unisono(line).code == 0
    wanted = small_model().predict(test_cells(), source="rna", target="adt", style=test_cells())
    np.testing.assert_allclose(anndata.read_h5ad("out.h5ad").X, wanted.X, rtol=1e-6)
    average = small_model().predict(test_cells(), source="rna", target="adt")
    assert np.abs(wanted.X - average.X).max() > 1e-3


def test_predict_goes_through_a_third_modality_and_says_how_sure_it_is(unisono):
    assert unisono("predict @model @query.h5mu --from atac --to adt --via rna -o out.h5ad --device cpu").code == 0
    found, wanted = anndata.read_h5ad("out.h5ad"), small_model().predict(test_cells(), "atac", "adt", via="rna")
    np.testing.assert_allclose(found.X, wanted.X, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.layers["spread"], wanted.layers["spread"], rtol=1e-4, atol=1e-6)
    assert found.uns["unisono"]["via"] == "rna"
    assert unisono("predict @model @query.h5mu --from atac --to adt --draws 6 -o two.h5ad --device cpu").code == 0
    direct = small_model().predict(test_cells(), "atac", "adt", n_draws=6)
    np.testing.assert_allclose(anndata.read_h5ad("two.h5ad").layers["spread"], direct.layers["spread"], rtol=1e-4)


def test_aliases_are_read_from_a_file(unisono):
    query, names = test_cells(), training()["adt"].var_names
    query["adt"].var_names = [f"mine {i}" for i in range(8)]
    query.write_h5mu("mine.h5mu")
    Path("aliases.tsv").write_text("# a comment\n" + "".join(f"mine {i}\t{name}\n" for i, name in enumerate(names)))
    line = "predict @model mine.h5mu --from adt --to rna -o out.h5ad --device cpu"
    assert refused(unisono, line).startswith("E037 mine.h5mu, adt: ")
    assert unisono(f"{line} --aliases aliases.tsv").code == 0
    wanted = small_model().predict(test_cells(), "adt", "rna")
    np.testing.assert_allclose(anndata.read_h5ad("out.h5ad").X, wanted.X, rtol=1e-5)
    Path("aliases.tsv").write_text("one name alone\n")
    Path("out.h5ad").unlink()
    assert "1 of 1 lines are not two names" in refused(unisono, f"{line} --aliases aliases.tsv")


def test_check_says_what_was_mapped_to_what(unisono):
    query = test_cells()
    query["adt"].var_names = [f"anti-{name}_TotalSeqB" for name in query["adt"].var_names]
    query.write_h5mu("mine.h5mu")
    name = training()["adt"].var_names[0]
    ended = unisono("check mine.h5mu --model @model --batch-key batch")
    assert ended.code == 0
    assert f"anti-{name}_TotalSeqB" in ended.out
    document = json.loads(unisono("check mine.h5mu --model @model --batch-key batch --json").out)
    (mapped,) = [one["mapped"] for one in document["coverage"] if one["modality"] == "adt"]
    assert mapped[name] == f"anti-{name}_TotalSeqB"
    assert len(mapped) == 8


def test_little_coverage_is_refused_unless_forced(unisono):
    few = test_cells()["rna"][:, :3].copy()
    few = few[np.asarray(few.X.sum(axis=1)).ravel() > 0].copy()
    rebuilt({"rna": few}).write_h5mu("few.h5mu")
    line = "predict @model few.h5mu --from rna --to adt -o out.h5ad --device cpu"
    ended = unisono(line)
    assert ended.code == 2
    assert "E036 few.h5mu, rna: " in ended.err
    assert "--force" in ended.err
    assert unisono(f"{line} --force").code == 0


@pytest.mark.usefixtures("_unprobed")
def test_fit_learns_from_cells_without_labels_and_evaluate_repeats_it(unisono):
    line = "fit @training.h5mu -o model --batch-key batch --config @tiny.toml --device cpu --unlabelled @query.h5mu"
    assert unisono(line).code == 0
    assert load("model", device="cpu").record.unlabelled[0].how == "fit"
    assert (
        "W064 query.h5mu: the model has seen unlabelled cells"
        in unisono("evaluate model @query.h5mu -o out --no-report").err
    )


def test_adapt_writes_a_model_that_knows_the_new_batch(unisono):
    query = test_cells()
    for part in query.mod.values():
        part.obs["batch"] = "b9"
    query.write_h5mu("new.h5mu")
    ended = unisono("adapt @model new.h5mu -o adapted --epochs 2 --device cpu")
    assert ended.code == 0, ended.err
    assert "also knows b9" in ended.err
    assert load("adapted", device="cpu").batches == ("b1", "b2", "b9")
    assert unisono("predict adapted new.h5mu --from rna --to adt -o out.h5ad --style b9 --device cpu").code == 0
    assert "E065" in refused(unisono, "adapt @model @query.h5mu -o again --epochs 2 --device cpu")


def test_feature_effects_are_written_as_the_table_of_the_strongest(unisono):
    line = "feature-effects @model @training.h5mu --from rna --to atac --device cpu"
    assert unisono(f"{line} -o table.tsv --top 3").code == 0
    found = pd.read_csv("table.tsv", sep="\t")
    wanted = small_model().feature_effects(training(), "rna", "atac").table(3)
    assert found["source"].tolist() == wanted["source"].tolist()
    np.testing.assert_allclose(found["effect"], wanted["effect"], rtol=1e-4)


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ("", {}),
        ("--within batch --depth --top 6", {"within": "batch", "depth": True, "top": 6}),
        ("--rule argmax", {"rule": "argmax"}),
        ("--rule one-to-one", {"rule": "one-to-one"}),
        ("--prior-unmatched 0.1 --min-probability 0.2", {"prior_unmatched": 0.1, "min_probability": 0.2}),
    ],
)
def test_match_writes_what_the_model_matches(unisono, store, flags, options):
    assert unisono(f"match @model @query.h5mu --between rna,adt -o out.h5ad --device cpu {flags}").code == 0
    found = anndata.read_h5ad("out.h5ad")
    query = test_cells()
    wanted = small_model().match(query["rna"], query["adt"], **options)
    np.testing.assert_allclose(found.X.toarray(), wanted.match_posterior.probabilities.toarray(), atol=1e-6)
    np.testing.assert_allclose(found.X.sum(axis=1), 1.0, atol=1e-5)
    assert (list(found.obs_names), list(found.var_names)) == (list(query.obs_names), list(query.obs_names))
    for column in ("p_unmatched", "confidence", "is_answered"):
        np.testing.assert_allclose(found.obs[column], wanted.to_anndata().obs[column], atol=1e-6)


def test_match_understands_other_names_and_the_order_of_sides(unisono, store):
    assert unisono("match @model @query.h5mu --between prot,gex -o out.h5ad --device cpu").code == 0
    query = test_cells()
    wanted = small_model().match(query["adt"], query["rna"]).match_posterior.probabilities.toarray()
    np.testing.assert_allclose(anndata.read_h5ad("out.h5ad").X.toarray(), wanted, atol=1e-6)


def test_embed_writes_the_vectors_and_all_that_was_there(unisono, store):
    assert unisono("embed @model @query.h5mu -o out.h5mu --device cpu").code == 0
    found, wanted = read("out.h5mu"), small_model().embed(test_cells())
    assert list(found.mod) == list(wanted.mod)
    for name in wanted.mod:
        np.testing.assert_array_equal(found[name].obsm["X_unisono"], wanted[name].obsm["X_unisono"])
        np.testing.assert_array_equal(counts(found[name]), counts(wanted[name]))


def test_search_writes_the_cells_of_an_index_that_the_model_finds(unisono, store):
    ended = unisono("index @model @training.h5mu -o 'an index' --modality gex --device cpu")
    assert ended.code == 0, ended.err
    assert "151 rna cells indexed in an index" in ended.err
    ended = unisono("search @model 'an index' @query.h5mu -o found.tsv -k 3 --modality adt --device cpu")
    assert ended.code == 0, ended.err
    assert "43 query cells looked up among 151" in ended.err
    wanted = small_model().index(training(), "rna").search(test_cells(), 3, modality="adt")
    found = pd.read_csv("found.tsv", sep="\t")
    pd.testing.assert_frame_equal(found[["query", "cell"]], wanted[["query", "cell"]], check_dtype=False)
    np.testing.assert_allclose(found["similarity"], wanted["similarity"], rtol=1e-5)
    assert unisono("search @model 'an index' @table.h5ad -o table.tsv --device cpu").code == 0
    assert len(pd.read_csv("table.tsv", sep="\t")) == 43 * 10
    for line, words in (
        ("search @model 'an index' @query.h5mu -o new.tsv", "E007 query.h5mu: holds atac, rna, adt"),
        ("search @model 'an index' @query.h5mu -o found.tsv --modality adt", "E055"),
        ("search @model @model @query.h5mu -o new.tsv --modality adt", "no index.json: not an index of cells."),
        ("search 'an index' @model @query.h5mu -o new.tsv --modality adt", "no config.json: not a model folder."),
        ("search @model 'an index' @query.h5mu -o new.tsv --modality adt -k 0", "E053 command line"),
        ("search @model 'an index' @query.h5mu -o new.tsv --modality spatial", "'spatial'"),
        ("index @model @training.h5mu -o 'an index' --modality rna", "E055"),
    ):
        assert words in refused(unisono, f"{line} --device cpu"), line


@pytest.fixture
def _flat(monkeypatch):
    """No UMAP, which is long in starting."""
    monkeypatch.setattr(page, "plane", lambda vectors: vectors[:, :2])


@pytest.fixture
def _unprobed(monkeypatch):
    """No probes of content and style, which take longer than all other figures."""
    monkeypatch.setattr(probes, "has_probes", lambda: False)


def assert_rows(found, wanted):
    """The scores of a metrics.json against a table, to float32."""
    for task, rows in wanted.to_dict().items():
        assert len(found[task]) == len(rows) > 0
        for row, other in zip(found[task], rows, strict=True):
            for name, value in other.items():
                assert row[name] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), row


@pytest.mark.usefixtures("_flat", "_unprobed")
def test_evaluate_prints_and_writes_the_figures_and_a_page_with_the_command(unisono, store):
    ended = unisono("evaluate @model @query.h5mu -o scores --device cpu")
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in Path("scores").iterdir()) == ["metrics.json", "report.html"]
    text = Path("scores/report.html").read_text(encoding="utf-8")
    assert "<code>unisono evaluate model query.h5mu -o scores --device cpu</code>" in text
    assert str(store) not in text
    document = json.loads(Path("scores/metrics.json").read_text())
    wanted = evaluate(small_model(), test_cells())
    assert_rows(document["table"], wanted)
    assert document["test"] == "query.h5mu"
    assert document["model"]["fingerprint"] == small_model().record.fingerprint
    assert document["label_key"] == wanted.label_key == "cell_type"
    lines = ended.out.splitlines()
    assert len(lines) == 2 + 6 + 3 <= 12
    assert max(map(len, lines)) <= 80
    assert lines[7].endswith("same cell_type")
    (line,) = (line.split() for line in lines if line.startswith("rna -> adt"))
    assert line[3::2] == [f"{wanted.value('rna', 'adt', name):.3f}" for name in ("pearson", "ridge_pearson")]
    (line,) = (line.split() for line in lines if line.startswith("rna ~ adt"))
    names = ("foscttm", "recall_at_10", "label_transfer_accuracy")
    assert line[3::2] == [f"{wanted.value('rna', 'adt', name):.3f}" for name in names]
    assert line[4::2] == [f"({wanted.get('rna', 'adt', name).chance:.2g})" for name in names]


@pytest.mark.usefixtures("_unprobed")
def test_evaluate_judges_matches_by_the_column_that_is_named(unisono):
    line = "evaluate @model @query.h5mu -o scores --device cpu --no-report"
    assert unisono(f"{line} --label-key batch").code == 0
    found = json.loads(Path("scores/metrics.json").read_text())
    wanted = evaluate(small_model(), test_cells(), label_key="batch")
    assert_rows(found["table"], wanted)
    assert found["label_key"] == "batch"
    assert "'nothing'" in unisono(f"{line} --force --label-key nothing").err


@pytest.mark.usefixtures("_flat", "_unprobed")
def test_a_report_that_is_there_is_replaced_only_when_told(unisono):
    Path("scores").mkdir()
    Path("scores/report.html").write_text("mine")
    line = "evaluate @model @query.h5mu -o scores --device cpu"
    assert refused(unisono, line).startswith("E055 ")
    assert unisono(f"{line} --no-report").code == 0
    assert Path("scores/report.html").read_text() == "mine"
    assert unisono(f"{line} --force").code == 0
    assert Path("scores/report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.usefixtures("_unprobed")
def test_no_report_writes_the_figures_alone(unisono, monkeypatch):
    monkeypatch.setattr(page, "find_spec", lambda _: None)
    ended = unisono("evaluate @model @query.h5mu -o scores --device cpu --no-report")
    assert ended.code == 0, ended.err
    assert [path.name for path in Path("scores").iterdir()] == ["metrics.json"]
    assert "W063" not in ended.err


@pytest.mark.usefixtures("_unprobed")
def test_without_the_libraries_of_the_report_one_line_says_what_to_install(unisono, monkeypatch):
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "plotly" else name)
    ended = unisono("evaluate @model @query.h5mu -o scores --device cpu")
    assert ended.code == 0
    assert [path.name for path in Path("scores").iterdir()] == ["metrics.json"]
    said = [line for line in ended.err.splitlines() if line.startswith("W063")]
    assert len(said) == 1
    assert "plotly is not installed" in said[0]
    assert said[0].endswith("Fix: pip install plotly")


@pytest.mark.usefixtures("_flat")
def test_evaluate_writes_how_content_and_style_are_kept_apart(unisono, store):
    assert unisono("evaluate @model @query.h5mu -o scores --device cpu").code == 0
    document = json.loads(Path("scores/metrics.json").read_text())
    assert document["disentanglement"] == disentanglement(small_model(), test_cells()).as_document()


@pytest.mark.usefixtures("_flat", "_unprobed")
def test_evaluate_without_scikit_learn_warns_and_writes_the_rest(unisono, store):
    ended = unisono("evaluate @model @query.h5mu -o scores --device cpu")
    assert ended.code == 0
    assert "W066 query.h5mu: content and style were not probed" in ended.err
    document = json.loads(Path("scores/metrics.json").read_text())
    assert "disentanglement" not in document
    assert_rows(document["table"], evaluate(small_model(), test_cells()))


def test_check_prints_a_row_for_each_modality(unisono, store):
    ended = unisono("check @query.h5mu --batch-key batch")
    assert ended.code == 0
    rows = {line.split()[0]: line.split() for line in ended.out.splitlines() if line.split()[:1] in (["rna"], ["adt"])}
    assert rows["rna"][1:3] == [str(N_TEST), "60"]
    assert rows["adt"][1:3] == [str(N_TEST), "8"]


def test_check_prints_json(unisono, store):
    ended = unisono("check @query.h5mu --json --batch-key batch")
    document = json.loads(ended.out)
    assert document["usable"] is True
    rows = {row["modality"]: row for row in document["modalities"]}
    assert rows["rna"]["cells"] == N_TEST
    assert rows["rna"]["median_depth"] == pytest.approx(np.median(counts(test_cells()["rna"]).sum(axis=1)))
    assert rows["atac"]["batches"] == 2


def test_check_of_unusable_data_ends_with_2_and_still_prints_json(unisono, store):
    ended = unisono("check @half.h5mu --json")
    assert ended.code == 2
    document = json.loads(ended.out)
    assert document["usable"] is False
    assert [finding["code"] for finding in document["findings"] if finding["severity"] == "error"] == ["E012"]
    assert len(ended.err.splitlines()) == 1


def test_check_says_each_finding_once(unisono, store):
    assert unisono("check @half.h5mu").err.count("E012") == 1


def test_check_with_a_model_compares_features(unisono, store):
    fewer = test_cells()
    rebuilt({"rna": fewer["rna"][:, :45].copy()}).write_h5mu("fewer.h5mu")
    ended = unisono("check fewer.h5mu --model @model --json")
    assert ended.code == 0, ended.err
    coverage = json.loads(ended.out)["coverage"]
    (found,) = coverage
    assert (found["modality"], found["wanted"], found["found"], found["otherwise"]) == ("rna", 60, 45, 0)
    assert 0.6 < found["signal"] < 0.9
    assert unisono("check fewer.h5mu").code == 2


@pytest.mark.usefixtures("_flat", "_unprobed")
def test_demo_runs_on_a_file_and_leaves_a_page(unisono, store, monkeypatch):
    monkeypatch.setattr(
        "unisono.cli.commands.models.config_of", lambda *_: tiny(max_epochs=1, validation={"fraction": 0})
    )
    ended = unisono(
        "demo -o shown --data @unusual.h5mu --modalities 'gene stuff=rna,tags=adt' --batch-key batch --device cpu"
    )
    assert ended.code == 0, ended.err
    rows = json.loads(Path("shown/metrics.json").read_text())["table"]["prediction"]
    wanted = next(row for row in rows if (row["source"], row["metric"]) == ("rna", "pearson"))
    assert f"{wanted['value']:.3f}" in ended.out
    assert len(ended.out.splitlines()) == 2 + 2 + 1
    assert "shown/report.html shows" in ended.err
    assert Path("shown/report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert load("shown/model", device="cpu").modalities == ("rna", "adt")


@pytest.mark.parametrize(
    "line",
    [
        "check @nothing.h5mu",
        "fit @nothing.h5mu -o out",
        "predict @model @nothing.h5mu --from rna --to adt -o out.h5ad",
        "predict @nothing @query.h5mu --from rna --to adt -o out.h5ad",
        "predict @model @query.h5mu --from rna --to adt -o out.h5ad --style @nothing.h5mu",
        "match @model @nothing.h5mu --between rna,adt -o out.h5ad",
        "embed @model @nothing.h5mu -o out.h5mu",
        "evaluate @model @nothing.h5mu -o out",
        "demo --data @nothing.h5mu -o out",
        "fit @query.h5mu -o out --config @nothing.toml",
    ],
)
def test_a_path_that_is_missing_is_refused(unisono, store, line):
    said = refused(unisono, line)
    assert said.startswith("E001 ")
    assert str(store / "nothing") in said
    assert " Fix: " in said


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("fit @table.h5ad -o out", "E008"),
        ("match @model @table.h5ad --between rna,adt -o out.h5ad", "E007"),
        ("evaluate @model @table.h5ad -o out", "E027"),
    ],
)
def test_a_single_table_is_refused_where_two_modalities_are_needed(unisono, line, code):
    assert refused(unisono, line).startswith(f"{code} ")


def test_a_text_file_is_refused(unisono):
    said = refused(unisono, "predict @model @notes.h5mu --from rna --to adt -o out.h5ad")
    assert said.startswith("E002 ")


@pytest.mark.parametrize(
    "line",
    [
        "predict @model @half.h5mu --from rna --to adt -o out.h5ad",
        "match @model @half.h5mu --between adt,rna -o out.h5ad",
        "embed @model @half.h5mu -o out.h5mu",
        "evaluate @model @half.h5mu -o out",
        "fit @half.h5mu -o out --device cpu --config @tiny.toml",
    ],
)
def test_counts_that_are_none_are_refused_with_file_modality_and_remedy(unisono, line):
    said = refused(unisono, line)
    assert said.startswith("E012 ")
    assert "rna" in said
    assert "half.h5mu" in said or "match" in line or "embed" in line
    assert "Fix: give the raw counts" in said


def test_what_is_not_looked_at_may_be_no_counts(unisono):
    assert unisono("predict @model @half.h5mu --from adt --to rna -o out.h5ad --device cpu").code == 0


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("out", "fit @training.h5mu -o out --config @tiny.toml"),
        ("out.h5ad", "predict @model @query.h5mu --from rna --to adt -o out.h5ad --device cpu"),
        ("out.h5ad", "match @model @query.h5mu --between rna,adt -o out.h5ad --device cpu"),
        ("out.h5mu", "embed @model @query.h5mu -o out.h5mu --device cpu"),
    ],
)
def test_what_is_there_is_replaced_with_force_alone(unisono, store, name, line):
    if name == "out":
        small_model().save("out")
    else:
        Path(name).write_text("mine")
    said = refused(unisono, line)
    assert said.startswith("E055 ")
    assert "--force" in said
    before = snapshot(Path())
    assert unisono(f"{line} --force").code == 0
    assert snapshot(Path()) != before


@pytest.mark.usefixtures("_unprobed")
def test_figures_of_an_earlier_evaluation_are_kept_unless_told(unisono):
    Path("scores").mkdir()
    Path("scores/metrics.json").write_text("mine")
    ended = unisono("evaluate @model @query.h5mu -o scores --device cpu")
    assert Path("scores/metrics.json").read_text() == "mine"
    assert ended.code == 2


def test_a_foreign_folder_is_refused_before_the_fit(unisono, monkeypatch):
    Path("thesis").mkdir()
    Path("thesis/chapter1.tex").write_text("years of work")
    fitted = []
    monkeypatch.setattr("unisono.api.fit", lambda *_, **__: fitted.append(True) or small_model())
    assert unisono("fit @training.h5mu -o thesis --force --config @tiny.toml --device cpu").code == 2
    assert Path("thesis/chapter1.tex").read_text() == "years of work"
    assert fitted == []


def test_a_folder_beside_the_model_that_is_no_checkpoint_is_never_deleted(unisono):
    Path("out.checkpoint").mkdir()
    Path("out.checkpoint/chapter1.tex").write_text("years of work")
    unisono("fit @training.h5mu -o out --config @tiny.toml --device cpu")
    assert Path("out.checkpoint/chapter1.tex").is_file()


def test_an_unknown_key_of_a_config_is_refused(unisono):
    said = refused(unisono, "fit @training.h5mu -o out --config @unknown.toml")
    assert said.startswith("E053 unknown.toml: n_kodes: ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fit @training.h5mu -o out --preset slow", ("'slow'", "fast, default, best")),
        ("fit @training.h5mu -o out --seed -3", ("seed", "-3")),
        ("fit @training.h5mu -o out --config @notes.h5mu", ("notes.h5mu", "TOML")),
        ("match @model @query.h5mu --between rna -o out.h5ad", ("--between", "'rna'", "--between rna,adt")),
        ("match @model @query.h5mu --between rna,adt,atac -o out.h5ad", ("--between", "two modalities")),
        ("match @model @query.h5mu --between rna,gex -o out.h5ad", ("--between", "two modalities")),
        ("match @model @query.h5mu --between rna,spatial -o out.h5ad", ("'spatial'", "atac, rna or adt")),
        ("match @model @query.h5mu --between rna, -o out.h5ad", ("''",)),
        ("match @model @query.h5mu --between rna,adt --rule best -o out.h5ad", ("'best'", "soft, argmax, one-to-one")),
        ("match @model @query.h5mu --between rna,adt --within donor -o out.h5ad", ("E029", "'donor'")),
        ("predict @model @query.h5mu --from rna --to spatial -o out.h5ad", ("'spatial'", "atac, rna or adt")),
        ("predict @model @query.h5mu --from spatial --to rna -o out.h5ad", ("'spatial'", "atac, rna or adt")),
        ("predict @model @query.h5mu --from rna --to adt --style b9 -o out.h5ad", ("'b9'", "b1, b2")),
        ("predict @model @query.h5mu --from rna --to adt -o out.h5ad --device cuda:99", ("E052", "cuda:99")),
        ("predict @table.h5ad @query.h5mu --from rna --to adt -o out.h5ad", ("E047", "table.h5ad")),
        ("predict @model @query.h5mu --from rna --to adt -o no/such/out.h5ad", ("E056", "mkdir -p")),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_was_found_and_wanted(unisono, line, words):
    said = refused(unisono, line)
    for word in words:
        assert word in said


def test_a_folder_is_no_config(unisono):
    assert "is a folder" in refused(unisono, "fit @training.h5mu -o out --config @model")


@pytest.mark.parametrize("mapping", ["rna", "rna=", "=rna", "gex=rna,ab"])
def test_a_mapping_of_modalities_that_is_none_is_refused(unisono, mapping):
    ended = unisono(f"check @query.h5mu --modalities {mapping}")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith(f"E053 --modalities: {mapping!r} is not NAME=KIND")
    assert "gex=rna,ab=adt" in ended.err


def test_a_batch_column_that_is_not_there_is_refused_with_the_closest(unisono):
    ended = unisono("check @training.h5mu --batch-key Batch --json")
    assert ended.code == 2
    assert ended.err.startswith("E029 training.h5mu: batch_key 'Batch'")
    assert ended.err.endswith(" Fix: --batch-key batch\n")


def test_unusual_names_are_mapped_and_remembered(unisono, store):
    mapping = "--modalities 'gene stuff=rna, tags=adt'"
    line = f"fit @unusual.h5mu -o out --batch-key batch {mapping} --config @tiny.toml --device cpu"
    assert unisono(line).code == 0
    assert load("out", device="cpu").record.modalities == {"gene stuff": "rna", "tags": "adt"}
    assert unisono("predict out @unusual.h5mu --from rna --to adt -o out.h5ad --device cpu").code == 0
    assert anndata.read_h5ad("out.h5ad").shape == (151, 8)
    assert unisono("check @unusual.h5mu").code == 2
    assert unisono(f"check @unusual.h5mu {mapping}").code == 0


def test_warnings_are_one_line_each_on_stderr(unisono):
    query = test_cells()
    rebuilt({"rna": query["rna"][:, :45].copy()}).write_h5mu("fewer.h5mu")
    ended = unisono("predict @model fewer.h5mu --from rna --to adt -o out.h5ad --device cpu")
    assert ended.code == 0
    lines = ended.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("W036 fewer.h5mu, rna: 15 of 60 features")
    assert lines[1] == "43 cells x 8 adt features written to out.h5ad"


@pytest.fixture
def interrupted(unisono, monkeypatch):
    """How a command ends that is interrupted while it reads."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("unisono.io.open.open_data", interrupt)
    return unisono("embed @model @query.h5mu -o out.h5mu --device cpu")


def test_an_interruption_ends_with_130_and_leaves_nothing(interrupted):
    assert interrupted.code == 130
    assert list(Path().iterdir()) == []


def test_an_interruption_is_said_in_one_line(interrupted):
    assert len(interrupted.err.splitlines()) == 1


def test_too_few_cells_are_refused(unisono):
    take(training(), slice(0, 2)).write_h5mu("two.h5mu")
    assert unisono("fit two.h5mu -o out --config @tiny.toml --device cpu").code == 2


@pytest.mark.parametrize("line", ["match @model @query.h5mu -o out.h5ad", "check @query.h5mu --no-such-option"])
def test_a_wrong_usage_is_one_line(unisono, line):
    refused(unisono, line)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *shlex.split(code)], capture_output=True, text=True, check=False)


LOADED = (
    "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'anndata', 'mudata', 'scipy', 'pandas'}))"
)


def test_help_and_import_load_nothing_heavy():
    code = (
        "import sys; import unisono; from unisono import cli; sys.argv = ['unisono', 'fit', '--help']\n"
        f"try: cli.main()\nexcept SystemExit as ended: print('ended', ended.code)\n{LOADED}"
    )
    ended = python(f"-c {shlex.quote(code)}")
    assert ended.returncode == 0, ended.stderr
    assert "--batch-key" in ended.stdout
    assert ended.stdout.splitlines()[-2:] == ["ended 0", "[]"]


def test_a_process_of_its_own_ends_with_2_and_one_line(tmp_path):
    (tmp_path / "data.h5mu").write_text("hello")
    ended = python(f"-m unisono.cli check {shlex.quote(str(tmp_path / 'data.h5mu'))}")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("E002 ")


def test_all_commands_are_listed_without_arguments(unisono):
    listed = unisono("").out + unisono("--help").out
    for name in ("check", "fit", "predict", "match", "embed", "evaluate", "demo"):
        assert name in listed


def test_calibrate_writes_a_model_whose_intervals_are_those_of_the_cells_given(unisono):
    ended = unisono("calibrate @model @query.h5mu -o calibrated --by cell_type --device cpu")
    assert ended.code == 0
    assert "atac to rna, atac to adt, rna to adt, adt to rna written to calibrated" in ended.err
    found = load("calibrated", device="cpu")
    wanted = small_model().calibrate(test_cells(), by="cell_type").fitted.intervals["rna", "adt"]
    assert (found.fitted.intervals["rna", "adt"].by, found.fitted.intervals["rna", "adt"].n_cells) == (
        "cell_type",
        wanted.n_cells,
    )
    np.testing.assert_allclose(found.fitted.intervals["rna", "adt"].scores, wanted.scores, rtol=1e-5)
    assert unisono("predict calibrated @query.h5mu --from rna --to adt --interval 0.8 -o p.h5ad --device cpu").code == 0
    assert "E029" in refused(unisono, "calibrate @model @query.h5mu -o again --by lineage --device cpu")
    assert "E055" in refused(unisono, "calibrate @model @query.h5mu -o calibrated --device cpu")


def test_the_command_assumes_as_many_missing_partners_as_the_method():
    default = inspect.signature(match).parameters["prior_unmatched"].default
    assert default == inspect.signature(Unisono.match).parameters["prior_unmatched"].default == PRIOR_UNMATCHED


def layered(mdata, name: str = "umis"):
    """Counts of RNA in a layer and their logs in X, proteins as they are."""
    mdata["rna"].layers[name] = mdata["rna"].X.copy()
    mdata["rna"].X = mdata["rna"].X.log1p()
    return rebuilt({"rna": mdata["rna"], "adt": mdata["adt"]})


@pytest.fixture(scope="module")
def others(store):
    """Next to the store's files: layers, fractions, single tables, and a model of counts in a layer."""
    layered(training()).write_h5mu(store / "layered.h5mu")
    layered(test_cells()).write_h5mu(store / "layered_query.h5mu")
    layered(test_cells(), "more").write_h5mu(store / "more_query.h5mu")
    for name, part in test_cells().mod.items():
        part.obs["lab"] = "x"
        part.write_h5ad(store / f"{name}.h5ad")
    fractions = test_cells()
    values = counts(fractions["rna"])
    fractions["rna"].X = np.where(values > 1, values - 0.3 * (np.arange(60) % 3 == 0), values)
    fractions.write_h5mu(store / "fractions.h5mu")
    logs = test_cells()
    logs["rna"].X = logs["rna"].X.log1p()
    logs.write_h5mu(store / "logs.h5mu")
    tagged = training()
    tagged["adt"].var_names = [*tagged["adt"].var_names[:6], "IgG1_isotype", "HTO_1"]
    rebuilt({"rna": tagged["rna"], "adt": tagged["adt"]}).write_h5mu(store / "tagged.h5mu")
    fit(layered(training()), batch_key="batch", layer={"rna": "umis"}, config=tiny(**QUICK), device="cpu").save(
        store / "of_layer"
    )
    return store


FIT = "-o out --batch-key batch --config @tiny.toml --device cpu"


def test_a_layer_of_one_modality_is_named_checked_and_remembered(unisono, others):
    assert "--layer rna=umis,adt=X" in refused(unisono, f"fit @layered.h5mu {FIT}")
    assert "--layer rna=umis,adt=X" in refused(unisono, f"fit @layered.h5mu {FIT} --layer umis")
    assert unisono("check @layered.h5mu").code == 2
    assert unisono("check @layered.h5mu --layer rna=umis,adt=X").code == 0
    ended = unisono(f"fit @layered.h5mu {FIT} --layer rna=umis,adt=X")
    assert ended.code == 0, ended.err
    assert load("out", device="cpu").record.layers == {"rna": "umis", "adt": "X"}


COMMANDS = {
    "predict": "predict @of_layer @{} --from rna --to adt -o p.h5ad --device cpu",
    "match": "match @of_layer @{} --between rna,adt -o m.h5ad --device cpu",
    "embed": "embed @of_layer @{} -o e.h5mu --device cpu",
    "evaluate": "evaluate @of_layer @{} -o scores --no-report --device cpu",
    "calibrate": "calibrate @of_layer @{} -o c --device cpu",
    "feature-effects": "feature-effects @of_layer @{} --from rna --to adt -o t.tsv --device cpu",
    "check": "check @{} --model @of_layer",
}


@pytest.mark.usefixtures("_unprobed")
@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_reads_the_model_s_layer_and_takes_another(unisono, others, command):
    ended = unisono(COMMANDS[command].format("layered_query.h5mu"))
    assert ended.code == 0, ended.err
    assert "W010" not in ended.err
    line = COMMANDS[command].format("more_query.h5mu")
    again = f"{line} --force" if command not in ("check", "calibrate", "feature-effects") else line
    assert "E010" in unisono(again.replace("-o c ", "-o c2 ").replace("-o t.tsv", "-o t2.tsv")).err
    said = unisono(f"{again} --layer rna=more,adt=X".replace("-o c ", "-o c3 ").replace("-o t.tsv", "-o t3.tsv"))
    assert said.code == 0, said.err


@pytest.mark.parametrize("layer", ["rna=", "=umis", "rna=umis,", "rna=umis=x", "rna=umis;adt=X"])
def test_a_layer_that_is_no_mapping_is_refused(unisono, others, layer):
    line = f"predict @of_layer @layered_query.h5mu --from rna --to adt -o p.h5ad --device cpu --layer '{layer}'"
    assert "E053 --layer" in refused(unisono, line)


def test_fractions_are_rounded_when_asked_and_logs_never(unisono, others):
    line = "predict @model @{}.h5mu --from rna --to adt -o p.h5ad --device cpu"
    assert "--round" in refused(unisono, line.format("fractions"))
    assert unisono(line.format("fractions") + " --round").code == 0
    wanted = small_model().predict(test_cells(), source="rna", target="adt")
    np.testing.assert_allclose(anndata.read_h5ad("p.h5ad").X, wanted.X, rtol=1e-6)
    assert "E013" in refused(unisono, line.replace("p.h5ad", "q.h5ad").format("logs") + " --round")


def test_controls_are_left_out_of_a_fit_unless_kept(unisono, others):
    ended = unisono(f"fit @tagged.h5mu {FIT}")
    assert ended.code == 0
    assert "W045 tagged.h5mu, adt: 2 (IgG1_isotype, HTO_1)" in ended.err
    assert "left out. Fix: to keep them" in ended.err
    assert len(load("out", device="cpu").fitted.preprocessors["adt"].projection.features) == 6
    assert unisono(f"fit @tagged.h5mu {FIT} --keep-controls --force").code == 0
    assert len(load("out", device="cpu").fitted.preprocessors["adt"].projection.features) == 8
    assert "look like controls or sample tags: kept" in unisono("check @tagged.h5mu --keep-controls").err


@pytest.mark.usefixtures("_unprobed")
def test_a_file_for_each_modality_is_what_one_file_of_both_is(unisono, others):
    both = "rna=@rna.h5ad adt=@adt.h5ad"
    assert unisono(f"match @model {both} --between rna,adt -o m.h5ad --device cpu").code == 0
    wanted = small_model().match(test_cells()["rna"], test_cells()["adt"]).match_posterior.probabilities
    np.testing.assert_allclose(anndata.read_h5ad("m.h5ad").X.toarray(), wanted.toarray(), atol=1e-6)
    assert unisono(f"check {both} gex=@rna.h5ad").code == 2
    assert "43" in unisono(f"check {both}").out
    for line in (f"evaluate @model {both} -o s --no-report", f"embed @model {both} -o e.h5mu"):
        assert unisono(f"{line} --device cpu").code == 0, line


@pytest.mark.parametrize("order", [("rna", "adt"), ("adt", "rna"), ("atac", "rna")])
def test_two_files_are_the_left_and_the_right_side(unisono, others, order):
    left, right = order
    line = f"match @model @{left}.h5ad @{right}.h5ad --between {left},{right} -o m.h5ad --device cpu"
    ended = unisono(line)
    assert ended.code == 0, ended.err
    wanted = small_model().match(test_cells()[left], test_cells()[right]).match_posterior.probabilities
    np.testing.assert_allclose(anndata.read_h5ad("m.h5ad").X.toarray(), wanted.toarray(), atol=1e-6)


def test_one_table_is_read_as_what_is_predicted_from(unisono, others):
    assert unisono("predict @model @rna.h5ad --from rna --to adt -o p.h5ad --device cpu").code == 0
    wanted = small_model().predict(test_cells()["rna"], source="rna", target="adt")
    np.testing.assert_allclose(anndata.read_h5ad("p.h5ad").X, wanted.X, rtol=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("@rna.h5ad @adt.h5ad", "name them, with NAME rna, adt or atac: NAME="),
        ("rna=@rna.h5ad @adt.h5ad", "2 files, of which not all are named"),
        ("rna=@rna.h5ad rna=@adt.h5ad", "a modality is named twice"),
        ("rnaa=@rna.h5ad adt=@adt.h5ad", "Did you mean rna?"),
        ("rna=@nothing.h5ad adt=@adt.h5ad", "E001"),
    ],
)
def test_files_that_are_not_told_apart_are_refused(unisono, others, words, said):
    assert said in refused(unisono, f"embed @model {words} -o e.h5mu --device cpu")


def test_a_file_whose_name_holds_an_equals_sign_is_one_file(unisono, others):
    test_cells().write_h5mu("day=3.h5mu")
    assert unisono("embed @model day=3.h5mu -o e.h5mu --device cpu").code == 0


@pytest.mark.usefixtures("_unprobed")
def test_cells_seen_in_training_are_told_by_evaluate_and_only_they(unisono, others):
    take(training(), slice(0, 17)).write_h5mu("part.h5mu")
    ended = unisono("evaluate @model part.h5mu -o s --no-report --device cpu")
    assert "W064 part.h5mu: 17 of 17 test cells were training cells" in ended.err
    assert "W064" not in unisono("evaluate @model @query.h5mu -o t --no-report --device cpu").err


def test_check_says_of_one_protein_what_fit_says(unisono):
    pair = training()
    rebuilt({"rna": pair["rna"], "adt": pair["adt"][:, :1].copy()}).write_h5mu("one.h5mu")
    checked = unisono("check one.h5mu")
    assert checked.code == 2
    assert "E046 one.h5mu, adt" in checked.out + checked.err
    assert "E046 one.h5mu, adt" in refused(unisono, f"fit one.h5mu {FIT}")
    rebuilt({"rna": pair["rna"], "adt": pair["adt"][:, :2].copy()}).write_h5mu("two.h5mu")
    assert unisono("check two.h5mu").code == 0


def test_a_fit_of_shuffled_cells_says_so_then_and_at_every_answer(unisono):
    pair = training()
    adt = pair["adt"][np.random.default_rng(1).permutation(151)].copy()
    adt.obs_names = pair["adt"].obs_names
    adt.obs["batch"] = pair["adt"].obs["batch"].to_numpy()
    rebuilt({"rna": pair["rna"], "adt": adt}).write_h5mu("shuffled.h5mu")
    ended = unisono("fit shuffled.h5mu -o out --batch-key batch --config @judged.toml --device cpu")
    assert ended.code == 0
    assert "W059 shuffled.h5mu: the 30 validation cells" in ended.err
    for line in ("predict out @query.h5mu --from rna --to adt", "match out @query.h5mu --between rna,adt"):
        assert "W059" in unisono(f"{line} -o {line[:5]}.h5ad --device cpu").err


def test_cells_of_a_group_that_the_other_side_lacks_are_written_unmatched(unisono):
    query = test_cells()
    donor = np.array(["d1", "d2", "d3"])[np.arange(43) % 3]
    for part in query.mod.values():
        part.obs["donor"] = donor
    rebuilt({"rna": query["rna"], "adt": query["adt"][donor != "d3"].copy()}).write_h5mu("gaps.h5mu")
    ended = unisono("match @model gaps.h5mu --between rna,adt --within donor -o m.h5ad --device cpu")
    assert ended.code == 0, ended.err
    assert "W057 match: 14 left cells are in groups that the right side lacks ('d3')" in ended.err
    found = anndata.read_h5ad("m.h5ad")
    assert (found.obs["p_unmatched"].to_numpy() == 1).tolist() == (donor == "d3").tolist()
    np.testing.assert_allclose(found.X.sum(axis=1).A1, donor != "d3", atol=1e-5)

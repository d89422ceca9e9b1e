"""Tests of the model folder: what is loaded is what was saved, to the bit, and anything else is refused unread."""

from __future__ import annotations

import ast
import json
import os
import pickle
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from io_fixtures import refusal, snapshot
from model_fixtures import late_model, small_model, test_cells
from safetensors.numpy import load_file

import unisono
import unisono.pretrained
from unisono.api import load
from unisono.io.manifest import write_manifest
from unisono.messages import BadInput

FILES = (
    "config.json",
    "record.json",
    "model.json",
    "arrays.safetensors",
    "weights.safetensors",
)
SOURCE = Path(unisono.__file__).parent


@pytest.fixture
def folder(tmp_path):
    small_model().save(tmp_path / "model")
    return tmp_path / "model"


def answers(model):
    """Everything that a model says about the test cells."""
    query = test_cells()
    found = {}
    for source, target in permutations(model.modalities, 2):
        for style in ("average", "b2", query):
            name = f"{source} {target} {style if isinstance(style, str) else 'cells'}"
            found[name] = model.predict(query, source=source, target=target, style=style).X
        for depth in (False, True):
            links = model.match(query, query, between=(source, target), depth=depth)
            found[f"{source} {target} {depth}"] = links.match_posterior.probabilities.toarray()
    embedded = model.embed(query)
    return found | {name: embedded[name].obsm["X_unisono"] for name in model.modalities}


@pytest.mark.parametrize("model", [small_model, late_model])
def test_a_loaded_model_answers_with_the_same_bits(tmp_path, model):
    model().save(tmp_path / "a model, with spaces")
    wanted, found = answers(model()), answers(load(tmp_path / "a model, with spaces", device="cpu"))
    assert len(wanted) == 6 * 5 + 3
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_a_loaded_model_knows_its_config_and_record(folder):
    found = load(folder, device="cpu")
    assert found.config == small_model().config
    assert found.record == small_model().record
    for pair, wanted in small_model().fitted.anchors.items():
        assert found.fitted.anchors[pair].beta == wanted.beta
        for name in ("left", "right", "left_potential", "right_potential"):
            np.testing.assert_array_equal(getattr(found.fitted.anchors[pair], name), getattr(wanted, name))
    assert found.fitted.depth_terms == small_model().fitted.depth_terms
    assert not found.fitted.predictor.network.training


def test_saving_what_was_loaded_writes_the_same_bytes(folder, tmp_path):
    load(str(folder), device="cpu").save(tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(folder)


def test_a_folder_holds_json_and_safetensors_and_a_manifest_of_them(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "manifest.json"])
    for name in FILES:
        if name.endswith(".json"):
            json.loads((folder / name).read_text(encoding="utf-8"))
        else:
            assert load_file(folder / name)
    assert sorted(json.loads((folder / "manifest.json").read_text())["files"]) == sorted(FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_in_any_file_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    found = refusal(load, folder)
    assert found.code == "E049"
    assert f"{name} sha256 mismatch" in found.what


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_refused(folder, name):
    (folder / name).unlink()
    found = refusal(load, folder)
    assert found.code == "E049"
    assert f"{name} is missing" in found.what


def test_a_folder_without_manifest_is_refused(folder):
    (folder / "manifest.json").unlink()
    assert refusal(load, folder).code == "E049"


def test_a_file_too_many_is_refused(folder):
    (folder / "notes.txt").write_text("mine")
    found = refusal(load, folder)
    assert found.code == "E049"
    assert "notes.txt is not in the manifest" in found.what


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    assert refusal(load, tmp_path / "nothing").code == "E001"


class Trap:
    """Leaves a mark on disk when unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_a_pickle_is_refused_and_not_opened(tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Trap(mark)))
    found = refusal(load, tmp_path / "model.pt")
    assert found.code == "E047"
    assert "pickle" in found.what
    assert not mark.exists()
    pickle.loads((tmp_path / "model.pt").read_bytes())  # noqa: S301, the trap works
    assert mark.exists()


def test_a_pickle_beside_the_weights_is_refused_even_if_the_manifest_names_it(folder, tmp_path):
    (folder / "extra.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    assert refusal(load, folder).code == "E047"
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "arrays.safetensors"])
def test_a_pickle_under_the_name_of_weights_is_never_unpickled(folder, tmp_path, name):
    (folder / name).write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    with pytest.raises(Exception, match=r"E049 .*safetensors, header: has "):
        load(folder)
    assert not (tmp_path / "mark").exists()


def test_weights_that_are_no_safetensors_are_refused_as_bad_input(folder):
    (folder / "weights.safetensors").write_bytes(b"no header at all")
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    found = refusal(load, folder)
    assert found.code == "E049"
    assert found.what.startswith("weights.safetensors, header: has ")


@pytest.mark.parametrize(("name", "key"), [("config.json", "n_heads"), ("record.json", "owner")])
def test_a_field_this_version_does_not_know_is_refused(folder, name, key):
    document = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(document | {key: 4}))
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    found = refusal(load, folder)
    assert found.code == "E049"
    assert found.what == f"{name}, {key}: is no field that this version knows."


def test_a_field_of_a_newer_version_is_refused_with_upgrade(folder):
    document = json.loads((folder / "record.json").read_text())
    document["versions"]["unisono"] = "99.1.0"
    (folder / "record.json").write_text(json.dumps(document))
    sign(folder)
    assert load(folder, device="cpu").record.versions["unisono"] == "99.1.0"
    (folder / "record.json").write_text(json.dumps(document | {"owner": 4}))
    sign(folder)
    found = refusal(load, folder)
    assert found.code == "E048"
    assert found.what.startswith("written by unisono 99.1.0, this is ")
    assert found.what.endswith("record.json, owner: is no field that this version knows.")
    assert "upgrade" in found.remedy


def sign(folder):
    """A manifest over what is there, as a stranger would write it."""
    (folder / "manifest.json").unlink()
    write_manifest(folder)


def test_weights_of_another_architecture_are_refused(folder):
    document = json.loads((folder / "config.json").read_text())
    document["architecture"]["content_dim"] = 6
    (folder / "config.json").write_text(json.dumps(document))
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    found = refusal(load, folder)
    assert found.code == "E049"
    wanted = "weights.safetensors, contents.adt.linear: float32 of shape (8, 8), expected float32 of shape (8, 6)"
    assert found.what == f"{wanted} by config.json."


def test_an_existing_folder_is_replaced_only_with_force(folder):
    before = snapshot(folder)
    assert refusal(late_model().save, folder).code == "E055"
    assert snapshot(folder) == before
    late_model().save(folder, force=True)
    assert load(folder, device="cpu").record == late_model().record
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_that_is_no_model_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    before = snapshot(tmp_path)
    assert refusal(small_model().save, tmp_path / "thesis", force=True).code == "E055"
    assert snapshot(tmp_path) == before


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    assert refusal(small_model().save, tmp_path / "no" / "such" / "folder").code == "E056"
    assert list(tmp_path.iterdir()) == []


def test_loading_and_saving_leave_the_model_alone(folder):
    before = {name: value.clone() for name, value in small_model().fitted.predictor.network.state_dict().items()}
    load(folder, device="cpu")
    for name, value in small_model().fitted.predictor.network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_device_that_is_absent_is_refused(folder):
    found = refusal(load, folder, device="cuda:99")
    assert found.code == "E052"
    assert "cuda:99" in found.what


PICKLERS = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
UNPICKLING_CALLS = {"torch.load", "pd.read_pickle", "pandas.read_pickle", "eval", "exec"}


def unpicklings(source: str) -> list[str]:
    """What in a module could unpickle or run what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.split(".")[0] in PICKLERS]
        if isinstance(node, ast.Call):
            found += [name for name in [ast.unparse(node.func)] if name in UNPICKLING_CALLS]
            found += [
                "allow_pickle"
                for keyword in node.keywords
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"
            ]
    return found


def test_no_module_can_unpickle():
    found = {path.relative_to(SOURCE): unpicklings(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}
    assert len(found) > 100
    assert {str(path): ways for path, ways in found.items() if ways} == {}


def test_the_search_for_unpickling_finds_each_way():
    source = "import pickle\nfrom joblib import load\ntorch.load(f)\nnp.load(f, allow_pickle=True)\neval('1')"
    assert unpicklings(source) == ["pickle", "joblib", "torch.load", "allow_pickle", "eval"]
    assert unpicklings("np.load(f, allow_pickle=False)\nsafetensors.numpy.load(f)") == []


def test_a_compact_folder_is_half_as_large_and_predicts_to_three_digits(tmp_path):
    model = small_model()
    model.save(tmp_path / "whole")
    model.save(tmp_path / "compact", compact=True)
    size = {
        name: sum((tmp_path / name / file).stat().st_size for file in ("arrays.safetensors", "weights.safetensors"))
        for name in ("whole", "compact")
    }
    assert size["compact"] < 0.65 * size["whole"]
    query = test_cells()["rna"]
    found, wanted = (each.predict(query, "rna", "adt").X for each in (load(tmp_path / "compact"), model))
    np.testing.assert_allclose(found, wanted, atol=5e-3 * np.abs(wanted).max())


def test_numbers_beyond_half_precision_are_kept_whole(tmp_path):
    network = small_model().fitted.predictor.network
    path = tmp_path / "model"
    with torch.no_grad():
        kept = network.heads["rna"].loadings[0, 0].clone()
        network.heads["rna"].loadings[0, 0] = 1e6
        try:
            small_model().save(path, compact=True)
        finally:
            network.heads["rna"].loadings[0, 0] = kept
    assert load(path).fitted.predictor.network.heads["rna"].loadings[0, 0].item() == 1e6


def test_a_name_that_is_no_folder_and_no_model_is_refused_with_the_names_of_models():
    with pytest.raises(BadInput, match=r"E001 human-blod: no such folder\. Fix: .* package: human-blood-cite"):
        load("human-blod")


def test_a_model_that_comes_with_the_package_is_verified_and_fits_into_eight_mebibytes():
    folder = unisono.pretrained.folder_of("human-blood-cite")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 8 * 2**20
    card = load("human-blood-cite").record.card
    assert {each.name for each in card.data} == set(load("human-blood-cite").record.data_sets)
    assert all(each.licence and each.accession and len(each.checksum) == 64 for each in card.data)
    assert card.figures


def test_a_folder_of_the_name_goes_before_the_model_that_comes_with_the_package(tmp_path, monkeypatch):
    small_model().save(tmp_path / "human-blood-cite")
    monkeypatch.chdir(tmp_path)
    assert load("human-blood-cite").fitted.fingerprint == small_model().fitted.fingerprint

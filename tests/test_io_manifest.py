"""Tests of a model folder's integrity: every changed, missing or added file is named, and no pickle is opened."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from io_fixtures import refusal, snapshot

from unisono.io.manifest import FORMAT_VERSION, verify_manifest, write_manifest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"seed": 3}')
    (folder / "weights.safetensors").write_bytes(bytes(range(256)) * 5)
    write_manifest(folder)
    return folder


def change_manifest(folder: Path, **changes) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(document | changes))


def test_the_manifest_is_the_sha256_and_size_of_each_file(model):
    document = json.loads((model / "manifest.json").read_text())
    assert document["format_version"] == FORMAT_VERSION
    assert document["files"]["config.json"] == {"sha256": hashlib.sha256(b'{"seed": 3}').hexdigest(), "size": 11}
    assert list(document["files"]) == ["config.json", "weights.safetensors"]


def test_a_whole_folder_is_accepted_and_not_changed(model):
    before = snapshot(model)
    assert verify_manifest(str(model)) is None
    assert snapshot(model) == before


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
@pytest.mark.parametrize("fault", ["flip", "truncate", "delete"])
def test_a_flipped_truncated_or_deleted_file_is_named(model, name, fault):
    content = bytearray((model / name).read_bytes())
    if fault == "flip":
        content[7] ^= 1
        (model / name).write_bytes(content)
    elif fault == "truncate":
        (model / name).write_bytes(content[:-3])
    else:
        (model / name).unlink()
    words = {
        "flip": f"{name} sha256 mismatch.",
        "truncate": f"{name} has {len(content) - 3} bytes, expected {len(content)}.",
        "delete": f"{name} is missing.",
    }
    finding = refusal(verify_manifest, model)
    assert (finding.code, finding.what) == ("E049", words[fault])


def test_an_added_file_or_folder_is_named(model):
    (model / "extra.json").write_text("{}")
    (model / "more").mkdir()
    finding = refusal(verify_manifest, model)
    assert finding.code == "E049"
    assert finding.what == "extra.json is not in the manifest; more/ is not in the manifest."


def test_a_folder_without_manifest_is_no_model(model):
    (model / "manifest.json").unlink()
    finding = refusal(verify_manifest, model)
    assert finding.code == "E049"
    assert "no manifest.json" in finding.what


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format_version": 1}', '{"format_version": 1, "files": {"a": {"size": 1}}}']
)
def test_a_damaged_manifest_is_refused(model, text):
    (model / "manifest.json").write_text(text)
    finding = refusal(verify_manifest, model)
    assert finding.code == "E049"
    assert "manifest.json" in finding.what


def test_a_newer_format_is_refused_with_upgrade_whatever_else_it_holds(model):
    change_manifest(model, format_version=FORMAT_VERSION + 1, unknown=1)
    finding = refusal(verify_manifest, model)
    assert finding.code == "E048"
    assert finding.what == f"written in format {FORMAT_VERSION + 1}, this package reads up to {FORMAT_VERSION}."
    assert "upgrade" in finding.remedy


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.safetensors"])
def test_a_file_in_place_of_a_folder_is_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(f"cos\nmkdir\n(S'{tmp_path}/done'\ntR.".encode())
    finding = refusal(verify_manifest, tmp_path / name)
    assert finding.code == "E047"
    assert "refuses pickle; a model is a folder of JSON and safetensors" in finding.what
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("name", ["a.pt", "b.PKL", "c.pickle", "d.dill"])
def test_a_pickle_in_the_folder_is_refused_even_if_the_manifest_has_it(model, name):
    (model / name).write_bytes(b"x")
    write_manifest(model)
    finding = refusal(verify_manifest, model)
    assert finding.code == "E047"
    assert finding.what.startswith(name)


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", "c:\\x", ""])
def test_a_name_that_leads_out_of_the_folder_is_refused(model, name):
    change_manifest(model, files={name: {"sha256": "0" * 64, "size": 1}})
    finding = refusal(verify_manifest, model)
    assert finding.code == "E054"
    assert repr(name) in finding.what


def test_a_link_in_the_folder_is_refused(model, tmp_path):
    (tmp_path / "outside").write_text('{"seed": 3}')
    (model / "config.json").unlink()
    (model / "config.json").symlink_to(tmp_path / "outside")
    finding = refusal(verify_manifest, model)
    assert finding.code == "E054"
    assert "config.json is a link" in finding.what


def test_a_missing_folder_is_refused_with_the_closest_name(model):
    finding = refusal(verify_manifest, model.with_name("modle"))
    assert finding.code == "E001"
    assert f"Did you mean {model}?" in finding.what


def test_only_flat_folders_are_written(model):
    (model / "sub").mkdir()
    with pytest.raises(ValueError, match="sub is no plain file; a model folder is flat"):
        write_manifest(model)


def test_a_newer_format_is_a_whole_number_and_nothing_else(model):
    for version in ("9", 9.0, True, 10**9, None, [9]):
        change_manifest(model, format_version=version)
        assert refusal(verify_manifest, model).code == "E049"


def test_names_that_differ_in_case_alone_are_refused(model):
    (model / "Config.json").write_text("{}")
    write_manifest(model)
    assert "differ in upper and lower case alone" in refusal(verify_manifest, model).what


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "more"])
def test_a_pipe_is_refused_and_not_opened(model, name):
    (model / name).unlink(missing_ok=True)
    os.mkfifo(model / name)
    finding = refusal(verify_manifest, model)
    assert finding.code == "E054"
    assert finding.what.startswith(f"{name} is a device, pipe or socket")

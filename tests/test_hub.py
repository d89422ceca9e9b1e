"""Tests of models on the hub, against a stand-in on this machine: pinned, verified, and refused in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import yaml
from hub_fixtures import TOKEN, Repository, environment_of, point_to, served
from io_fixtures import refusal, snapshot
from model_fixtures import small_model, test_cells

import unisono
from unisono.api import load
from unisono.hub import exchange
from unisono.hub.address import HubAddress, address_in, is_address
from unisono.hub.card import model_card
from unisono.io.manifest import write_manifest
from unisono.model.store import FILES

ADDRESS = "hf://my-lab/marrow"


@pytest.fixture
def assets(tmp_path):
    return tmp_path / "assets"


@pytest.fixture
def hub(monkeypatch, assets):
    with served() as stand_in:
        point_to(stand_in, monkeypatch, assets)
        yield stand_in


@pytest.fixture
def folder(tmp_path):
    small_model().save(tmp_path / "saved")
    return tmp_path / "saved"


def put(hub, folder):
    """The files of a folder as a model on the stand-in, by another way than `push_to_hub`; the commit."""
    repository = hub.repositories.setdefault("my-lab/marrow", Repository())
    return repository.commit({path.name: path.read_bytes() for path in folder.iterdir()})


def left(assets):
    """All files below the assets."""
    return [path for path in assets.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hf://my-lab/marrow", HubAddress("my-lab", "marrow")),
        ("hf://a/b@v1.0", HubAddress("a", "b", "v1.0")),
        ("hf://a/b@refs/pr/1", HubAddress("a", "b", "refs/pr/1")),
        (Path("hf://a/b.c_d"), HubAddress("a", "b.c_d")),
        ("a/b@main", HubAddress("a", "b", "main")),
    ],
)
def test_an_address_names_owner_model_and_revision(text, wanted):
    assert address_in(text) == wanted
    assert is_address(f"hf://{wanted.repository}")


@pytest.mark.parametrize(
    "text", ["hf://", "hf://a", "hf://a/b/c", "hf://../b", "hf://a/b--c", "hf://a/b ", "hf://-a/b"]
)
def test_a_name_that_is_none_is_refused_with_the_form_it_has(text):
    found = refusal(address_in, text)
    assert (found.code, found.where) == ("E093", text)
    assert "hf://owner/name@revision" in found.remedy


@pytest.mark.parametrize("revision", ["", "a..b", "-x", "a b"])
def test_a_revision_that_is_none_is_refused(revision):
    assert refusal(address_in, f"hf://a/b@{revision}").code == "E093"


def test_folders_and_names_are_no_addresses():
    assert [text for text in ("model", "hf", "./hf:/x", "human-blood-cite") if is_address(text)] == []


def test_a_pushed_model_answers_with_the_same_bits_and_knows_its_commit(hub, tmp_path):
    address = small_model().push_to_hub("my-lab/marrow", commit_message="The first", private=True)
    commit = hub.repositories["my-lab/marrow"].branches["main"]
    assert address == f"{ADDRESS}@{commit}"
    assert hub.repositories["my-lab/marrow"].is_private
    assert hub.repositories["my-lab/marrow"].messages == ["The first"]
    found = load(ADDRESS, device="cpu")
    assert found.record == small_model().record.model_copy(update={"origin": address})
    wanted = small_model().predict(test_cells(), source="rna", target="adt").X
    np.testing.assert_array_equal(found.predict(test_cells(), source="rna", target="adt").X, wanted)
    found.save(tmp_path / "kept")
    assert load(tmp_path / "kept", device="cpu").record.origin == address
    assert address in str(found)


def test_what_is_pushed_is_the_folder_and_a_card(hub, folder):
    small_model().push_to_hub("my-lab/marrow")
    repository = hub.repositories["my-lab/marrow"]
    files = repository.commits[repository.branches["main"]]
    card = files.pop("README.md").decode()
    assert files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert 'un.load("hf://my-lab/marrow")' in card


def test_a_branch_is_made_and_loaded_by_its_name(hub):
    address = small_model().push_to_hub("my-lab/marrow", revision="trial")
    repository = hub.repositories["my-lab/marrow"]
    assert address == f"{ADDRESS}@{repository.branches['trial']}"
    assert repository.commits[repository.branches["main"]] == {}
    assert load(f"{ADDRESS}@trial", device="cpu").record.origin == address


def test_a_commit_that_was_fetched_is_not_asked_for_again_and_a_branch_is(hub, folder):
    first = put(hub, folder)
    load(ADDRESS, device="cpu")
    hub.requests.clear()
    load(f"{ADDRESS}@{first}", device="cpu")
    assert hub.requests == []
    hub.repositories["my-lab/marrow"].commit({"README.md": b"changed"})
    found = load(ADDRESS, device="cpu").record.origin
    assert found == f"{ADDRESS}@{hub.repositories['my-lab/marrow'].branches['main']}" != f"{ADDRESS}@{first}"


def test_no_file_is_fetched_but_those_of_a_model_folder(hub, folder, assets):
    (folder / "run_me.py").write_text("raise SystemExit('run')")
    (folder / "weights.pkl").write_bytes(b"\x80\x04.")
    (folder / "README.md").write_text("a card")
    commit = put(hub, folder)
    load(ADDRESS, device="cpu")
    assert {line.rpartition("/")[2] for line in hub.requests if "/resolve/" in line} == {*FILES, "manifest.json"}
    assert sorted(path.name for path in left(assets)) == sorted([*FILES, "manifest.json"])
    assert {path.parent.name for path in left(assets)} == {commit}


@pytest.mark.parametrize("name", FILES)
def test_a_tampered_file_is_refused_and_nothing_is_left_behind(hub, folder, assets, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    commit = put(hub, folder)
    found = refusal(load, ADDRESS)
    assert (found.code, found.where) == ("E049", f"{ADDRESS}@{commit}")
    assert f"{name} sha256 mismatch" in found.what
    assert left(assets) == []
    assert not (assets / "unisono" / "models" / "my-lab--marrow" / commit).exists()


def test_a_folder_that_was_signed_anew_is_read_like_any_strangers(hub, folder, assets):
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps(record | {"n_validation": "many"}))
    write_manifest(folder)
    put(hub, folder)
    found = refusal(load, ADDRESS)
    assert found.code == "E049"
    assert found.what.startswith("record.json, n_validation")
    assert left(assets) == []


def test_a_kept_folder_that_was_damaged_is_refused_once_and_fetched_anew(hub, folder, assets):
    commit = put(hub, folder)
    load(ADDRESS, device="cpu")
    (assets / "unisono" / "models" / "my-lab--marrow" / commit / "config.json").write_text("{}")
    assert refusal(load, ADDRESS).code == "E049"
    assert load(ADDRESS, device="cpu").record.origin == f"{ADDRESS}@{commit}"


def test_a_repository_of_something_else_is_refused_before_anything_is_fetched(hub, assets):
    hub.repositories["my-lab/marrow"] = Repository()
    hub.repositories["my-lab/marrow"].commit({"pytorch_model.bin": b"1", "config.json": b"{}"})
    found = refusal(load, ADDRESS)
    assert (found.code, found.what) == ("E049", "has no record.json: no model of Unisono.")
    assert [line for line in hub.requests if "/resolve/" in line] == []


def test_files_that_are_too_large_are_refused_before_anything_is_fetched(hub, folder):
    put(hub, folder)
    hub.sizes["weights.safetensors"] = 9 * 2**30
    found = refusal(load, ADDRESS)
    assert found.code == "E097"
    assert found.what.startswith("files of 9.0 GiB, allowed 8")
    assert [line for line in hub.requests if "/resolve/" in line] == []


def test_a_model_that_is_too_large_is_not_pushed(hub, monkeypatch):
    monkeypatch.setattr(exchange, "MAX_BYTES", 1000)
    found = refusal(small_model().push_to_hub, "my-lab/marrow")
    assert (found.code, hub.requests) == ("E097", [])


def test_a_model_that_is_not_there_is_told_from_a_revision_that_is_not(hub, folder):
    put(hub, folder)
    absent, revision = refusal(load, "hf://my-lab/none"), refusal(load, f"{ADDRESS}@v9")
    assert (absent.code, revision.code) == ("E094", "E094")
    assert "hf auth login" in absent.remedy
    assert revision.what == "has no revision v9."
    assert revision.remedy.endswith(ADDRESS)


def test_a_private_model_is_shown_to_its_owner_alone(hub, folder, monkeypatch):
    put(hub, folder)
    hub.repositories["my-lab/marrow"].is_private = True
    monkeypatch.setenv("HF_TOKEN", "hf_of_another")
    assert refusal(load, ADDRESS).code == "E094"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert load(ADDRESS, device="cpu").modalities == small_model().modalities


@pytest.mark.parametrize(("owner", "token"), [("of-others", None), ("my-lab", "hf_wrong")])
def test_who_may_not_write_is_told_to_log_in(hub, owner, token):
    found = refusal(small_model().push_to_hub, f"{owner}/marrow", token=token)
    assert found.code == "E096"
    assert "hf auth login" in found.remedy
    assert hub.repositories == {}


def test_without_a_network_one_line_says_so_and_names_what_is_here(hub, folder, monkeypatch):
    commit = put(hub, folder)
    load(ADDRESS, device="cpu")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    found = refusal(load, ADDRESS)
    assert found.code == "E095"
    assert found.remedy.endswith(f"{ADDRESS}@{commit}")
    assert load(f"{ADDRESS}@{commit}", device="cpu").record.origin == f"{ADDRESS}@{commit}"
    assert refusal(load, "hf://my-lab/none").remedy == "check the network"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert refusal(load, ADDRESS).code == "E095"


def test_a_hub_that_fails_is_told_from_one_that_is_not_there(hub):
    hub.is_down = True
    found = refusal(load, ADDRESS)
    assert found.code == "E096"
    assert found.what.startswith("the hub answered 503")


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    found = refusal(load, ADDRESS)
    assert (found.code, found.remedy) == ("E063", 'pip install "unisono[hub]"')


def fields_of(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_of_the_shipped_model_says_what_its_record_says():
    model = load("human-blood-cite", device="cpu")
    record = model.record.card
    card = model_card(model.fitted, HubAddress("unisono", "human-blood-cite"))
    assert fields_of(card)["license"] == "cc-by-4.0"
    assert fields_of(card)["library_name"] == "unisono"
    assert {"rna", "adt"} <= set(fields_of(card)["tags"])
    assert f"# {record.title}" in card
    for each in record.data:
        assert each.checksum in card
        assert f"<{each.url}>" in card
    for protein in model.fitted.preprocessors["adt"].projection.features:
        assert str(protein).replace("_", r"\_") in card
    assert "correlation 0.452, FOSCTTM 0.046" in card
    assert card.count("| bremsc\\_cite |") == sum(figure.asked_about == "bremsc_cite" for figure in record.figures)
    assert [limit for limit in record.limits if limit[:30] not in card] == []
    assert unisono.__version__ in card


def test_the_card_of_a_fit_of_ones_own_states_the_licence_that_is_given():
    fitted, address = small_model().fitted, HubAddress("my-lab", "marrow")
    assert "license" not in fields_of(model_card(fitted, address))
    assert fields_of(model_card(fitted, address, "CC BY NC 4.0"))["license"] == "cc-by-nc-4.0"
    assert fields_of(model_card(fitted, address, "ours: ask")) | {"tags": 0} == {
        "license": "other",
        "license_name": "ours:-ask",
        "library_name": "unisono",
        "tags": 0,
    }


def test_no_name_of_a_batch_or_a_data_set_is_markup_in_the_card():
    fitted = small_model().fitted
    hostile = "<script>x</script> | [a](http://b) `c`\n# d"
    record = fitted.record.model_copy(update={"data_sets": (hostile,)})
    card = model_card(replace(fitted, record=record), HubAddress("my-lab", "marrow"))
    assert r"\<script\>x\</script\> \| \[a\](http://b) \`c\`\n\# d" in card.replace("\\\\n", "\\n")
    assert "\n# d" not in card


@pytest.mark.slow
def test_the_command_line_takes_an_address_wherever_it_takes_a_model(hub, folder, tmp_path):
    commit = put(hub, folder)
    test_cells().write(tmp_path / "cells.h5mu")
    environment = os.environ | environment_of(hub, tmp_path / "home")

    def run(*words):
        command = [sys.executable, "-m", "unisono.cli", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    info = run("info", ADDRESS)
    assert (info.returncode, info.stderr) == (0, f"model {ADDRESS}@{commit}\n")
    assert f"{ADDRESS}@{commit}" in info.stdout
    pinned = f"{ADDRESS}@{commit}"
    assert run("predict", pinned, "cells.h5mu", "--from", "rna", "--to", "adt", "-o", "p.h5ad").returncode == 0
    assert run("check", "cells.h5mu", "--model", pinned).returncode == 0
    absent = run("embed", "hf://my-lab/none", "cells.h5mu", "-o", "e.h5mu")
    assert absent.returncode == 2
    assert absent.stderr.startswith("E094 hf://my-lab/none: ")
    assert not (tmp_path / "e.h5mu").exists()
    assert set(snapshot(tmp_path)) >= {"p.h5ad"}

"""Tests of atomic writing: whole or not at all, nothing replaced unasked, no temporary left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from io_fixtures import refusal, snapshot

from unisono.io import write as write_module
from unisono.io.write import refuse_existing, write_atomically, write_folder_atomically


def model(folder: Path) -> None:
    (folder / "manifest.json").write_text("{}")
    (folder / "weights").write_bytes(b"new")


def breaks(place: Path) -> None:
    if place.is_dir():
        (place / "half").write_text("half")
    else:
        place.write_text("half")
    raise RuntimeError("stop")


def fills(place: Path) -> None:
    (place / "half" if place.is_dir() else place).write_bytes(b"x" * 1234)
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(params=[write_atomically, write_folder_atomically])
def write(request):
    return request.param


def test_a_file_is_written_whole_under_a_temporary_name_beside_it(tmp_path):
    seen = []
    write_atomically(tmp_path / "a.json", lambda place: (seen.append(place), place.write_text("whole"))[0], force=False)
    assert seen == [tmp_path / f".a.json.tmp-{os.getpid()}"]
    assert snapshot(tmp_path).keys() == {"a.json"}
    assert (tmp_path / "a.json").read_text() == "whole"


def test_a_folder_is_written_whole(tmp_path):
    write_folder_atomically(tmp_path / "m", model, force=False)
    assert snapshot(tmp_path).keys() == {"m/manifest.json", "m/weights"}


def test_what_is_there_is_not_replaced_unasked(tmp_path, write):
    (tmp_path / "m").mkdir()
    model(tmp_path / "m")
    before = snapshot(tmp_path)
    finding = refusal(write, tmp_path / "m", lambda place: pytest.fail("was called"), force=False)
    assert finding.code == "E055"
    assert finding.what == "exists already."
    assert "--force" in finding.remedy
    assert snapshot(tmp_path) == before


def test_what_appears_while_we_write_is_not_replaced(tmp_path, write):
    def writer(place: Path) -> None:
        (model if place.is_dir() else Path.touch)(place)
        (tmp_path / "m").write_text("theirs")

    assert refusal(write, tmp_path / "m", writer, force=False).code == "E055"
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]
    assert (tmp_path / "m").read_text() == "theirs"


def test_force_replaces_a_file(tmp_path):
    (tmp_path / "a").write_text("old")
    write_atomically(tmp_path / "a", lambda place: place.write_text("new"), force=True)
    assert (tmp_path / "a").read_text() == "new"


def test_force_replaces_a_model_folder_with_all_its_files(tmp_path):
    (tmp_path / "m").mkdir()
    for name in ("manifest.json", "old"):
        (tmp_path / "m" / name).write_text("old")
    write_folder_atomically(tmp_path / "m", model, force=True)
    assert snapshot(tmp_path).keys() == {"m/manifest.json", "m/weights"}
    assert (tmp_path / "m" / "weights").read_bytes() == b"new"


def test_force_never_replaces_a_folder_that_is_not_ours(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years")
    before = snapshot(tmp_path)
    finding = refusal(write_folder_atomically, tmp_path / "thesis", model, force=True)
    assert finding.code == "E055"
    assert "not a model folder (it has no manifest.json)" in finding.what
    assert snapshot(tmp_path) == before


def test_force_never_replaces_a_file_by_a_folder_or_a_folder_by_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    model(tmp_path / "folder")
    before = snapshot(tmp_path)
    assert refusal(write_folder_atomically, tmp_path / "file", model, force=True).code == "E055"
    assert refusal(write_atomically, tmp_path / "folder", breaks, force=True).code == "E055"
    assert snapshot(tmp_path) == before


def test_a_link_to_a_model_folder_is_not_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    model(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    assert refusal(write_folder_atomically, tmp_path / "link", model, force=True).code == "E055"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("fail", [breaks, fills])
def test_a_failure_leaves_the_old_and_no_temporary(tmp_path, write, fail):
    old = tmp_path / "m"
    if write is write_folder_atomically:
        old.mkdir()
        model(old)
    else:
        old.write_text("old")
    before = snapshot(tmp_path)
    with pytest.raises((RuntimeError, OSError)):
        write(old, fail, force=True)
    assert snapshot(tmp_path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_a_failure_without_an_old_leaves_nothing(tmp_path, write):
    with pytest.raises(RuntimeError, match="stop"):
        write(tmp_path / "m", breaks, force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_the_path_and_the_bytes(tmp_path, write):
    with pytest.raises(OSError, match=r"no room for .*/m: stopped after 1,234 bytes, .* nothing was changed") as caught:
        write(tmp_path / "m", fills, force=False)
    assert caught.value.errno == errno.ENOSPC


def test_a_limit_on_file_size_leaves_nothing_behind(tmp_path):
    program = (
        "import resource, h5py, numpy as np\n"
        "from unisono.io.write import write_atomically\n"
        "def writer(place):\n"
        "    with h5py.File(place, 'w') as file:\n"
        "        file['x'] = np.arange(100_000)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        f"write_atomically({str(tmp_path / 'big.h5')!r}, writer, force=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"no room for {tmp_path / 'big.h5'}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rename_puts_the_old_folder_back(tmp_path, monkeypatch):
    monkeypatch.setattr(write_module, "_exchanged", lambda one, other: False)
    (tmp_path / "m").mkdir()
    model(tmp_path / "m")
    before = snapshot(tmp_path)
    rename = os.rename

    def second_fails(source, target):
        if ".tmp-" in str(source):
            raise OSError(errno.EIO, "no")
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="no"):
        write_folder_atomically(tmp_path / "m", model, force=True)
    assert snapshot(tmp_path) == before


def test_what_a_dead_process_left_is_removed_and_a_living_ones_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".m.tmp-{dead.pid}").mkdir()
    (tmp_path / f".m.tmp-{os.getppid()}").write_text("living")
    (tmp_path / f".other.tmp-{dead.pid}").write_text("not mine")
    write_folder_atomically(tmp_path / "m", model, force=False)
    found = {entry.name for entry in tmp_path.iterdir()}
    assert found == {"m", f".m.tmp-{os.getppid()}", f".other.tmp-{dead.pid}"}


def test_a_missing_folder_is_refused_early(tmp_path):
    finding = refusal(refuse_existing, tmp_path / "no" / "a", force=True)
    assert finding.code == "E056"
    assert f"the folder {tmp_path / 'no'} does not exist" in finding.what


def test_a_read_only_folder_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the superuser may write anywhere
    finding = refusal(refuse_existing, tmp_path / "a", force=False)
    assert finding.code == "E056"
    assert "is not writable" in finding.what


def test_names_with_spaces_and_signs_are_written(tmp_path, write):
    write(tmp_path / "größe 1 (a+b)", model if write is write_folder_atomically else Path.touch, force=False)
    assert (tmp_path / "größe 1 (a+b)").exists()

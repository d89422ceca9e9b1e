"""Faults injected into commands: no room, no memory, no reader, no rights; each ends in one line and changes nothing.

Commands run in forks of a process that has imported all of the package, and end as processes do.
"""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import h5py
import pytest
from io_fixtures import snapshot
from model_fixtures import TINY, small_model, test_cells, training

from unisono.io.convert import convert

_SERVER = """
import json, os, resource, signal, sys
from unisono import cli, api, cluster
from unisono.io import convert, hdf5
from unisono.evaluation import scores
import torch, mudata
torch.set_num_threads(1)
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
else:
    os._exit(0)
for descriptor, path in ((1, asked["stdout"]), (2, asked["stderr"])):
    if path == "closed pipe":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.dup2(writer, descriptor)
os.chdir(asked["folder"])
os.environ.update(asked["variables"])
if asked["user"]:
    os.setuid(asked["user"])
for name, limit in asked["limits"].items():
    if name == "RLIMIT_AS":
        limit += 4096 * int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(getattr(resource, name), (limit, limit))
sys.argv = ["unisono", *asked["words"]]
cli.main()
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with data, a model, an index, and settings; read only."""
    folder = tmp_path_factory.mktemp("store")
    for parent in (folder, folder.parent):
        parent.chmod(0o755)
    training().write_h5mu(folder / "training.h5mu")
    test_cells().write_h5mu(folder / "query.h5mu")
    small_model().save(folder / "model")
    small_model().index(test_cells(), "rna").save(folder / "index")
    config = {**TINY, "n_members": 1, "max_epochs": 1, "epochs_per_evaluation": 1, "validation": {"fraction": 0}}
    (folder / "tiny.toml").write_text("".join(_dotted(config)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(folder / "query.h5mu", folder / "cells.zarr")
    return folder


def _dotted(config, within=""):
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{within}{name}.")
        else:
            yield f"{within}{name} = {json.dumps(value)}\n"


@pytest.fixture(scope="module")
def server():
    """The process that forks."""
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def unisono(server, store, tmp_path):
    """Runs a command line, where `@` stands for the store, in a folder of its own."""
    streams = tmp_path / "streams"
    streams.mkdir()
    (tmp_path / "folder").mkdir()

    def run(line, *, stdout=None, stderr=None, limits=None, user=0, variables=None, folder=None):
        asked = {"words": shlex.split(line.replace("@", f"{store}/")), "limits": limits or {}, "user": user}
        asked |= {"stdout": stdout or str(streams / "out"), "stderr": stderr or str(streams / "err")}
        asked |= {"folder": str(folder or tmp_path / "folder"), "variables": variables or {}}
        for stream in streams.iterdir():
            stream.unlink()
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        said = (streams / "err").read_text() if (streams / "err").exists() else ""
        return SimpleNamespace(code=code, err=said)

    return SimpleNamespace(run=run, folder=tmp_path / "folder")


@contextmanager
def mounted(folder, options):
    """A small disk at a folder, where this process may mount one."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options.encode()) != 0:
        pytest.skip("needs the right to mount")
    try:
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), 2)


def check(record, case, ended, code, *parts):
    """Note the end of a command and hold it to its exit code, a single line of its own, and words in it."""
    lines = [line for line in ended.err.splitlines() if not line.startswith(("W", "fit on cpu", "validation"))]
    is_right = ended.code == code and len(lines) == 1 and all(part in lines[0] for part in parts)
    record("fault", case, f"exit {ended.code}: {' / '.join(lines)[:300]}", is_right)
    assert ended.code == code, ended.err
    assert len(lines) == 1, ended.err
    assert [part for part in parts if part not in lines[0]] == []


QUICK_FULL = "predict as .h5ad"
FULL = {
    QUICK_FULL: ("predict @model @query.h5mu --from rna --to adt -o out.h5ad", 4096),
    "predict as .zarr": ("predict @model @query.h5mu --from rna --to adt -o out.zarr", 512),
    "predict factored": ("predict @model @query.h5mu --from rna --to adt -o out.h5ad --factored", 4096),
    "embed as .h5mu": ("embed @model @query.h5mu -o out.h5mu", 9000),
    "embed as .zarr": ("embed @model @query.h5mu -o out.zarr", 512),
    "match": ("match @model @query.h5mu --between rna,adt -o out.h5ad", 4096),
    "pair": ("pair @model @query.h5mu --between rna,adt -o out.h5mu", 4096),
    "fit": ("fit @training.h5mu -o out --batch-key batch --config @tiny.toml", 4096),
    "adapt": ("adapt @model @new.h5mu -o out --epochs 1", 4096),
    "calibrate": ("calibrate @model @query.h5mu -o out", 4096),
    "convert": ("convert @query.h5mu -o out.zarr", 512),
    "index": ("index @model @query.h5mu -o out --modality rna", 1024),
    "search": ("search @model @index @query.h5mu -o out.tsv --modality rna", 1024),
    "feature-effects": ("feature-effects @model @query.h5mu --from rna --to adt -o out.tsv", 512),
    "evaluate": ("evaluate @model @query.h5mu -o out --no-report", 1024),
}
"""Commands that write, and the bytes that a file may have."""


@pytest.mark.parametrize("command", FULL)
def test_where_a_file_may_not_grow_one_line_says_so_and_nothing_stays(unisono, store, record, is_full, command):
    if not is_full and command != QUICK_FULL:
        pytest.skip("with --full")
    if command == "adapt" and not (store / "new.h5mu").exists():
        query = test_cells()
        for part in query.mod.values():
            part.obs["batch"] = "b9"
        query.write_h5mu(store / "new.h5mu")
    line, size = FULL[command]
    ended = unisono.run(f"{line} --device cpu" if "convert" not in line else line, limits={"RLIMIT_FSIZE": size})
    check(record, f"a file may have {size} bytes: {command}", ended, 1, "E073 ", "no room", "bytes, ", "Fix: raise")
    stays = [str(path) for path in unisono.folder.iterdir() if path.is_file() or any(path.iterdir())]
    assert stays == []


@pytest.mark.parametrize(("line", "old"), [(FULL[QUICK_FULL][0], "out.h5ad"), (FULL["calibrate"][0], "out")])
def test_an_old_output_stays_where_there_is_no_room_for_the_new(unisono, store, record, is_full, line, old):
    if not is_full:
        pytest.skip("with --full")
    if old == "out":
        shutil.copytree(store / "model", unisono.folder / old)
    else:
        (unisono.folder / old).write_text("years")
    before = snapshot(unisono.folder)
    ended = unisono.run(f"{line} --device cpu --force", limits={"RLIMIT_FSIZE": 2048})
    check(record, f"no room to replace an old output: {line.split()[0]}", ended, 1, "E073 ", "nothing was changed")
    assert snapshot(unisono.folder) == before


@pytest.mark.parametrize(
    ("options", "line", "part"),
    [
        ("size=16k", FULL[QUICK_FULL][0], " bytes free"),
        ("size=16k", FULL["fit"][0], " bytes free"),
        ("size=64k", FULL["embed as .h5mu"][0], " bytes free"),
        ("size=16k", FULL["match"][0], " bytes free"),
        ("nr_inodes=2", FULL["predict as .zarr"][0], "0 inodes free"),
        ("nr_inodes=3", FULL["calibrate"][0], "0 inodes free"),
        ("nr_inodes=1", FULL[QUICK_FULL][0], "0 inodes free"),
    ],
)
def test_a_full_disk_is_told_by_what_it_lacks(unisono, tmp_path, record, is_full, options, line, part):
    if not is_full:
        pytest.skip("with --full")
    with mounted(tmp_path / "disk", options) as disk:
        ended = unisono.run(f"{line} --device cpu", folder=disk)
        stays = [path.name for path in disk.iterdir()]
    check(record, f"a disk of {options}: {line.split()[0]}", ended, 1, "E073 ", f"{tmp_path}/disk/out", part)
    assert stays == []
    if "inodes" in options:
        assert "bytes free" not in ended.err


@pytest.mark.parametrize(
    "line",
    [
        "info @model",
        "check @query.h5mu",
        "check @query.h5mu --json",
        "--help",
        "evaluate @model @query.h5mu -o out --no-report",
    ],
)
def test_a_full_stdout_is_told(unisono, record, is_full, line):
    if not is_full and line != "info @model":
        pytest.skip("with --full")
    ended = unisono.run(line, stdout="/dev/full")
    ended.err = "".join(one for one in ended.err.splitlines(keepends=True) if one[:1] == "E")
    check(record, f"stdout is full: {line}", ended, 1, "E073 stdout: no room to write (No space left on device).")


@pytest.mark.parametrize("line", ["info @model", "check @query.h5mu --json"])
def test_a_reader_that_has_gone_is_no_news(unisono, record, is_full, line):
    if not is_full:
        pytest.skip("with --full")
    ended = unisono.run(line, stdout="closed pipe")
    is_right = ended.code == 1 and "Traceback" not in ended.err and len(ended.err.splitlines()) < 2
    record("fault", f"the reader of stdout is gone: {line}", f"exit {ended.code}: {ended.err.strip()}", is_right)
    assert is_right, ended.err


def test_a_full_stderr_changes_neither_result_nor_code(unisono, record, is_full):
    if not is_full:
        pytest.skip("with --full")
    ended = unisono.run(f"{FULL[QUICK_FULL][0]} --device cpu", stderr="/dev/full")
    is_right = ended.code == 0 and (unisono.folder / "out.h5ad").exists()
    record("fault", "stderr is full: predict", f"exit {ended.code}", is_right)
    assert is_right
    assert unisono.run("info nowhere", stderr="/dev/full").code == 2


def test_a_config_for_which_no_machine_has_memory_ends_in_one_line(unisono, store, record, is_full):
    if not is_full:
        pytest.skip("with --full")
    (unisono.folder / "huge.toml").write_text((store / "tiny.toml").read_text() + "batch_size = 2\n")
    text = (unisono.folder / "huge.toml").read_text().replace("content_dim = 8", "content_dim = 1000000000000")
    (unisono.folder / "huge.toml").write_text(text)
    ended = unisono.run("fit @training.h5mu -o out --config huge.toml --device cpu")
    check(record, "10^12 dimensions in the config", ended, ended.code if ended.code == 2 else 1, "E0")
    assert [path.name for path in unisono.folder.iterdir()] == ["huge.toml"]


def claims(path, shape):
    """Let a file claim a dense matrix that it does not hold."""
    with h5py.File(path, "r+") as file:
        group = file["mod/rna"]
        del group["X"]
        values = group.create_dataset("X", shape, "f4", chunks=(1, 1000))
        values.attrs["encoding-type"], values.attrs["encoding-version"] = "array", "0.2.0"


BIG = {
    "check": "check big.h5mu",
    "predict": "predict @model big.h5mu --from rna --to adt -o out.h5ad",
    "fit": "fit big.h5mu -o out --batch-key batch --config @tiny.toml",
}


@pytest.mark.parametrize("command", BIG)
def test_what_does_not_fit_into_the_memory_that_is_left_is_refused_before_it_is_read(
    unisono, store, record, is_full, command
):
    if not is_full and command != "fit":
        pytest.skip("with --full")
    shutil.copy(store / "training.h5mu", unisono.folder / "big.h5mu")
    claims(unisono.folder / "big.h5mu", (151, 10**6))
    ended = unisono.run(BIG[command], limits={"RLIMIT_AS": 300 * 2**20})
    check(record, f"0.6 GB of counts, 0.3 GB of memory left: {command}", ended, 2, "E051 big.h5mu: needs ~0.6 GB")
    assert [path.name for path in unisono.folder.iterdir()] == ["big.h5mu"]


@pytest.mark.parametrize("command", BIG)
def test_a_file_that_claims_more_than_there_is_memory_for_is_refused(unisono, store, record, is_full, command):
    if not is_full:
        pytest.skip("with --full")
    shutil.copy(store / "query.h5mu", unisono.folder / "big.h5mu")
    claims(unisono.folder / "big.h5mu", (43, 10**11))
    ended = unisono.run(BIG[command])
    wanted = (
        "E051 big.h5mu: needs ~17,200.0 GB in memory, ",
        "or it is damaged",
        "unisono convert big.h5mu -o big.zarr",
    )
    check(record, f"a file claims 4 x 10^12 values: {command}", ended, 2, *wanted)
    assert [path.name for path in unisono.folder.iterdir()] == ["big.h5mu"]


def test_a_file_of_a_newer_anndata_is_refused_with_the_encoding(unisono, store, record, is_full):
    if not is_full:
        pytest.skip("with --full")
    shutil.copy(store / "query.h5mu", unisono.folder / "new.h5mu")
    with h5py.File(unisono.folder / "new.h5mu", "r+") as file:
        file["mod/rna/X"].attrs["encoding-type"] = "holographic"
    ended = unisono.run("check new.h5mu")
    check(
        record,
        "an encoding that is not known",
        ended,
        2,
        "E006 new.h5mu: ",
        "holographic",
        "Fix: pip install --upgrade anndata",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_what_may_not_be_read_is_told_as_such(unisono, store, record, is_full, tmp_path):
    if not is_full:
        pytest.skip("with --full")
    shutil.copy(store / "query.h5mu", unisono.folder / "mine.h5mu")
    (unisono.folder / "mine.h5mu").chmod(0o600)
    own = [parent for parent in tmp_path.parents if parent.name.startswith("pytest-")]
    for parent in (unisono.folder, tmp_path, *own):
        parent.chmod(0o755)
    ended = unisono.run("check mine.h5mu", user=65534)
    check(record, "a file of another user", ended, 2, "E074 mine.h5mu: cannot be read (Permission denied)")


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 125 + ".h5ad", "n" * 245 + ".h5ad"])
def test_a_name_as_long_as_a_folder_takes_is_written(unisono, record, is_full, name):
    if not is_full:
        pytest.skip("with --full")
    ended = unisono.run(f"predict @model @query.h5mu --from rna --to adt -o {name} --device cpu")
    stays = [path.name for path in unisono.folder.iterdir()]
    is_right = ended.code == 0 and stays == [name]
    record("fault", f"a name of {len(name.encode())} bytes, {name[:1]}", f"exit {ended.code}", is_right)
    assert is_right, ended.err


@pytest.mark.parametrize("line", [FULL[QUICK_FULL][0], FULL["fit"][0], FULL["convert"][0], FULL["evaluate"][0]])
def test_a_name_that_is_too_long_is_refused_before_the_work(unisono, record, is_full, line):
    if not is_full:
        pytest.skip("with --full")
    name = "n" * 252 + ".zarr"
    ended = unisono.run(line.replace("out.h5ad", name).replace("out.zarr", name).replace("-o out", f"-o {name}"))
    check(
        record,
        f"a name of {len(name)} bytes: {line.split()[0]}",
        ended,
        2,
        "E056 nnn",
        " bytes, of which folders take 255",
    )
    assert list(unisono.folder.iterdir()) == []

"""Tests of how commands end: one line and a code, whatever is raised; nothing that is read is ever the output."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from io_fixtures import snapshot
from model_fixtures import small_model, test_cells, training

from unisono import cli
from unisono.cli.commands import inspect
from unisono.cli.console import one_line, print_table, say, warnings_said_once
from unisono.cli.endings import ending_of
from unisono.display import as_html, as_text
from unisono.io import memory
from unisono.io.memory import free_bytes, has_run_out
from unisono.io.write import refuse_inputs, write_atomically
from unisono.messages import (
    BadInput,
    Finding,
    InputWarning,
    NoRoom,
    RankError,
    bad_input,
    typed,
    typed_in_shell,
    visible,
)

RED = "red\x1b[31m"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with data, a model and an index; tests read it and write elsewhere."""
    folder = tmp_path_factory.mktemp("store")
    training().write_h5mu(folder / "training.h5mu")
    test_cells().write_h5mu(folder / "query.h5mu")
    small_model().save(folder / "model")
    small_model().index(test_cells(), "rna").save(folder / "index")
    return folder


@pytest.fixture
def unisono(store, tmp_path, monkeypatch, capsys):
    """Runs a command line in a folder with a query of its own; `@` stands for the store."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(store / "query.h5mu", "query.h5mu")

    def run(line: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["unisono", *shlex.split(line.replace("@", f"{store}/"))])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code, out=printed.out, err=printed.err)

    return run


@pytest.fixture
def raising(unisono, monkeypatch):
    """Runs a command that raises what it is given."""

    def run(error: BaseException) -> SimpleNamespace:
        def raise_it(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(inspect, "files_in", raise_it)
        return unisono("check query.h5mu")

    return run


ENDS = [
    (bad_input("E010", "a.h5mu", "is odd.", "do"), 2, "E010 a.h5mu: is odd. Fix: do"),
    (RankError("rank 1 is gone"), 1, "rank 1 is gone"),
    (NoRoom(errno.ENOSPC, Finding("E073", "a.h5ad", "no room.", "go")), 1, "E073 a.h5ad: no room. Fix: go"),
    (MemoryError(), 1, "E051 memory: there was not enough of it (MemoryError). Fix: give fewer cells"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "E051 memory: "),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "E051 memory: "),
    (OSError(errno.ENOSPC, "No space left on device"), 1, "E073 stdout: no room to write (No space left on device)."),
    (OSError(errno.EIO, "Input/output error", "a.h5mu"), 1, "E074 a.h5mu: cannot be read or written (Input/output"),
    (OSError(errno.EACCES, "Permission denied", "a.h5mu"), 2, "E074 a.h5mu: cannot be read or written (Permission"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), 2, "E074 aaa"),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "E074 stdout: its reader is gone."),
    (KeyError("rna"), 1, "E099 unexpected: KeyError: 'rna' Fix: please report it; UNISONO_DEBUG=1 shows where"),
    (ValueError(f"two\nlines and {RED}"), 1, "E099 unexpected: ValueError: two lines and red\\x1b[31m Fix: "),
    (RecursionError("x" * 10_000), 1, "E099 unexpected: RecursionError: xxx"),
]


@pytest.mark.parametrize(("error", "code", "line"), ENDS)
def test_whatever_is_raised_ends_in_one_line_and_its_code(error, code, line):
    ending = ending_of(error, ["predict"])
    assert ending.code == code
    assert ending.line.startswith(line)
    assert len(ending.line.splitlines()) == 1
    assert len(ending.line) < 800


def test_a_traceback_is_shown_where_it_is_asked_for_and_nowhere_else(raising, monkeypatch):
    ended = raising(KeyError("rna"))
    assert ended.code == 1
    assert ended.err == "E099 unexpected: KeyError: 'rna' Fix: please report it; UNISONO_DEBUG=1 shows where\n"
    monkeypatch.setenv("UNISONO_DEBUG", "1")
    ended = raising(KeyError("rna"))
    assert "Traceback" in ended.err
    assert "in raise_it" in ended.err
    assert ended.err.splitlines()[-1].startswith("E099 ")


def test_memory_that_ran_out_is_told_by_what_led_to_an_error():
    error = ValueError("cannot be read")
    error.__cause__ = MemoryError()
    assert has_run_out(error)
    assert not has_run_out(ValueError("memory of an elephant"))


def test_a_fit_that_runs_out_of_memory_is_told_to_read_by_rows():
    assert "max_held_cells" in ending_of(MemoryError(), ["fit"]).line
    assert "max_held_cells" not in ending_of(MemoryError(), ["match"]).line


def test_data_larger_than_the_free_memory_are_refused_before_they_are_read(unisono, monkeypatch):
    assert 0 < free_bytes() < 1e16
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000.0)
    ended = unisono("predict @model query.h5mu --from rna --to adt -o out.h5ad")
    assert ended.code == 2
    assert ended.err.startswith("E051 query.h5mu: needs ~0.0 GB in memory, 0.0 GB are free; ")
    assert "unisono convert query.h5mu -o query.zarr" in ended.err
    assert not Path("out.h5ad").exists()


READS = {
    "predict @model query.h5mu --from rna --to adt -o OUT": "query.h5mu",
    "predict @model @training.h5mu --from rna --to adt --style query.h5mu -o OUT": "query.h5mu",
    "match @model query.h5mu --between rna,adt -o OUT": "query.h5mu",
    "match @model @training.h5mu query.h5mu --between rna,adt -o OUT": "query.h5mu",
    "pair @model rna=query.h5mu adt=@training.h5mu --between rna,adt -o OUT": "query.h5mu",
    "embed @model query.h5mu -o OUT": "query.h5mu",
    "convert query.h5mu -o OUT": "query.h5mu",
    "convert cells.zarr -o OUT": "cells.zarr",
    "index @model query.h5mu -o OUT": "query.h5mu",
    "index model query.h5mu -o OUT": "model",
    "search @model @index query.h5mu -o OUT": "query.h5mu",
    "feature-effects @model query.h5mu --from rna --to adt -o OUT": "query.h5mu",
    "fit query.h5mu -o OUT": "query.h5mu",
    "fit query.h5mu --init model -o OUT": "model",
    "adapt model query.h5mu -o OUT": "model",
    "calibrate model query.h5mu -o OUT": "model",
}
"""Commands, and what they read that is to be their output."""


FEW = ["embed @model query.h5mu -o OUT", "adapt model query.h5mu -o OUT"]
HOWS = ["symbolic link", "hard link", "another spelling"]


@pytest.mark.parametrize(
    ("line", "how"), [*((line, "itself") for line in READS), *((line, how) for line in FEW for how in HOWS)]
)
def test_what_is_read_is_never_the_output_by_any_name(unisono, store, line, how):
    shutil.copytree(store / "model", "model")
    Path("cells.zarr").mkdir()
    Path("cells.zarr/zarr.json").write_text("{}")
    read = Path(READS[line])
    out = {"itself": str(read), "another spelling": f"{read.parent.resolve()}/./{read}"}.get(how, f"other{read.suffix}")
    if how == "symbolic link":
        Path(out).symlink_to(read)
    if how == "hard link" and read.is_file():
        os.link(read, out)
    elif how == "hard link":
        out = f"{read}/out{read.suffix}"  # folders have none, and a new file within would spoil them
    before = snapshot(Path())
    ended = unisono(f"{line.replace('OUT', out)} --force")
    assert ended.code == 2, ended.err
    assert ended.err.startswith(f"E075 {Path(out)}: the output "), ended.err
    assert "--force does not help" in ended.err
    assert snapshot(Path()) == before


def test_evaluate_writes_into_no_folder_that_it_reads(unisono, store):
    assert unisono("evaluate @model query.h5mu -o @model --force").err.startswith(f"E075 {store}/model/metrics.json: ")


def test_an_output_next_to_the_input_or_in_a_folder_of_counts_is_no_input(tmp_path):
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix" / "matrix.mtx").write_text("x")
    refuse_inputs(tmp_path / "matrix" / "out.h5ad", [tmp_path / "matrix", tmp_path / "gone"])
    refuse_inputs(tmp_path / "out.h5ad", [tmp_path / "matrix"])
    with pytest.raises(BadInput, match=r"E075 .*: the output lies in the input"):
        refuse_inputs(tmp_path / "matrix" / "matrix.mtx", [tmp_path / "matrix"])
    with pytest.raises(BadInput, match=r"E075 .*: the output holds the input"):
        refuse_inputs(tmp_path / "matrix", [tmp_path / "matrix" / "matrix.mtx"])


def test_a_device_is_no_file_to_replace(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match=r"E055 .*no file, where a file is to be written"):
        write_atomically(tmp_path / "pipe", lambda place: None, force=True)


def test_a_folder_as_config_is_named(unisono):
    assert unisono("fit query.h5mu -o out --config .").err.startswith("E053 .: is a folder, expected a TOML file.")


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "n" * 231, "n" * 232])
def test_a_name_as_long_as_a_folder_takes_is_written_and_nothing_stays(tmp_path, name):
    write_atomically(tmp_path / name, lambda place: place.write_text("whole"), force=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_two_long_names_have_two_temporary_names(tmp_path):
    places = []
    for name in ("n" * 254 + "a", "n" * 254 + "b"):
        write_atomically(tmp_path / name, lambda place: (places.append(place.name), place.touch())[0], force=False)
    assert len(set(places)) == 2
    assert max(len(place) for place in places) < 256


@pytest.mark.parametrize("command", ["fit query.h5mu", "convert query.h5mu", "embed @model query.h5mu"])
def test_a_name_that_is_too_long_is_refused_before_the_work(unisono, command):
    ended = unisono(f"{command} -o {'ü' * 126}.zarr")
    assert ended.code == 2
    assert "of which folders take 255" in ended.err
    assert ended.err.startswith("E056 ")


UNSEEN = [
    "\x00",
    "\x07",
    "\x1b[31m",
    "\n",
    "\r",
    "\t",
    "\x7f",
    "\x9b31m",
    "\u202e",
    "\u2028",
    "\u2066",
    "\u200f",
    "\udcff",
]


@pytest.mark.parametrize("text", UNSEEN)
def test_no_name_steers_the_terminal(text, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = warnings_said_once()
        warnings.warn(f"gene{text}x", InputWarning, stacklevel=1)
    say(f"gene{text}x")
    print_table([("modality", "name"), (f"rna{text}x", f"[red]gene{text}[/x]")], width=180)
    printed = capsys.readouterr()
    shown = as_text("a title", [(f"label{text}", f"value{text}")]), as_html("a", [("b", f"c{text}")])
    said = "\n".join([*shown, str(Finding("E010", f"file{text}", f"what{text}", f"do{text}"))])
    everything = f"{printed.out}{printed.err}{said}"
    assert not any(visible(line) != line for line in everything.splitlines())
    assert everything.count(visible(text)) == 10
    assert "[red]gene" in printed.out


def test_letters_of_all_scripts_stay_as_they_are():
    assert visible("β-Aktin, Zelle № 5, 细胞, خلية, é") == "β-Aktin, Zelle № 5, 细胞, خلية, é"


def test_names_of_a_file_reach_the_terminal_as_escapes(unisono):
    query = test_cells()
    query["rna"].var_names = [f"{RED}\nE999 forged{i}" for i in range(query["rna"].n_vars)]
    query["rna"].obs["batch"] = RED
    query.write_h5mu("odd.h5mu")
    for line in ("check odd.h5mu --batch-key batch", "predict @model odd.h5mu --from rna --to adt -o out.h5ad"):
        ended = unisono(line)
        assert "\x1b" not in ended.out + ended.err
        assert not any(one.startswith("E999") for one in ended.err.splitlines())


def test_a_warning_is_said_once(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = warnings_said_once()
        for text in ("one", "one", "other"):
            warnings.warn(text, InputWarning, stacklevel=1)
    assert capsys.readouterr().err.splitlines() == ["one", "other"]


def test_remedies_are_options_in_the_shell_and_arguments_in_python():
    assert typed("a=1", "--a 1") == "a=1"
    with typed_in_shell():
        assert typed("a=1", "--a 1") == "--a 1"
    assert typed("a=1", "--a 1") == "a=1"


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("check layered.h5mu --batch-key Batch", "--batch-key batch"),
        ("check odd.h5mu", "--modalities rna=rna,stuff=adt"),
        ("check half.h5mu", "--layer rna=counts,adt=X"),
        ("index @model query.h5mu -o out", "--modality rna"),
        ("predict @model query.h5mu --from rna --to adt -o query.h5ad", "--force"),
    ],
)
def test_a_remedy_works_where_it_was_typed(unisono, line, remedy):
    from model_fixtures import rebuilt

    cells = test_cells()
    rebuilt({name: cells[name] for name in ("rna", "adt")}).write_h5mu("layered.h5mu")
    rebuilt({"rna": cells["rna"], "stuff": cells["adt"]}).write_h5mu("odd.h5mu")
    half = {name: test_cells()[name] for name in ("rna", "adt")}
    half["rna"].layers["counts"] = half["rna"].X.copy()
    half["rna"].X = half["rna"].X.multiply(0.37).tocsr().astype(np.float32)
    rebuilt(half).write_h5mu("half.h5mu")
    Path("query.h5ad").touch()
    ended = unisono(line)
    assert remedy in ended.err
    assert not any(f"{name}=" in ended.err for name in ("batch_key", "modalities", "layer", "modality", "force"))


def test_check_ends_with_the_sum_of_its_findings(unisono):
    cells = test_cells()
    cells["rna"].X = cells["rna"].X.multiply(0.37).tocsr().astype(np.float32)
    cells["adt"].X = cells["adt"].X.multiply(-1.0).tocsr().astype(np.float32)
    cells.write_h5mu("odd.h5mu")
    ended = unisono("check odd.h5mu")
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("odd.h5mu: not usable: 2 errors")


def test_text_of_several_lines_is_told_in_one():
    assert one_line(" a\n  b ") == "a b"

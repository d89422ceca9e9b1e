"""Tests of environments of methods: whole or not there, built once, a new one for new pins, failures in one line."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from unisono_bench.published.environment import (
    Failure,
    cache_folder,
    environment,
    fingerprint,
    interpreter,
    last_word,
    run_logged,
)


def pins(folder: Path, text: str = "# nothing\n") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "pins.txt"
    path.write_text(text)
    return path


def made(cache: Path) -> list[str]:
    """The folders under the cache, finished or not."""
    return sorted(entry.name for entry in (cache / "methods").iterdir() if entry.is_dir())


def has_ended(process: int, seconds: float = 10.0) -> bool:
    """Whether a process ends by itself within the time: gone, or a zombie nobody asks for."""
    state = Path(f"/proc/{process}/stat")
    for _ in range(int(seconds / 0.1)):
        try:
            if state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


def test_an_environment_is_another_python(tmp_path):
    python = environment("fake", pins(tmp_path), cache=tmp_path)
    assert isinstance(python, Path)
    log = tmp_path / "out"
    finished = run_logged([python, "-c", "import sys; print(sys.prefix)"], log, 60)
    assert finished.code == 0
    assert finished.last_line == str(python.parent.parent)
    assert finished.last_line != sys.prefix


def test_an_environment_is_built_once_and_left_alone(tmp_path):
    python = environment("fake", pins(tmp_path), cache=tmp_path)
    assert isinstance(python, Path)
    mark = python.parent.parent / "mark"
    mark.write_text("here")
    assert environment("fake", pins(tmp_path), cache=tmp_path) == python
    assert mark.read_text() == "here"
    assert made(tmp_path) == [f"fake-{fingerprint(tmp_path / 'pins.txt')}"]


def test_new_pins_mean_a_new_environment(tmp_path):
    first = environment("fake", pins(tmp_path, "# one\n"), cache=tmp_path)
    second = environment("fake", pins(tmp_path, "# two\n"), cache=tmp_path)
    assert first != second
    assert len(made(tmp_path)) == 2


def test_pins_that_stand_alone_are_part_of_the_place_and_installed(tmp_path):
    path = pins(tmp_path)
    before = fingerprint(path)
    (tmp_path / "pins.alone.txt").write_text("no-such-method==1\n")
    assert fingerprint(path) != before
    failure = environment("fake", path, cache=tmp_path, venv_options=["--without-pip"])
    assert isinstance(failure, Failure)
    assert "No module named pip" in failure.reason


def test_the_name_is_part_of_the_place(tmp_path):
    assert environment("a", pins(tmp_path), cache=tmp_path) != environment("b", pins(tmp_path), cache=tmp_path)


def test_a_failed_installation_is_one_line_and_leaves_no_environment(tmp_path):
    failure = environment("fake", pins(tmp_path, "numpy==1\n"), cache=tmp_path, venv_options=["--without-pip"])
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("not installed: ")
    assert "No module named pip" in failure.reason
    assert "\n" not in failure.reason
    assert made(tmp_path) == []
    assert failure.log is not None
    assert "No module named pip" in failure.log.read_text()


def test_a_failed_installation_is_tried_again(tmp_path):
    path = pins(tmp_path, "numpy==1\n")
    assert isinstance(environment("fake", path, cache=tmp_path, venv_options=["--without-pip"]), Failure)
    place = tmp_path / "methods" / f"fake-{fingerprint(path)}"
    place.mkdir()
    assert environment("fake", path, cache=tmp_path) == interpreter(place)


@pytest.mark.slow
def test_a_package_that_does_not_exist_is_named(tmp_path):
    failure = environment("fake", pins(tmp_path, "--no-index\nno-such-method==1.2.3\n"), cache=tmp_path)
    assert isinstance(failure, Failure)
    assert failure.reason == "not installed: No matching distribution found for no-such-method==1.2.3"
    assert made(tmp_path) == []


def test_an_installation_that_takes_too_long_is_stopped(tmp_path):
    failure = environment("fake", pins(tmp_path), cache=tmp_path, seconds=0.001)
    assert isinstance(failure, Failure)
    assert failure.reason == "not installed: stopped after 0 s"
    assert made(tmp_path) == []


def test_what_a_dead_build_left_is_removed_and_a_living_one_is_not(tmp_path):
    (tmp_path / "methods" / "old-abc.tmp-999999999").mkdir(parents=True)
    (tmp_path / "methods" / f"other-abc.tmp-{os.getppid()}").mkdir()
    environment("fake", pins(tmp_path), cache=tmp_path)
    assert made(tmp_path) == [f"fake-{fingerprint(tmp_path / 'pins.txt')}", f"other-abc.tmp-{os.getppid()}"]


def test_a_cache_that_cannot_be_written_is_a_failure(tmp_path):
    (tmp_path / "file").write_text("no folder")
    failure = environment("fake", pins(tmp_path), cache=tmp_path / "file")
    assert isinstance(failure, Failure)
    assert failure.reason.startswith(f"no environment could be made under {tmp_path / 'file' / 'methods'}")


def test_the_cache_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("UNISONO_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("UNISONO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "unisono"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "unisono"


def test_a_process_that_is_too_slow_ends_with_all_it_started(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    finished = run_logged([sys.executable, "-c", code], tmp_path / "log", 4)
    assert finished.code is None
    assert has_ended(int(finished.last_line))
    failure = finished.failure(tmp_path / "log", 4)
    assert failure is not None
    assert failure.reason == "stopped after 4 s"


def test_a_killed_process_says_by_what(tmp_path):
    code = "import os, signal; print('was here', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    failure = run_logged([sys.executable, "-c", code], tmp_path / "log", 60).failure(tmp_path / "log", 60)
    assert failure is not None
    assert failure.reason == "killed by SIGKILL: was here"


def test_only_what_this_run_said_counts(tmp_path):
    (tmp_path / "log").write_text("ERROR: of the run before\n")
    assert run_logged([sys.executable, "-c", "print('new')"], tmp_path / "log", 60).last_line == "new"


TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\n    f()\nValueError: first\n  of many\nlines\n'


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("a\nb\n\n", "b"),
        ("", ""),
        ("ERROR: no version\nERROR: No matching distribution\nnotice: new pip\n", "No matching distribution"),
        (TRACEBACK, "ValueError: first"),
        (TRACEBACK + "During handling:\n" + TRACEBACK.replace("first", "second"), "ValueError: second"),
        ("Traceback (most recent call last):\n  cut off", "cut off"),
    ],
)
def test_the_line_that_says_best_what_went_wrong_is_found(said, wanted):
    assert last_word(said) == wanted


def test_a_reason_is_one_line_and_never_empty():
    assert Failure("two\n lines").reason == "two lines"
    assert Failure("").reason == "failed without a word"

"""Ranks that one command starts end together, with one line and one exit code, and leave no process behind."""

import os
import signal
import sys
import threading
import time

import pytest

from unisono.cli.launch import run_ranks, starts_ranks
from unisono.messages import BadInput

PIDS = """
import os, sys, time, signal, pathlib
rank = int(os.environ['RANK'])
pathlib.Path(f'{rank}.pid').write_text(str(os.getpid()))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(code, n_ranks=2):
    """The exit code and the seconds of a run whose ranks write their process numbers, and then run some code."""
    began = time.monotonic()
    found = run_ranks(n_ranks, [sys.executable, "-c", PIDS + code])
    return found, time.monotonic() - began


def are_gone(folder, n_ranks=2):
    pids = [int((folder / f"{rank}.pid").read_text()) for rank in range(n_ranks)]
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


OTHERS_WAIT = "if rank != 1: time.sleep(60)\ntime.sleep(0.5)\n"


def test_ranks_are_told_their_place_as_torchrun_does(folder):
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "UNISONO_LAUNCHER")
    code = f"pathlib.Path(f'{{rank}}.txt').write_text(' '.join(os.environ[n] for n in {names}))"
    assert run(code, 3)[0] == 0
    found = [(folder / f"{rank}.txt").read_text() for rank in range(3)]
    assert found == [f"{rank} {rank} 3 3 127.0.0.1 {os.getpid()}" for rank in range(3)]


def test_a_killed_rank_ends_the_others_and_is_named(folder, capfd):
    code, seconds = run(f"{OTHERS_WAIT}os.kill(os.getpid(), signal.SIGKILL)")
    assert code == 1
    assert seconds < 5
    assert are_gone(folder)
    (line,) = capfd.readouterr().err.splitlines()
    pid = (folder / "1.pid").read_text()
    assert line.startswith(f"rank 1 of 2 (process {pid}) was killed by SIGKILL. ")
    assert "--resume" in line


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the parent")
def test_a_stopped_rank_ends_the_others_and_is_named(folder, capfd):
    code, seconds = run(f"{OTHERS_WAIT}os.kill(os.getpid(), signal.SIGSTOP)")
    assert code == 1
    assert seconds < 9
    assert are_gone(folder)
    (line,) = capfd.readouterr().err.splitlines()
    assert "rank 1 of 2" in line
    assert "was stopped" in line


def test_bad_input_is_told_once_with_its_code(folder, capfd):
    assert run("print('E001 no such file', file=sys.stderr); sys.exit(2)")[0] == 2
    assert capfd.readouterr().err.splitlines() == ["E001 no such file"]
    assert run(f"{OTHERS_WAIT}print('E001 on rank 1', file=sys.stderr); sys.exit(2)")[0] == 2
    assert capfd.readouterr().err.splitlines() == ["E001 on rank 1"]
    assert are_gone(folder)


def test_only_the_first_rank_speaks(capfd):
    assert run("print('out', rank); print('err', rank, file=sys.stderr)")[0] == 0
    assert capfd.readouterr() == ("out 0\n", "err 0\n")


def test_an_interrupt_ends_all_ranks_with_130(folder):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        assert run("time.sleep(60)")[0] == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert are_gone(folder)


def test_a_request_to_end_ends_all_ranks_with_143(folder):
    before = signal.getsignal(signal.SIGTERM)
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    assert run("time.sleep(60)")[0] == 143
    assert are_gone(folder)
    assert signal.getsignal(signal.SIGTERM) is before


def test_ranks_start_none_themselves(monkeypatch):
    assert starts_ranks(2)
    assert not starts_ranks(1)
    for name, value in {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "a",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert not starts_ranks(2)
    assert not starts_ranks(1)
    with pytest.raises(BadInput, match="--devices 3, but 2 ranks were started"):
        starts_ranks(3)

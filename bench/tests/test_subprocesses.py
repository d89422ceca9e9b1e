"""Tests of work in a process of its own: its result comes back, and whatever goes wrong is one line."""

from __future__ import annotations

import os
import signal
from functools import partial

from unisono_bench.subprocesses import Failed, one_line, run_in_subprocess


def divided(x: int, y: int) -> tuple[int, float]:
    print("dividing")  # noqa: T201
    return os.getpid(), x / y


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ended() -> None:
    os._exit(3)


def test_a_result_comes_back_from_another_process(tmp_path):
    outcome = run_in_subprocess(partial(divided, 7, 2), tmp_path / "log")
    assert not isinstance(outcome, Failed)
    assert outcome[1] == 3.5
    assert outcome[0] != os.getpid()
    assert not (tmp_path / "log").exists()


def test_an_exception_is_a_reason_and_its_traceback_is_logged(tmp_path):
    assert run_in_subprocess(partial(divided, 7, 0), tmp_path / "log") == Failed("ZeroDivisionError: division by zero")
    logged = (tmp_path / "log").read_text()
    assert "dividing" in logged
    assert "Traceback" in logged


def test_a_process_that_dies_is_a_reason(tmp_path):
    assert run_in_subprocess(killed, tmp_path / "log") == Failed("killed by SIGKILL, perhaps for want of memory")
    assert run_in_subprocess(ended, tmp_path / "log") == Failed("ended with exit code 3 without a result")


def test_a_long_message_becomes_one_short_line():
    assert one_line(RuntimeError("no\n  luck")) == "RuntimeError: no luck"
    assert one_line(ValueError("rna: no counts")) == "rna: no counts"
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert len(one_line(ValueError("x" * 1000))) == 300

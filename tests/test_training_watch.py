"""A rank that is killed or stopped is named within seconds; one that computes, or has done its work, is not."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from unisono.training import watch
from unisono.training.processes import Process
from unisono.training.watch import Watch

OTHER = """
import sys, time, threading
from unisono.training.processes import Process
from unisono.training.watch import Watch
rank, address = int(sys.argv[1]), sys.argv[2]
own = Watch(Process(rank, 2, rank, 2, "127.0.0.1", 0))
if rank == 0:
    address = own.listen()
    print(address, flush=True)
{before}
own.start(address, 20)
print("started", flush=True)
{after}
"""
AWAKE = "time.sleep(60)"
SILENT = "own._thread = threading.Thread(target=int)"
BUSY = "until = time.monotonic() + 3\nwhile time.monotonic() < until: pass"


def other(rank, address="", before="", after=AWAKE):
    """Another rank in a process of its own."""
    code = OTHER.format(before=before, after=after)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(rank), address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def ranks():
    """Start a watch here as rank 0, another process as rank 1; what is told, and that process."""
    started, processes = [], []

    def start(**code):
        told = []
        own = Watch(Process(0, 2, 0, 2, "127.0.0.1", 0), told.append)
        address = own.listen()
        processes.append(other(1, address, **code))
        own.start(address, 20)
        started.append(own)
        assert processes[-1].stdout.readline() == "started\n"
        return told, processes[-1]

    yield start
    for own in started:
        own.end()
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(told, seconds):
    until = time.monotonic() + seconds
    while not told and time.monotonic() < until:
        time.sleep(0.02)
    return told


def test_a_killed_rank_is_named_at_once(ranks):
    told, process = ranks()
    assert not wait_for(told, 1.2)
    process.kill()
    (line,) = wait_for(told, 3)
    assert line.startswith(f"rank 1 of 2 (process {process.pid} on ")
    assert "was killed or ended before the others" in line
    assert "--resume" in line


def test_a_stopped_rank_is_named_after_some_silence(ranks, monkeypatch):
    monkeypatch.setattr(watch, "_SECONDS_OF_SILENCE", 1.5)
    told, process = ranks()
    process.send_signal(signal.SIGSTOP)
    assert not wait_for(told, 1.0)
    (line,) = wait_for(told, 4)
    assert "rank 1 of 2" in line
    assert "gives no sign of life" in line


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU time of another process is read from /proc")
def test_a_rank_that_computes_without_a_word_is_alive(ranks, monkeypatch):
    monkeypatch.setattr(watch, "_SECONDS_OF_SILENCE", 1.0)
    told, _ = ranks(before=SILENT, after=f"{BUSY}\n{AWAKE}")
    assert not wait_for(told, 2.5)
    (line,) = wait_for(told, 4)  # once it no longer computes
    assert "gives no sign of life" in line


def test_a_rank_that_has_done_its_work_is_not_missed(ranks):
    told, process = ranks(after="own.end()")
    process.wait(10)
    assert not wait_for(told, 1.2)


def test_the_others_end_when_the_first_is_lost():
    first = other(0)
    address = first.stdout.readline().strip()
    second = other(1, address)
    assert second.stdout.readline() == "started\n"
    first.kill()
    first.communicate()
    _, errors = second.communicate(timeout=10)
    assert second.returncode == 1
    assert errors.startswith(f"rank 0 of 2 (process {first.pid} on ")


def test_a_rank_whose_launcher_is_gone_ends(monkeypatch):
    told = []
    own = Watch(Process(0, 1, 0, 1, "127.0.0.1", 0, launcher=os.getppid() + 1), told.append)
    own.start(own.listen(), 5)
    assert wait_for(told, 3) == [""]
    own.end()


def test_ranks_that_do_not_come_are_named():
    own = Watch(Process(0, 3, 0, 3, "127.0.0.1", 0))
    with pytest.raises(TimeoutError, match=r"of 3 ranks, 1, 2 did not come within 0 s"):
        own.start(own.listen(), 0.1)


@pytest.mark.parametrize("word", ['["guessed", 1, "here", 7]\n', "[", "GET / HTTP/1.1\n", "7\n"])
def test_whoever_does_not_know_the_word_is_no_rank(word):
    own = Watch(Process(0, 2, 0, 2, "127.0.0.1", 0))
    port, token = json.loads(own.listen())
    assert len(token) > 30
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(word.encode())
        stranger.shutdown(socket.SHUT_WR)
        with pytest.raises(TimeoutError, match="1 did not come"):
            own.start("", 0.3)

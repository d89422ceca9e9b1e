"""Other people's methods as optional runners of the benchmark, each in an environment of its own, joined by files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unisono_bench.peers.environment import INSTALL_SECONDS, Failure, cache_folder, environment, run_logged
from unisono_bench.peers.exchange import (
    Outcome,
    Sealed,
    Spent,
    Task,
    ToMatch,
    ToPredict,
    Vectors,
    read_outcome,
    write_task,
)

__all__ = [
    "PEERS",
    "Failure",
    "Outcome",
    "Peer",
    "Sealed",
    "Spent",
    "Task",
    "ToMatch",
    "ToPredict",
    "Vectors",
    "ask_peer",
    "cache_folder",
    "chosen_peers",
    "read_outcome",
    "run_peer",
    "write_task",
]

HERE = Path(__file__).parent
FRAME = HERE / "scripts" / "frame.py"

RUN_SECONDS = 6 * 3600.0
"""The longest a peer may run unless told."""

_QUIET = {"MPLBACKEND": "Agg"}


@dataclass(frozen=True)
class Peer:
    """A method of others.

    Attributes:
        name: what `--peers` and tables call it.
        requirements: its pins.
        script: runs in its environment, see scripts/frame.py.
        environment: the name of its environment; two forms of a method share one.
        variant: which form of the method the script is to run.
        says: what it is, in one line.
    """

    name: str
    requirements: Path
    script: Path
    environment: str
    variant: str = ""
    says: str = ""


def _shipped(name: str, room: str, says: str, variant: str = "") -> Peer:
    requirements, script = HERE / "requirements" / f"{room}.txt", HERE / "scripts" / f"{room}.py"
    return Peer(name, requirements, script, environment=room, variant=variant, says=says)


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        _shipped("scvi", "scvi", "totalVI for RNA and protein, MultiVI for RNA and chromatin; transductive"),
        _shipped("scglue", "scglue", "SCGLUE, which links the modalities by genes and uses no pairs"),
        _shipped("scglue-paired", "scglue", "SCGLUE with the pairs of the training cells", "paired"),
        _shipped("moscot", "moscot", "optimal transport between the query cells, unpaired; only matches"),
        _shipped("uniport", "uniport", "variational autoencoder with optimal transport, unpaired; only matches"),
        _shipped("scbutterfly", "scbutterfly", "paired autoencoders with a translator between them"),
    )
}
"""By name, in the order of tables."""


def chosen_peers(names: Sequence[str]) -> tuple[Peer, ...]:
    """The peers of these names.

    Raises:
        ValueError: a name is unknown.
    """
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise ValueError(f"no peer is called {', '.join(map(repr, unknown))}; known: {', '.join(PEERS)}")
    return tuple(PEERS[name] for name in names)


def run_peer(
    peer: Peer,
    folder: Path,
    sealed: Sealed,
    *,
    cache: Path | None = None,
    seconds: float = RUN_SECONDS,
    install_seconds: float = INSTALL_SECONDS,
    venv_options: Sequence[str] = (),
) -> Outcome | Failure:
    """Run a peer on a task folder; whatever goes wrong on its side comes back as a failure, never as an exception.

    Args:
        peer: whom to ask; its environment is built on first use.
        folder: as `write_task` wrote it, for this peer's variant; the answer and `log.txt` are written into it.
        sealed: what `write_task` returned.
        cache: where environments are kept, `cache_folder()` unless told.
        seconds: the longest the peer may run.
        install_seconds: the longest its installation may take.
        venv_options: further options of `python -m venv`.
    """
    python = environment(
        peer.environment, peer.requirements, cache=cache, seconds=install_seconds, venv_options=venv_options
    )
    if isinstance(python, Failure):
        return python
    log = folder / "log.txt"
    try:
        finished = run_logged([python, "-I", "-u", FRAME, peer.script, folder], log, seconds, _QUIET)
    except OSError as error:
        return Failure(f"not started: {error}", log)
    return finished.failure(log, seconds) or read_outcome(folder, sealed)


def ask_peer(
    peer: Peer,
    task: Task,
    *,
    keep: Path | None = None,
    cache: Path | None = None,
    seconds: float = RUN_SECONDS,
    install_seconds: float = INSTALL_SECONDS,
    venv_options: Sequence[str] = (),
) -> Outcome | Failure:
    """Write a task, run a peer on it and read the answer.

    Args:
        peer: whom to ask.
        task: what to ask.
        keep: a new folder for the files exchanged; without it they are temporary, and a failure's log with them is
            copied to the cache.
        cache: as `run_peer`.
        seconds: as `run_peer`.
        install_seconds: as `run_peer`.
        venv_options: as `run_peer`.
    """
    with tempfile.TemporaryDirectory(prefix="unisono-peer-") as scratch:
        folder = keep or Path(scratch) / "task"
        sealed = write_task(folder, task, peer.variant)
        result = run_peer(
            peer,
            folder,
            sealed,
            cache=cache,
            seconds=seconds,
            install_seconds=install_seconds,
            venv_options=venv_options,
        )
        if isinstance(result, Failure) and keep is None:
            return _with_kept_log(result, peer, cache)
        return result


def _with_kept_log(failure: Failure, peer: Peer, cache: Path | None) -> Failure:
    """The same failure with its log where it outlives the task's folder."""
    home = (cache or cache_folder()) / "peers"
    if failure.log is None or failure.log.parent == home or not failure.log.exists():
        return failure
    kept = home / f"{peer.name}.last-failure.log"
    shutil.copyfile(failure.log, kept)
    return Failure(failure.reason, kept)

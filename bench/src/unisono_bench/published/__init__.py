"""Published methods as optional parts of a benchmark, each in an environment of its own, joined by files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unisono_bench.published.environment import INSTALL_SECONDS, Failure, cache_folder, environment, run_logged
from unisono_bench.published.exchange import Request, Response, read_response, write_request

HERE = Path(__file__).parent
FRAME = HERE / "scripts" / "frame.py"

RUN_SECONDS = 6 * 3600.0
"""The longest a method may run by default."""

_QUIET = {"MPLBACKEND": "Agg"}


@dataclass(frozen=True)
class Published:
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


def _shipped(name: str, room: str, says: str, variant: str = "") -> Published:
    requirements, script = HERE / "requirements" / f"{room}.txt", HERE / "scripts" / f"{room}.py"
    return Published(name, requirements, script, environment=room, variant=variant, says=says)


PUBLISHED: dict[str, Published] = {
    method.name: method
    for method in (
        _shipped("scvi", "scvi", "totalVI for RNA and protein, MultiVI for RNA and chromatin; transductive"),
        _shipped("scglue", "scglue", "SCGLUE, which links the modalities by genes and uses no pairs"),
        _shipped("scglue-paired", "scglue", "SCGLUE with the pairs of the training cells", "paired"),
        _shipped("moscot", "moscot", "optimal transport between the query cells, unpaired; only matches"),
        _shipped("uniport", "uniport", "variational autoencoder with optimal transport, unpaired; only matches"),
        _shipped("scbutterfly", "scbutterfly", "paired autoencoders with a translator between them"),
    )
}
"""By name, in the order of tables."""


def run_published(
    method: Published,
    request: Request,
    *,
    keep: Path | None = None,
    cache: Path | None = None,
    seconds: float = RUN_SECONDS,
    install_seconds: float = INSTALL_SECONDS,
    venv_options: Sequence[str] = (),
) -> Response | Failure:
    """Run a method on a request; whatever goes wrong on its side comes back as a failure, never as an exception.

    Args:
        method: which one; its environment is built on first use.
        request: what to ask.
        keep: a new folder for the files exchanged; without it they are temporary, and a failure's log with them is
            copied to the cache.
        cache: where environments are kept, `cache_folder()` by default.
        seconds: the longest the method may run.
        install_seconds: the longest its installation may take.
        venv_options: further options of `python -m venv`.
    """
    with tempfile.TemporaryDirectory(prefix="unisono-method-") as scratch:
        folder = keep or Path(scratch) / "request"
        order = write_request(folder, request, method.variant)
        python = environment(
            method.environment, method.requirements, cache=cache, seconds=install_seconds, venv_options=venv_options
        )
        if isinstance(python, Failure):
            return python
        log = folder / "log.txt"
        try:
            finished = run_logged([python, "-I", "-u", FRAME, method.script, folder], log, seconds, _QUIET)
        except OSError as error:
            return Failure(f"not started: {error}", log)
        result = finished.failure(log, seconds) or read_response(folder, order)
        if isinstance(result, Failure) and keep is None:
            return _with_kept_log(result, method, cache)
        return result


def _with_kept_log(failure: Failure, method: Published, cache: Path | None) -> Failure:
    """The same failure with its log where it outlives the request's folder."""
    home = (cache or cache_folder()) / "methods"
    if failure.log is None or failure.log.parent == home or not failure.log.exists():
        return failure
    kept = home / f"{method.name}.last-failure.log"
    shutil.copyfile(failure.log, kept)
    return Failure(failure.reason, kept)

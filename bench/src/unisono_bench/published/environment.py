"""Environments of published methods: one for each pinned requirements file, built once; never touches ours."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CACHE_VARIABLE = "UNISONO_CACHE"
"""Where environments are kept, if not under ~/.cache/unisono."""

INSTALL_SECONDS = 3600.0
"""The longest that one installation may take: the largest method took 10 minutes on two cores and a slow network."""

_LEFT_OVER = re.compile(r"\.tmp-(\d+)$")


@dataclass(frozen=True)
class Failure:
    """Why a method has no figures, in one line for its row of a table.

    Attributes:
        reason: what went wrong.
        log: the file with all that was printed; None where nothing was started.
    """

    reason: str
    log: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", " ".join(self.reason.split()) or "failed without a word")


@dataclass(frozen=True)
class Finished:
    """A process that ended: how, and the end of what it said on stderr."""

    code: int | None
    last_line: str

    def failure(self, log: Path, seconds: float) -> Failure | None:
        """Why it counts as failed; None where it ended well."""
        if self.code is None:
            return Failure(f"stopped after {seconds:,.0f} s", log)
        if self.code < 0:
            return Failure(f"killed by {signal.Signals(-self.code).name}: {self.last_line}", log)
        return Failure(self.last_line or f"ended with exit code {self.code}", log) if self.code else None


def cache_folder() -> Path:
    """Where environments are kept: UNISONO_CACHE, else `unisono` under XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "unisono"


def alone(requirements: Path) -> Path:
    """Where the pins stand that are to be installed without what they ask for: `x.alone.txt` next to `x.txt`."""
    return requirements.with_suffix(f".alone{requirements.suffix}")


def fingerprint(requirements: Path) -> str:
    """What an environment depends on, in 12 characters: the pins, the Python version and the platform."""
    python = f"{sys.version_info.major}.{sys.version_info.minor} {sysconfig.get_platform()}"
    pins = [path.read_bytes() for path in (requirements, alone(requirements)) if path.exists()]
    return hashlib.sha256(b"\0".join([*pins, python.encode()])).hexdigest()[:12]


def environment(
    name: str,
    requirements: Path,
    *,
    cache: Path | None = None,
    seconds: float = INSTALL_SECONDS,
    venv_options: Sequence[str] = (),
) -> Path | Failure:
    """The Python of a method's environment, built on first use: whole or not there at all.

    Args:
        name: of the method; names the folder.
        requirements: pinned, as `pip install -r` takes them; a file without any needs no pip. See also `alone`.
        cache: the folder of caches, `cache_folder()` by default.
        seconds: the longest the installation may take.
        venv_options: further options of `python -m venv`.

    Returns:
        The interpreter, or why there is none; pip's log stays next to the environments either way.
    """
    home = (cache or cache_folder()) / "methods"
    place = home / f"{name}-{fingerprint(requirements)}"
    log = home / f"{place.name}.log"
    if place.is_dir():
        return interpreter(place)
    try:
        home.mkdir(parents=True, exist_ok=True)
        _remove_left_over(home)
        return _build(place, log, requirements, seconds, venv_options)
    except OSError as error:
        return Failure(f"no environment could be made under {home}: {error}", log)


def interpreter(place: Path) -> Path:
    """The Python of a virtual environment."""
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run_logged(
    command: Sequence[str | Path], log: Path, seconds: float, variables: Mapping[str, str] | None = None
) -> Finished:
    """Run a command with nothing on its stdin, both outputs appended to `log`; at the time limit all it started ends.

    Args:
        command: the program and its arguments.
        log: written to at its end.
        seconds: the time limit.
        variables: environment variables to set in addition to our own.
    """
    start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(variables or {})},
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(timeout=seconds)
        except BaseException as error:
            _end(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            code = None
    with log.open("rb") as output:
        output.seek(start)
        said = output.read().decode("utf-8", errors="replace")
    return Finished(code, last_word(said))


def last_word(said: str) -> str:
    """The line of a log that says best what went wrong.

    That is pip's last ERROR; or the exception below the last traceback, whose message may go on for many lines; or
    the last line that is not empty.
    """
    lines = [line.rstrip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    tracebacks = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    raised = [line for line in lines[tracebacks[-1] + 1 :] if not line.startswith(" ")] if tracebacks else []
    return (errors[-1:] or raised[:1] or lines[-1:] or [""])[0].strip()


def _build(place: Path, log: Path, requirements: Path, seconds: float, venv_options: Sequence[str]) -> Path | Failure:
    log.unlink(missing_ok=True)
    unfinished = place.with_name(f"{place.name}.tmp-{os.getpid()}")
    files = [(requirements, []), (alone(requirements), ["--no-deps"])]
    pinned = [(path, extra) for path, extra in files if _has_pins(path)]
    options = [*venv_options, *([] if pinned else ["--without-pip"])]
    steps: list[list[str | Path]] = [[sys.executable, "-m", "venv", *options, unfinished]]
    for path, extra in pinned:
        install = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        steps.append([interpreter(unfinished), *install, *extra, "-r", path])
    try:
        failure = next(
            (found for step in steps if (found := run_logged(step, log, seconds).failure(log, seconds))), None
        )
        if failure is not None:
            return Failure(f"not installed: {failure.reason}", log)
        if not place.is_dir():  # another process may have been quicker
            unfinished.rename(place)
        return interpreter(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _has_pins(requirements: Path) -> bool:
    if not requirements.exists():
        return False
    return any(line.split("#")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines())


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process we started and all that it started: it leads a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _remove_left_over(home: Path) -> None:
    """Remove what builds of dead processes left."""
    for entry in home.iterdir():
        owner = _LEFT_OVER.search(entry.name)
        if owner and not _is_alive(int(owner[1])):
            shutil.rmtree(entry, ignore_errors=True)


def _is_alive(process: int) -> bool:
    """Whether there is a process of this number, ours to signal or not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True

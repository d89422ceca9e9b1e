"""The files of a source, from the cache or downloaded into it, each held to its checksum; a wrong one is never kept.

A file without a published checksum is held to that of its first download, which `pin` writes next to it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from unisono.datasets.catalogue import RemoteFile
from unisono.io.write import write_atomically
from unisono.messages import BadInput, bad_input, typed, visible

CACHE, OFFLINE = "UNISONO_CACHE", "UNISONO_OFFLINE"
"""Environment variables: the folder of the cache, and whether nothing is downloaded."""

_PIN = ".sha256"
_BLOCK = 1 << 18
_PATIENCE = 60
"""Seconds without an answer after which a download is given up."""
_OFF = ("", "0", "false", "no")


def cache_folder(given: str | Path | None = None) -> Path:
    """Where downloads are kept: as given, else UNISONO_CACHE, else where the platform keeps caches."""
    import pooch

    return Path(given or os.environ.get(CACHE) or pooch.os_cache("unisono"))


def is_offline(given: bool | None = None) -> bool:
    """Whether nothing may be downloaded: as given, else whether UNISONO_OFFLINE is set, to anything but 0."""
    return os.environ.get(OFFLINE, "").casefold() not in _OFF if given is None else given


def fetched(remote: RemoteFile, folder: Path, *, offline: bool, name: str) -> Path:
    """The file in the cache, downloaded where it is missing or is not what its checksum says.

    Args:
        remote: the file.
        folder: the cache; made if it is missing.
        offline: take what is in the cache, or nothing.
        name: of the data set, for messages.

    Raises:
        BadInput: E090 it is not in the cache, and `offline`; E091 the download broke off; E092 what came, or offline
            what is in the cache, is not what the checksum says. Nothing of a download is left in these cases.
    """
    place = folder / remote.name
    checksum = remote.checksum or pinned(place)
    if place.is_file() and _is(place, checksum):
        return place
    if offline:
        raise _not_at_hand(place, name) if not place.is_file() else _wrong(remote, place, checksum, "the cache holds")
    return _downloaded(remote, place, checksum, name)


def pinned(place: Path) -> str:
    """The checksum of the first download of a file, '' where there was none."""
    pin = place.with_name(place.name + _PIN)
    return f"sha256:{pin.read_text(encoding='utf-8').strip()}" if pin.is_file() else ""


def pin(place: Path) -> str:
    """Keep the SHA-256 of a file next to it; returns it in hexadecimal."""
    import pooch

    digest = str(pooch.file_hash(str(place), alg="sha256"))
    write_atomically(place.with_name(place.name + _PIN), lambda path: _write(path, digest), force=True)
    return digest


def discard(place: Path) -> None:
    """Take a file that cannot be used out of the cache."""
    place.unlink(missing_ok=True)


def _write(path: Path, digest: str) -> None:
    path.write_text(f"{digest}\n", encoding="utf-8")


def _is(place: Path, checksum: str) -> bool:
    """Whether a file is what its checksum says; without one, any file is."""
    import pooch

    kind, _, digest = checksum.partition(":")
    return not checksum or str(pooch.file_hash(str(place), alg=kind)) == digest


def _downloaded(remote: RemoteFile, place: Path, checksum: str, name: str) -> Path:
    import pooch
    from requests.exceptions import RequestException

    host = urlsplit(remote.url).netloc
    size = f" ({remote.megabytes:,.0f} MB)" if remote.megabytes else ""
    print(visible(f"{name}: downloading {remote.name}{size} from {host}"), file=sys.stderr)  # noqa: T201
    try:
        with _quiet(pooch.get_logger()), _bar() as bar:
            download = pooch.HTTPDownloader(
                progressbar=bar, chunk_size=_BLOCK, headers={"User-Agent": "unisono"}, timeout=_PATIENCE
            )
            pooch.retrieve(remote.url, checksum or None, remote.name, place.parent, downloader=download)
    except RequestException as error:
        what = f"the download of {remote.url} broke off ({_reason(error)}); nothing of it was kept."
        raise bad_input("E091", name, what, f"try again, or put the file at {place}, or {_mirror(name)}") from error
    except ValueError as error:
        raise _wrong(remote, place, checksum, f"{host} sent") from error
    return place


def _reason(error: Exception) -> str:
    """Why a download ended, in a few words."""
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import HTTPError, Timeout

    match error:
        case HTTPError(response=response) if response is not None:
            return f"HTTP {response.status_code}"
        case Timeout():
            return f"no answer in {_PATIENCE} s"
        case NoConnection():
            return "no connection"
        case _:
            return "cut off"


def _wrong(remote: RemoteFile, place: Path, checksum: str, who: str) -> BadInput:
    kind, _, digest = checksum.partition(":")
    by = f"that {remote.published_by} published" if remote.checksum else "of the first download"
    what = f"{who} a file whose {kind.upper()} is not the one {by} ({digest[:12]}...); it is not used."
    remedy = f"download it again later; if you know the new file to be right, read it with un.read ({remote.url})"
    if not remote.checksum:
        remedy = f"if the source was replaced on purpose, delete {place}{_PIN}, and take the new file as it is"
    return bad_input("E092", remote.name, what, remedy)


def _not_at_hand(place: Path, name: str) -> BadInput:
    once = typed(f'un.datasets.load("{name}")', f"unisono datasets {name} -o {name}.h5mu")
    what = f"{place.name} is not in the cache {place.parent}, and nothing is downloaded offline."
    return bad_input("E090", name, what, f"{once} once with a network, or {_mirror(name)}")


def _mirror(name: str) -> str:
    return f"set UNISONO_DATA to a folder that holds {name}.h5mu"


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Without the lines of another library, which name arguments that users of this one do not have."""
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


class _Bar:
    """What pooch reports bytes to, on a bar of rich."""

    def __init__(self, bar: Any) -> None:
        self.bar, self.task = bar, bar.add_task("", total=None)

    @property
    def total(self) -> float | None:
        return self.bar.tasks[0].total  # type: ignore[no-any-return]

    @total.setter
    def total(self, n_bytes: int) -> None:
        self.bar.update(self.task, total=n_bytes or None)

    def update(self, n_bytes: int) -> None:
        self.bar.advance(self.task, n_bytes)

    def reset(self) -> None:
        self.bar.update(self.task, completed=0)

    def close(self) -> None:
        self.bar.stop()


@contextmanager
def _bar() -> Iterator[Any]:
    """A bar where somebody looks on, else False."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        yield False
        return
    with Progress(BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        yield _Bar(bar)

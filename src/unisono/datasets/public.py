"""Public data sets by name: from a mirror of one's own, from the cache, or downloaded, converted and checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from unisono.datasets.catalogue import ENTRIES, Entry, Reader, entry_of
from unisono.datasets.fetch import cache_folder, discard, fetched, is_offline, pin, pinned
from unisono.datasets.panel import require_panel
from unisono.io.open import open_data
from unisono.messages import BadInput, Finding, bad_input, warn

if TYPE_CHECKING:
    from mudata import MuData

MIRROR = "UNISONO_DATA"
"""Environment variable: a folder of NAME.h5mu that are read in place of downloads."""

DESCRIPTION = "data_set"
"""Key of `uns` under which a loaded data set says what it is and how it was checked."""


def load(
    name: str, *, mirror: str | Path | None = None, cache: str | Path | None = None, offline: bool | None = None
) -> MuData:
    """A public data set as raw counts, from a mirror, from the cache, or from its source.

    A mirror is a folder of files NAME.h5mu, and comes first. It is yours: nothing in it is checked but that it has the
    modalities of the data set, and it may hold a part of the cells and features of the source, or labels that the
    source lacks. From the source come all cells and features, with `batch` in obs.

    A download is held to the SHA-256 or MD5 that somebody published, or to the counts of some of its cells; `available`
    says which. bmmc_multiome has neither: its first download is taken as it comes, which W092 says, and later ones are
    held to the SHA-256 of the first. Nothing is unpickled.

    Args:
        name: one of `names`.
        mirror: folder of NAME.h5mu; by default that of the environment variable UNISONO_DATA, if it is set.
        cache: folder of downloads; by default that of UNISONO_CACHE, or where the platform keeps caches.
        offline: whether nothing is downloaded; by default whether UNISONO_OFFLINE is set.

    Returns:
        Counts of two modalities; `uns["data_set"]` says where they came from, by what they were checked, their
        licence and what to cite.

    Raises:
        BadInput: E053 no such name; E001 the mirror is no folder; E090 the data set is had from a mirror alone, or is
            not in the cache while offline; E091 the download broke off; E092 it is not what it should be; E003 a file
            is damaged; E007 a file of the mirror lacks a modality.

    Examples:
        >>> import tempfile, unisono as un
        >>> folder = tempfile.mkdtemp()
        >>> cells = un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
        >>> cells.write_h5mu(f"{folder}/pbmc10k_cite.h5mu")
        >>> mdata = un.datasets.load("pbmc10k_cite", mirror=folder)
        >>> mdata.n_obs, mdata.uns["data_set"]["origin"] == f"mirror {folder}"
        (40, True)
    """
    entry = entry_of(name)
    file = _mirrored(entry, mirror)
    if file is not None:
        mdata, origin, checked = _from_mirror(entry, file), f"mirror {file.parent}", "nothing, as it is your own file"
    elif entry.read is None:
        what = f"is had from a mirror alone, since {entry.why_mirror}."
        raise bad_input("E090", name, what, f"set {MIRROR} to a folder that holds {name}.h5mu")
    else:
        mdata, checked = _from_source(entry, entry.read, cache_folder(cache), is_offline(offline))
        origin = entry.page
    described = {"origin": origin, "checked by": checked, "licence": entry.licence, "citation": entry.citation}
    mdata.uns[DESCRIPTION] = {"name": name, "accession": entry.accession, **described}
    return mdata


def available(*, mirror: str | Path | None = None, cache: str | Path | None = None) -> pd.DataFrame:
    """The public data sets, a row each: what `load` takes, their terms, and how a download is checked.

    Args:
        mirror: as of `load`.
        cache: as of `load`.

    Returns:
        A row a name, with title, modalities, cells of the source, MB to download (missing where not known), accession,
        licence, by what a download is checked, and where it is at hand: mirror, cache, or ''.

    Examples:
        >>> import unisono as un
        >>> un.datasets.available().loc["pbmc10k_cite", "licence"]
        'CC BY 4.0'
    """
    folder = cache_folder(cache)
    rows = [
        {
            "name": entry.name,
            "title": entry.title,
            "modalities": ", ".join(entry.modalities),
            "cells": entry.n_cells,
            "MB": entry.megabytes,
            "accession": entry.accession,
            "licence": entry.licence,
            "checked by": entry.checked_by,
            "at hand": _at_hand(entry, mirror, folder),
        }
        for entry in ENTRIES
    ]
    return pd.DataFrame(rows).set_index("name")


def described(name: str) -> list[tuple[str, str]]:
    """Label and value of all that is known of a data set before it is loaded.

    Raises:
        BadInput: E053, no such name.
    """
    entry = entry_of(name)
    how = [("source", file.url) for file in entry.files] or [("from a mirror alone", entry.why_mirror)]
    return [
        ("what", entry.title),
        ("modalities", ", ".join(entry.modalities)),
        ("cells", f"{entry.n_cells:,}"),
        ("accession", entry.accession),
        ("page", entry.page),
        *how,
        ("checked by", entry.checked_by),
        ("licence", entry.licence),
        ("to cite", entry.citation),
    ]


def _at_hand(entry: Entry, mirror: str | Path | None, folder: Path) -> str:
    """Where a data set is; a mirror that is no folder holds none, and is refused when something is loaded."""
    given = mirror or os.environ.get(MIRROR)
    if given and (Path(given) / f"{entry.name}.h5mu").is_file():
        return "mirror"
    return "cache" if entry.files and all((folder / file.name).is_file() for file in entry.files) else ""


def _mirrored(entry: Entry, mirror: str | Path | None) -> Path | None:
    """The file of a data set in the mirror, None where there is no mirror or it lacks the file."""
    given = mirror or os.environ.get(MIRROR)
    if not given:
        return None
    folder = Path(given)
    if not folder.is_dir():
        raise bad_input("E001", str(folder), "the mirror is no folder.", f"mend {MIRROR}, or unset it to download")
    file = folder / f"{entry.name}.h5mu"
    return file if file.is_file() else None


def _from_mirror(entry: Entry, file: Path) -> MuData:
    mdata, findings = open_data(file)
    _require_modalities(mdata, entry, str(file), f"put the right file there, or unset {MIRROR} to download")
    warn(findings)
    return mdata


def _require_modalities(mdata: MuData, entry: Entry, where: str, remedy: str) -> None:
    if not set(entry.modalities) <= set(mdata.mod):
        what = f"holds {', '.join(mdata.mod)}; {entry.name} has {' and '.join(entry.modalities)}."
        raise bad_input("E007", where, what, remedy)


def _from_source(entry: Entry, read: Reader, folder: Path, offline: bool) -> tuple[MuData, str]:
    """All cells of the source, and how they were checked; what turns out to be another thing is not kept."""
    places = [fetched(file, folder, offline=offline, name=entry.name) for file in entry.files]
    if all(file.checksum for file in entry.files):
        return read(places, entry.name), entry.checked_by
    is_first = [not file.checksum and not pinned(place) for file, place in zip(entry.files, places, strict=True)]
    try:
        mdata = read(places, entry.name)
        _require_modalities(mdata, entry, places[0].name, "download it again later")
        checked = require_panel(mdata, entry.name, places[0].name) if entry.has_panel else ""
    except BadInput:
        for place, is_new in zip(places, is_first, strict=True):
            if is_new:
                discard(place)
        raise
    digests = [pin(place) for place, is_new in zip(places, is_first, strict=True) if is_new]
    if digests and not checked:
        what = f"no checksum of {places[0].name} has been published: this first download is not checked"
        remedy = f"compare its SHA-256 with somebody else's: {digests[0]}"
        warn([Finding("W092", entry.name, f"{what}, and later ones are held to it.", remedy)])
        return mdata, "nothing, as it is the first download"
    return mdata, checked or "SHA-256 of the first download"

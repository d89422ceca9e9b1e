"""Which modality of a file is which kind (rna, adt, ...): by a given mapping or by known names; never by content."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from unisono.messages import BadInput, Finding, bad_input, typed
from unisono.modalities import registered, spec_of
from unisono.types import Modality

if TYPE_CHECKING:
    from mudata import MuData


@dataclass(frozen=True, eq=False)
class Source:
    """One modality as the file has it.

    Attributes:
        kind: what it measures.
        name: its key in the MuData.
        adata: the AnnData under that key; read, never changed.
        source_name: file and key, for messages.
        paired_names: names of the cells by which modalities meet, where these are others than `obs_names`.
    """

    kind: Modality
    name: str
    adata: Any
    source_name: str
    paired_names: pd.Index | None = None

    @property
    def cells(self) -> pd.Index:
        """The name of each cell by which modalities meet."""
        names: pd.Index = self.adata.obs_names if self.paired_names is None else self.paired_names
        return names

    @property
    def renamed(self) -> dict[str, str]:
        """Own name of a cell → name by which modalities meet; empty where they are the same."""
        return {} if self.paired_names is None else dict(zip(self.adata.obs_names, self.paired_names, strict=True))


def kind_of(name: str) -> Modality | None:
    """The kind that a modality's name stands for, None for an unknown name."""
    plain = _plain(name)
    return next((kind for kind in registered() if plain in map(_plain, (kind, *spec_of(kind).aliases))), None)


def called(name: str) -> Modality:
    """The modality that a user calls by this name, in whatever spelling; an unknown name as it is."""
    return kind_of(name) or name


def named(name: str) -> Modality:
    """The modality that a user calls by this name.

    Raises:
        BadInput: E007, with the name that is near.
    """
    kind = kind_of(name)
    if kind is None:
        raise unknown_kind(name, "modality")
    return kind


def alias_pattern(name: str) -> str:
    """A regular expression of the names that a modality goes by in files."""
    kind = kind_of(name) or name
    names = {name, kind, *(spec_of(kind).aliases if kind in registered() else ())}
    return f"(?:{'|'.join(sorted(map(re.escape, names), key=len, reverse=True))})"


def unknown_kind(name: str, where: str) -> BadInput:
    """The refusal E007 of a name that stands for no modality, with those that are near."""
    *others, last = registered()
    what = f"modality {name!r} is unknown.{did_you_mean(name)}"
    return bad_input("E007", where, what, f"use {', '.join(others)} or {last}")


def did_you_mean(name: str) -> str:
    """' Did you mean rna?' where a modality's name is near, else nothing."""
    names = {alias: kind for kind in registered() for alias in (kind, *spec_of(kind).aliases)}
    near = difflib.get_close_matches(_plain(name), names, n=1, cutoff=0.6)
    return f" Did you mean {names[near[0]]}?" if near else ""


def sources(
    mdata: MuData, modalities: Mapping[str, str] | None, source_name: str, *, is_training: bool
) -> tuple[list[Source], list[Finding]]:
    """The modalities to use, in the order of the central dogma, and what is wrong with their names (E007, E008).

    With `modalities` (name in the file -> kind) only those named are used; without it, those with known names.
    """
    names = list(mdata.mod)
    kinds, findings = _chosen(names, modalities, source_name) if modalities else _recognised(names, source_name)
    findings += _claimed_twice(kinds, source_name)
    if is_training and not any(finding.severity == "error" for finding in findings):
        findings += _too_few(kinds, names, source_name)
    found = [Source(kind, name, mdata.mod[name], f"{source_name}, {name}") for name, kind in kinds.items()]
    order = registered()
    return sorted(found, key=lambda source: order.index(source.kind)), findings


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def _chosen(
    names: list[str], modalities: Mapping[str, str], source_name: str
) -> tuple[dict[str, Modality], list[Finding]]:
    findings = []
    kinds: dict[str, Modality] = {}
    for name, wanted in modalities.items():
        kind = wanted if wanted in registered() else None
        if kind is None:
            what = (
                f"modality {name!r} is to be read as {wanted!r}, which is no kind (known: {', '.join(registered())})."
            )
            findings.append(Finding("E007", source_name, what, _mapping(_corrected(modalities, names))))
        elif name not in names:
            what = f"modality {name!r} not found; file has {', '.join(names) or 'none'}."
            findings.append(Finding("E007", source_name, what, _mapping(_corrected(modalities, names))))
        else:
            kinds[name] = kind
    return kinds, findings + [
        _ignored(name, source_name, "not named in modalities") for name in names if name not in modalities
    ]


def _recognised(names: list[str], source_name: str) -> tuple[dict[str, Modality], list[Finding]]:
    kinds = {name: kind for name in names if (kind := kind_of(name))}
    findings = [_ignored(name, source_name, "not a known name") for name in names if name not in kinds]
    findings += [
        Finding("I007", f"{source_name}, {name}", f"read as {kind}.") for name, kind in kinds.items() if name != kind
    ]
    if not kinds:
        what = f"no known modality; file has {', '.join(names) or 'none'}, known are {', '.join(registered())}."
        findings.append(
            Finding("E007", source_name, what, f"name the kind of each, such as {_mapping(_guessed(names or ['gex']))}")
        )
    return kinds, findings


def _corrected(modalities: Mapping[str, str], names: list[str]) -> dict[str, Modality]:
    """A mapping that can be: each kind that was asked for, under a name that is there."""
    kinds = dict.fromkeys(kind_of(wanted) or kind_of(name) or "rna" for name, wanted in modalities.items())
    named = {kind: name for name, kind in modalities.items() if name in names}
    return {named.get(kind, _candidate(names, kind)): kind for kind in kinds}


def _candidate(names: list[str], kind: Modality) -> str:
    return next((name for name in names if kind_of(name) == kind), names[0] if names else kind)


def _guessed(names: list[str]) -> dict[str, Modality]:
    """A kind for each of some unknown names, as an example."""
    return dict(zip(names, ("rna", "adt", "atac"), strict=False))


def _ignored(name: str, source_name: str, why: str) -> Finding:
    return Finding("I007", f"{source_name}, {name}", f"modality ignored: {why}.")


def _claimed_twice(kinds: Mapping[str, Modality], source_name: str) -> list[Finding]:
    findings = []
    for kind in registered():
        claimants = [name for name, claimed in kinds.items() if claimed == kind]
        if len(claimants) > 1:
            what = f"modalities {' and '.join(map(repr, claimants))} both stand for {kind}."
            others = {name: each for name, each in kinds.items() if name not in claimants[1:]}
            findings.append(Finding("E007", source_name, what, f"name those to use: {_mapping(others)}"))
    return findings


def _too_few(kinds: Mapping[str, Modality], names: list[str], source_name: str) -> list[Finding]:
    if len(kinds) > 1:
        return []
    unused = [name for name in names if name not in kinds]
    what = f"training needs two modalities; found {', '.join(kinds) or 'none'} only"
    what += f", unused: {', '.join(unused)}." if unused else "."
    remedy = (
        f"give both, for example {_mapping({**kinds, unused[0]: _other(kinds)})}"
        if unused
        else f"add the second modality{typed('', ', as a second file: rna=FILE adt=FILE')}"
    )
    return [Finding("E008", source_name, what, remedy)]


def _other(kinds: Mapping[str, Modality]) -> Modality:
    """A kind that is not there yet."""
    return next(kind for kind in ("adt", "rna", "atac") if kind not in kinds.values())


def _mapping(kinds: Mapping[str, str]) -> str:
    """How to name the kinds of modalities, all of those to be used."""
    pairs = ", ".join(f'"{name}": "{kind}"' for name, kind in kinds.items())
    word = shlex.quote(",".join(f"{name}={kind}" for name, kind in kinds.items()))
    return typed(f"modalities={{{pairs}}}", f"--modalities {word}")


def not_unique(names: pd.Index, noun: str) -> str:
    """How many names there are, how many differ, and the first that occurs again."""
    sizes = names.value_counts(sort=False)
    sizes = sizes[sizes > 1]
    first = f"first repeated: {sizes.index[0]!r} x{sizes.iloc[0]}"
    return f"{len(names)} {noun}s, {names.nunique()} unique names ({first})"


def repeated_cells(names: pd.Index, where: str) -> Finding:
    """E023, of names of cells that are not unique."""
    what = f"obs_names: {not_unique(names, 'cell')}: pairing is impossible."
    return Finding("E023", where, what, "name each cell once, such as by sample and barcode")

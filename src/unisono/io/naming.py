"""Which modality of a file is which kind (rna, adt, ...): by a given mapping or by known names; never by content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unisono.messages import Finding
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
    """

    kind: Modality
    name: str
    adata: Any
    source_name: str


def kind_of(name: str) -> Modality | None:
    """The kind that a modality's name stands for, None for an unknown name."""
    plain = _plain(name)
    return next((kind for kind in registered() if plain in map(_plain, (kind, *spec_of(kind).aliases))), None)


def sources(
    mdata: MuData, modalities: Mapping[str, str] | None, source_name: str, need: int
) -> tuple[list[Source], list[Finding]]:
    """The modalities to use, in the order of the central dogma, and what is wrong with their names (E007, E008).

    With `modalities` (name in the file -> kind) only those named are used; without it, those with known names.
    """
    names = list(mdata.mod)
    kinds, findings = _chosen(names, modalities, source_name) if modalities else _recognised(names, source_name)
    findings += _claimed_twice(kinds, source_name)
    if not any(finding.severity == "error" for finding in findings):
        findings += _too_few(kinds, names, source_name, need)
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
            findings.append(Finding("E007", source_name, what, _mapping(name, kind_of(wanted) or "rna")))
        elif name not in names:
            what = f"modality {name!r} not found; file has {', '.join(names) or 'none'}."
            findings.append(Finding("E007", source_name, what, _mapping(_candidate(names, kind), kind)))
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
            Finding(
                "E007", source_name, what, "name the kind of each: " + _mapping(names[0] if names else "gex", "rna")
            )
        )
    return kinds, findings


def _candidate(names: list[str], kind: Modality) -> str:
    return next((name for name in names if kind_of(name) == kind), names[0] if names else kind)


def _ignored(name: str, source_name: str, why: str) -> Finding:
    return Finding("I007", f"{source_name}, {name}", f"modality ignored: {why}.")


def _claimed_twice(kinds: Mapping[str, Modality], source_name: str) -> list[Finding]:
    findings = []
    for kind in registered():
        claimants = [name for name, claimed in kinds.items() if claimed == kind]
        if len(claimants) > 1:
            what = f"modalities {' and '.join(map(repr, claimants))} both stand for {kind}."
            findings.append(Finding("E007", source_name, what, "name the one to use: " + _mapping(claimants[0], kind)))
    return findings


def _too_few(kinds: Mapping[str, Modality], names: list[str], source_name: str, need: int) -> list[Finding]:
    if len(kinds) >= need:
        return []
    unused = [name for name in names if name not in kinds]
    what = f"training needs two modalities; found {', '.join(kinds) or 'none'} only"
    what += f", unused: {', '.join(unused)}." if unused else "."
    remedy = (
        f"give both, for example {_mapping(unused[0], 'adt')}" if unused else "add the second modality to the MuData"
    )
    return [Finding("E008", source_name, what, remedy)]


def _mapping(name: str, kind: str) -> str:
    return f'modalities={{"{name}": "{kind}"}}, in the shell --modalities {name}={kind}'

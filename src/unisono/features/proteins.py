"""Which surface protein an antibody's name stands for, and which column holds it; never what the column counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

_NO_ALIASES: Mapping[str, str] = MappingProxyType({})

_PREFIX = re.compile(
    r"^(?:(?:adt|ab|prot|protein|antibody|human|hu|hums|humsrt|ms)[-_.: ]+"
    r"|anti[-_. ]+(?:(?:human|mouse|rat)(?:[-_/. ]+(?:human|mouse|rat))*[-_. ]+)?)"
)
_SUFFIX = re.compile(
    r"(?:[-_. (]+totalseq[-_. ]*[a-d]?\)?|[-_.:| ]+(?:prot|protein|adt|pabo|ahs\d{4})|(?<!hla)[-_. ]+[a-d]?[01]\d{3})$"
)
"""Kit, table or catalogue code after the name: _TotalSeqB, _PROT, _A0034; the allele HLA-A0201 is none."""

_CONTROL = re.compile(
    r"isotype|(?<![a-z])(?:ctrl|control)|(?:hash|sample)[-_. ]?tag|^hto[-_. \d]|^cmo[-_. ]?\d"
    r"|mopc|(?<![a-z])(?:rtk|htk)\d"
    r"|^(?:mouse|rat|(?:armenian|syrian|ar)?[-_. ]*hamster)[-_. ].*ig[gma]|^igg[-_. ]?[123]"
)
"""Isotype controls and sample tags. A bare IgG1 or IgG2a is a control far more often than an antigen."""

_NO_ANTIBODY = ("unmapped", "no_match", "nomatch", "unassigned", "unknown")
"""Rows that counters of tags add for reads that met none."""

_GREEK = {
    **dict(zip("αβγδεζκλ", "abgdezkl", strict=True)),
    **{w: w[0] for w in ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "kappa", "lambda")},
}
_GREEK_LETTER = re.compile("|".join(_GREEK))

_ASIDE = re.compile(r"\(([^()]*)\)")
_WORDS_APART = re.compile(r"[^a-z0-9]+")
_CLONE_NUMBER = re.compile(r"[1-9]")
_CLONE = re.compile(
    r"[1-9]|ucht1|uchl1|okt[348]|rpat[48]|sk[137]|hit2|hit8a|hib19|hi(?:30|100|149)|2d1|3g8|m5e2|sj25c1|bc96|ma251"
    r"|icrf44|l(?:128|161|243)|hcd(?:14|16|56)|5\.1h11|w6d3|w6\.32|a019d5|eh12\.2h7|mbsa43|fn50|o323|dx[29]|im7|2h7"
)
"""A clone's number, or its name as `_key` spells it, for common human panels; a name not here stays where it is."""

_ALLELES = {name.casefold(): name for name in ("CD45.1", "CD45.2", "CD90.1", "CD90.2")}
"""Mouse alleles by key, which read like one of several antibodies to one protein."""


def match_proteins(
    wanted: NDArray[np.str_], found: NDArray[np.str_], aliases: Mapping[str, str] | None = None
) -> NDArray[np.intp]:
    """Column of `found` that holds each wanted protein, -1 where there is none.

    Trusted in this order: the very name; the same spelling but for case, punctuation, Greek, prefix and suffix; the
    same without clone; the same protein by any synonym. So CD8 takes CD8a, unless CD8 is there too. Where several
    columns, or several wanted names, are equally good, the first in the order of names goes first, and a column goes
    to one protein at most: of cd4.1 and cd4.2, cd4.1 takes CD4. Controls and sample tags pair by their very name only.
    Mouse alleles (CD45.1) are read as clones of CD45 in a panel that numbers other proteins so (cd3.1).
    """
    table = _with_aliases(_NO_ALIASES if aliases is None else aliases)
    left, right = _read_panel(wanted, table), _read_panel(found, table)
    match = np.full(len(left), -1, dtype=np.intp)
    for trust in range(4):
        _pair(match, left, right, trust)
    return match


def share_known(names: NDArray[np.str_]) -> float:
    """Fraction of names that stand for a protein of the built-in table, or for a control."""
    panel = _read_panel(names, _built_in())
    return float(np.mean([parsed.bare == "" or parsed.bare in _built_in() for parsed in panel]))


def antigens(names: NDArray[np.str_]) -> NDArray[np.str_]:
    """The protein that each antibody of one panel stands for: CD4 for cd4.1 and cd4.2; a control for itself.

    By the canonical name where the table has the protein, else by the name without its clone.
    """
    panel = _read_panel(names, _built_in())
    return np.array([parsed.canonical if parsed.bare else parsed.name for parsed in panel], dtype=str)


def is_control(name: str) -> bool:
    """Whether a name is that of an isotype control, a sample tag or reads that met no antibody."""
    text = _strip(name)
    return _CONTROL.search(text) is not None or text in _NO_ANTIBODY


@dataclass(frozen=True)
class _Parsed:
    """An antibody's name and what is read in it.

    Attributes:
        name: as given.
        key: without case, punctuation, Greek, prefix and suffix.
        bare: the same without clone; '' for a control.
        canonical: of the protein; the key where no table knows it.
    """

    name: str
    key: str
    bare: str
    canonical: str

    @property
    def spellings(self) -> tuple[str, str, str, str]:
        """What two names may share, most trusted first; '' is shared with none."""
        is_protein = self.bare != ""
        spelled = f"{self.canonical} {self.key}"  # cd45.1 is CD45 in one panel and the allele in another
        return self.name, spelled if is_protein else "", self.bare, self.canonical if is_protein else ""


def _pair(match: NDArray[np.intp], left: list[_Parsed], right: list[_Parsed], trust: int) -> None:
    """Writes to `match` the columns that are still free, to the wanted that still lack one, both in order of names."""
    free: dict[str, list[int]] = {}
    for column in sorted(set(range(len(right))) - set(match.tolist()), key=lambda i: right[i].name):
        free.setdefault(right[column].spellings[trust], []).append(column)
    free[""] = []
    for row in sorted(np.flatnonzero(match < 0), key=lambda i: left[i].name):
        columns = free.get(left[row].spellings[trust])
        if columns:
            match[row] = columns.pop(0)


def _read_panel(names: NDArray[np.str_], table: Mapping[str, str]) -> list[_Parsed]:
    """Each name of one panel, read in the light of the others."""
    listed = [str(name) for name in names]
    if any(_is_numbered(name, table) for name in listed):
        table = dict(table.items() - _ALLELES.items())
    return [_read(name, table) for name in listed]


def _is_numbered(name: str, table: Mapping[str, str]) -> bool:
    """Whether the name is a known protein with a clone's number behind it, as in cd3.1."""
    text = _strip(name)
    parted = next(_heads(text), None)
    return (
        _key(text) not in table
        and parted is not None
        and _key(parted[0]) in table
        and _CLONE_NUMBER.fullmatch(parted[1]) is not None
    )


def _read(name: str, table: Mapping[str, str]) -> _Parsed:
    """What is read in a name."""
    text = _strip(name)
    key = _key(text)
    if _CONTROL.search(text):
        return _Parsed(name, key, "", key)
    bare = _known(text, table) or _known_or_in_bracket(text, table) or key
    return _Parsed(name, key, bare, table.get(bare, bare))


def _known_or_in_bracket(text: str, table: Mapping[str, str]) -> str | None:
    """Key of the known protein before a bracket, or else in it; none where the two are different proteins."""
    inside = {_known(aside, table) for aside in _ASIDE.findall(text)} - {None}
    before = _known(_ASIDE.sub(" ", text), table)
    proteins = {table[key] for key in (*inside, before) if key}
    return (before or min(filter(None, inside))) if len(proteins) == 1 else None


def _known(text: str, table: Mapping[str, str]) -> str | None:
    """Key of the known protein that the text begins with, when all that follows is a clone or a synonym of it."""
    if _key(text) in table:
        return _key(text)
    for head, tail in _heads(text):
        is_clone = _CLONE.fullmatch(_key(tail)) is not None
        synonym = table.get(_key(tail))
        if (is_clone or synonym) and (key := _known(head, table)) and (is_clone or synonym == table[key]):
            return key
    return None


def _heads(text: str) -> Iterator[tuple[str, str]]:
    """The text parted in two between words, the shortest tail first."""
    text = text.strip(" -_.,:|/")
    for gap in reversed(list(_WORDS_APART.finditer(text))):
        if gap.start():
            yield text[: gap.start()], text[gap.end() :]


def _strip(name: str) -> str:
    """The name in lower case, Greek as Latin letters, without prefixes and suffixes."""
    text = _GREEK_LETTER.sub(lambda letter: _GREEK[letter[0]], name.replace("ß", "β").casefold()).strip()
    while (shorter := _SUFFIX.sub("", _PREFIX.sub("", text))) not in (text, ""):
        text = shorter
    return text


def _key(text: str) -> str:
    """Letters and digits alone; a point stays between two digits, so that cd4.1 is not CD41."""
    pointed = re.sub(r"(?<=[0-9])[^a-z0-9]+(?=[0-9])", ".", text)
    return re.sub(r"(?<![0-9])[^a-z0-9]+|[^a-z0-9]+(?![0-9])", "", pointed)


def _with_aliases(aliases: Mapping[str, str]) -> Mapping[str, str]:
    """The built-in table with the user's names over it."""
    table = _built_in()
    own = {_key(_strip(name)): _key(_strip(meant)) for name, meant in aliases.items()}
    return {**table, **{name: meant if name == meant else table.get(meant, meant) for name, meant in own.items()}}


@cache
def _built_in() -> Mapping[str, str]:
    """Canonical name by key of every canonical name, gene and synonym of the table."""
    return {_key(_strip(name)): row[0] for row in _rows() for field in row for name in field.split("|") if name}


@cache
def _rows() -> tuple[tuple[str, str, str], ...]:
    """Canonical name, genes and synonyms of every antigen."""
    lines = (files(__package__) / "data" / "cd_names.tsv").read_text(encoding="utf-8").splitlines()
    table = [line.split("\t") for line in lines if not line.startswith("#")]
    return tuple((canonical, genes, synonyms) for canonical, genes, synonyms in table[1:])

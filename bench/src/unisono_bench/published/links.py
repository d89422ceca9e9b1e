"""Which gene a peak or a protein belongs to, for methods that need such links; by position and name, never by counts.

SCGLUE builds its guidance graph of them, moscot and uniPort the features that two modalities have in common.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import unisono as un

_PEAK = r"^(?P<chrom>\S*[^\s:_-])[:_-](?P<start>\d+)[_-](?P<end>\d+)$"
"""chr1:100-200, chr1-100-200 or chr1_100_200."""

PROMOTER = 2000
"""Base pairs upstream of the gene that count as its own, as in SCGLUE's `rna_anchored_guidance_graph`."""


GENES_OF: dict[str, tuple[str, ...]] = {
    "b7-h1": ("CD274",),
    "cd3": ("CD3E", "CD3D", "CD3G"),
    "cd8": ("CD8A", "CD8B"),
    "cd10": ("MME",),
    "cd11a": ("ITGAL",),
    "cd11b": ("ITGAM",),
    "cd11c": ("ITGAX",),
    "cd13": ("ANPEP",),
    "cd15": ("FUT4",),
    "cd16": ("FCGR3A", "FCGR3B", "Fcgr3"),
    "cd16-32": ("Fcgr3", "Fcgr2b"),
    "cd18": ("ITGB2",),
    "cd20": ("MS4A1",),
    "cd21": ("CR2",),
    "cd23": ("FCER2",),
    "cd25": ("IL2RA",),
    "cd26": ("DPP4",),
    "cd29": ("ITGB1",),
    "cd31": ("PECAM1",),
    "cd32": ("FCGR2A", "FCGR2B"),
    "cd35": ("CR1",),
    "cd39": ("ENTPD1",),
    "cd41": ("ITGA2B",),
    "cd42b": ("GP1BA",),
    "cd43": ("SPN",),
    "cd45": ("PTPRC",),
    "cd45ra": ("PTPRC",),
    "cd45ro": ("PTPRC",),
    "cd45r-b220": ("PTPRC",),
    "cd49a": ("ITGA1",),
    "cd49b": ("ITGA2",),
    "cd49d": ("ITGA4",),
    "cd49f": ("ITGA6",),
    "cd50": ("ICAM3",),
    "cd51": ("ITGAV",),
    "cd54": ("ICAM1",),
    "cd56": ("NCAM1",),
    "cd57": ("B3GAT1",),
    "cd61": ("ITGB3",),
    "cd62l": ("SELL",),
    "cd62p": ("SELP",),
    "cd64": ("FCGR1A",),
    "cd66b": ("CEACAM8",),
    "cd71": ("TFRC",),
    "cd73": ("NT5E",),
    "cd79b": ("CD79B",),
    "cd85j": ("LILRB1",),
    "cd88": ("C5AR1",),
    "cd90": ("THY1",),
    "cd94": ("KLRD1",),
    "cd95": ("FAS",),
    "cd101": ("CD101",),
    "cd102": ("ICAM2",),
    "cd103": ("ITGAE",),
    "cd105": ("ENG",),
    "cd106": ("VCAM1",),
    "cd107a": ("LAMP1",),
    "cd112": ("NECTIN2",),
    "cd115": ("CSF1R",),
    "cd117": ("KIT",),
    "cd119": ("IFNGR1",),
    "cd122": ("IL2RB",),
    "cd123": ("IL3RA",),
    "cd124": ("IL4R",),
    "cd127": ("IL7R",),
    "cd134": ("TNFRSF4",),
    "cd135": ("FLT3",),
    "cd137": ("TNFRSF9",),
    "cd138": ("SDC1",),
    "cd140a": ("PDGFRA",),
    "cd140b": ("PDGFRB",),
    "cd141": ("THBD",),
    "cd144": ("CDH5",),
    "cd146": ("MCAM",),
    "cd150": ("SLAMF1",),
    "cd152": ("CTLA4",),
    "cd154": ("CD40LG",),
    "cd155": ("PVR",),
    "cd158": ("KIR2DL1",),
    "cd158b": ("KIR2DL3",),
    "cd158e1": ("KIR3DL1",),
    "cd161": ("KLRB1",),
    "cd162": ("SELPLG",),
    "cd169": ("SIGLEC1",),
    "cd172a": ("SIRPA",),
    "cd183": ("CXCR3",),
    "cd184": ("CXCR4",),
    "cd185": ("CXCR5",),
    "cd192": ("CCR2",),
    "cd194": ("CCR4",),
    "cd195": ("CCR5",),
    "cd196": ("CCR6",),
    "cd197": ("CCR7",),
    "cd201": ("PROCR",),
    "cd204": ("MSR1",),
    "cd206": ("MRC1",),
    "cd223": ("LAG3",),
    "cd224": ("GGT1",),
    "cd235ab": ("GYPA", "GYPB"),
    "cd269": ("TNFRSF17",),
    "cd270": ("TNFRSF14",),
    "cd272": ("BTLA",),
    "cd273": ("PDCD1LG2",),
    "cd278": ("ICOS",),
    "cd279": ("PDCD1",),
    "cd303": ("CLEC4C",),
    "cd304": ("NRP1",),
    "cd314": ("KLRK1",),
    "cd319": ("SLAMF7",),
    "cd324": ("CDH1",),
    "cd326": ("EPCAM",),
    "cd328": ("SIGLEC7",),
    "cd335": ("NCR1",),
    "cd352": ("SLAMF6",),
    "cd357": ("TNFRSF18",),
    "cd365": ("HAVCR1",),
    "cd366": ("HAVCR2",),
    "f4-80": ("Adgre1",),
    "fceria": ("FCER1A",),
    "fceri": ("FCER1A",),
    "hla-abc": ("HLA-A", "HLA-B", "HLA-C"),
    "hla-a-b-c": ("HLA-A", "HLA-B", "HLA-C"),
    "hla-dr": ("HLA-DRA", "HLA-DRB1"),
    "igd": ("IGHD",),
    "igm": ("IGHM",),
    "integrinb7": ("ITGB7",),
    "klrg1": ("KLRG1",),
    "ly-6a-e": ("Ly6a",),
    "ly-6c": ("Ly6c2", "Ly6c1"),
    "ly-6g": ("Ly6g",),
    "nk-1.1": ("Klrb1c",),
    "pd-1": ("PDCD1",),
    "podoplanin": ("PDPN",),
    "tcr": ("TRAC",),
    "tcra-b": ("TRAC",),
    "tcrb": ("Trbc1", "Trbc2"),
    "tcrvd2": ("TRDV2",),
    "tigit": ("TIGIT",),
}
"""Genes of antibodies that are not called after their gene, in lower case; upper and lower case of genes is one."""


_NOWHERE = (np.empty(0, dtype=object), np.empty(0), np.empty(0))


class GeneLink(NamedTuple):
    """A feature of another modality and a gene among the training features."""

    modality: str
    feature: str
    gene: str


def gene_links(training: un.Cells, genes: Path | None) -> list[GeneLink]:
    """The links of all peaks and proteins to the genes measured.

    Args:
        training: without RNA among its modalities there are none.
        genes: table with the columns gene, chrom, tss, strand and, where known, start and end; without it peaks have
            no link.
    """
    if "rna" not in training.views:
        return []
    measured = training.views["rna"].features.tolist()
    found = []
    if "atac" in training.views and genes is not None:
        pairs = peak_links(training.views["atac"].features.tolist(), measured, pd.read_csv(genes, sep="\t"))
        found += [GeneLink("atac", peak, gene) for peak, gene in pairs]
    if "adt" in training.views:
        pairs = protein_links(training.views["adt"].features.tolist(), measured)
        found += [GeneLink("adt", protein, gene) for protein, gene in pairs]
    return found


def protein_links(proteins: Sequence[str], genes: Sequence[str]) -> list[tuple[str, str]]:
    """Each protein with the measured genes that code for it: those of `GENES_OF`, else the gene of its own name."""
    known = {gene.casefold(): gene for gene in genes}
    found = []
    for protein in proteins:
        for name in _names(protein):
            coding = [known[gene.casefold()] for gene in GENES_OF.get(name, (name,)) if gene.casefold() in known]
            if coding:
                found += [(protein, gene) for gene in dict.fromkeys(coding)]
                break
    return found


def peak_links(peaks: Sequence[str], genes: Sequence[str], table: pd.DataFrame) -> list[tuple[str, str]]:
    """Each peak with the measured genes whose body or promoter it overlaps, in the order of the peaks.

    A gene without start and end in the table is its start site alone, with the promoter before it.
    """
    regions = _regions(table[table["gene"].isin(set(genes))])
    found = []
    for peak, place in zip(peaks, places_of(peaks).itertuples(index=False), strict=True):
        names, starts, ends = regions.get(str(place.chrom), _NOWHERE)
        overlaps = (starts < place.end) & (ends > place.start)
        found += [(peak, gene) for gene in dict.fromkeys(names[overlaps].tolist())]
    return found


def places_of(peaks: Sequence[str]) -> pd.DataFrame:
    """Chromosome, start and end of each peak; NaN, which overlaps nothing, for a name that is none."""
    places = pd.Series(list(peaks), dtype=object).str.extract(_PEAK)
    return places.astype({"start": float, "end": float})


def _names(protein: str) -> list[str]:
    """What a protein may be called, best first: `ADT_CD115(CSF-1R)_A0106` gives cd115, csf-1r; `CD4-1` gives cd4."""
    name = re.sub(r"_A\d{4}$", "", protein.removeprefix("ADT_")).casefold()
    inside = re.findall(r"\(([^)]*)\)", name)
    outside = re.sub(r"\(.*?\)", "", name).strip()
    names = [outside, *inside]
    names += [re.sub(r"[-_.](1|2|totalseqb|totalseq|prot|adt)$", "", one) for one in names]
    return [re.sub(r"[\s/_]+", "-", one.strip()) for one in dict.fromkeys(names) if one]


def _regions(table: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each chromosome: genes, and where body and promoter begin and end."""
    start = table["start"] if "start" in table else table["tss"] - 1
    end = table["end"] if "end" in table else table["tss"]
    is_forward = table["strand"] == "+"
    first = start.where(~is_forward, start - PROMOTER).to_numpy()
    last = end.where(is_forward, end + PROMOTER).to_numpy()
    chroms, names = table["chrom"].to_numpy(), table["gene"].to_numpy()
    return {chrom: (names[chroms == chrom], first[chroms == chrom], last[chroms == chrom]) for chrom in set(chroms)}

"""What public data sets there are by name: source, terms, and by what a download is checked; downloads nothing.

A checksum stands here only where somebody who had the file has published it; `published_by` says who. Where nobody has,
a data set is checked by the counts of some of its cells (`panel`), or, where those are not known either, by nothing at
its first download, which is said then, and by the SHA-256 of that first download from then on.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unisono.datasets import neurips, snareseq, tenx
from unisono.messages import bad_input
from unisono.types import Modality

if TYPE_CHECKING:
    from mudata import MuData

Reader = Callable[[Sequence[Path], str], "MuData"]
"""Of the files of a source in the order of the entry, and the name of the data set."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a source.

    Attributes:
        url: where it is downloaded.
        name: of the file in the cache.
        checksum: algorithm and hexadecimal digest, "sha256:..." or "md5:..."; '' where none has been published.
        published_by: the GitHub repository that published the checksum. An MD5 tells damage, not forgery.
        megabytes: of 10^6 bytes; None where they are not known.
    """

    url: str
    name: str
    checksum: str = ""
    published_by: str = ""
    megabytes: float | None = None

    def __post_init__(self) -> None:
        if bool(self.checksum) != bool(self.published_by):
            raise ValueError(f"{self.name}: a checksum needs the one who published it, and the other way round")


@dataclass(frozen=True)
class Entry:
    """A data set.

    Attributes:
        name: what `load` takes, and the name of its file in a mirror, without .h5mu.
        title: organism, tissue, assay.
        modalities: that it has.
        n_cells: of the source, or, had from a mirror alone, of the file that the benchmarks use.
        licence: the terms of the data.
        citation: what to cite.
        accession: in GEO, or the name at 10x Genomics.
        page: where a person reads about it.
        files: of the source; none where it is had from a mirror alone.
        read: what makes a MuData of them.
        has_panel: whether counts of some cells are kept, by which a download is checked.
        why_mirror: why no source is named here; '' where there is one.
    """

    name: str
    title: str
    modalities: tuple[Modality, ...]
    n_cells: int
    licence: str
    citation: str
    accession: str
    page: str
    files: tuple[RemoteFile, ...] = ()
    read: Reader | None = None
    has_panel: bool = False
    why_mirror: str = ""

    def __post_init__(self) -> None:
        if bool(self.files) == bool(self.why_mirror) or bool(self.files) != (self.read is not None):
            raise ValueError(f"{self.name}: either files and what reads them, or the reason why there are none")

    @property
    def checked_by(self) -> str:
        """By what a download is checked."""
        if not self.files:
            return "nothing, as it is your own file"
        if all(file.checksum for file in self.files):
            kinds = {file.checksum.partition(":")[0] for file in self.files}
            by = {file.published_by for file in self.files}
            return f"{'SHA-256' if kinds == {'sha256'} else 'MD5'} published by {' and '.join(sorted(by))}"
        return "counts of some of its cells" if self.has_panel else "nothing at first, then the first download"

    @property
    def megabytes(self) -> float | None:
        """Of all files, None where one is not known."""
        sizes = [file.megabytes for file in self.files]
        known = [size for size in sizes if size is not None]
        return sum(known) if known and len(known) == len(sizes) else None


_CC_BY = "CC BY 4.0"
_GEO = "public in GEO, which places no restrictions on use"
_TENX = "https://cf.10xgenomics.com/samples"
_SUITE = "https://ftp.ncbi.nlm.nih.gov/geo/series"
_ACCESSION = "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc="
_LUECKEN = "Luecken et al., A sandbox for prediction and integration of DNA, RNA, and proteins in single cells, 2021"
_MUDATASETS = "PMBio/mudatasets"
_SNARE = (
    ("cDNA.counts.mtx.gz", "068a9754299c4f769d131ce2a4f35134"),
    ("cDNA.genes.tsv.gz", "7e7cf58b72cceb1811de8be7d8739572"),
    ("cDNA.barcodes.tsv.gz", "deb151424a15ecfa604e5e3991d33d04"),
    ("chromatin.counts.mtx.gz", "c8bd4b5e1178b07ff5bce8009c968aef"),
    ("chromatin.peaks.tsv.gz", "8634ff5f9a356f9af4bb11b1651fa4f7"),
    ("chromatin.barcodes.tsv.gz", "b4217e005793b8d200fd071970c48382"),
)
"""Endings of the names of the files, in the order in which `snareseq.read` takes them, and their MD5."""


def _of_neurips(what: str, checksum: str = "", published_by: str = "") -> tuple[RemoteFile, ...]:
    name = f"GSE194122_openproblems_neurips2021_{what}_BMMC_processed.h5ad.gz"
    return (RemoteFile(f"{_SUITE}/GSE194nnn/GSE194122/suppl/{name}", name, checksum, published_by),)


def _of_snareseq(ending: str, md5: str) -> RemoteFile:
    name = f"GSE126074_AdBrainCortex_SNAREseq_{ending}"
    url = f"{_SUITE}/GSE126nnn/GSE126074/suppl/{name}"
    return RemoteFile(url, name, f"md5:{md5}", "gao-lab/GLUE")


ENTRIES = (
    Entry(
        name="pbmc10k_cite",
        title="human PBMC of a healthy donor, 10x 3' v3 with 14 TotalSeq-B antibodies and 3 controls",
        modalities=("rna", "adt"),
        n_cells=7865,
        licence=_CC_BY,
        citation="10x Genomics, 10k PBMCs from a Healthy Donor with a Panel of TotalSeq-B Antibodies, 2018",
        accession="10x Genomics pbmc_10k_protein_v3",
        page="https://www.10xgenomics.com/datasets/10-k-pbm-cs-from-a-healthy-donor-gene-expression-and-cell-surface-"
        "protein-3-standard-3-0-0",
        files=(
            RemoteFile(
                f"{_TENX}/cell-exp/3.0.0/pbmc_10k_protein_v3/pbmc_10k_protein_v3_filtered_feature_bc_matrix.h5",
                "pbmc_10k_protein_v3_filtered_feature_bc_matrix.h5",
            ),
        ),
        read=tenx.read,
        has_panel=True,
    ),
    Entry(
        name="pbmc5k_cite",
        title="human PBMC of a healthy donor, 10x 3' v3 with a panel of TotalSeq-B antibodies",
        modalities=("rna", "adt"),
        n_cells=5247,
        licence=_CC_BY,
        citation="10x Genomics, 5k PBMCs from a Healthy Donor with a Panel of TotalSeq-B Antibodies, 2019",
        accession="10x Genomics 5k_pbmc_protein_v3",
        page="https://www.10xgenomics.com/resources/datasets/5-k-peripheral-blood-mononuclear-cells-pbm-cs-from-a-healthy-"
        "donor-v-3-chemistry-3-1-standard-3-0-2",
        files=(
            RemoteFile(
                f"{_TENX}/cell-exp/3.0.2/5k_pbmc_protein_v3/5k_pbmc_protein_v3_filtered_feature_bc_matrix.h5",
                "5k_pbmc_protein_v3_filtered_feature_bc_matrix.h5",
                "md5:3366a47283177fe9af143d5819fad61f",
                _MUDATASETS,
                17.1,
            ),
        ),
        read=tenx.read,
    ),
    Entry(
        name="pbmc3k_multiome",
        title="human PBMC of a healthy donor, granulocytes removed, 10x Multiome",
        modalities=("rna", "atac"),
        n_cells=2711,
        licence=_CC_BY,
        citation="10x Genomics, PBMC from a Healthy Donor, Granulocytes Removed Through Cell Sorting (3k), 2021",
        accession="10x Genomics pbmc_granulocyte_sorted_3k",
        page="https://www.10xgenomics.com/resources/datasets/pbmc-from-a-healthy-donor-granulocytes-removed-through-cell-"
        "sorting-3-k-1-standard-2-0-0",
        files=(
            RemoteFile(
                f"{_TENX}/cell-arc/2.0.0/pbmc_granulocyte_sorted_3k/"
                "pbmc_granulocyte_sorted_3k_filtered_feature_bc_matrix.h5",
                "pbmc_granulocyte_sorted_3k_filtered_feature_bc_matrix.h5",
                "md5:e326066b51ec8975197c29a7f911a4fd",
                _MUDATASETS,
                38.8,
            ),
        ),
        read=tenx.read,
    ),
    Entry(
        name="bmmc_cite",
        title="human bone marrow of 12 donors at four sites, 10x 3' v3 with 134 TotalSeq-B antibodies",
        modalities=("rna", "adt"),
        n_cells=90261,
        licence=_GEO,
        citation=_LUECKEN,
        accession="GSE194122",
        page=f"{_ACCESSION}GSE194122",
        files=_of_neurips(
            "cite",
            "sha256:b9b50fade9349719cba23c97c6515d3501a32ee3735fe95fe51221d2e8a5f361",
            "YosefLab/scvi-hub-models",
        ),
        read=neurips.read,
    ),
    Entry(
        name="bmmc_multiome",
        title="human bone marrow of donors at four sites, 10x Multiome",
        modalities=("rna", "atac"),
        n_cells=69249,
        licence=_GEO,
        citation=_LUECKEN,
        accession="GSE194122",
        page=f"{_ACCESSION}GSE194122",
        files=_of_neurips("multiome"),
        read=neurips.read,
    ),
    Entry(
        name="snareseq_cortex",
        title="adult mouse cerebral cortex, SNARE-seq, mm10",
        modalities=("rna", "atac"),
        n_cells=10309,
        licence=_GEO,
        citation="Chen, Lake and Zhang, High-throughput sequencing of the transcriptome and chromatin accessibility in "
        "the same cell, 2019",
        accession="GSE126074",
        page=f"{_ACCESSION}GSE126074",
        files=tuple(_of_snareseq(ending, md5) for ending, md5 in _SNARE),
        read=snareseq.read,
    ),
    Entry(
        name="pbmc_panel224_cite",
        title="human PBMC of two donors, 10x 3' v3 with 224 TotalSeq-A antibodies",
        modalities=("rna", "adt"),
        n_cells=800,
        licence=_GEO,
        citation="Hao et al., Integrated analysis of multimodal single-cell data, 2021",
        accession="GSE164378",
        page=f"{_ACCESSION}GSE164378",
        why_mirror="the cells of the small set of this name were renamed, so files of GEO cannot be told to be it",
    ),
    Entry(
        name="teaseq_cite",
        title="human PBMC, TEA-seq without its chromatin, 46 TotalSeq-A antibodies",
        modalities=("rna", "adt"),
        n_cells=1262,
        licence=_GEO,
        citation="Swanson et al., Simultaneous trimodal single-cell measurement of transcripts, epitopes, and "
        "chromatin accessibility using TEA-seq, 2021",
        accession="GSE158013",
        page=f"{_ACCESSION}GSE158013",
        why_mirror="it is not known which of the wells in GEO its cells are from",
    ),
    Entry(
        name="spleen_lymph_cite",
        title="mouse spleen and lymph nodes, CITE-seq with 111 antibodies",
        modalities=("rna", "adt"),
        n_cells=512,
        licence=_GEO,
        citation="Gayoso et al., Joint probabilistic modeling of single-cell multi-omic data with totalVI, 2021",
        accession="GSE150599",
        page=f"{_ACCESSION}GSE150599",
        why_mirror="it is a small part that a benchmark cut out of the data in GEO",
    ),
    Entry(
        name="bremsc_cite",
        title="human PBMC, CITE-seq with 10 antibodies",
        modalities=("rna", "adt"),
        n_cells=1372,
        licence="not stated: evaluate on it, and pass on nothing of it",
        citation="Wang et al., BREM-SC: a Bayesian random effects mixture model for joint clustering single cell "
        "multi-omics data, 2020",
        accession="",
        page="",
        why_mirror="its terms are not stated",
    ),
    Entry(
        name="multiome_markers",
        title="human PBMC, 10x Multiome, marker genes and the peaks near them",
        modalities=("rna", "atac"),
        n_cells=1000,
        licence="of the whole data set at 10x Genomics: CC BY 4.0",
        citation="10x Genomics",
        accession="",
        page="",
        why_mirror="it is not known from which data set of 10x Genomics it was cut; pbmc3k_multiome is a whole one",
    ),
    Entry(
        name="multiome50",
        title="50 cells of human PBMC, 10x Multiome, all genes and peaks",
        modalities=("rna", "atac"),
        n_cells=50,
        licence="of the whole data set at 10x Genomics: CC BY 4.0",
        citation="10x Genomics",
        accession="",
        page="",
        why_mirror="it is a small part; pbmc3k_multiome is a whole data set",
    ),
)
"""Every data set that is loaded by name."""


def names() -> tuple[str, ...]:
    """The names that `load` takes.

    Examples:
        >>> import unisono as un
        >>> "pbmc10k_cite" in un.datasets.names()
        True
    """
    return tuple(entry.name for entry in ENTRIES)


def entry_of(name: str) -> Entry:
    """The data set of a name.

    Raises:
        BadInput: E053, there is none.
    """
    for entry in ENTRIES:
        if entry.name == name:
            return entry
    near = difflib.get_close_matches(name, names(), n=1)
    remedy = f"{f'did you mean {near[0]}? ' if near else ''}There are {', '.join(names())}"
    raise bad_input("E053", "data set", f"none is called {name!r}.", remedy)

"""Make the model human-blood-cite, which comes with the package, from public data sets.

    python tools/human_blood_cite.py DATA [--figures bench/results/left_out/left-out.json]

DATA is a folder with pbmc10k_cite.h5mu, bmmc_cite.h5mu, pbmc_panel224_cite.h5mu and teaseq_cite.h5mu. Genes that are
seen in fewer than one in fifty cells of every data set are left out. The card says what the model was made of;
its figures are those of models of the same data sets without one, asked about that one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from mudata import MuData
from unisono_bench.studies.report import rows_of

import unisono as un
from unisono.inference.record import Card, DataSet, Figure

NAME = "human-blood-cite"
HERE = Path(__file__).resolve().parents[1]
MIN_SEEN = 0.02
N_LEVELS = 50
"""Of intervals: a coverage is at most two points too high."""
_GEO = "public in GEO, which places no restrictions on use"


@dataclass(frozen=True)
class Source:
    """A data set of the training; attributes as of `DataSet`."""

    name: str
    file: str
    what: str
    accession: str
    url: str
    licence: str
    citation: str


SOURCES = (
    Source(
        "pbmc10k",
        "pbmc10k_cite.h5mu",
        "human PBMC of a healthy donor, 10x 3' v3 with 14 TotalSeq-B antibodies",
        "10x Genomics pbmc_10k_protein_v3",
        "https://www.10xgenomics.com/datasets/10-k-pbm-cs-from-a-healthy-donor-gene-expression-and-cell-surface-protein-3-standard-3-0-0",
        "CC BY 4.0",
        "10x Genomics, 10k PBMCs from a Healthy Donor with a Panel of TotalSeq-B Antibodies, 2018",
    ),
    Source(
        "bmmc",
        "bmmc_cite.h5mu",
        "human bone marrow of two donors, 10x 3' v3 with 134 TotalSeq-B antibodies",
        "GSE194122",
        "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE194122",
        _GEO,
        "Luecken et al., A sandbox for prediction and integration of DNA, RNA, and proteins in single cells, 2021",
    ),
    Source(
        "panel224",
        "pbmc_panel224_cite.h5mu",
        "human PBMC of two donors, 10x 3' v3 with 224 TotalSeq-A antibodies",
        "GSE164378",
        "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE164378",
        _GEO,
        "Hao et al., Integrated analysis of multimodal single-cell data, 2021",
    ),
    Source(
        "teaseq",
        "teaseq_cite.h5mu",
        "human PBMC, TEA-seq of nuclei and epitopes with 46 TotalSeq-A antibodies",
        "GSE158013",
        "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE158013",
        _GEO,
        "Swanson et al., Simultaneous trimodal single-cell measurement of transcripts, epitopes, and chromatin "
        "accessibility using TEA-seq, 2021",
    ),
)
LIMITS = (
    "human blood and marrow: cells of another tissue, which vary little in what it has learned (W071), get no proteins "
    "worth reading",
    "values are CLR over the union of the panels: their order among cells is told better than their level",
    "the four data sets are small (9,517 cells), from few healthy donors, and filtered to some genes",
    "matching single cells across laboratories is right for about one in a hundred; cell types are matched far better",
    "figures are of models of four of five sets asked about the fifth, preset fast, three seeds, with intervals that "
    "were not fitted across data sets, as those of this model are; bremsc was never trained on",
)


def main() -> None:
    """Read, fit, describe, save; without data, describe the model that is there anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "data", type=Path, nargs="?", help="folder of the data sets; none renews figures and limits alone"
    )
    parser.add_argument("--figures", type=Path, help="rows of `unisono-bench study left-out`, default preset")
    parser.add_argument("-o", "--out", type=Path, default=HERE / "src" / "unisono" / "pretrained" / NAME)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    figures = figures_of(arguments.figures) if arguments.figures else ()
    model, card = fitted(arguments.data) if arguments.data else stored(arguments.out)
    record = model.record.model_copy(update={"card": card.model_copy(update={"figures": figures, "limits": LIMITS})})
    un.Unisono(replace(model.fitted, record=record)).save(arguments.out, compact=True, force=True)
    size = sum(file.stat().st_size for file in arguments.out.iterdir()) / 1e6
    print(un.load(arguments.out))
    print(f"{size:.1f} MB in {arguments.out}")


def fitted(folder: Path) -> tuple[un.Unisono, Card]:
    """The model of the data sets in a folder, its intervals at fewer levels, and what it is made of."""
    data = [with_seen_genes(un.read(folder / source.file)) for source in SOURCES]
    names = [source.name for source in SOURCES]
    config = un.FitConfig.preset("default", seed=0, uncertainty={"across_data_sets": True})
    model = un.fit(data, names=names, batch_key="batch", config=config)
    intervals = {pair: widths.thinned(N_LEVELS) for pair, widths in model.fitted.intervals.items()}
    card = Card(
        title="Proteins from RNA, and RNA from proteins, of human blood and bone marrow",
        command=f"python tools/{Path(__file__).name} DATA",
        licence="CC BY 4.0; cite the data sets",
        data=tuple(described(source, mdata, folder / source.file) for source, mdata in zip(SOURCES, data, strict=True)),
    )
    return un.Unisono(replace(model.fitted, intervals=intervals)), card


def stored(folder: Path) -> tuple[un.Unisono, Card]:
    """The model in a folder, and its card."""
    model = un.load(folder)
    if model.record.card is None:
        raise SystemExit(f"{folder} has no card: give the folder of the data sets")
    return model, model.record.card


def with_seen_genes(mdata: MuData) -> MuData:
    """Without the genes that hardly any cell has."""
    rna = mdata["rna"]
    seen = np.asarray((rna.X > 0).mean(axis=0)).ravel() >= MIN_SEEN
    return MuData({name: part[:, seen].copy() if name == "rna" else part for name, part in mdata.mod.items()})


def described(source: Source, mdata: MuData, file: Path) -> DataSet:
    """The data set of a card."""
    cells = un.read_cells(mdata, batch_key="batch")
    return DataSet(
        name=source.name,
        what=source.what,
        accession=source.accession,
        url=source.url,
        licence=source.licence,
        citation=source.citation,
        n_cells=len(cells.names),
        fingerprint=un.fingerprint(cells),
        checksum=hashlib.sha256(file.read_bytes()).hexdigest(),
    )


def figures_of(file: Path) -> tuple[Figure, ...]:
    """Figures of models of the other data sets, over seeds."""
    rows = rows_of(json.loads(file.read_text(encoding="utf-8"))["results"]["rows"])
    rows = [row for row in rows if row["method"] == "unisono" and row["features"] == "shared"]
    n_sets = max(row["n_sets"] for row in rows)
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["n_sets"] == n_sets:
            what = f"{row['source']} → {row['target']} {row['figure']}"
            found.setdefault((row["held"], what), []).append(row["value"])
    return tuple(
        Figure(asked_about=held, what=what, value=float(np.mean(v)), low=min(v), high=max(v))
        for (held, what), v in found.items()
    )


if __name__ == "__main__":
    main()

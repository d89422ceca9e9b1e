"""Bad and odd inputs by the command line: each ends with its codes and words, and changes nothing on disk."""

from __future__ import annotations

import gzip
import hashlib
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import dask.array
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from inputs import (
    BARCODES,
    FILE,
    Make,
    asked,
    both,
    cell_names,
    cells,
    chunk_of,
    column,
    counts_in_a_layer,
    cut,
    data,
    doubled,
    feature_names,
    first,
    h5ad,
    hdf5,
    inside,
    log_normalised,
    matrix,
    matrix_folder,
    no_file,
    of_batch,
    part,
    peaks,
    pickled,
    query,
    raw_bytes,
    renamed_cells,
    setting,
    several,
    shortened,
    some,
    stored_as,
    table_of_text,
    tenx,
    text,
    turned,
    values,
    with_barcodes,
    with_peaks,
    zarr,
    zipped,
)
from model_fixtures import rebuilt, small_model, test_cells
from scipy import sparse
from test_cli import QUICK, as_toml

from unisono import cli
from unisono.io.open import open_data
from unisono.io.places import CountsAt
from unisono.io.read import Inspection, ReadOptions, inspect
from unisono.reading import check

CHECK, KEYED, LOOK = "check bad.h5mu", "check bad.h5mu --batch-key batch", "check bad.h5mu --model @model"
FIT = "fit bad.h5mu -o out --config @quick.toml --device cpu"
ASK = "predict @model bad.h5mu --from rna --to adt -o out.h5ad --device cpu"
ASK_ATAC = ASK.replace("rna", "atac")
ADAPT = "adapt @model bad.h5mu -o out --epochs 1 --device cpu"
MATCH = "match @model bad.h5mu --between rna,adt -o out.h5ad --device cpu"
ISOTYPES = ["IgG1_control", "Mouse-IgG2a"]
ODD = ["a b", "ü", "x\ny", "t\tt", "c,c", "<script>alert(1)</script>", "\x1b[31mred", "'"]
noise = np.random.default_rng(3).random((151, 60))


@dataclass(frozen=True)
class Row:
    """What is put in, what is typed, and what must come of it.

    Attributes:
        name: of the case.
        make: makes the input in the current folder.
        line: the command; @ stands for the folder with a model.
        codes: all codes on stderr, each as often as it is said; '' for none.
        says: parts of the text on stderr: file and modality, what was found, the remedy.
        code: of the exit.
        is_equal: whether the cells that are read, or what is predicted of them, are those of the usual input.
        is_long: whether it is run by `bench/faults` alone.
    """

    name: str
    make: Make
    line: str
    codes: str
    says: tuple[str, ...] = ()
    code: int = 2
    is_equal: bool = False
    is_long: bool = False


def refused(name: str, make: Make, line: str, codes: str, *says: str) -> Row:
    return Row(name, make, line, codes, says)


def accepted(name: str, make: Make, line: str, codes: str = "", *says: str, is_long: bool = False) -> Row:
    """Used, with a warning or a note where there are codes."""
    return Row(name, make, line, codes, says, code=0, is_long=is_long)


def equal(name: str, make: Make, line: str, codes: str = "", *says: str) -> Row:
    """Used, and the same as the usual input."""
    return Row(name, make, line, codes, says, code=0, is_equal=True)


PATHS = (
    refused(
        "a path that is missing",
        data(name="plain.h5mu"),
        "check plian.h5mu",
        "E001",
        "plian.h5mu: no such file",
        "Did you mean plain.h5mu?",
    ),
    refused(
        "a path that is missing, in fit",
        data(name="plain.h5mu"),
        "fit plian.h5mu -o out",
        "E001",
        "Did you mean plain.h5mu?",
    ),
    refused(
        "a folder that is missing", no_file, "check nowhere/x.h5mu", "E001", "The folder nowhere does not exist either"
    ),
    refused("a named file that is missing", no_file, "check rna=a.h5ad adt=b.h5ad", "E001", "a.h5ad: no such file"),
    refused(
        "a model that is missing",
        query(),
        ASK.replace("@model", "nowhere"),
        "E001",
        "nowhere: no such folder",
        "human-blood-cite",
    ),
    refused(
        "reference cells that are missing", query(), f"{ASK} --style nowhere.h5mu", "E001", "nowhere.h5mu: no such file"
    ),
    refused("aliases that are missing", query(), f"{ASK} --aliases nowhere.tsv", "E001", "nowhere.tsv"),
    refused(
        "an index that is missing",
        query(),
        "search @model nowhere bad.h5mu -o out.tsv --device cpu",
        "E001",
        "nowhere: no such file",
    ),
    refused(
        "a model to start from that is missing", data(), f"{FIT} --init nowhere", "E001", "nowhere: no such folder"
    ),
    refused(
        "the output's folder is missing",
        query(),
        ASK.replace("out.h5ad", "no/out.h5ad"),
        "E056",
        "does not exist",
        "mkdir -p",
    ),
    refused(
        "the output is there", both(query(), text(name="out.h5ad")), ASK, "E055", "out.h5ad: exists already", "--force"
    ),
)

FORMATS = (
    refused(
        "text called h5mu",
        text(),
        CHECK,
        "E002",
        "bad.h5mu: neither HDF5 nor zarr (starts with b'hello')",
        "give .h5mu",
    ),
    refused("text, in predict", text(), ASK, "E002", "bad.h5mu: neither HDF5 nor zarr"),
    refused("text, in convert", text(), "convert bad.h5mu -o out.zarr", "E002", "bad.h5mu: neither HDF5 nor zarr"),
    refused(
        "text without labels, in fit",
        both(data(), text(name="u.h5mu")),
        f"{FIT} --unlabelled u.h5mu",
        "E002",
        "u.h5mu: neither",
    ),
    refused("an empty file", text(""), CHECK, "E002", "bad.h5mu: neither HDF5 nor zarr (is empty)"),
    refused("a file cut off", cut(), CHECK, "E003", "bad.h5mu: damaged: file ends at", "download it again"),
    refused("a file cut off within its first bytes", cut(share=0.001), CHECK, "E003", "within its first blocks"),
    refused(
        "a chunk of zarr missing",
        zarr(lambda f: chunk_of(f, "mod/rna/X/data").unlink()),
        "check bad.zarr",
        "E004",
        "bad.zarr: mod/rna/X/data: 1 of 1 chunk files missing",
    ),
    refused(
        "a chunk of zarr cut off",
        zarr(lambda f: shortened(chunk_of(f, "mod/rna/X/data"))),
        "check bad.zarr",
        "E003",
        "bad.zarr: mod/rna/X: cannot be read, it may be damaged",
    ),
    refused(
        "a chunk of names cut off",
        zarr(lambda f: shortened(chunk_of(f, "mod/adt/obs/_index"))),
        "check bad.zarr",
        "E003",
        "mod/adt/obs/_index: cannot be read",
    ),
    refused(
        "zarr half written",
        zarr(lambda f: shutil.rmtree(f / "mod/rna/X")),
        "check bad.zarr",
        "E005",
        "bad.zarr, rna: has no X: an earlier write was interrupted",
    ),
    refused(
        "zarr without a modality",
        zarr(lambda f: shutil.rmtree(f / "mod")),
        "check bad.zarr",
        "E005",
        "holds no modality yet",
    ),
    refused(
        "zarr of one AnnData to learn from",
        h5ad(),
        "check bad.h5ad",
        "E008 I007",
        "bad.h5ad: training needs two modalities; found rna only",
        "rna=FILE adt=FILE",
    ),
    refused(
        "an object of Seurat",
        raw_bytes(gzip.compress(b"X\n" + bytes(20) + b"SeuratObject"), "bad.rds"),
        "check bad.rds",
        "E006",
        "bad.rds: holds a Seurat object of R",
        "write10xCounts",
    ),
    refused(
        "an object of R called h5mu",
        raw_bytes(gzip.compress(b"X\n" + bytes(20) + b"dgCMatrix")),
        CHECK,
        "E006",
        "bad.h5mu: holds an object of R",
    ),
    refused(
        "a loom file",
        hdf5(lambda f: [f.create_group(name) for name in ("matrix", "row_attrs", "col_attrs")], "bad.loom"),
        "check bad.loom",
        "E006",
        "is a loom file",
        "read_loom",
    ),
    refused(
        "an h5Seurat file",
        hdf5(lambda f: [f.create_group(name) for name in ("assays", "cell.names")]),
        "check bad.h5",
        "E006",
        "is an h5Seurat file",
    ),
    refused(
        "HDF5 of something else",
        hdf5(lambda f: f.create_group("weights")),
        "check bad.h5",
        "E006",
        "bad.h5: holds no counts that are known here (root has: weights)",
    ),
    refused(
        "gzipped HDF5",
        zipped("bad.h5mu.gz"),
        "check bad.h5mu.gz",
        "E006",
        "is a gzipped HDF5 file",
        "gunzip -k bad.h5mu.gz",
    ),
    refused(
        "gzipped HDF5 without the ending",
        zipped("good.h5mu"),
        "check good.h5mu",
        "E006",
        "good.h5mu: is a gzipped HDF5 file",
        "gunzip good.h5mu.gz",
    ),
    refused("an archive", raw_bytes(b"PK\3\4", "bad.zip"), "check bad.zip", "E006", "is an archive"),
    refused(
        "fragments",
        raw_bytes(gzip.compress(b"chr1\t1\t2\tA\t1\n"), "bad_fragments.tsv.gz"),
        "check bad_fragments.tsv.gz",
        "E006",
        "holds fragments, not counts",
    ),
    refused(
        "a pickle",
        pickled("bad.pkl"),
        "check bad.pkl",
        "E047",
        "bad.pkl: is a pickle, which can run code when read; refuses pickle",
    ),
    refused(
        "a pickle as model",
        both(query(), pickled("model.pt")),
        ASK.replace("@model", "model.pt"),
        "E047",
        "model.pt: is a file: refuses pickle",
    ),
    refused(
        "a folder of other things",
        both(lambda: Path("bad").mkdir(), text(name="bad/x.txt")),
        "check bad",
        "E002",
        "bad: a folder that holds no counts (holds x.txt)",
    ),
    refused("an empty folder", lambda: Path("bad").mkdir(), "check bad", "E002", "holds nothing"),
    refused(
        "a table of text without barcodes",
        text("gene,x,y\nA,1,2\n", "bad.csv"),
        "check bad.csv",
        "E002",
        "bad.csv: a table 1 x 2 of which neither side looks like barcodes",
    ),
    refused("a table of words", text("a,b\nc,d\n", "bad.csv"), "check bad.csv", "E002", "is no table of counts"),
    refused(
        "a table of one modality",
        text(table_of_text(BARCODES), "bad.csv"),
        "check bad.csv",
        "E008 I007",
        "read as rna",
        "found rna only",
    ),
    refused(
        "a matrix without barcodes",
        matrix_folder(lambda f: (f / "barcodes.tsv").unlink()),
        "check bad",
        "E002",
        "bad: has matrix.mtx and no barcodes.tsv",
    ),
    refused(
        "a matrix cut off",
        matrix_folder(lambda f: (f / "matrix.mtx").write_text((f / "matrix.mtx").read_text()[:400])),
        "check bad",
        "E003",
        "matrix.mtx: cannot be read as Matrix Market",
    ),
    refused(
        "barcodes below a header",
        matrix_folder(lambda f: (f / "barcodes.tsv").write_text("0\n" + (f / "barcodes.tsv").read_text())),
        "check bad",
        "E003",
        "152 barcodes (the first, '0', looks like a header)",
    ),
    refused(
        "an element of a newer anndata",
        inside(lambda f: f["mod/rna/X"].attrs.modify("encoding-type", "csr_matrix_v9")),
        CHECK,
        "E006",
        "bad.h5mu: mod/rna/X: is stored in a way that the installed anndata does not know",
        "pip install --upgrade anndata",
    ),
    refused(
        "positions beyond the matrix",
        inside(lambda f: f["mod/rna/X/indices"].__setitem__(3, 777)),
        CHECK,
        "E003",
        "bad.h5mu, rna: X is damaged: indices must be < 60",
    ),
    refused(
        "negative positions",
        inside(lambda f: f["mod/rna/X/indices"].__setitem__(3, -4)),
        CHECK,
        "E003",
        "indices must be >= 0",
    ),
    refused(
        "tables of two sizes",
        inside(lambda f: f["mod/rna/X"].attrs.modify("shape", [150, 60])),
        CHECK,
        "E003",
        "bad.h5mu: ",
        "must have as many rows",
    ),
    accepted("a file of one modality to be asked about", h5ad(name=FILE), ASK, ""),
)

MODALITIES = (
    refused(
        "modalities of unknown names",
        data(lambda m: {"gene stuff": m["rna"], "tags": m["adt"]}),
        CHECK,
        "E007 I007 I007",
        "bad.h5mu: no known modality; file has gene stuff, tags",
        "--modalities 'gene stuff=rna,tags=adt'",
    ),
    equal(
        "modalities of unknown names, named",
        data(lambda m: {"gene stuff": m["rna"], "tags": m["adt"]}),
        f"{CHECK} --modalities 'gene stuff=rna,tags=adt'",
    ),
    equal(
        "modalities under other names",
        data(lambda m: {"GEX": m["rna"], "prot": m["adt"]}),
        CHECK,
        "I007 I007",
        "bad.h5mu, prot: read as adt",
    ),
    equal(
        "chromatin called peaks, proteins protein",
        data(lambda m: ({"rna": m["rna"], "protein": m["adt"], "peaks": m["atac"]}), of=with_peaks),
        CHECK,
        "I007 I007",
        "peaks: read as atac",
    ),
    refused(
        "one kind twice",
        data(lambda m: {**m, "prot": m["adt"].copy()}),
        CHECK,
        "E007 I007",
        "modalities 'adt' and 'prot' both stand for adt",
        "--modalities rna=rna,adt=adt",
    ),
    refused(
        "a modality that is not there",
        data(),
        f"{CHECK} --modalities protein=adt,rna=rna",
        "E007 I007",
        "modality 'protein' not found; file has rna, adt",
        "--modalities adt=adt,rna=rna",
    ),
    refused(
        "a kind that is none",
        data(),
        f"{CHECK} --modalities rna=genes,adt=adt",
        "E007",
        "read as 'genes', which is no kind",
        "--modalities rna=rna,adt=adt",
    ),
    refused(
        "modalities that are no pairs",
        data(),
        f"{CHECK} --modalities rna",
        "E053",
        "--modalities: 'rna' is not NAME=KIND",
    ),
    refused(
        "one modality to learn from",
        data(lambda m: {"rna": m["rna"]}),
        FIT,
        "E008",
        "bad.h5mu: training needs two modalities; found rna only",
    ),
    refused(
        "a modality that no model has",
        query(),
        ASK.replace("--to adt", "--to cnv"),
        "E007",
        "modality 'cnv' is unknown",
        "use atac, rna or adt",
    ),
    refused(
        "a query without the modality",
        query(lambda m: {"adt": m["adt"]}),
        ASK,
        "E007",
        "bad.h5mu, rna: not found; the file has adt",
    ),
    refused(
        "one modality twice to match",
        query(),
        MATCH.replace("rna,adt", "rna,rna"),
        "E053",
        "does not name two modalities",
    ),
    refused(
        "a file of two genomes",
        tenx(
            [*(f"GRCh38_G{i}" for i in range(20)), *(f"mm10___G{i}" for i in range(20))],
            ["Gene Expression"] * 40,
            ["GRCh38"] * 20 + ["mm10"] * 20,
        ),
        "check bad.h5",
        "E008",
        "found rna only",
    ),
    accepted(
        "a file of three types of features",
        tenx(
            [f"G{i}" for i in range(60)] + [f"CD{i}" for i in range(8)],
            ["Gene Expression"] * 57 + ["CRISPR Guide Capture"] * 3 + ["Antibody Capture"] * 8,
        ),
        "check bad.h5",
        "I007 I007",
        "3 features of another type left out (CRISPR Guide Capture)",
        "57 genes as rna, 8 proteins as adt",
    ),
)

SIZES = (
    refused(
        "no cells",
        first(0),
        CHECK,
        "E009 E009",
        "bad.h5mu, rna: has 0 cells",
        "loosen the filter",
        "not usable: 2 errors",
    ),
    refused("no cells, in predict", first(0, asked), ASK, "E009", "bad.h5mu, rna: has 0 cells"),
    refused(
        "no cells on the right",
        both(h5ad(name="l.h5ad"), h5ad(lambda a: a[:0].copy(), "adt", "r.h5ad")),
        MATCH.replace("bad.h5mu", "l.h5ad r.h5ad"),
        "E009",
        "r.h5ad, adt: has 0 cells",
    ),
    refused(
        "no features", data(part("adt", lambda a: a[:, :0].copy())), CHECK, "E009", "bad.h5mu, adt: has 0 features"
    ),
    refused(
        "no counts at all",
        data(values("rna", lambda x: x * 0)),
        CHECK,
        "E009",
        "bad.h5mu, rna: none of 151 cells has counts",
    ),
    refused(
        "one cell to learn from",
        first(1),
        CHECK,
        "E046 E046 W044",
        "bad.h5mu, rna: 1 cells and 0 genes with counts cannot make a code",
    ),
    refused(
        "two cells, in fit", first(2), FIT, "E046 W021", "bad.h5mu, rna: 2 cells", "give 3 cells and 2 features or more"
    ),
    accepted(
        "three cells to learn from",
        first(3),
        CHECK,
        "W021 W044",
        "bad.h5mu: 3 cells have two modalities, 25 are needed to set some aside: nothing is validated",
    ),
    accepted(
        "five cells, in fit",
        first(5),
        FIT.replace("quick", "judged"),
        "W021 W044",
        "bad.h5mu: 5 cells have two modalities",
        "nothing is validated",
    ),
    accepted("20 cells to learn from", first(20), CHECK, "W044", "20 cells have two modalities, 25 are needed"),
    refused(
        "one antibody",
        data(part("adt", lambda a: a[:, :1].copy())),
        CHECK,
        "E046",
        "bad.h5mu, adt: 151 cells and 1 proteins with counts cannot make a code",
    ),
    refused(
        "one antibody, in fit",
        data(part("adt", lambda a: a[:, :1].copy())),
        FIT,
        "E046",
        "bad.h5mu, adt: 151 cells and 1 proteins",
    ),
    accepted(
        "two antibodies",
        data(part("adt", lambda a: a[:, :2].copy())),
        CHECK,
        "W046",
        "bad.h5mu, adt: 2 proteins: per-cell CLR of so few",
    ),
    accepted("a query of one cell", first(1, asked), ASK),
    accepted("a query of one cell, in match", first(1, asked), MATCH),
    accepted("a query of one cell, in embed", first(1, asked), "embed @model bad.h5mu -o out.h5mu --device cpu"),
    accepted("an index of one cell", first(1, asked), "index @model bad.h5mu --modality rna -o out --device cpu"),
    refused(
        "one cell, in evaluate",
        first(1, asked),
        "evaluate @model bad.h5mu -o out --no-report --device cpu",
        "E027",
        "bad.h5mu: fewer than two cells have two modalities",
    ),
    refused(
        "five cells, in calibrate",
        first(5, asked),
        "calibrate @model bad.h5mu -o out --device cpu",
        "E027",
        "bad.h5mu: too few cells have two modalities",
    ),
    accepted(
        "one cell to adapt to",
        query(several(of_batch("b9"), lambda m: m.update({k: p[:1].copy() for k, p in m.items()}))),
        ADAPT,
        "W032",
        "bad.h5mu: 1 new batches have fewer than 20 cells (first: b9, 1)",
    ),
    refused("a batch to adapt to that is known", query(), ADAPT, "E065", "all batches are known to the model (b1, b2)"),
)

PLACES = (
    refused(
        "a layer that is missing",
        data(),
        f"{CHECK} --layer counts",
        "E010 E010",
        "bad.h5mu, rna: layer 'counts' not in mdata['rna'].layers (has: X)",
        "--layer rna=X,adt=X",
    ),
    refused(
        "a layer of one modality alone",
        data(part("rna", counts_in_a_layer)),
        f"{CHECK} --layer counts",
        "E010",
        "bad.h5mu, adt: layer 'counts'",
        "--layer rna=counts,adt=X",
    ),
    equal("a layer of one modality, named", data(part("rna", counts_in_a_layer)), f"{CHECK} --layer rna=counts,adt=X"),
    refused(
        "a layer of an unknown modality",
        data(),
        f"{CHECK} --layer rana=X",
        "E007",
        "layer names rana; there are rna, adt",
    ),
    refused(
        "X is None",
        data(part("rna", lambda a: AnnData(obs=a.obs, var=a.var, layers={"counts": a.X}))),
        CHECK,
        "E011",
        "bad.h5mu, rna: mdata['rna'].X is None",
        "--layer rna=counts,adt=X",
    ),
    refused(
        "nothing anywhere",
        data(part("rna", lambda a: AnnData(obs=a.obs, var=a.var))),
        CHECK,
        "E011",
        "put raw counts into X",
    ),
)

VALUES = (
    refused(
        "one fraction",
        data(values("rna", setting((0, 0), 0.5))),
        CHECK,
        "E012",
        "bad.h5mu, rna: X: 1 of 4755 stored values are not integers",
        "cell cell0001-b1, feature GENE0001 = 0.5",
        "--round",
    ),
    refused(
        "fractions after ambient correction",
        data(values("rna", lambda x: np.maximum(x - 0.13 * noise, 0))),
        CHECK,
        "E012",
        "round them",
    ),
    accepted(
        "fractions, rounded",
        data(values("rna", lambda x: np.maximum(x - 0.13 * noise, 0))),
        f"{CHECK} --round",
        "I012",
        "stored values were rounded",
    ),
    refused(
        "counts per 10,000",
        data(values("rna", lambda x: 1e4 * x / x.sum(axis=1, keepdims=True))),
        CHECK,
        "E012",
        "multiples of one number in each cell: looks normalised by depth",
    ),
    refused(
        "log-normalised",
        data(values("rna", log_normalised)),
        CHECK,
        "E013",
        "bad.h5mu, rna: X: max 9.09, 0% integers: looks log1p-normalised",
    ),
    refused(
        "log-normalised, counts in a layer",
        data(part("rna", counts_in_a_layer)),
        CHECK,
        "E013",
        "read the raw counts at layers['counts']",
        "--layer rna=counts,adt=X",
    ),
    refused("log-normalised, in predict", query(values("rna", log_normalised)), ASK, "E013", "bad.h5mu, rna: X:"),
    refused(
        "scaled",
        data(values("rna", lambda x: (x - x.mean(axis=0)) / (x.std(axis=0) + 1))),
        CHECK,
        "E012 E014",
        "values < 0",
    ),
    refused(
        "one negative value",
        data(values("adt", setting((3, 2), -1))),
        CHECK,
        "E014",
        "bad.h5mu, adt: X: 1 values < 0 (min -1)",
        "cell cell0004-b2, feature ADT-GENE0006",
    ),
    refused(
        "one NaN",
        data(values("rna", setting((3, 2), np.nan))),
        CHECK,
        "E015",
        "1 of 4754 stored values are NaN (first: cell cell0004-b2, feature GENE0003 = nan)",
    ),
    refused(
        "one NaN, in fit",
        data(values("rna", setting((3, 2), np.nan))),
        FIT,
        "E015",
        "bad.h5mu, rna: X: 1 of 4754 stored values are NaN",
    ),
    refused(
        "one infinite value", data(values("rna", setting((3, 2), np.inf))), CHECK, "E016", "infinite or above 2^53"
    ),
    refused("a count above 2^53", data(values("rna", setting((3, 2), 2.0**60))), CHECK, "E016", "1.15292e+18"),
    refused(
        "faults in both modalities",
        data(several(values("adt", setting((1, 1), -2)), values("rna", setting((3, 2), np.nan)))),
        CHECK,
        "E014 E015",
        "bad.h5mu: not usable: 2 errors",
    ),
    refused(
        "faults in both modalities, in fit",
        data(several(values("adt", setting((1, 1), -2)), values("rna", setting((3, 2), np.nan)))),
        FIT,
        "E015",
        "(and 1 more; unisono check lists all)",
    ),
    equal(
        "duplicate entries",
        data(matrix("rna", doubled)),
        CHECK,
        "W017",
        "4754 duplicate entries summed",
        "usable: 1 warning",
    ),
    equal("stored by column", data(matrix("rna", lambda x: x.tocsc())), CHECK),
    equal("dense", data(matrix("rna", lambda x: x.toarray())), CHECK),
    equal("uint16", data(matrix("rna", lambda x: x.astype(np.uint16))), CHECK),
    equal("int64", data(matrix("rna", lambda x: x.astype(np.int64))), CHECK),
    equal("float64", data(matrix("rna", lambda x: x.astype(np.float64))), CHECK),
    equal("float16", data(matrix("rna", lambda x: x.toarray().astype(np.float16))), CHECK),
    equal("bytes in the other order", data(matrix("rna", lambda x: x.toarray().astype(">f4"))), CHECK),
    refused(
        "bool",
        data(matrix("rna", lambda x: x.astype(bool))),
        CHECK,
        "E018",
        "bad.h5mu, rna: X has dtype bool",
        "int32 or float32",
    ),
    refused("complex", data(matrix("rna", lambda x: x.astype(np.complex64))), CHECK, "E018", "X has dtype complex64"),
    refused(
        "counts stored as text",
        inside(stored_as(lambda x: np.full(len(x), b"1"))),
        CHECK,
        "E018",
        "bad.h5mu: mod/rna/X: has dtype |S1",
    ),
    refused(
        "structured counts",
        inside(stored_as(lambda x: np.zeros(len(x), dtype=[("a", "i4"), ("b", "f4")]))),
        CHECK,
        "E018",
        "mod/rna/X: has dtype",
    ),
    accepted(
        "counts above 65,535",
        data(values("adt", setting((0, 0), 70000))),
        CHECK,
        "W019",
        "bad.h5mu, adt: X: 1 of 1,208 counts exceed 65,535",
    ),
    accepted(
        "empty cells",
        data(values("rna", setting((slice(0, 3), slice(None)), 0))),
        CHECK,
        "W020",
        "3 of 151 cells have no counts in rna (first: cell0001-b1",
    ),
    accepted(
        "empty cells, in predict",
        query(values("rna", setting((slice(0, 3), slice(None)), 0))),
        ASK,
        "W020",
        "40 cells x 8 adt features",
    ),
    accepted(
        "genes of zeros",
        data(values("rna", setting((slice(None), slice(0, 4)), 0))),
        CHECK,
        "W021",
        "bad.h5mu, rna: 4 of 60 features have one value in every cell",
    ),
    accepted(
        "genes of twos, in fit",
        data(values("rna", setting((slice(None), slice(0, 4)), 2))),
        FIT,
        "W021",
        "4 of 60 features have one value in every cell",
    ),
    accepted(
        "a protein of 95 % zeros",
        data(values("adt", setting((slice(7, None), 0), 0))),
        CHECK,
        "W045",
        "bad.h5mu, adt: 1 (ADT-GENE0012) are 0 in more than 90 % of cells",
    ),
    accepted(
        "a cell with 90 % of all counts",
        data(values("rna", lambda x: np.vstack([x[:1] * 0 + 9 * x.sum() // 60, x[1:]]))),
        CHECK,
        "W080",
        "bad.h5mu, rna: cell cell0001-b1 holds 90% of all counts of 151 cells",
    ),
)

NAMES = (
    refused(
        "two features of one name",
        data(feature_names("rna", lambda n: [n[1], *n[1:]])),
        CHECK,
        "E022",
        "bad.h5mu, rna: var_names: 60 features, 59 unique names (first repeated: 'GENE0002' x2)",
        "var_names_make_unique()",
    ),
    refused(
        "two features of one name, in predict",
        query(feature_names("rna", lambda n: [n[1], *n[1:]])),
        ASK,
        "E022",
        "first repeated: 'GENE0002' x2",
    ),
    refused(
        "all cells of one name",
        data(cell_names(lambda n: ["cell"] * len(n))),
        CHECK,
        "E023 E023",
        "bad.h5mu, adt: obs_names: 151 cells, 1 unique names (first repeated: 'cell' x151): pairing is impossible",
        "not usable: 2 errors",
    ),
    refused(
        "all cells of one name, in fit",
        data(cell_names(lambda n: ["cell"] * len(n))),
        FIT,
        "E023",
        "151 cells, 1 unique names",
        "(and 1 more",
    ),
    refused(
        "two cells of one name",
        data(cell_names(lambda n: [n[1], *n[1:]], ["adt"])),
        CHECK,
        "E023",
        "bad.h5mu, adt: obs_names: 151 cells, 150 unique names",
    ),
    refused(
        "two cells of one name, in convert",
        data(cell_names(lambda n: [n[1], *n[1:]], ["adt"])),
        "convert bad.h5mu -o out.zarr",
        "E023",
        "first repeated: 'cell0002-b2' x2",
    ),
    accepted(
        "features of one name in two modalities",
        data(feature_names("adt", lambda n: [f"GENE{i:04d}" for i in range(1, 9)])),
        CHECK,
        "I024",
        "8 feature names in both (first: GENE0001)",
    ),
    equal(
        "spaces, ends of lines, tabs, commas and tags in names of cells",
        data(cell_names(lambda n: [f"{x} ü\t{i},{ODD[5]}\n" for i, x in enumerate(n)])),
        CHECK,
    ),
    accepted(
        "spaces, ends of lines, tabs, commas and tags in names of genes",
        data(feature_names("rna", lambda n: [*ODD, *n[8:]])),
        CHECK,
    ),
    accepted(
        "the same, in predict",
        query(feature_names("rna", lambda n: [*ODD, *n[8:]])),
        ASK,
        "W036",
        "8 of 60 features of the model are missing",
    ),
    accepted(
        "a gene without a name",
        data(feature_names("rna", lambda n: ["", *n[1:]])),
        CHECK,
        "W081",
        "bad.h5mu, rna: 1 of 60 features have no name (first: '', at place 0)",
    ),
    accepted(
        "a gene called NaN",
        data(feature_names("rna", lambda n: [*n[:5], np.nan, *n[6:]])),
        CHECK,
        "W081",
        "(first: 'nan', at place 5)",
    ),
    accepted(
        "a cell without a name",
        data(cell_names(lambda n: ["", *n[1:]])),
        CHECK,
        "W081 W081",
        "bad.h5mu, adt: 1 of 151 cells have no name",
    ),
    accepted(
        "genes called 0 to 59",
        data(feature_names("rna", lambda n: range(60))),
        CHECK,
        "W081",
        "features have default names 0..59",
    ),
    refused(
        "genes called 0 to 59, in predict",
        query(feature_names("rna", lambda n: range(60))),
        ASK,
        "E037",
        "bad.h5mu, rna: 0 % of rna features match; yours look like other names ('0')",
    ),
    equal("names of cells as categories", data(cell_names(lambda n: pd.CategoricalIndex(n))), CHECK),
    refused(
        "genes as rows",
        data(part("rna", turned)),
        CHECK,
        "E083",
        "bad.h5mu, rna: looks transposed: the first row, a cell, is called 'GENE0001'",
        "adata.T.copy()",
    ),
    refused(
        "features as rows everywhere",
        data(lambda m: {name: turned(p) for name, p in m.items()}),
        CHECK,
        "E083 E083",
        "bad.h5mu, adt: looks transposed",
    ),
    refused(
        "barcodes as columns",
        h5ad(lambda a: turned(with_barcodes(a))),
        "check bad.h5ad",
        "E008 E083 I007",
        "bad.h5ad, rna: looks transposed",
    ),
    refused(
        "genes as rows, in predict", query(part("rna", turned)), ASK, "E083 W029", "bad.h5mu, rna: looks transposed"
    ),
    accepted(
        "controls among antibodies",
        data(feature_names("adt", lambda n: [*n[:6], *ISOTYPES])),
        CHECK,
        "W045",
        "bad.h5mu, adt: 2 (IgG1_control, Mouse-IgG2a) look like controls or sample tags: left out",
        "--keep-controls",
    ),
    accepted(
        "controls among antibodies, in fit",
        data(feature_names("adt", lambda n: [*n[:6], *ISOTYPES])),
        FIT,
        "W045",
        "adt 6 proteins",
    ),
    equal("controls among antibodies, kept", data(), f"{CHECK} --keep-controls"),
    accepted(
        "antibodies that are all controls",
        data(feature_names("adt", lambda n: [f"IgG1 control {i}" for i in range(8)])),
        CHECK,
        "W045",
        "all 8 (IgG1 control 0",
        "kept, as there is nothing else",
    ),
    accepted(
        "control probes and spike-ins among genes",
        data(
            feature_names(
                "rna", lambda n: ["NegControlProbe_00042", "BLANK_0001", "antisense_PROKR2", "ERCC-00002", *n[4:]]
            )
        ),
        CHECK,
        "W045",
        "bad.h5mu, rna: 4 (NegControlProbe_00042, BLANK_0001, antisense_PROKR2, ERCC-00002) look like controls",
    ),
    accepted(
        "genes of two genomes",
        data(feature_names("rna", lambda n: [f"{'GRCh38_' if i % 2 else 'mm10___'}{x}" for i, x in enumerate(n)])),
        CHECK,
        "W082",
        "bad.h5mu, rna: genes are of 2 genomes",
    ),
)

PAIRS = (
    equal(
        "cells in another order",
        data(part("adt", lambda a: a[::-1].copy())),
        CHECK,
        "I025",
        "adt is in another order than rna; joined by name (151 cells)",
    ),
    accepted(
        "more left than right cells",
        some({"rna": slice(0, 151), "adt": slice(0, 60)}),
        CHECK,
        "W026",
        "60 of 151 cells paired; 91 used as unpaired (in rna only: 91, in adt only: 0)",
    ),
    accepted(
        "more right than left cells",
        some({"rna": slice(0, 60), "adt": slice(0, 151)}),
        CHECK,
        "W026",
        "(in rna only: 0, in adt only: 91)",
    ),
    refused(
        "no cell with two modalities",
        some({"rna": slice(0, 80), "adt": slice(80, 151)}),
        CHECK,
        "E027",
        "bad.h5mu, rna and adt: no shared cell names: rna 'cell0001-b1', adt 'cell0081-b1'.",
    ),
    refused(
        "no cell with two modalities, in fit",
        some({"rna": slice(0, 80), "adt": slice(80, 151)}),
        FIT,
        "E027",
        "no shared cell names",
    ),
    refused(
        "names of one modality end otherwise",
        data(renamed_cells({"rna": "_run2"})),
        CHECK,
        "E027",
        "rna without the last part and adt as they are would share 151 of 151",
        "obs_names = ...",
    ),
    equal(
        "names that end in their modality",
        data(renamed_cells({"rna": "_rna", "adt": "_adt"})),
        CHECK,
        "W027",
        "paired with rna 'cell0001-b1_rna' read as 'cell0001-b1'",
    ),
    refused(
        "cells called 0 to 150",
        data(cell_names(lambda n: range(len(n)))),
        CHECK,
        "E028",
        "rna and adt have default cell names 0..n",
        "obs_names = barcodes",
    ),
    refused(
        "two data sets that share no feature",
        both(
            data(name="a.h5mu"),
            data(
                several(
                    feature_names("adt", lambda n: [f"P{i}x" for i in range(8)]),
                    feature_names("rna", lambda n: [f"zz{i}" for i in range(60)]),
                )
            ),
        ),
        FIT.replace("bad.h5mu", "a.h5mu bad.h5mu"),
        "E069",
        "shares 0% of its features with the other data sets",
    ),
    refused(
        "two data sets of one name",
        both(data(name="a.h5mu"), data()),
        FIT.replace("bad.h5mu", "x=a.h5mu x=bad.h5mu"),
        "E053",
        "two data sets are called x",
    ),
)

BATCHES = (
    refused(
        "no such column",
        data(),
        f"{CHECK} --batch-key Batsch",
        "E029",
        "batch_key 'Batsch' in none of mdata.obs, rna.obs, adt.obs (closest: 'batch' in rna.obs)",
        "--batch-key batch",
    ),
    refused(
        "no such column, in match", query(), f"{MATCH} --within donor", "E029", "bad.h5mu, rna: no obs column 'donor'"
    ),
    refused(
        "no such column, in calibrate",
        query(),
        "calibrate @model bad.h5mu -o out --by donor --device cpu",
        "E029",
        "bad.h5mu, atac: no obs column 'donor'",
    ),
    refused(
        "batches that differ between modalities",
        data(column(lambda b: ["b9"] * 5 + list(b[5:]), ["adt"])),
        KEYED,
        "E030",
        "batch differs between tables for 5 cells (first: cell0001-b1 is 'b1' in rna.obs, 'b9' in adt.obs)",
    ),
    refused(
        "cells without a batch",
        data(column(lambda b: [None] * 5 + list(b.astype(str)[5:]))),
        KEYED,
        "E031",
        "5 cells without batch (first: cell0001-b1; 5 in rna, 5 in adt)",
    ),
    accepted(
        "a batch of two cells",
        data(column(lambda b: ["x"] * 2 + list(b.astype(str)[2:]))),
        KEYED,
        "I029 W032",
        "1 levels of batch have fewer than 3 cells (first: x, 2)",
    ),
    accepted("one batch", data(column(lambda b: ["x"] * len(b))), KEYED, "I029", "1 levels (x)"),
    accepted(
        "batches as floats", data(column(lambda b: np.where(b == "b1", 1.0, 2.0))), KEYED, "I029", "2 levels (1, 2)"
    ),
    accepted(
        "batches as bool", data(column(lambda b: (b == "b1").to_numpy())), KEYED, "I029", "2 levels (False, True)"
    ),
    accepted(
        "categories that no cell has",
        data(column(lambda b: pd.Categorical(b, categories=["b1", "b2", "b3"]))),
        KEYED,
        "I029",
        "2 levels (b1, b2)",
    ),
    accepted(
        "numbers in one modality, text in the other",
        data(
            several(
                column(lambda b: np.where(b == "b1", 1, 2), ["rna"]),
                column(lambda b: np.where(b == "b1", "1", "2"), ["adt"]),
            )
        ),
        KEYED,
        "I029",
        "2 levels (1, 2)",
    ),
    accepted(
        "a batch of its own for each cell",
        data(column(lambda b: list(b.index))),
        KEYED,
        "I029 W032",
        "151 levels of batch have fewer than 3 cells",
    ),
    accepted(
        "a new batch",
        query(of_batch("b9")),
        ASK,
        "W034",
        "bad.h5mu, rna: 1 batches were not in training (first: 'b9'; training had b1, b2)",
    ),
    accepted(
        "no column of the batch, in predict",
        query(lambda m: {k: AnnData(p.X, obs=pd.DataFrame(index=p.obs_names), var=p.var) for k, p in m.items()}),
        ASK,
        "W029 W034",
        "bad.h5mu: no column 'batch', which named the batches in training",
    ),
    refused(
        "a style that is no batch",
        query(),
        f"{ASK} --style b7",
        "E031",
        "style 'b7' is no training batch of adt (they are: b1, b2)",
    ),
    refused(
        "no group on both sides",
        query(column(lambda b: ["x"] * len(b), ["rna"])),
        f"{MATCH} --within batch",
        "E057 W034",
        "no group of the left cells is on the right (first: 'x', 'b1')",
    ),
)

FEATURES = (
    equal("genes in another order, in predict", query(part("rna", lambda a: a[:, ::-1].copy())), ASK, "W017"),
    accepted(
        "genes in another order, in check",
        query(part("rna", lambda a: a[:, ::-1].copy())),
        LOOK,
        "I029 I035 W017",
        "bad.h5mu, rna: features are in another order than the model's",
    ),
    accepted(
        "nine genes missing",
        query(part("rna", lambda a: a[:, 9:].copy())),
        ASK,
        "W036",
        "9 of 60 features of the model are missing (first: GENE0001, GENE0002, GENE0003), and with them 16%",
    ),
    refused(
        "all but two genes missing",
        query(part("rna", lambda a: a[:, :2].copy())),
        ASK,
        "E036",
        "58 of 60 features of the model are missing",
        "continue with --force",
    ),
    accepted(
        "all but two genes missing, forced",
        query(part("rna", lambda a: a[:, :2].copy())),
        f"{ASK} --force",
        "W020 W036",
        "take the result with caution",
    ),
    refused(
        "genes of another species",
        query(feature_names("rna", lambda n: [f"ENSMUSG{i:011d}" for i in range(60)])),
        ASK,
        "E037",
        "yours look like Ensembl mouse identifiers",
        "nothing is matched by place",
    ),
    refused(
        "as many genes of other names",
        query(feature_names("rna", lambda n: [f"other{i}" for i in range(60)])),
        ASK,
        "E037",
        "bad.h5mu, rna: 0 % of rna features match",
    ),
    refused(
        "proteins for genes",
        h5ad(kind="adt"),
        ASK.replace("bad.h5mu", "bad.h5ad"),
        "E036",
        "bad.h5ad, rna: 52 of 60 features of the model are missing",
    ),
    refused(
        "peaks elsewhere",
        query(
            feature_names("atac", lambda n: [f"chr9:{10**8 + 1000 * i}-{10**8 + 1000 * i + 500}" for i in range(90)])
        ),
        ASK_ATAC,
        "E039",
        "bad.h5mu, atac: no peak of 90 overlaps any of the model's 90",
        "count the query's fragments over the model's peaks",
    ),
    refused(
        "peaks whose chromosomes are named otherwise",
        query(feature_names("atac", lambda n: [x.removeprefix("chr") for x in n])),
        ASK_ATAC,
        "E039",
        "the query names its chromosomes like '1', the model like 'chr1'",
    ),
    equal(
        "peaks in three spellings",
        query(
            feature_names(
                "atac", lambda n: [(x, x.replace(":", "-"), re.sub("[:-]", "_", x))[i % 3] for i, x in enumerate(n)]
            )
        ),
        ASK_ATAC,
    ),
    accepted(
        "peaks of length zero to learn from",
        data(feature_names("atac", lambda n: ["chr1:700-700", *n[1:]]), of=with_peaks),
        CHECK,
        "W040",
        "bad.h5mu, atac: 1 of 90 names are not chr:start-end with start before end (first: 'chr1:700-700')",
    ),
    accepted(
        "peaks from end to start to learn from",
        data(feature_names("atac", lambda n: ["chr1:700-600", *n[1:]]), of=with_peaks),
        CHECK,
        "W040",
        "(first: 'chr1:700-600')",
    ),
    accepted(
        "peaks without a place to learn from",
        data(feature_names("atac", lambda n: [*n[:4], "chr1:nan-nan", *n[5:]]), of=with_peaks),
        CHECK,
        "W040",
        "(first: 'chr1:nan-nan'): queries with other peaks cannot be compared",
    ),
    accepted(
        "chr1 and 1 in one set, in fit",
        data(
            feature_names("atac", lambda n: [x.removeprefix("chr") if i % 2 else x for i, x in enumerate(n)]),
            of=with_peaks,
        ),
        FIT,
        "W040",
        "chromosomes are named in two ways ('chr1' and '1')",
    ),
    accepted(
        "peaks that overlap to learn from",
        data(peaks(lambda i: f"chr1:{100 * i + 1}-{100 * i + 500}"), of=with_peaks),
        CHECK,
        "I040",
        "89 of 90 peaks overlap one before them",
    ),
    accepted(
        "peaks of two genomes to learn from",
        data(
            feature_names("atac", lambda n: [("GRCh38_" if i % 2 else "mm10_") + x for i, x in enumerate(n)]),
            of=with_peaks,
        ),
        CHECK,
        "W082",
        "peaks are of 2 genomes (mm10 45, GRCh38 45)",
    ),
    refused(
        "peaks that have no place, in predict",
        query(feature_names("atac", lambda n: [f"peak{i}" for i in range(90)])),
        ASK_ATAC,
        "E040",
        "bad.h5mu, atac: 90 of 90 names are not chr:start-end",
    ),
)

OPTIONS = (
    refused(
        "a device that is not there",
        query(),
        ASK.replace("--device cpu", "--device cuda:9"),
        "E052",
        "device: 'cuda:9' cannot be used",
        "cpu",
    ),
    refused("a seed that is no number", data(), f"{FIT} --seed x", "E053", "'--seed'"),
    refused(
        "a preset that is none",
        data(),
        f"{FIT} --preset fastest",
        "E053",
        "--preset: preset 'fastest' unknown, expected one of fast, default, best",
    ),
    refused(
        "a field that is none",
        both(data(), text("n_kodes = 3\n", "bad.toml")),
        "fit bad.h5mu -o out --config bad.toml",
        "E053",
        "bad.toml: n_kodes",
    ),
    refused("an interval above 1", query(), f"{ASK} --interval 2", "E053", "interval=2.0 is no coverage"),
    accepted(
        "cells of training, in evaluate",
        data(of=with_peaks),
        "evaluate @model bad.h5mu -o out --no-report --device cpu",
        "W064",
        "151 of 151 test cells were training cells of this model",
        is_long=True,
    ),
)

ROWS = (*PATHS, *FORMATS, *MODALITIES, *SIZES, *PLACES, *VALUES, *NAMES, *PAIRS, *BATCHES, *FEATURES, *OPTIONS)


def first_of_each(rows: Sequence[Row]) -> list[Row]:
    """The rows by which a code is first said, or a command first given, but those that take long: the quick part."""
    seen: set[str] = set()
    found = []
    for row in rows:
        tells = {*row.codes.split(), row.line.split()[0]}
        if not row.is_long and not tells <= seen:
            seen |= tells
            found.append(row)
    return found


def pytest_generate_tests(metafunc):
    """All rows for `bench/faults`."""
    if "row" in metafunc.fixturenames:
        rows = ROWS if metafunc.config.getoption("full") else first_of_each(ROWS)
        metafunc.parametrize("row", rows, ids=lambda row: row.name)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with a fitted model and two configs."""
    folder = tmp_path_factory.mktemp("store")
    small_model().save(folder / "model")
    (folder / "quick.toml").write_text(as_toml(QUICK))
    (folder / "judged.toml").write_text(as_toml(QUICK | {"validation": {"fraction": 0.1}}))
    return folder


def on_disk() -> dict[str, tuple[str, int]]:
    """Each file and folder below the current one, with its hash and when it was changed."""
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "", path.stat().st_mtime_ns)
        for path in sorted(Path().rglob("*"))
    }


def ended(line: str, store: Path, monkeypatch, capsys) -> tuple[int | str, str]:
    """The exit code, or the name of what was raised, and the text on stderr."""
    words = [word.replace("@", f"{store}/") for word in shlex.split(line)]
    monkeypatch.setattr(sys, "argv", ["unisono", *words])
    code: int | str = "no exit"
    try:
        cli.main()
    except SystemExit as end:
        code = end.code
    except Exception as error:  # what a user would see as a traceback
        code = f"traceback {type(error).__name__}: {error}"
    return code, capsys.readouterr().err


def codes_in(printed: str) -> str:
    """The codes of all lines, in order of the alphabet."""
    return " ".join(sorted(re.findall(r"^([EWI]\d{3}) ", printed, re.MULTILINE)))


def numbers_of(row: Row) -> object:
    """What tells an input from another: what was predicted of it, or the counts of its cells as fit reads them."""
    if row.line.startswith("predict"):
        return np.round(anndata.read_h5ad("out.h5ad").X, 4).tolist()
    names = {"gene stuff": "rna", "tags": "adt"} if "tags" in row.line else None
    layer = {"rna": "counts"} if "counts" in row.line else None
    options = ReadOptions(
        modalities=names, counts=CountsAt(layer), keeps_controls="--keep" in row.line, is_training=True
    )
    return _counts(inspect(open_data(Path(FILE))[0], options))


def usual(row: Row) -> object:
    """The same of the usual input."""
    if row.line.startswith("predict"):
        source = row.line.split("--from ")[1].split(" ")[0]
        return np.round(small_model().predict(test_cells(), source, "adt").X, 4).tolist()
    return _counts(
        inspect(rebuilt(with_peaks() if "chromatin" in row.name else cells()), ReadOptions(is_training=True))
    )


def _counts(found: Inspection) -> dict[str, list[list[int]]]:
    """Of each modality, cells in an order that is that of no file."""
    return {m: sorted(view.counts.toarray().tolist()) for m, view in found.views.items()}


def test_bad_input_ends_with_its_codes_and_changes_nothing(row, store, record, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    row.make()
    before = on_disk()
    code, printed = ended(row.line, store, monkeypatch, capsys)
    found = codes_in(printed)
    errors = [line for line in printed.splitlines() if re.match(r"E\d{3} ", line)]
    after = {path: state for path, state in on_disk().items() if code != 0 or not path.startswith("out")}
    seen = {
        "code": code == row.code,
        "codes": found == row.codes,
        "words": all(part in printed for part in row.says),
        "remedies": all(" Fix: " in line for line in errors),
        "one line": row.line.startswith("check") or len(errors) == (code != 0),
        "disk": after == before,
        "numbers": not row.is_equal or numbers_of(row) == usual(row),
    }
    told = f"{code}, {found or 'nothing said'}" if isinstance(code, int) else code
    record("bad input", row.name, f"{'accepted' if code == 0 else 'refused'}: {told}", all(seen.values()))
    assert all(seen.values()), f"{[name for name, is_so in seen.items() if not is_so]}: {told}\n{printed}"


def with_genes(x: Any) -> dict[str, AnnData]:
    """The usual cells, with another matrix of genes."""
    parts = cells()
    return parts | {"rna": AnnData(x, obs=parts["rna"].obs, var=parts["rna"].var)}


IN_MEMORY = {
    "values of Python": (lambda x: x.toarray().astype(object), "E018"),
    "dask": (lambda x: dask.array.from_array(x.toarray(), chunks=50), ""),
    "a sparse array": (sparse.csr_array, ""),
    "a matrix in the order of Fortran": (lambda x: np.asfortranarray(x.toarray()), ""),
}


@pytest.mark.parametrize("name", IN_MEMORY)
def test_objects_in_memory_are_read_whatever_holds_their_counts(name, record):
    convert, codes = IN_MEMORY[name]
    mdata = rebuilt(with_genes(convert(cells()["rna"].X)))
    found = inspect(mdata, ReadOptions(is_training=True))
    said = " ".join(finding.code for finding in found.findings)
    is_right = said == codes and (
        codes != "" or _counts(found) == _counts(inspect(rebuilt(cells()), ReadOptions(is_training=True)))
    )
    record("bad input", f"{name} in memory", said or "accepted", is_right)
    assert is_right, said


def test_a_view_is_read_and_left_as_it_is(record):
    whole = cells()
    mdata = rebuilt({kind: each[::2] for kind, each in whole.items()})
    before = mdata["rna"].X.toarray()
    found = inspect(mdata, ReadOptions(is_training=True))
    is_right = bool((mdata["rna"].X.toarray() == before).all()) and len(found.cells.names) == 76
    record("bad input", "a view in memory", "accepted", is_right)
    assert is_right


def test_a_backing_file_that_is_gone_is_named(tmp_path, record):
    whole = cells()
    whole["rna"].write_h5ad(tmp_path / "rna.h5ad")
    backed = anndata.read_h5ad(tmp_path / "rna.h5ad", backed="r")
    mdata = rebuilt({"rna": backed, "adt": whole["adt"]})
    backed.file.close()
    (tmp_path / "rna.h5ad").unlink()
    report = check(mdata)
    said = " ".join(finding.code for finding in report.findings)
    record("bad input", "a backing file that is gone", said, said == "E042")
    assert said == "E042"

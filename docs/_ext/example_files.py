"""What the blocks of the pages need: small files in the folder in which a page runs, and the command line."""

from __future__ import annotations

import shlex
import sys
import warnings
from unittest.mock import patch

import h5py
import numpy as np
from scipy import sparse

_SMALL = {
    "n_members": 1,
    "max_epochs": 6,
    "n_codes": 16,
    "architecture": {"content_dim": 8, "style_dim": 4, "n_channels": 4, "n_tokens": 5},
    "preprocessing": {"codings": {"rna": ("blend",)}, "offset_shares": (0.0, 1.0), "scale_powers": (0.0, 1.0)},
    "linear_path": {"max_repeats": 2},
    "kernel": {"sharpnesses": (1.0,), "shrinkage_strengths": (0.0, 0.5), "shrinkage_priors": (4.0,)},
    "matching": {"depth_weights": (1.0,)},
    "refit_below": 0,
}
"""What the presets are in the examples, of which no figure is looked at."""


def small() -> None:
    """Have presets fit in a second: pages are to show what is typed and what comes back, on some hundred cells."""
    from unisono import config

    for preset in ("fast", "default"):
        config._PRESETS[preset] = _SMALL


def write() -> None:
    """10x files of RNA, and of RNA and proteins, two .h5ad of other cells, and a MuData of three modalities."""
    import unisono as un

    warnings.filterwarnings("ignore", category=FutureWarning)  # of libraries among themselves
    known = un.load("human-blood-cite").fitted.preprocessors["rna"].projection
    rng = np.random.default_rng(0)
    kinds = known.loadings[:, :5] / np.abs(known.loadings[:, :5]).max(axis=0)  # what tells cells of blood apart
    rates = known.fraction * np.exp(2 * kinds @ rng.choice([-1, 1], size=(5, 60))).T
    blood = rng.poisson(6000 * rates * rng.gamma(0.5, 2, size=rates.shape))
    cells = [f"AAAC{i}-1" for i in range(len(blood))]
    genes = list(known.features)
    _write_tenx("filtered_feature_bc_matrix.h5", blood, cells, genes, ["Gene Expression"] * len(genes))
    mdata = un.datasets.simulate(n_cells=300, n_genes=120, n_peaks=200, n_proteins=10, seed=0)
    both = [mdata[name][:200] for name in ("rna", "adt")]
    types = ["Gene Expression"] * 120 + ["Antibody Capture"] * 10
    counts = sparse.hstack([part.X for part in both]).toarray()
    _write_tenx(
        "my_cite.h5", counts, list(both[0].obs_names), [name for part in both for name in part.var_names], types
    )
    for name in ("rna", "adt"):
        mdata[name][200:].copy().write_h5ad(f"my_{name}.h5ad")
    mdata[:240].copy().write_h5mu("DATA.h5mu")
    mdata[240:].copy().write_h5mu("QUERY.h5mu")


def shell(lines: str) -> None:
    """Run the commands of a shell block, each `unisono ...`, in this process, which has imported what they need."""
    from unisono.cli.application import main

    for line in lines.replace("\\\n", " ").splitlines():
        if not (words := shlex.split(line, comments=True)):
            continue
        if words[0] != "unisono":
            raise ValueError(f"{line!r} is no command of unisono; mark a block that is only shown as bash or console")
        with warnings.catch_warnings(), patch.object(sys, "argv", words):
            try:
                main()
            except SystemExit as ended:
                if ended.code:
                    raise RuntimeError(f"{line!r} ended with {ended.code}") from None


def _write_tenx(path: str, counts: np.ndarray, cells: list[str], features: list[str], types: list[str]) -> None:
    """The layout that Cell Ranger writes: features by cells, by columns."""
    matrix = sparse.csc_matrix(np.asarray(counts).T.astype(np.int32))
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = np.array(matrix.shape)
        group["barcodes"] = np.array(cells, dtype="S")
        table = group.create_group("features")
        for name, values in {"id": features, "name": features, "feature_type": types}.items():
            table[name] = np.array(values, dtype="S")
        table["genome"] = np.array(["GRCh38"] * len(features), dtype="S")

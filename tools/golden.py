"""Makes tests/golden: a small model, a query and its answers, with which later versions are compared.

    python tools/golden.py [-o tests/golden]

Make it anew where a change moves the figures on purpose, or where the format of model folders changes. Prints by how
much the stored figures moved, which belongs into the changelog.
"""

from __future__ import annotations

import argparse
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

import unisono as un

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
N_TRAINING, N_QUERY = 113, 23
DIRECTIONS = (("rna", "adt"), ("adt", "rna"), ("atac", "rna"))
CONFIG: dict[str, Any] = {
    "n_members": 2,
    "n_codes": 7,
    "max_epochs": 4,
    "architecture": {"content_dim": 5, "style_dim": 2, "n_channels": 3, "n_tokens": 4},
    "preprocessing": {"codings": {"rna": ("blend",)}, "offset_shares": (0.0, 1.0), "scale_powers": (0.0,)},
    "linear_path": {"max_repeats": 1},
    "kernel": {"sharpnesses": (1.0,), "shrinkage_strengths": (0.0, 0.5), "shrinkage_priors": (4.0,), "max_cells": 60},
    "matching": {"depth_weights": (0.5, 1.5), "n_anchors": 60},
}
"""Small sizes, so that the folder is small and a fit takes seconds."""


def simulated() -> MuData:
    """The cells of training and query, 136 of two batches with 31 genes, 37 peaks, 6 proteins."""
    return un.datasets.simulate(
        n_cells=N_TRAINING + N_QUERY, n_genes=31, n_peaks=37, n_proteins=6, batch_effect=0.8, seed=13
    )


def part(mdata: MuData, rows: slice) -> MuData:
    """Some cells of every modality."""
    return joined({m: AnnData(table.X[rows], table.obs[["batch"]][rows]) for m, table in mdata.mod.items()}, mdata)


def joined(tables: dict[str, AnnData], like: MuData | None = None) -> MuData:
    """Tables as one MuData, with the names of features of another."""
    for m, table in tables.items():
        if like is not None:
            table.var_names = like[m].var_names
    with mudata.set_options(pull_on_update=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MuData(tables)


def fitted() -> un.Unisono:
    """The reference model, fitted anew."""
    training = part(simulated(), slice(0, N_TRAINING))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", un.InputWarning)
        return un.fit(training, batch_key="batch", config=un.FitConfig.preset("default", **CONFIG), device="cpu")


def as_document(query: MuData) -> dict[str, Any]:
    """A query as JSON has it."""
    return {
        m: {
            "cells": list(table.obs_names),
            "batch": [str(name) for name in table.obs["batch"]],
            "features": list(table.var_names),
            "counts": table.X.toarray().astype(int).tolist(),
        }
        for m, table in query.mod.items()
    }


def from_document(document: dict[str, Any]) -> MuData:
    """The query that a document holds."""
    tables = {}
    for m, one in document.items():
        obs = pd.DataFrame({"batch": one["batch"]}, index=one["cells"])
        counts = sparse.csr_matrix(np.array(one["counts"], dtype=np.float32))
        tables[m] = AnnData(counts, obs, pd.DataFrame(index=one["features"]))
    return joined(tables)


def answers(model: un.Unisono, query: MuData) -> dict[str, np.ndarray]:
    """What the model answers: predictions and how new cells are, intervals, embeddings, matchings, by name."""
    found: dict[str, np.ndarray] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", un.InputWarning)
        for source, target in DIRECTIONS:
            said = model.predict(query, source=source, target=target, interval=0.8)
            found[f"{source} to {target}"] = said.X
            found[f"{source} to {target}, lower"] = said.layers["lower"]
            found[f"novelty of {source}"] = said.obs["unisono_novelty"].to_numpy()
        for a, b, depth in (("rna", "adt", False), ("atac", "rna", True)):
            links = model.match(query[a], query[b], depth=depth).to_anndata()
            found[f"{a} matched with {b}"] = links.X.toarray()
            found[f"{a} unmatched with {b}"] = links.obs["p_unmatched"].to_numpy()
        placed = model.embed(joined({m: table.copy() for m, table in query.mod.items()}))
        for m, table in placed.mod.items():
            found[f"embedding of {m}"] = table.obsm["X_unisono"]
    return found


def figures(model: un.Unisono) -> dict[str, float]:
    """What the fit says of itself, and how well it does on the query."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = un.evaluate(model, part(simulated(), slice(N_TRAINING, None)))
    last = model.record.validation
    return {
        "validation, correlation": last.correlation,
        "validation, FOSCTTM": last.foscttm,
        **{f"{a} to {b}, pearson": scores.value(a, b, "pearson") for a, b in DIRECTIONS if b != "atac"},
        "rna with adt, FOSCTTM": scores.value("rna", "adt", "foscttm"),
    }


def stored(folder: Path = GOLDEN) -> dict[str, Any]:
    """What the folder holds: `query`, `answers`, `figures`, `total_counts` and `versions`."""
    document: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return document


def write(folder: Path) -> None:
    """Fit, answer, and replace what is in the folder."""
    model, mdata = fitted(), simulated()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save(folder / "model", compact=True)
    query = part(mdata, slice(N_TRAINING, None))
    found = answers(un.load(folder / "model", device="cpu"), query)
    document = {
        "command": "python tools/golden.py",
        "versions": model.record.versions,
        "total_counts": {m: int(table.X.sum()) for m, table in mdata.mod.items()},
        "figures": {name: round(float(value), 6) for name, value in figures(model).items()},
        "query": as_document(query),
        "answers": {name: np.round(values.astype(float), 5).tolist() for name, values in found.items()},
    }
    (folder / "expected.json").write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def main() -> None:
    """Make the folder anew, and tell what moved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=GOLDEN)
    out = parser.parse_args().out
    before = stored(out) if (out / "expected.json").is_file() else None
    write(out)
    after = stored(out)
    for name, value in after["figures"].items():
        was = "" if before is None else f"{before['figures'].get(name, float('nan')):.4f} → "
        print(f"{name}: {was}{value:.4f}")


if __name__ == "__main__":
    main()

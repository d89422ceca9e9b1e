"""Cells, and a method that is a few lines, for the tests of methods."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
from scipy import sparse

import unisono as un
from unisono_bench.published import Published
from unisono_bench.published.environment import environment
from unisono_bench.published.exchange import MatchingRequest, PredictionRequest, Request

GENES = ["CD4", "MS4A1", "CD3E", "NKG7", "ACTB", "CD19", "LYZ", "GNLY", "KIT", "CD8A", "CD8B"]
PROTEINS = ["CD4-1", "CD20", "CD3", "IgG1-control", "CD8"]


def view(modality: str, features: list[str], n_cells: int, seed: int, prefix: str) -> un.View:
    rng = np.random.default_rng(seed)
    counts = sparse.csr_matrix(rng.poisson(2.0, (n_cells, len(features))))
    cells = np.asarray([f"{prefix}{i}" for i in range(n_cells)])
    batch = np.asarray(["s1" if i % 3 else "s2" for i in range(n_cells)])
    return un.View(modality, counts, cells, np.asarray(features), batch)


def both(n_cells: int, seed: int, prefix: str) -> un.Cells:
    return un.Cells(
        {"rna": view("rna", GENES, n_cells, seed, prefix), "adt": view("adt", PROTEINS, n_cells, seed + 1, prefix)}
    )


def small_request(*, n_predict: int = 7, n_match: int = 6, seed: int = 0) -> Request:
    query, pairs = both(n_predict, 20, "query-"), both(n_match, 30, "pair-")
    return Request(
        both(13, 10, "learn-"),
        predictions=(PredictionRequest(query.views["rna"], "adt"), PredictionRequest(query.views["adt"], "rna")),
        matchings=(MatchingRequest(pairs.views["rna"], pairs.views["adt"]),),
        seed=seed,
    )


def fake_method(folder: Path, code: str, requirements: str = "# nothing\n", variant: str = "") -> Published:
    """A method of this script and these pins."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fake.txt").write_text(requirements)
    (folder / "fake.py").write_text("VERSIONS = ('numpy', 'no-such-thing')\n" + code)
    return Published("fake", folder / "fake.txt", folder / "fake.py", environment="fake", variant=variant)


def cache_with_numpy(folder: Path) -> Path:
    """A cache whose environment for no pins finds the libraries of the environment that runs the tests."""
    folder.mkdir(parents=True, exist_ok=True)
    nothing = folder / "nothing.txt"
    nothing.write_text("# nothing\n")
    python = environment("fake", nothing, cache=folder)
    assert isinstance(python, Path), python
    (packages,) = python.parent.parent.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder

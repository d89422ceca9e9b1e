"""Make the panel of counts by which a download of pbmc10k_cite is told, from a file that holds a part of it.

    python tools/panel_of_counts.py pbmc10k_cite.h5mu

Cells and genes are drawn with a fixed seed, genes among those that one in twenty cells has; all proteins are taken.
Names that the annotation of the source gives to two genes are left out, as they are told apart by place alone.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np

import unisono as un
from unisono.datasets.panel import FOLDER, digest_of

N_CELLS, N_GENES, MIN_SEEN = 200, 200, 0.05
TWICE = {"TBCE", "PINX1", "HSPA14", "MATR3", "COG8", "SCO2", "SOD2", "RGS5", "EMG1", "IGF2", "ABCF2", "DIABLO", "GGT1"}
PLAIN = re.compile(r"[A-Z]+[0-9]*[A-Z]?[0-9]*")


def main() -> None:
    """Draw, digest, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    mdata = un.read(file)
    rng = np.random.default_rng(0)
    seen = np.asarray((mdata["rna"].X > 0).mean(axis=0)).ravel() >= MIN_SEEN
    genes = [name for name in mdata["rna"].var_names[seen] if PLAIN.fullmatch(name) and name not in TWICE]
    features = {"rna": sorted(rng.choice(genes, N_GENES, replace=False)), "adt": list(mdata["adt"].var_names)}
    cells = sorted(rng.choice(mdata.obs_names, N_CELLS, replace=False))
    panel = {"fingerprint": digest_of(mdata, cells, features), "cells": cells, "features": features}
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{file.stem}.json"
    target.write_text(json.dumps(panel, indent=0) + "\n", encoding="utf-8")
    print(f"{target}: {panel['fingerprint']}")


if __name__ == "__main__":
    main()

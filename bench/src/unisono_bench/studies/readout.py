"""Which genes drive which peaks and proteins in a fitted model, held against the genome and the names of proteins.

    python benchmarks/readout.py --data snareseq_cortex --out docs/benchmarks/readout
    python benchmarks/readout.py --data pbmc10k_cite --out docs/benchmarks/readout
    python benchmarks/readout.py --data snareseq_cortex --model MODEL ANOTHER

Data are read as in main_job.py, starts of transcription from annotation/ beside them. A model is fitted for each seed
on all cells, or loaded. Beside the networks stand two plain ways to the same effects:

- ridge: least squares of every target feature on the codes that the networks read;
- correlation: of every gene with every peak or protein over cells, on the scale of predictions; asks no model.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData
from sklearn.linear_model import RidgeCV
from written import DATA, write_report

import unisono as un
from unisono.config import FitConfig
from unisono.interpretation.enrichment import Effects, Enrichment, cis_enrichment, cis_pairs
from unisono_bench.peers.links import protein_links
from unisono.interpretation.feature_effects import FeatureEffects, steps_of
from unisono.model.unisono import Unisono
from unisono.io.read import cells_from_mudata, read_mudata
from unisono.preprocessing.projection import on_scale
from unisono.types import Cells, View

BATCH = {"snareseq_cortex": "batch"}
STARTS = {"snareseq_cortex": "mm10"}
WAYS = ("networks", "ridge", "correlation")
N_TOP = 10
MOVED = 5_000_000
"""Base pairs that genes are moved by, as a control: no pair is left that lies together, so figures fall to chance."""

Row = dict[str, object]


def main() -> None:
    """Read out every model, print and write the tables."""
    arguments = parsed()
    mdata = read_mudata(DATA / f"{arguments.data}.h5mu")
    cells, _ = cells_from_mudata(mdata, batch_key=BATCH.get(arguments.data))
    shared = np.flatnonzero(np.all([cells.rows[m] >= 0 for m in cells.modalities], axis=0))
    cells = cells.take(shared)
    judge = chromatin if "atac" in cells.modalities else proteins
    if arguments.model:
        models = {name: un.load(name, device="cpu") for name in arguments.model}
    else:
        models = {f"seed {seed}": fitted(mdata, arguments, seed) for seed in range(arguments.seeds)}
    results = judge(arguments.data, models, cells)
    text = (chromatin_table if judge is chromatin else protein_table)(results)
    shares = {label: kernel_shares(model) for label, model in models.items()}
    found = {"kernel_shares_not_read_out": shares, "rows": results}
    write_report(arguments.out, arguments.data, f"Read-out: {arguments.data}", text, found)


def parsed() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="snareseq_cortex", selection=("snareseq_cortex", "pbmc10k_cite"))
    parser.add_argument("--model", nargs="*", help="folders of fitted models, in place of fits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--epochs", type=int, help="at most so many, in place of the preset's")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def kernel_shares(model: Unisono) -> dict[str, float]:
    """What part of each prediction is the kernel's."""
    return {"->".join(pair): round(closed_form.share, 3) for pair, closed_form in model.closed_form.items()}


def fitted(mdata: MuData, arguments: argparse.Namespace, seed: int) -> Unisono:
    """A model of all cells."""
    changes = {"seed": seed} | ({"max_epochs": arguments.epochs} if arguments.epochs else {})
    config = FitConfig.preset(arguments.preset, **changes)
    return un.fit(mdata, batch_key=BATCH.get(arguments.data), config=config)


def effects_by_ridge(found: FeatureEffects, model: Unisono, cells: Cells) -> FeatureEffects:
    """Least squares of every target feature on the codes, in place of the networks and their loadings."""
    source, target = model.preprocessors[found.source], model.preprocessors[found.target]
    x = source.read(cells.views[found.source]).x.astype(np.float64)
    penalty = RidgeCV(alphas=np.logspace(-2, 5, 8)).fit(x, target.read(cells.views[found.target]).x).alpha_
    centred = x - x.mean(axis=0)
    moments = np.asarray(on_scale(cells.views[found.target]).T @ centred)
    weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), moments.T)
    steps = steps_of(source, cells.views[found.source])
    return replace(found, pushes=steps, loadings=weights.T.astype(np.float32))


def correlation(source: View, target: View) -> np.ndarray:
    """Of every source feature with every target feature over cells, within batches: source x target."""
    batches = [np.flatnonzero(source.batch == name) for name in np.unique(source.batch)]
    (x, y), total = (on_scale(view).astype(np.float64).tocsr() for view in (source, target)), 0.0
    squares = [0.0, 0.0]
    for rows in batches:
        means = [np.asarray(part[rows].mean(axis=0)).ravel() for part in (x, y)]
        total = total + (x[rows].T @ y[rows]).toarray() - len(rows) * np.outer(*means)
        for side, part in enumerate((x, y)):
            of_part = np.asarray(part[rows].multiply(part[rows]).sum(axis=0)).ravel()
            squares[side] = squares[side] + of_part - len(rows) * means[side] ** 2
    roots = [np.sqrt(np.maximum(of_side, 1e-12)) for of_side in squares]
    total /= roots[0][:, None]
    total /= roots[1]
    return total


def standardised(dense: np.ndarray, n_rounds: int = 20) -> np.ndarray:
    """As `Effects.standardised`, of effects that have no factors."""
    dense = dense.copy()
    for _ in range(n_rounds):
        dense -= dense.mean(axis=1, keepdims=True)
        dense -= dense.mean(axis=0)
        for axis in (1, 0):
            roots = np.sqrt(np.square(dense).mean(axis=axis, keepdims=True))
            dense /= np.where(roots > 0, roots, 1.0)
    return dense


def chromatin(name: str, models: dict[str, Unisono], cells: Cells) -> list[Row]:
    """Enrichment of neighbours in both directions, effects as they are and standardised."""
    starts = pd.read_csv(DATA / "annotation" / f"{STARTS[name]}_tss_symbol.tsv.gz", sep="\t")
    rows, (genes, peaks) = [], (cells.views[m].features for m in ("rna", "atac"))
    pairs = cis_pairs(genes.tolist(), peaks.tolist(), starts)
    raw = correlation(cells.views["rna"], cells.views["atac"])
    for kind, effects in (("raw", raw), ("standardised", standardised(raw))):
        found = cis_enrichment(lambda g, p, of=effects: of[g, p], pairs, np.random.default_rng(0))
        rows.append({"model": "", "direction": "none", "way": "correlation", "effects": kind, **asdict(found)})
    for label, model in models.items():
        for source, target in (("rna", "atac"), ("atac", "rna")):
            found = model.feature_effects_of(cells.views[source], target)
            for way, feature_effects in (("networks", found), ("ridge", effects_by_ridge(found, model, cells))):
                made = enrichments(feature_effects, starts)
                about = {"model": label, "direction": f"{source}->{target}", "way": way}
                rows += [{**about, "effects": kind, **asdict(one)} for kind, one in made.items()]
    return rows


def enrichments(feature_effects: FeatureEffects, starts: pd.DataFrame) -> dict[str, Enrichment]:
    """Of the effects as they are, standardised, and standardised with all genes moved along their chromosomes."""
    sides = {feature_effects.source: (feature_effects.source_features, feature_effects.pushes)}
    sides[feature_effects.target] = feature_effects.target_features, feature_effects.loadings
    (genes, of_genes), (peaks, of_peaks) = sides["rna"], sides["atac"]
    effects, moved = Effects(of_genes, of_peaks), starts.assign(tss=starts["tss"] + MOVED)
    fair = effects.standardised()
    kinds = {
        "raw": (effects, starts),
        "standardised": (fair, starts),
        f"standardised, genes moved by {MOVED / 1e6:.0f} Mb": (fair, moved),
    }
    return {
        kind: cis_enrichment(one.of, cis_pairs(genes.tolist(), peaks.tolist(), table), np.random.default_rng(0))
        for kind, (one, table) in kinds.items()
    }


def proteins(name: str, models: dict[str, Unisono], cells: Cells) -> list[Row]:
    """For each protein, the genes with the largest positive effects and the place of its own."""
    rows = []
    for label, model in models.items():
        found = model.feature_effects_of(cells.views["rna"], "adt")
        genes = found.source_features
        chosen = pd.Index(cells.views["rna"].features).get_indexer(pd.Index(genes))
        ways = {
            "networks": found.effects(),
            "ridge": effects_by_ridge(found, model, cells).effects(),
            "correlation": correlation(cells.views["rna"], cells.views["adt"])[chosen],
        }
        links = protein_links(found.target_features.tolist(), genes.tolist())
        for place, protein in enumerate(found.target_features.tolist()):
            own = [gene for linked, gene in links if linked == protein]
            for way, effects in ways.items():
                order = np.argsort(-effects[:, place], kind="stable")
                rank = {gene: 1 + int(np.flatnonzero(genes[order] == gene)[0]) for gene in own}
                about = {"model": label, "way": way, "protein": protein, "n_genes": len(genes)}
                rows.append({**about, "rank_of_own": rank, "top": genes[order[:N_TOP]].tolist()})
    return rows


def chromatin_table(rows: list[Row]) -> str:
    """A line for each direction, way and kind of effects: the mean over models, and the range of the AUROC."""
    lines = [
        "| direction | way | effects | pairs | mean, cis | mean, matched | AUROC (min–max) | AUROC of absolute effects "
        "| among the top 1 % | largest p | largest p, absolute |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for key, part in pd.DataFrame(rows).groupby(["direction", "way", "effects"], sort=False):
        mean, low, high = part.mean(numeric_only=True), part["auroc"].min(), part["auroc"].max()
        lines.append(
            f"| {' | '.join(key)} | {mean['n_pairs']:.0f} | {mean['mean']:.3g} | {mean['matched_mean']:.3g} "
            f"| {mean['auroc']:.4f} ({low:.4f}–{high:.4f}) | {mean['absolute_auroc']:.4f} | {mean['top_ratio']:.2f} "
            f"| {part['p'].max():.3f} | {part['absolute_p'].max():.3f} |"
        )
    return "\n".join(lines) + "\n"


def protein_table(rows: list[Row]) -> str:
    """A line for each protein: the rank of its own gene by each way, model by model, and the first model's genes."""
    frame, lines = pd.DataFrame(rows), ["| protein | genes | networks | ridge | correlation | top 10 of the networks |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for protein, part in frame.groupby("protein", sort=False):
        ranks = [", ".join(_ranks(r) for r in part.loc[part["way"] == way, "rank_of_own"]) for way in WAYS]
        first = part[part["way"] == "networks"].iloc[0]
        own = ", ".join(first["rank_of_own"]) or "not among the genes"
        lines.append(f"| {protein} | {own} | {' | '.join(ranks)} | {', '.join(first['top'])} |")
    return "\n".join(lines) + f"\n\nRanks are among {frame['n_genes'].iloc[0]:,} genes, one entry a model.\n"


def _ranks(of_genes: dict[str, int]) -> str:
    return "/".join(str(rank) for rank in of_genes.values()) or "–"


if __name__ == "__main__":
    main()

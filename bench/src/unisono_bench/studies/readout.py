"""Which genes drive which peaks and proteins in a fitted model, held against the genome and the names of proteins.

Starts of transcription are read from annotation/ in the folder UNISONO_DATA. A model is fitted for each seed on all
cells. The networks are compared with two plain ways to the same effects:

- ridge: least squares of every target feature on the codes that the baselines read;
- correlation: of every gene with every peak or protein over cells, on the scale of predictions; asks no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV

import unisono as un
from unisono_bench.baselines.codes import InputCodes
from unisono_bench.published.links import protein_links
from unisono_bench.studies.cells import data_folder, read
from unisono_bench.studies.enrichment import Effects, Enrichment, cis_enrichment, cis_pairs
from unisono_bench.studies.report import Row, Settings, Study

if TYPE_CHECKING:
    from mudata import MuData

BATCH = {"snareseq_cortex": "batch"}
STARTS = {"snareseq_cortex": "mm10"}
WAYS = ("networks", "ridge", "correlation")
DIRECTIONS: tuple[tuple[str, str], ...] = (("rna", "atac"), ("atac", "rna"))
N_TOP, N_CODES = 10, 50
MOVED = 5_000_000
"""Base pairs that genes are moved by, as a control: no pair is left that lies together, so figures fall to chance."""


def measure(settings: Settings) -> dict[str, list[Row]]:
    """Fit and read out; one data set at a time."""
    (name,) = settings.data
    mdata = read(name)
    cells = un.read_cells(mdata, batch_key=BATCH.get(name))
    cells = cells.take(np.flatnonzero(np.all([cells.rows[m] >= 0 for m in cells.modalities], axis=0)))
    models = {}
    for seed in range(settings.n_seeds):
        config = un.FitConfig.preset(settings.preset, seed=seed)
        models[f"seed {seed}"] = un.fit(mdata, batch_key=BATCH.get(name), config=config)
    rows = chromatin(name, models, mdata, cells) if "atac" in cells.modalities else proteins(models, mdata, cells)
    return {"rows": rows}


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """The table of peaks, or that of proteins."""
    return (protein_table if "protein" in results["rows"][0] else chromatin_table)(results["rows"])


def effects_by_ridge(found: Any, cells: un.Cells) -> Any:
    """Least squares of every target feature on low-rank codes, in place of the networks and their loadings."""
    source, target = cells.views[found.source], cells.views[found.target]
    codes = InputCodes.fit(source, N_CODES, 0)
    x = codes.standardised(source).astype(np.float64)
    y = InputCodes.fit(target, N_CODES, 0).standardised(target)
    penalty = RidgeCV(alphas=np.logspace(-2, 5, 8)).fit(x, y).alpha_
    centred = x - x.mean(axis=0)
    moments = np.asarray(un.preprocessing.on_scale(target).T @ centred)
    weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), moments.T)
    steps = codes.deviation(source)[:, None] * (codes.basis / codes.standardisation.scale)
    rows = pd.Index(source.features).get_indexer(pd.Index(found.source_features))
    columns = pd.Index(target.features).get_indexer(pd.Index(found.target_features))
    return replace(found, pushes=steps[rows].astype(np.float32), loadings=weights.T[columns].astype(np.float32))


def correlation(source: un.View, target: un.View) -> np.ndarray:
    """Of every source feature with every target feature over cells, within batches: source x target."""
    x, y = (un.preprocessing.on_scale(view).astype(np.float64).tocsr() for view in (source, target))
    total = np.zeros((x.shape[1], y.shape[1]))
    squares = [np.zeros(part.shape[1]) for part in (x, y)]
    for name in np.unique(source.batch):
        rows = np.flatnonzero(source.batch == name)
        means = [np.asarray(part[rows].mean(axis=0)).ravel() for part in (x, y)]
        total += (x[rows].T @ y[rows]).toarray() - len(rows) * np.outer(*means)
        for of_side, part, mean in zip(squares, (x, y), means, strict=True):
            of_side += np.asarray(part[rows].multiply(part[rows]).sum(axis=0)).ravel() - len(rows) * mean**2
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


def chromatin(name: str, models: dict[str, un.Unisono], mdata: MuData, cells: un.Cells) -> list[Row]:
    """Enrichment of neighbours in both directions, effects as they are and standardised."""
    starts = pd.read_csv(data_folder() / "annotation" / f"{STARTS[name]}_tss_symbol.tsv.gz", sep="\t")
    rows, (genes, peaks) = [], (cells.views[m].features for m in ("rna", "atac"))
    pairs = cis_pairs(genes.tolist(), peaks.tolist(), starts)
    raw = correlation(cells.views["rna"], cells.views["atac"])
    for kind, effects in (("raw", raw), ("standardised", standardised(raw))):
        made = cis_enrichment(partial(_at, effects), pairs, np.random.default_rng(0))
        rows.append({"model": "", "source": "", "target": "", "way": "correlation", "effects": kind, **asdict(made)})
    for label, model in models.items():
        for source, target in DIRECTIONS:
            found = model.feature_effects(mdata, source, target)
            for way, feature_effects in (("networks", found), ("ridge", effects_by_ridge(found, cells))):
                about = {"model": label, "source": source, "target": target, "way": way}
                kinds = enrichments(feature_effects, starts)
                rows += [{**about, "effects": kind, **asdict(one)} for kind, one in kinds.items()]
    return rows


def _at(effects: np.ndarray, genes: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """The effect of each pair, of effects that have no factors."""
    return np.asarray(effects[genes, peaks])


def enrichments(feature_effects: Any, starts: pd.DataFrame) -> dict[str, Enrichment]:
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


def proteins(models: dict[str, un.Unisono], mdata: MuData, cells: un.Cells) -> list[Row]:
    """For each protein, the genes with the largest positive effects and the place of its own."""
    rows = []
    for label, model in models.items():
        found = model.feature_effects(mdata, "rna", "adt")
        genes = found.source_features
        chosen = pd.Index(cells.views["rna"].features).get_indexer(pd.Index(genes))
        ways = {
            "networks": found.effects(),
            "ridge": effects_by_ridge(found, cells).effects(),
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
    frame = pd.DataFrame(rows)
    frame["direction"] = [f"{s}->{t}" if s else "none" for s, t in zip(frame["source"], frame["target"], strict=True)]
    for key, part in frame.groupby(["direction", "way", "effects"], sort=False):
        mean, low, high = part.mean(numeric_only=True), part["auroc"].min(), part["auroc"].max()
        lines.append(
            f"| {' | '.join(map(str, key))} | {mean['n_pairs']:.0f} | {mean['mean']:.3g} | {mean['matched_mean']:.3g} "
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


STUDY = Study("Read-out: {data}", ("snareseq_cortex", "pbmc10k_cite"), "fast", measure, tell, is_apart=True)

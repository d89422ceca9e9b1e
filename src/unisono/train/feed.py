"""Feed: mini-batches of freshly thinned training cells; every draw comes from the epoch's own generator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.nn.objective import Batch, ViewBatch
from unisono.transforms.standardise import Standardisation
from unisono.transforms.transform import Counts, Transform
from unisono.types import Modality


@dataclass(frozen=True, eq=False)
class Voice:
    """One modality of the training cells, ready to be thinned and projected.

    Attributes:
        counts: of the cells that have the modality.
        rows: row in `counts` of every training cell, -1 where it lacks the modality.
        target: scaled codes of the full counts, zero where missing.
        offset: offset of each cell's batch, zero where missing.
        log_size: log of the factor that carries a value on the modality's scale back to counts.
    """

    transform: Transform
    standardisation: Standardisation
    counts: Counts
    rows: NDArray[np.intp]
    target: NDArray[np.float32]
    offset: NDArray[np.float32]
    log_size: NDArray[np.float32]

    @property
    def has(self) -> NDArray[np.bool_]:
        return self.rows >= 0

    @property
    def code_weight(self) -> NDArray[np.float32]:
        """Weights that make squared errors of scaled codes add up to 1 for the mean of all cells."""
        scale = self.standardisation.scale
        variance = (self.target[self.has].astype(np.float64) ** 2).mean(axis=0)
        return (scale**2 / (scale**2 * variance).sum()).astype(np.float32)


def make_voice(
    transform: Transform, standardisation: Standardisation, counts: Counts, rows: NDArray[np.intp]
) -> Voice:
    """A modality's counts with all that does not change from epoch to epoch."""
    scaled = standardisation.scaled(transform.codes(counts))
    offset = standardisation.offset_of(scaled, counts.batch)
    return Voice(
        transform=transform,
        standardisation=standardisation,
        counts=counts,
        rows=rows,
        target=spread(scaled, rows),
        offset=spread(offset, rows),
        log_size=spread(log_size(transform.modality, counts), rows),
    )


def log_size(modality: Modality, counts: Counts) -> NDArray[np.float32]:
    """log(total / 10,000) for rna, mean log1p count for adt, 0 for atac: what normalisation divided by, logged."""
    if modality == "rna":
        return np.log(np.maximum(counts.total, 1.0) / 1e4).astype(np.float32)
    if modality == "adt":
        logs = counts.selected.astype(np.float32).log1p()
        return (np.asarray(logs.sum(axis=1)).ravel() / counts.selected.shape[1]).astype(np.float32)
    return np.zeros(counts.n_cells, dtype=np.float32)


def spread(values: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Values of a view's cells put in the order of all cells; zero for cells without the modality."""
    result = np.zeros((len(rows), *values.shape[1:]), dtype=np.float32)
    result[rows >= 0] = values[rows[rows >= 0]]
    return result


def epoch_batches(
    voices: Mapping[Modality, Voice],
    technical: NDArray[np.intp],
    config: FitConfig,
    rng: np.random.Generator,
    device: torch.device,
) -> Iterator[Batch]:
    """One pass over the training cells: thinned anew, features sampled anew, each member in an order of its own."""
    low, high = config.thinning
    views: dict[Modality, ViewBatch] = {}
    for modality, voice in voices.items():
        counts = voice.counts if low == high == 1.0 else voice.counts.thinned(low, high, rng)
        scaled = spread(voice.standardisation.scaled(voice.transform.codes(counts)), voice.rows)
        n_features = len(voice.transform.selected)
        sampled = np.sort(rng.permutation(n_features)[: config.n_sampled_features])
        seen = voice.counts.selected[:, sampled].toarray().astype(np.float32)
        views[modality] = ViewBatch(
            x=_tensor(np.where(voice.has[:, None], scaled - voice.offset, 0.0), device),
            depth=_tensor(spread(voice.standardisation.scaled_depth(counts.log_depth), voice.rows), device),
            offset=_tensor(voice.offset, device),
            target=_tensor(voice.target, device),
            counts=_tensor(spread(seen > 0 if modality == "atac" else seen, voice.rows), device),
            features=torch.as_tensor(voice.transform.selected[sampled], device=device),
            log_size=_tensor(voice.log_size, device),
            has=torch.as_tensor(voice.has, device=device),
            code_weight=_tensor(voice.code_weight, device),
        )
    orders = [_order(technical, rng) for _ in range(config.n_members)]
    n_steps = -(-len(technical) // config.batch_size)
    steps = [np.array_split(order, n_steps) for order in orders]
    for step in zip(*steps, strict=True):
        cells = np.stack(step)
        peer = np.stack([_peers(technical[row], rng) for row in cells])
        index = torch.as_tensor(cells, device=device)
        yield Batch(
            views={m: _gather(view, index) for m, view in views.items()},
            technical=torch.as_tensor(technical[cells], device=device),
            peer=torch.as_tensor(peer, device=device),
        )


def _order(technical: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Cells shuffled, those of a technical batch side by side: they are each other's negatives."""
    shuffled = rng.permutation(len(technical))
    place = rng.permutation(int(technical.max()) + 1)
    return shuffled[np.argsort(place[technical[shuffled]], kind="stable")]


def _peers(technical: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """For each position another one of the same technical batch, drawn as one cycle through each batch."""
    peer = np.arange(len(technical))
    for name in np.unique(technical):
        members = rng.permutation(np.flatnonzero(technical == name))
        peer[members] = np.roll(members, 1)
    return peer


def _gather(view: ViewBatch, index: torch.Tensor) -> ViewBatch:
    return ViewBatch(
        x=view.x[index],
        depth=view.depth[index],
        offset=view.offset[index],
        target=view.target[index],
        counts=view.counts[index],
        features=view.features,
        log_size=view.log_size[index],
        has=view.has[index],
        code_weight=view.code_weight,
    )


def _tensor(values: NDArray[np.floating], device: torch.device) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float32), device=device)

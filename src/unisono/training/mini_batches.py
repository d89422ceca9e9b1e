"""Mini-batches of freshly thinned training cells; every draw comes from the epoch's own generator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.modalities import spec_of
from unisono.nn.objective import Batch, ViewBatch
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.preprocessing.projection import Counts
from unisono.training.views import TrainingView
from unisono.types import Modality


def log_size(preprocessor: Preprocessor, counts: Counts) -> NDArray[np.float32]:
    """What normalisation divided by, logged; log total within the batch for a modality whose values are log odds."""
    log_size_of = spec_of(preprocessor.modality).log_size
    if log_size_of is None:
        return preprocessor.standardisation.relative_depth(counts.log_depth, counts.batch)
    return log_size_of(counts.selected, counts.total)


class MiniBatches:
    """Mini-batches of the training cells, epoch by epoch; what does not change between epochs is kept on the device."""

    def __init__(
        self,
        views: Mapping[Modality, TrainingView],
        technical: NDArray[np.intp],
        config: FitConfig,
        device: torch.device,
    ) -> None:
        self._views = views
        self._technical = technical
        self._config = config
        self._device = device
        self._lasting = {m: self._lasting_columns(view) for m, view in views.items()}

    @property
    def steps_per_epoch(self) -> int:
        """As many as the batch size gives; where cells are few `min_steps_per_epoch`, if each has enough cells."""
        n_cells, config = len(self._technical), self._config
        at_least = min(config.min_steps_per_epoch, n_cells // config.min_cells_per_step)
        return max(-(-n_cells // config.batch_size), at_least)

    def epoch(self, number: int) -> Iterator[Batch]:
        """One pass over the cells: thinned anew, features sampled anew, each member in an order of its own."""
        rng = np.random.default_rng([self._config.seed, number])
        features = {m: self._sampled_features(view, rng) for m, view in self._views.items()}
        columns = {m: self._lasting[m] | self._drawn_columns(view, features[m], rng) for m, view in self._views.items()}
        orders = [_order(self._technical, rng) for _ in range(self._config.n_members)]
        steps = [np.array_split(order, self.steps_per_epoch) for order in orders]
        for step in zip(*steps, strict=True):
            cells = np.stack(step)
            permuted = np.stack([_permuted(self._technical[row], rng) for row in cells])
            index = torch.as_tensor(cells, device=self._device)
            yield Batch(
                views={m: self._view_batch(m, features[m], columns[m], index) for m in self._views},
                technical=torch.as_tensor(self._technical[cells], device=self._device),
                permuted=torch.as_tensor(permuted, device=self._device),
            )

    def _lasting_columns(self, view: TrainingView) -> dict[str, torch.Tensor]:
        """What stays the same from epoch to epoch, one row per cell."""
        return {
            "offset": self._tensor(view.scatter(view.codes.offset)),
            "target": self._tensor(view.scatter(view.codes.scaled)),
            "log_size": self._tensor(view.scatter(log_size(view.preprocessor, view.counts))),
            "has": torch.as_tensor(view.has, device=self._device),
        }

    def _sampled_features(self, view: TrainingView, rng: np.random.Generator) -> NDArray[np.intp]:
        """Positions among the selected features."""
        n_features = len(view.preprocessor.projection.selected)
        return np.sort(rng.permutation(n_features)[: self._config.n_sampled_features])

    def _drawn_columns(
        self, view: TrainingView, sampled: NDArray[np.intp], rng: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        """What an epoch draws anew, one row per cell: codes and depth of the thinned counts, counts of the sample."""
        preprocessor, (low, high) = view.preprocessor, self._config.thinning
        counts = view.counts if low == high == 1.0 else view.counts.thinned(low, high, rng)
        x = preprocessor.standardisation.scaled(preprocessor.projection.codes(counts)) - view.codes.offset
        depth = preprocessor.standardisation.scaled_depth(counts.log_depth)
        measured = view.counts.selected[:, sampled].toarray()
        measured = np.minimum(measured, 1) if spec_of(preprocessor.modality).is_binary else measured
        return {
            "x": self._tensor(view.scatter(x)),
            "depth": self._tensor(view.scatter(depth)),
            "counts": self._tensor(view.scatter(measured)),
        }

    def _view_batch(
        self, modality: Modality, sampled: NDArray[np.intp], columns: Mapping[str, torch.Tensor], index: torch.Tensor
    ) -> ViewBatch:
        view = self._views[modality]
        return ViewBatch(
            **{name: column[index] for name, column in columns.items()},
            features=torch.as_tensor(view.preprocessor.projection.selected[sampled], device=self._device),
            code_weight=self._tensor(view.code_weight),
        )

    def _tensor(self, values: NDArray[np.float32]) -> torch.Tensor:
        return torch.as_tensor(values, device=self._device)


def _order(technical: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Cells shuffled, those of a technical batch next to each other: they are each other's negatives."""
    shuffled = rng.permutation(len(technical))
    rank = rng.permutation(int(technical.max()) + 1)
    return shuffled[np.argsort(rank[technical[shuffled]], kind="stable")]


def _permuted(technical: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """For each position another one of the same technical batch, drawn as one cycle through each batch."""
    permuted = np.arange(len(technical))
    for name in np.unique(technical):
        members = rng.permutation(np.flatnonzero(technical == name))
        permuted[members] = np.roll(members, 1)
    return permuted

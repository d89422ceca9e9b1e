"""A file of cells as a benchmark reads it, its folds, and views as AnnData and MuData; scores nothing."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd

import unisono as un
from unisono_bench import ChoiceError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

SplitChoice = Literal["random", "leave-one-batch-out", "leave-one-donor-out", "batches"]
SPLITS: tuple[str, ...] = get_args(SplitChoice)


@dataclass(frozen=True)
class Dataset:
    """Where the cells are and what its columns and modalities are called; can be pickled.

    Attributes:
        path: .h5mu, or a folder of MuData written as zarr.
        batch_key: obs column of the technical batch.
        modalities: name in the file → rna, atac, adt.
        layer: where the raw counts are, None for X.
    """

    path: Path
    batch_key: str | None = None
    modalities: Mapping[str, str] | None = None
    layer: str | None = None

    def read(self) -> MuData:
        """The file as it is.

        Raises:
            ChoiceError: there is no such file.
        """
        return read_file(self.path)

    def cells(self, mdata: MuData | None = None) -> un.Cells:
        """The cells of the file, or of what `read` returned.

        Raises:
            un.BadInput: the file cannot be used to train.
        """
        return un.read_cells(
            self.read() if mdata is None else mdata,
            batch_key=self.batch_key,
            modalities=self.modalities,
            layer=self.layer,
            source_name=self.path.name,
            is_training=True,
        )


@dataclass(frozen=True)
class Protocol:
    """Which cells are test.

    Attributes:
        split: of `SPLITS`; `batches` is one split by named batches.
        n_seeds: seeds 0, 1, ...; with `random` the seed draws the split, else each split is run with each seed.
        donor_key: obs column of the donor, for `leave-one-donor-out`.
        training_batches: for `batches`, those to learn from; by default all that are not tested.
        test_batches: for `batches`, those to test on.
        n_training: how many of the training cells of a split to learn from, drawn by the seed; None for all.
    """

    split: str = "random"
    n_seeds: int = 3
    donor_key: str | None = None
    training_batches: tuple[str, ...] | None = None
    test_batches: tuple[str, ...] | None = None
    n_training: int | None = None


@dataclass(frozen=True, eq=False)
class Fold:
    """One split and one seed, through which every method goes; can be pickled.

    Attributes:
        name: the split without its seed: `random`, or the batch or donor left out.
        split: names of the cells.
        seed: of the methods, and for `random` of the split.
    """

    name: str
    split: un.splits.Split
    seed: int

    @property
    def label(self) -> str:
        return f"{self.name}, seed {self.seed}"

    def take(self, cells: un.Cells) -> tuple[un.Cells, un.Cells]:
        """Training and test cells."""
        rows = (pd.Index(cells.names).get_indexer(pd.Index(side)) for side in (self.split.training, self.split.test))
        training, test = (cells.take(side[side >= 0]) for side in rows)
        return training, test

    def fingerprint(self, of_data: str) -> str:
        """SHA-256 of the fingerprint of the data and of which cells are training and test."""
        digest = hashlib.sha256(of_data.encode())
        for names in (self.split.training, self.split.test):
            digest.update("\n".join([str(len(names)), *names]).encode())
        return digest.hexdigest()


def make_folds(mdata: MuData, dataset: Dataset, protocol: Protocol) -> tuple[Fold, ...]:
    """All folds, seed by seed.

    Raises:
        ChoiceError: an unknown split, or one whose batches or donors are not named; too few training cells.
        un.BadInput: the cells cannot be split so, see `un.splits`.
    """
    seeds = range(protocol.n_seeds)
    if protocol.split == "random":
        splits = [un.splits.random_split(mdata, seed=seed, modalities=dataset.modalities) for seed in seeds]
        folds = [Fold("random", split, seed) for split, seed in zip(splits, seeds, strict=True)]
    else:
        fixed = _fixed_splits(mdata, dataset, protocol)
        folds = [Fold(split.name, split, seed) for seed in seeds for split in fixed]
    if protocol.n_training is None:
        return tuple(folds)
    return tuple(_with_fewer(fold, protocol.n_training) for fold in folds)


def _fixed_splits(mdata: MuData, dataset: Dataset, protocol: Protocol) -> tuple[un.splits.Split, ...]:
    if protocol.split not in SPLITS:
        raise ChoiceError(f"--split {protocol.split!r} is unknown; choose {', '.join(SPLITS)}")
    is_by_donor = protocol.split == "leave-one-donor-out"
    key = protocol.donor_key if is_by_donor else dataset.batch_key
    if key is None:
        raise ChoiceError(f"--split {protocol.split} needs --{'donor' if is_by_donor else 'batch'}-key")
    if protocol.split != "batches":
        return un.splits.leave_one_out(mdata, key, modalities=dataset.modalities)
    if not protocol.test_batches:
        raise ChoiceError("no test batches are named; pass them, as in --test-batches 09H")
    training, test = protocol.training_batches, protocol.test_batches
    return (un.splits.by_groups(mdata, key, test=test, training=training, modalities=dataset.modalities),)


def _with_fewer(fold: Fold, n_training: int) -> Fold:
    """The same test cells, and of the training cells the first few of a permutation drawn by the seed."""
    names = fold.split.training
    if not 0 < n_training <= len(names):
        raise ChoiceError(f"--train-cells {n_training}: split {fold.name} has {len(names)} training cells")
    order = np.random.default_rng([fold.seed, 1]).permutation(len(names))
    return replace(fold, split=replace(fold.split, training=names[np.sort(order[:n_training])]))


def read_file(path: Path) -> MuData:
    """A .h5mu file or a folder of MuData written as zarr.

    Raises:
        ChoiceError: there is no such file.
    """
    import mudata

    if not path.exists():
        raise ChoiceError(f"{path}: no such file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        return mudata.read_zarr(path) if path.is_dir() else mudata.read_h5mu(path)


def paired_views(cells: un.Cells, a: str, b: str) -> tuple[un.View, un.View]:
    """The views of two modalities over the cells that have both, row i of both the same cell; maybe no cell."""
    left, right = cells.paired(a, b)
    return cells.views[a].take(left), cells.views[b].take(right)


def to_anndata(view: un.View) -> AnnData:
    """A view as a user would hand it over: counts in X, the batch in obs["batch"]."""
    from anndata import AnnData

    obs = pd.DataFrame({"batch": view.batch.astype(object)}, index=pd.Index(view.cells.astype(object)))
    var = pd.DataFrame(index=pd.Index(view.features.astype(object)))
    if view.ids is not None:
        var["gene_ids"] = view.ids.astype(object)
    return AnnData(view.counts, obs=obs, var=var)


def to_mudata(cells: un.Cells) -> MuData:
    """Views as a MuData, cells joined by name."""
    return join({modality: to_anndata(cells.views[modality]) for modality in cells.modalities})


def join(parts: Mapping[str, AnnData]) -> MuData:
    """A MuData of tables, without obs columns of its own."""
    import mudata

    with mudata.set_options(pull_on_update=False), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return mudata.MuData(dict(parts))

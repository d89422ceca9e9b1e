"""A file of cells as a benchmark reads it, in this process and in that of each run; never changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unisono.messages import Finding
from unisono.io.read import cells_from_mudata, read_mudata
from unisono.types import Cells


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

    def cells(self) -> Cells:
        """The cells.

        Raises:
            BadInput: the file cannot be used to train.
        """
        return self.read()[0]

    def read(self) -> tuple[Cells, list[Finding]]:
        """The cells, and what was noticed about them."""
        return self._read(self.batch_key)

    def donors(self, donor_key: str) -> NDArray[np.str_]:
        """The donor of each of `cells().names`: an obs column as the batch is."""
        return self._read(donor_key)[0].batch

    def _read(self, key: str | None) -> tuple[Cells, list[Finding]]:
        return cells_from_mudata(
            read_mudata(self.path),
            batch_key=key,
            modalities=self.modalities,
            layer=self.layer,
            source_name=self.path.name,
            need=2,
        )

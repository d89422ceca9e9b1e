"""Cells of one modality by their place in the shared space, to be searched and kept in a folder; never unpickles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import save as packed

from unisono.display import Rows, as_html, as_text
from unisono.inference.fitted_model import FittedModel
from unisono.io.documents import damaged, read_arrays, shown_text, validated
from unisono.io.manifest import require_files, verify_manifest, write_manifest
from unisono.io.places import Layer
from unisono.io.store import Store
from unisono.io.write import INDEX, INDEX_DOCUMENT, write_folder_atomically
from unisono.limits import Text
from unisono.matching.candidates import most_similar
from unisono.matching.inverted_lists import MIN_REFERENCES, InvertedLists, is_installed
from unisono.messages import bad_input, warn
from unisono.model.blocks import blocks_of_one
from unisono.model.query import QueryOptions
from unisono.types import Modality

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_VECTORS = "vectors.safetensors"
_FILES = {"cells": INDEX_DOCUMENT, "vectors": _VECTORS}


@final
@dataclass(frozen=True, eq=False, repr=False)
class CellIndex:
    """Cells of one modality in the space of `embed`, with the model that placed them and places query cells.

    Attributes:
        fitted: the parts of the model.
        modality: what the cells were measured in.
        cells: their names, each once.
        vectors: cell x dimension, float32, of unit length: the rows of `X_unisono`.

    Raises:
        ValueError: names, vectors and the model do not fit together, or a value is not finite.

    Examples:
        Protein cells are looked up among RNA cells, in an index that was saved and loaded:

        >>> import tempfile, unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
        >>> index = model.index(mdata["rna"])
        >>> index.modality, len(index.cells)
        ('rna', 120)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     index.save(f"{folder}/index")
        ...     index = model.load_index(f"{folder}/index")
        >>> found = index.search(mdata["adt"][:2], k=3)
        >>> found["query"].tolist()
        ['cell0001-b1', 'cell0001-b1', 'cell0001-b1', 'cell0002-b2', 'cell0002-b2', 'cell0002-b2']
        >>> list(found), bool(found["similarity"].between(-1, 1).all())
        (['query', 'cell', 'similarity'], True)
    """

    fitted: FittedModel
    modality: Modality
    cells: NDArray[np.str_]
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        problem = _problem(self.cells.tolist(), self.vectors, self.fitted.embedding_dim(self.modality))
        if problem is not None:
            raise ValueError(": ".join(problem))

    @property
    def rows(self) -> Rows:
        """What it holds in a few rows of a label and a value."""
        how = "inverted lists (faiss)" if self._is_approximate else "exact"
        return [
            ("cells", f"{len(self.cells):,} {self.modality} cells"),
            ("vectors", f"{self.vectors.shape[1]} dimensions"),
            ("search", how),
            ("model", self.fitted.fingerprint),
        ]

    def __repr__(self) -> str:
        return as_text("Cell index", self.rows)

    def _repr_html_(self) -> str:
        return as_html("Cell index", self.rows)

    def search(
        self,
        query: MuData | AnnData | Store,
        k: int = 10,
        *,
        modality: str | None = None,
        exact: bool = False,
        force: bool = False,
        layer: Layer | None = None,
        round_counts: bool | None = None,
        source_name: str = "query",
    ) -> pd.DataFrame:
        """The k indexed cells that are most similar to each query cell.

        Up to 100,000 indexed cells each is looked at. Of more, where faiss is installed, those of nearby inverted lists
        are, which the first search builds: nearly all of the most similar cells are among them.

        Args:
            query: raw counts of cells in any modality of the model, that of the index or another, in memory or from
                `unisono.open`.
            k: indexed cells for each query cell; all of them where there are fewer.
            modality: of the query; needed only where it holds several.
            exact: look at each indexed cell, however many there are.
            force: as for `Unisono.predict`, as are `layer` and `round_counts`.
            layer: where the raw counts of the query are.
            round_counts: whether its fractional counts are rounded.
            source_name: what messages call it.

        Returns:
            Columns query, cell and similarity, query cells in order, the most similar indexed cell of each first. The
            similarity is the inner product of the two rows of `X_unisono`, from -1 to 1. A query cell that is indexed
            itself is among its own. Query cells without counts are left out, with a warning.

        Raises:
            BadInput: the query cannot be read by this model; E007 it lacks the modality, or holds several and none is
                named; E053 k is below 1.
        """
        if k < 1:
            raise bad_input("E053", "search", f"k={k} asks for no cells.", "pass 1 or more")
        asked = blocks_of_one(query, modality, self.fitted, source_name, QueryOptions(force, layer, round_counts))
        warn(self.fitted.record.repeated("model"))
        of_query, found = asked.answered(lambda view: self.nearest(asked.fitted.embedding(view), k, exact=exact))
        positions, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return self.table(of_query.cells, positions, similarity)

    def nearest(
        self, vectors: NDArray[np.float32], k: int, *, exact: bool = False
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Positions of the k indexed cells most similar to each vector, best first, and their inner products."""
        if self._is_approximate and not exact:
            return self._lists.most_similar(vectors, k)
        return most_similar(vectors, self.vectors, k)

    def table(
        self, query: NDArray[np.str_], positions: NDArray[np.intp], similarity: NDArray[np.float32]
    ) -> pd.DataFrame:
        """What `nearest` found for cells of these names, as `search` gives it."""
        return pd.DataFrame(
            {
                "query": np.repeat(query, positions.shape[1]),
                "cell": self.cells[positions.ravel()],
                "similarity": similarity.ravel(),
            }
        )

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write names and vectors to a folder of JSON and safetensors with a manifest, whole or not at all.

        The model is not among them: `Unisono.load_index` reads the folder with the same model.

        Args:
            path: of the folder.
            force: replace the index that is there; a folder that is none is never replaced.

        Raises:
            BadInput: E055 the folder exists and `force` is not set, or is no index; E056 it cannot be written.
        """
        write_folder_atomically(path, self._write, force=force, kind=INDEX)

    @property
    def _is_approximate(self) -> bool:
        return len(self.cells) > MIN_REFERENCES and is_installed()

    @cached_property
    def _lists(self) -> InvertedLists:
        return InvertedLists.of(self.vectors)

    def _write(self, folder: Path) -> None:
        document = _Document(modality=self.modality, model=self.fitted.fingerprint, cells=self.cells.tolist())
        text = json.dumps(document.model_dump(), ensure_ascii=False)
        (folder / INDEX_DOCUMENT).write_text(f"{text}\n", encoding="utf-8")
        (folder / _VECTORS).write_bytes(packed({"vectors": np.ascontiguousarray(self.vectors)}))
        write_manifest(folder)


class _Document(BaseModel):
    """Index.json: the modality, the fingerprint of the model, and the name of each row of the vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    modality: Text
    model: Text
    cells: list[Text]


def load_index(path: str | Path, fitted: FittedModel) -> CellIndex:
    """Read the folder of an index; see `Unisono.load_index`."""
    folder = Path(path)
    verify_manifest(folder)
    require_files(folder, (INDEX_DOCUMENT, _VECTORS), "an index of cells")
    found = validated(folder, INDEX_DOCUMENT, _Document)
    if found.model != fitted.fingerprint:
        problem = f"made with model {shown_text(found.model)}, not with this one, {fitted.fingerprint}"
        remedy = "load the model that it was made with, or make the index again"
        raise damaged(folder, INDEX_DOCUMENT, "model", problem, remedy)
    if found.modality not in fitted.modalities:
        problem = f"{shown_text(found.modality)} is none of the model's"
        raise damaged(folder, INDEX_DOCUMENT, "modality", problem)
    arrays = read_arrays(folder, _VECTORS)
    if list(arrays) != ["vectors"]:
        problem = f"expected alone, found {shown_text(', '.join(sorted(arrays))) or 'nothing'}"
        raise damaged(folder, _VECTORS, "vectors", problem)
    misfit = _problem(found.cells, arrays["vectors"], fitted.embedding_dim(found.modality))
    if misfit is not None:
        raise damaged(folder, _FILES[misfit[0]], *misfit)
    return CellIndex(fitted, found.modality, np.array(found.cells, dtype=str), arrays["vectors"])


def _problem(cells: Sequence[str], vectors: NDArray[Any], dim: int) -> tuple[str, str] | None:
    """The field of an index of `dim` dimensions that is at fault, and why; None where names and vectors fit."""
    if vectors.dtype != np.float32 or vectors.ndim != 2 or vectors.shape[1] != dim:
        return "vectors", f"{vectors.dtype} of shape {vectors.shape}, expected float32, cell x {dim} dimensions"
    if len(cells) != len(vectors) or len(cells) == 0:
        return "cells", f"{len(cells):,} names for {len(vectors):,} vectors, expected one for each, and one or more"
    if any(cell.endswith("\0") for cell in cells):
        return "cells", "a name ends with a null character"
    n_repeated = len(cells) - len(set(cells))
    if n_repeated:
        return "cells", f"{n_repeated:,} names occur again, expected each once"
    n_bad = int((~np.isfinite(vectors)).sum())
    return ("vectors", f"{n_bad:,} of {vectors.size:,} values are not finite") if n_bad else None

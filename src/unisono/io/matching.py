"""Match probabilities with the names of both sides, as pairs, AnnData or file; never knows the true partners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.display import Rows, as_html, as_text
from unisono.io.hdf5 import write_table
from unisono.io.write import write_atomically
from unisono.types import MatchPosterior, Modality

if TYPE_CHECKING:
    from anndata import AnnData

MAX_ENTRIES = 1000
"""Entries per row in a file; a row with more keeps its largest, scaled to sum to 1."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Matching:
    """Who is whose partner, by name.

    Attributes:
        match_posterior: left x right probabilities, given that a partner is there, and how likely it is that none is.
        left: name of each row.
        right: name of each column; equal names on both sides mean nothing.
        left_modality: what the left cells were measured in.
        right_modality: what the right cells were measured in.
        rule: how the probabilities were turned into a matching.
        min_probability: left cells whose confidence is below get no answer among `pairs`.
        left_obs: what the left data say of their cells; None for nothing.
        right_obs: what the right data say of theirs.
        origin: the model that it comes from: names, versions and numbers.

    Raises:
        ValueError: the names are not as many as the rows and columns, or the threshold is no probability.

    Examples:
        `Unisono.match` gives one. Here is one made by hand, for two RNA cells and two protein cells:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> probabilities = csr_matrix([[0.9, 0.1], [0.25, 0.75]])
        >>> posterior = un.matching.MatchPosterior(probabilities, p_unmatched=np.zeros(2))
        >>> left, right = np.array(["a", "b"]), np.array(["x", "y"])
        >>> matching = un.Matching(posterior, left, right, "rna", "adt", rule="soft")
        >>> matching.pairs
          left right  probability
        0    a     x         0.90
        1    a     y         0.10
        2    b     y         0.75
        3    b     x         0.25
        >>> matching.to_anndata().to_df()
              x     y
        a  0.90  0.10
        b  0.25  0.75
    """

    match_posterior: MatchPosterior
    left: NDArray[np.str_]
    right: NDArray[np.str_]
    left_modality: Modality
    right_modality: Modality
    rule: str
    min_probability: float = 0.0
    left_obs: pd.DataFrame | None = None
    right_obs: pd.DataFrame | None = None
    origin: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = (len(self.left), len(self.right))
        if self.match_posterior.probabilities.shape != wanted:
            found = self.match_posterior.probabilities.shape
            raise ValueError(f"matching: probabilities are {found}, names say {wanted}")
        if not 0 <= self.min_probability <= 1:
            raise ValueError(f"min_probability={self.min_probability}: expected a number from 0 to 1")

    @property
    def is_answered(self) -> NDArray[np.bool_]:
        """For each left cell, whether its answer is as likely as `min_probability` asks for."""
        confidence, has_candidates = (
            self.match_posterior.confidence,
            np.diff(self.match_posterior.probabilities.indptr) > 0,
        )
        if confidence is None:
            return has_candidates & (self.min_probability == 0)
        return has_candidates & (confidence >= self.min_probability)

    @property
    def pairs(self) -> pd.DataFrame:
        """Columns left, right, probability: left cells in order, the likeliest partner of each first.

        The probability is conditional on a partner being there, as in `to_anndata`; cells that are not answered have
        no pairs.
        """
        entries = self.match_posterior.probabilities.tocoo()
        order = np.lexsort((entries.col, -entries.data, entries.row))
        order = order[(entries.data[order] > 0) & self.is_answered[entries.row[order]]]
        left, right = self.left[entries.row[order]], self.right[entries.col[order]]
        return pd.DataFrame({"left": left, "right": right, "probability": entries.data[order]})

    def to_anndata(self) -> AnnData:
        """Obs left cells, var right cells, X CSR float32 with row sums 1, at most 1,000 per row.

        A row is empty where the other side has no cell of its group; `p_unmatched` is then 1.

        obs and var have the columns of the left and the right data. In obs also `p_unmatched`, `confidence` (the
        probability that the first answer is right, the partner being there or not), `is_answered` and, by rule "soft",
        `p_beyond`: the probability that the partner, if it is there, is none of the cells of the row. X, of which each
        row sums to 1, times 1 − `p_beyond` is the probability of a cell among all. X has the rows of all left cells,
        answered or not.
        """
        from anndata import AnnData

        about = {"left": self.left_modality, "right": self.right_modality, "rule": self.rule, **self.origin}
        columns = {"p_unmatched": np.asarray(self.match_posterior.p_unmatched, dtype=np.float64)}
        if self.match_posterior.confidence is not None:
            columns["confidence"] = self.match_posterior.confidence
        if self.match_posterior.beyond is not None:
            columns["p_beyond"] = self.match_posterior.beyond
        return AnnData(
            _trimmed(self.match_posterior.probabilities),
            obs=_table(self.left, self.left_obs).assign(**columns, is_answered=self.is_answered),
            var=_table(self.right, self.right_obs),
            uns={"unisono": about},
        )

    @property
    def rows(self) -> Rows:
        """What it says in a few rows of a label and a value."""
        posterior, n_left = self.match_posterior, len(self.left)
        per_row = np.diff(posterior.probabilities.indptr)
        rows = [
            ("left", f"{n_left:,} {self.left_modality} cells"),
            ("right", f"{len(self.right):,} {self.right_modality} cells"),
            ("rule", self.rule),
            ("candidates", f"{per_row.mean():.1f} a cell, {int((per_row == 0).sum()):,} cells without any"),
            ("p_unmatched", f"mean {np.mean(posterior.p_unmatched):.3f}"),
        ]
        if posterior.confidence is not None:
            rows.append(
                ("confidence", f"mean {posterior.confidence.mean():.3f}, median {np.median(posterior.confidence):.3f}")
            )
        first = self.pairs.drop_duplicates("left").head(2)
        pairs = (f"{row.left} → {row.right} ({row.probability:.2f})" for row in first.itertuples())
        return [*rows, ("pairs", ", ".join(pairs) or "none")]

    def __repr__(self) -> str:
        return as_text("Matching", self.rows)

    def _repr_html_(self) -> str:
        return as_html("Matching", self.rows)

    def write(self, path: str | Path, *, force: bool = False) -> None:
        """Write `to_anndata()` as compressed .h5ad, whole or not at all.

        Raises:
            BadInput: E055 the file exists and `force` is False, E056 no folder to write to.
        """
        write_atomically(path, lambda place: write_table(self.to_anndata(), place, compression="gzip"), force=force)


def _table(names: NDArray[np.str_], frame: pd.DataFrame | None) -> pd.DataFrame:
    index = pd.Index(names.astype(object))
    return pd.DataFrame(index=index) if frame is None else frame.set_axis(index, axis=0)


def _trimmed(posterior: sparse.csr_matrix) -> sparse.csr_matrix:
    rows = sparse.csr_matrix(posterior, dtype=np.float64, copy=True)
    rows.sum_duplicates()
    for row in np.flatnonzero(np.diff(rows.indptr) > MAX_ENTRIES):
        values = rows.data[rows.indptr[row] : rows.indptr[row + 1]]
        values[np.argsort(-values, kind="stable")[MAX_ENTRIES:]] = 0.0
    rows.eliminate_zeros()
    sums = np.asarray(rows.sum(axis=1)).ravel()
    rows.data /= np.repeat(sums, np.diff(rows.indptr))
    return rows.astype(np.float32)

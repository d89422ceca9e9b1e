"""The data that rooms pass to each other: checked when made, never changed after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.limits import MAX_LETTERS, MAX_TEXT_ARRAY, Bool, Float64, Limits, Shaped

Modality = str
"""The name of a modality, such as "rna"; what it stands for is in `unisono.modalities`."""

Pair = tuple[Modality, Modality]
"""Source and target of a prediction, or left and right of a matching."""

ONE_BATCH = "all"
"""The batch of every cell when no batch column was named."""

Link = Literal["identity", "nonnegative", "logistic"]


@dataclass(frozen=True, eq=False)
class MeasuredFeatures:
    """Which features were measured in which cells; cells in which the same ones were share a row.

    Attributes:
        rows: distinct row x feature, whether it was measured.
        row_of: row of each cell.
    """

    rows: NDArray[np.bool_]
    row_of: NDArray[np.intp]

    @classmethod
    def of_batches(
        cls, unmeasured: Mapping[str, NDArray[np.bool_]], batch: NDArray[np.str_], n_features: int
    ) -> MeasuredFeatures:
        """All features in every batch, except for those that `unmeasured` names."""
        there = [name for name in unmeasured if (batch == name).any()]
        if not there:
            return cls(np.ones((1, n_features), dtype=bool), np.zeros(len(batch), dtype=np.intp))
        names, index = np.unique(batch, return_inverse=True)
        everything = np.zeros(n_features, dtype=bool)
        by_batch = np.stack([~unmeasured.get(str(name), everything) for name in names])
        rows, row_of_batch = np.unique(by_batch, axis=0, return_inverse=True)
        return cls(rows, np.asarray(row_of_batch).ravel()[index])

    @cached_property
    def is_complete(self) -> bool:
        """Whether every feature was measured in every cell."""
        return bool(self.rows.all())

    @cached_property
    def n_cells(self) -> NDArray[np.float64]:
        """Of each feature, the cells in which it was measured."""
        return np.bincount(self.row_of, minlength=len(self.rows)).astype(np.float64) @ self.rows

    def groups(self) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.intp]]]:
        """Each row that some cell has, and its cells."""
        for number, row in enumerate(self.rows):
            cells = np.flatnonzero(self.row_of == number)
            if len(cells):
                yield row, cells

    def parts(self, matrix: sparse.csr_matrix) -> Iterator[tuple[NDArray[np.bool_], sparse.csr_matrix]]:
        """As `groups`, with the rows of a matrix over these cells; the matrix itself where there is one group."""
        for row, cells in self.groups():
            yield row, matrix if len(cells) == len(self.row_of) else matrix[cells]

    def blocks(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Cells and features such that each of these features was measured in just these cells; features once each."""
        if self.is_complete:
            yield np.arange(len(self.row_of)), np.arange(self.rows.shape[1])
            return
        patterns, pattern_of = np.unique(self.rows, axis=1, return_inverse=True)
        for number, pattern in enumerate(patterns.T):
            yield np.flatnonzero(pattern[self.row_of]), np.flatnonzero(np.asarray(pattern_of).ravel() == number)

    def take(self, cells: slice | NDArray[np.intp]) -> MeasuredFeatures:
        """Of some of the cells."""
        return replace(self, row_of=self.row_of[cells])

    def take_features(self, features: NDArray[np.intp]) -> MeasuredFeatures:
        """Of some of the features."""
        return replace(self, rows=self.rows[:, features])


@dataclass(frozen=True, eq=False)
class View:
    """One modality's raw counts over named cells and features.

    Attributes:
        modality: the kind of measurement.
        counts: cells x features, canonical CSR of non-negative integers.
        cells: unique cell names, one per row.
        features: unique feature names, one per column.
        batch: technical batch of each cell.
        ids: a second name of each feature, such as Ensembl ids in addition to symbols, '' where it has none; None
            where none has.
        unmeasured: batch → whether it did not measure each feature, of the batches that lack some.

    Raises:
        ValueError: lengths disagree, a name occurs twice, a count is negative or not an integer, or a feature that was
            not measured has counts.

    Examples:
        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> view = un.View(
        ...     modality="rna",
        ...     counts=csr_matrix([[3, 0, 1], [0, 2, 0]]),
        ...     cells=np.array(["c1", "c2"]),
        ...     features=np.array(["CD3D", "MS4A1", "NKG7"]),
        ...     batch=np.array(["b1", "b1"]),
        ... )
        >>> view.depth
        array([4., 2.])
        >>> view.take(np.array([1])).counts.toarray()
        array([[0, 2, 0]])
    """

    modality: Modality
    counts: sparse.csr_matrix
    cells: NDArray[np.str_]
    features: NDArray[np.str_]
    batch: NDArray[np.str_]
    ids: NDArray[np.str_] | None = None
    unmeasured: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = (len(self.cells), len(self.features))
        if self.counts.shape != expected:
            raise ValueError(f"{self.modality}: counts are {self.counts.shape}, names give {expected}")
        if len(self.batch) != len(self.cells):
            raise ValueError(f"{self.modality}: {len(self.batch)} batch entries for {len(self.cells)} cells")
        if self.ids is not None and len(self.ids) != len(self.features):
            raise ValueError(f"{self.modality}: {len(self.ids)} ids for {len(self.features)} features")
        for what, names in (("cell", self.cells), ("feature", self.features)):
            if not pd.Index(names).is_unique:
                raise ValueError(f"{self.modality}: {what} names are not unique")
        if not np.issubdtype(self.counts.dtype, np.integer):
            raise ValueError(f"{self.modality}: counts are {self.counts.dtype}, expected integers")
        if self.counts.nnz and self.counts.data.min() < 0:
            raise ValueError(f"{self.modality}: counts contain negative values")
        self._check_unmeasured()

    def _check_unmeasured(self) -> None:
        for name, mask in self.unmeasured.items():
            if mask.shape != (len(self.features),) or mask.dtype != bool:
                raise ValueError(
                    f"{self.modality}: unmeasured of batch {name} is {mask.dtype} of shape {mask.shape}, expected "
                    f"bool, one for each of {len(self.features)} features"
                )
            counted = self.counts[self.batch == name].sum(axis=0)
            has_counts = mask & (np.asarray(counted).ravel() > 0)
            if has_counts.any():
                first = self.features[has_counts][0]
                raise ValueError(f"{self.modality}: {first} has counts in batch {name}, which did not measure it")

    @cached_property
    def measured(self) -> MeasuredFeatures:
        """The features that were measured in each cell."""
        return MeasuredFeatures.of_batches(self.unmeasured, self.batch, len(self.features))

    def in_one_batch(self, name: str) -> View:
        """The same cells as of one batch, which lacks the features that all of theirs lack."""
        lacked = np.asarray(~self.measured.rows[np.unique(self.measured.row_of)].any(axis=0))
        unmeasured = {name: lacked} if lacked.any() else {}
        return replace(self, batch=np.full(self.n_cells, name), unmeasured=unmeasured)

    @property
    def n_cells(self) -> int:
        return len(self.cells)

    @cached_property
    def depth(self) -> NDArray[np.float64]:
        """Total counts of each cell."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    def take(self, rows: NDArray[np.intp]) -> View:
        """The same view of some of its cells, in the order given."""
        return replace(self, counts=self.counts[rows], cells=self.cells[rows], batch=self.batch[rows])


@dataclass(frozen=True, eq=False)
class Annotation:
    """Columns of a table of features, by kind; one value per feature, and names in the order of the table.

    Attributes:
        text: strings, '' where there is none.
        numbers: whole or broken numbers, NaN where there is none.
        flags: true or false.
    """

    text: Mapping[str, Shaped[np.ndarray, " feature"]]
    numbers: Mapping[str, Annotated[Float64[np.ndarray, " feature"], Limits(may_be=("nan", "inf"))]]
    flags: Mapping[str, Bool[np.ndarray, " feature"]]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Annotation:
        """The columns of a table that are text, numbers or flags; others are left out, as are very long texts."""
        kinds: dict[str, dict[str, NDArray[Any]]] = {"text": {}, "numbers": {}, "flags": {}}
        for name, column in frame.items():
            if pd.api.types.is_bool_dtype(column.dtype):
                kinds["flags"][str(name)] = column.to_numpy(dtype=bool)
            elif pd.api.types.is_numeric_dtype(column.dtype):
                kinds["numbers"][str(name)] = column.to_numpy(dtype=np.float64, na_value=np.nan)
            elif (
                isinstance(column.dtype, pd.CategoricalDtype) or column.dropna().map(lambda v: isinstance(v, str)).all()
            ):
                text = column.astype(object).where(column.notna(), "").astype(str)
                longest = int(text.str.len().max()) if len(text) else 0
                if longest <= MAX_LETTERS and longest * len(text) <= MAX_TEXT_ARRAY:
                    kinds["text"][str(name)] = text.to_numpy(dtype=str)
        return cls(**kinds)

    def frame(self, index: pd.Index) -> pd.DataFrame:
        """The same as a table; numbers that are all whole are integers."""
        numbers = {name: _whole(values) for name, values in self.numbers.items()}
        text = {name: values.astype(object) for name, values in self.text.items()}
        return pd.DataFrame({**text, **numbers, **self.flags}, index=index)


def _whole(values: NDArray[np.float64]) -> NDArray[Any]:
    return values.astype(np.int64) if (values == np.rint(values)).all() and len(values) else values


@dataclass(frozen=True, eq=False)
class Cells:
    """Views over one set of cells, joined by cell name: a cell may lack a modality.

    Readers put the views in the order of the central dogma; see `unisono.modalities.in_order`.

    Examples:
        Of three cells, the second alone was measured in both modalities:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> def view(modality, cells):
        ...     counts = csr_matrix(np.ones((2, 1), dtype=int))
        ...     return un.View(modality, counts, np.array(cells), np.array(["CD3"]), np.array(["b1", "b1"]))
        >>> cells = un.Cells({"rna": view("rna", ["c1", "c2"]), "adt": view("adt", ["c3", "c2"])})
        >>> cells.names.tolist()
        ['c1', 'c2', 'c3']
        >>> cells.paired("rna", "adt")  # its row in either view
        (array([1]), array([1]))
        >>> cells.rows["adt"]  # of each name, -1 for none
        array([-1,  1,  0])
    """

    views: Mapping[Modality, View]

    def __post_init__(self) -> None:
        for modality, view in self.views.items():
            if view.modality != modality:
                raise ValueError(f"the view under {modality!r} holds {view.modality!r}")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities present, in the order of the views."""
        return tuple(self.views)

    @cached_property
    def names(self) -> NDArray[np.str_]:
        """Every cell once, in order of first appearance."""
        return pd.unique(np.concatenate([self.views[modality].cells for modality in self.modalities]))

    @cached_property
    def rows(self) -> dict[Modality, NDArray[np.intp]]:
        """For each modality, the row of each of `names` in its view, -1 where the cell lacks that modality."""
        return {m: pd.Index(self.views[m].cells).get_indexer(pd.Index(self.names)) for m in self.modalities}

    @cached_property
    def batch(self) -> NDArray[np.str_]:
        """The batch of each of `names`, from the first modality that has the cell."""
        batch = np.full(len(self.names), ONE_BATCH, dtype=object)
        for modality in reversed(self.modalities):
            rows = self.rows[modality]
            batch[rows >= 0] = self.views[modality].batch[rows[rows >= 0]]
        return batch.astype(str)

    def paired(self, a: Modality, b: Modality) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of the cells that have both modalities, in each of the two views."""
        both = (self.rows[a] >= 0) & (self.rows[b] >= 0)
        return self.rows[a][both], self.rows[b][both]

    def take(self, cells: NDArray[np.intp]) -> Cells:
        """Some of the cells (positions in `names`), each in every modality it has."""
        return Cells({m: self.views[m].take(self.rows[m][cells][self.rows[m][cells] >= 0]) for m in self.modalities})


@dataclass(frozen=True, eq=False)
class MatchPosterior:
    """Match probabilities: row i is the distribution of left cell i over its candidates, one of which is the partner.

    Attributes:
        probabilities: left x right CSR, every row sums to 1; empty only where `p_unmatched` is 1.
        p_unmatched: probability that the right side lacks the left cell's partner.
        confidence: probability that the likeliest right cell of each row is the partner: that it is there, times that
            it is this one, before any rule. None where no rule was applied yet.
        beyond: probability that the partner of each left cell, if it is there, is none of the cells of its row; None
            for 0, or where rows are the choice of a rule and no probabilities.
    """

    probabilities: sparse.csr_matrix
    p_unmatched: NDArray[np.float64]
    confidence: NDArray[np.float64] | None = None
    beyond: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.probabilities.nnz and self.probabilities.data.min() < 0:
            raise ValueError(f"match probabilities are at least 0, found {self.probabilities.data.min():.4g}")
        if len(self.p_unmatched) != self.probabilities.shape[0]:
            raise ValueError(f"{len(self.p_unmatched)} p_unmatched for {self.probabilities.shape[0]} left cells")
        is_alone = (np.diff(self.probabilities.indptr) == 0) & (np.asarray(self.p_unmatched) == 1)
        sums = np.asarray(self.probabilities.sum(axis=1)).ravel()[~is_alone]
        if not np.allclose(sums, 1.0, atol=1e-4):
            raise ValueError(f"rows of match probabilities sum to 1, found {sums.min():.4g} to {sums.max():.4g}")

    @property
    def listed(self) -> NDArray[np.float64]:
        """Probability that the partner of each left cell, if it is there, is one of the cells of its row."""
        return np.ones(len(self.p_unmatched)) if self.beyond is None else 1.0 - self.beyond


@dataclass(frozen=True, eq=False)
class Bounds:
    """Widths of the intervals of a prediction: half a width is factor · √(spread² + scale²).

    Attributes:
        coverage: fraction of measured values that the intervals should hold.
        factors: group x feature.
        group: row of `factors` of each cell.
        scale: typical error of each feature.
    """

    coverage: float
    factors: NDArray[np.float32]
    group: NDArray[np.intp]
    scale: NDArray[np.float32]

    def take_features(self, columns: slice | NDArray[np.intp]) -> Bounds:
        """The bounds of some of the features."""
        return replace(self, factors=self.factors[:, columns], scale=self.scale[columns])

    def half_width(self, spread: NDArray[np.float32], rows: slice = slice(None)) -> NDArray[np.float32]:
        """Of some cells (all by default), cell x feature, from the spread of their draws."""
        return np.asarray(self.factors[self.group[rows]] * np.hypot(spread, self.scale), dtype=np.float32)


_ENTRIES_AT_A_TIME = 2**24
"""Predicted values that are held to find the highest."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted values of one modality, kept as codes x loadings.

    value = link(codes @ loadings.T + intercept), with link `identity`, `nonnegative` max(0, .) or `logistic`
    1 / (1 + exp(-.)).

    Attributes:
        codes: cell x code.
        loadings: feature x code.
        intercept: one per feature.
        via: intermediate modality, None for a direct prediction.
        draws: draw x cell x code, codes drawn from the posterior; None for none.
        bounds: widths of intervals; None for none.
        novelty: distance of each cell from those of training, above 1 where it is unusual; None if unknown.
        obs: what the query says of its cells; None for nothing.
        var: what the training data say of the features; None for nothing.
        origin: the model and the query that it comes from: names, versions and numbers.
    """

    source: Modality
    target: Modality
    cells: NDArray[np.str_]
    features: NDArray[np.str_]
    codes: NDArray[np.float32]
    loadings: NDArray[np.float32]
    intercept: NDArray[np.float32]
    link: Link
    via: Modality | None = None
    draws: NDArray[np.float32] | None = None
    bounds: Bounds | None = None
    novelty: NDArray[np.float32] | None = None
    obs: pd.DataFrame | None = None
    var: pd.DataFrame | None = None
    origin: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = (self.codes.shape, self.loadings.shape, self.intercept.shape)
        n_codes = self.codes.shape[-1]
        expected = ((len(self.cells), n_codes), (len(self.features), n_codes), (len(self.features),))
        if shapes != expected:
            raise ValueError(f"prediction of {self.target}: shapes {shapes}, expected {expected}")
        if self.draws is not None and self.draws.shape[1:] != self.codes.shape:
            raise ValueError(f"prediction of {self.target}: draws are {self.draws.shape}, codes {self.codes.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.cells), len(self.features)

    @property
    def reach(self) -> NDArray[np.float32]:
        """A bound of the values of the mean and of each draw before the link; not finite where they may not be."""
        reach = np.abs(self.loadings).sum(axis=1, dtype=np.float64).max(initial=0.0)
        constant = float(np.abs(self.intercept).max(initial=0.0))
        codes = [self.codes, *(() if self.draws is None else self.draws)]
        return np.array([np.abs(each).max(initial=0.0) * reach + constant for each in codes], dtype=np.float32)

    def dense(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """The values of some cells (all by default), cell x feature, on the scale of the target modality."""
        return self._linked(self.codes[rows])

    def spread(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Standard deviation over the draws of the values of some cells, cell x feature, on the target's scale.

        Raises:
            ValueError: the prediction was made without draws.
        """
        if self.draws is None:
            raise ValueError(f"prediction of {self.target}: made without draws, which its spread is taken over")
        mean = self.dense(rows)
        squares, offset = np.zeros_like(mean), np.zeros_like(mean)
        for codes in self.draws[:, rows]:
            step = self._linked(codes) - mean
            offset += step
            squares += step * step
        squares -= offset * offset / np.float32(len(self.draws))
        np.maximum(squares, 0.0, out=squares)
        spread: NDArray[np.float32] = np.sqrt(squares / np.float32(len(self.draws)))
        return spread

    def interval(
        self, rows: slice = slice(None), spread: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lower and upper ends of the intervals of some cells, cell x feature.

        The lower end is at least 0, unless the link is `identity`.

        Args:
            rows: the cells, all by default.
            spread: that of these cells, if it is known already.

        Raises:
            ValueError: the prediction was made without bounds or without draws.
        """
        if self.bounds is None:
            raise ValueError(f"prediction of {self.target}: made without intervals")
        values = self.dense(rows)
        half = self.bounds.half_width(self.spread(rows) if spread is None else spread, rows)
        lower = values - half
        return lower if self.link == "identity" else np.maximum(lower, 0.0), values + half

    def _linked(self, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        values: NDArray[np.float32] = codes @ self.loadings.T
        values += self.intercept
        if self.link == "logistic":
            return _logistic(values)
        return np.maximum(values, 0.0, out=values) if self.link == "nonnegative" else values

    def top(self, n: int, rows: NDArray[np.intp] | slice = slice(None)) -> pd.DataFrame:
        """The n features that are predicted furthest above their mean in some cells, highest first.

        Values are computed for some cells and features at a time, so that the whole is never held.

        Args:
            n: features to name, 1 or more; all where there are not so many.
            rows: the cells, such as those of a cluster.

        Returns:
            By feature, `mean` over these cells and `above`, by how much it exceeds the mean over all cells, both on the
            scale of the target.

        Raises:
            ValueError: n is below 1, or there are no cells.
        """
        chosen = np.arange(len(self.cells))[rows]
        if n < 1 or not len(chosen):
            raise ValueError(f"top {n} features of {len(chosen)} cells: expected 1 or more of both")
        mean, of_all = np.empty(len(self.features)), np.empty(len(self.features))
        size = max(1, _ENTRIES_AT_A_TIME // len(self.cells))
        for start in range(0, len(self.features), size):
            some = slice(start, start + size)
            values = self.take_features(some).dense()
            mean[some], of_all[some] = values[chosen].mean(axis=0), values.mean(axis=0)
        above = mean - of_all
        best = np.argsort(-above, kind="stable")[:n]
        return pd.DataFrame(
            {"mean": mean[best], "above": above[best]}, index=pd.Index(self.features[best].astype(object))
        )

    def take_features(self, columns: slice | NDArray[np.intp]) -> Prediction:
        """The prediction of some of the features."""
        return replace(
            self,
            features=self.features[columns],
            loadings=self.loadings[columns],
            intercept=self.intercept[columns],
            bounds=None if self.bounds is None else self.bounds.take_features(columns),
            var=None if self.var is None else self.var.iloc[columns],
        )


def _logistic(values: NDArray[np.float32]) -> NDArray[np.float32]:
    np.clip(values, -60.0, 60.0, out=values)
    np.negative(values, out=values)
    np.exp(values, out=values)
    values += 1.0
    return np.reciprocal(values, out=values)

"""ModalitySpec: what differs between modalities, as values and functions of arrays; knows no model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.config import FitConfig, Likelihood, PreprocessingConfig
from unisono.limits import UNIQUE, Shaped
from unisono.modalities.normalise import best
from unisono.types import Link, MeasuredFeatures

Names = NDArray[np.str_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Known:
    """The names by which a model knows its features.

    Attributes:
        names: unique.
        ids: a second name of each, '' where it has none; None where none has.
        aliases: names that a query may use → names that they stand for.
    """

    names: Annotated[Shaped[np.ndarray, " feature"], UNIQUE]
    ids: Shaped[np.ndarray, " feature"] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)


def columns_by_name(known: Known, names: Names, ids: Names | None) -> NDArray[np.intp]:
    """Column of `names` that equals the name of each known feature, -1 where there is none."""
    return pd.Index(names).get_indexer(pd.Index(known.names))


def never_alike(names: Names) -> float:
    """0, of any names."""
    return 0.0


def equal_weights(counts: sparse.csr_matrix, total: Floats, config: PreprocessingConfig) -> Floats:
    """1 for each feature."""
    return np.ones((1, counts.shape[1]))


@final
@dataclass(frozen=True, eq=False)
class Coding:
    """How counts become the values of which codes are made.

    Functions take counts as cell x selected feature, and `total`, all counts of each cell.

    Attributes:
        normalise: values that enter the code, each cell by itself, in the entries of its counts; of `counts`, `total`,
            the parameters of features, and the number of features that were measured in each cell: of all features,
            the share that `terms` gives to these.
        learn: the parameters of features, parameter x feature, from training cells; of `counts`, `total` and the
            config. The first row is the weight of each feature.
        n_parameters: rows of parameters.
    """

    normalise: Callable[[sparse.csr_matrix, Floats, Floats, Floats], sparse.csr_matrix]
    learn: Callable[[sparse.csr_matrix, Floats, PreprocessingConfig], Floats]
    n_parameters: int = 1


@final
@dataclass(frozen=True, eq=False)
class ModalitySpec:
    """One kind of measurement: how its counts become codes, what is predicted of it, and its names.

    Functions take counts as cell x feature CSR, and `total`, all counts of each cell, those of unselected features
    among them.

    Attributes:
        name: lower-case letters, digits and underscores; the key of a MuData and of every result.
        level: place in the central dogma: 0 DNA, 1 RNA, 2 protein, any number above for what comes later. It orders
            the modalities of a data set (equal levels by name) and seeds the search for codes.
        label: the modality in running text.
        features: their name, in the plural.
        unit: of predicted values.
        colour: hexadecimal, in every picture.
        on_scale: measured values on the scale of predictions; of `counts` and `total`.
        codings: by name, how counts become the values that enter the code.
        candidates: names of the codings that a fit chooses from, unless `PreprocessingConfig.codings` names others, the
            one to prefer first. None for all.
        candidates_across: the same where several data sets are fitted as one; None for those of one data set.
        likelihoods: of the counts: the default, then the others that `FitConfig.likelihoods` may name.
        link: from a linear readout of the codes to predicted values.
        log_size: log of the factor that carries expm1 of a value back to counts, one per cell; of the selected counts
            and `total`. None where values are log odds, which grow by the log depth of the cell.
        aliases: other names seen in files, in lower case without space, underscore and hyphen.
        id_columns: columns of var in which files keep a second name of the features, the most trusted first.
        terms: what each entry adds to the size of a cell that values are divided by, where that is not its count; of
            `counts` and the weights of features. `log_size`, where there is one, is then their mean over all features.
        score: how informative each feature is; only those with the best scores above 0 enter the code. None takes
            every feature.
        max_features: how many of them at most, unless `FitConfig.max_features` names another number; None for no limit.
        is_centred: whether normalised values are centred on the mean of the training cells.
        drops_depth: whether components that follow the depth of cells are dropped.
        match_names: column of a query for each known feature; of `Known`, the query's names, and their second names.
            Called where names differ between both sides.
        are_intervals: whether features are intervals of a genome, which are compared by overlap.
        likeness: share of names, 0 to 1, that look like its features; by it the modality of a table that nobody named
            is told.
        obsm_key: keys of obsm under which files keep it next to another modality; None if they do not.
        min_features: features below which its scale says how they compare with each other more than how much there is.
        is_control: whether a name is that of a control, which is no feature; None if there are no such names.
        has_gains: whether batches differ in how strongly features answer; see `unisono.preprocessing.gains`.
        one_of: what each feature of one data set stands for, where several may stand for one, such as antibodies for a
            protein; None if each stands for itself.

    Raises:
        ValueError: the name or a colour cannot be one, or likelihood, link and size contradict each other.
    """

    name: str
    level: int
    label: str
    features: str
    unit: str
    colour: str
    on_scale: Callable[[sparse.csr_matrix, Floats], sparse.csr_matrix]
    codings: Mapping[str, Coding]
    likelihoods: tuple[Likelihood, ...]
    link: Link
    log_size: Callable[[sparse.csr_matrix, Floats], NDArray[np.float32]] | None
    candidates: tuple[str, ...] | None = None
    candidates_across: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    id_columns: tuple[str, ...] = ()
    terms: Callable[[sparse.csr_matrix, Floats], sparse.csr_matrix] | None = None
    score: Callable[[sparse.csr_matrix], Floats] | None = None
    max_features: int | None = None
    is_centred: bool = True
    drops_depth: bool = False
    match_names: Callable[[Known, Names, Names | None], NDArray[np.intp]] = columns_by_name
    are_intervals: bool = False
    likeness: Callable[[Names], float] = never_alike
    obsm_key: re.Pattern[str] | None = None
    min_features: int = 2
    is_control: Callable[[str], bool] | None = None
    has_gains: bool = False
    one_of: Callable[[Names], Names] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"modality {self.name!r}: a name has lower-case letters, digits and underscores")
        if not re.fullmatch(r"#[0-9a-f]{6}", self.colour):
            raise ValueError(f"{self.name}: colour {self.colour!r}, expected one like #2980b9")
        if self.level < 0 or not self.likelihoods:
            raise ValueError(
                f"{self.name}: level {self.level}, {len(self.likelihoods)} likelihoods; expected ≥ 0 and ≥ 1"
            )
        candidates = (*(self.candidates or ()), *(self.candidates_across or ()))
        if not self.codings or not set(candidates) <= set(self.codings):
            raise ValueError(f"{self.name}: codings {', '.join(self.codings) or 'none'}, candidates {candidates}")
        is_binary = {likelihood == "bernoulli" for likelihood in self.likelihoods}
        if is_binary != {self.link == "logistic"} or is_binary != {self.log_size is None}:
            what = f"likelihoods {', '.join(self.likelihoods)}, link {self.link}"
            raise ValueError(f"{self.name}: {what}: Bernoulli, logistic and no log_size go together")

    @property
    def is_binary(self) -> bool:
        """Whether a feature is seen or not: predictions are then probabilities, and their log odds grow with depth."""
        return self.link == "logistic"

    def likelihood(self, config: FitConfig) -> Likelihood:
        """The likelihood that a config chooses."""
        return config.likelihoods.get(self.name, self.likelihoods[0])

    def coding_names(self, config: FitConfig) -> tuple[str, ...]:
        """The codings that a config lets the fit choose from."""
        return config.preprocessing.codings.get(self.name, self.candidates or tuple(self.codings))

    def select(self, counts: sparse.csr_matrix, config: FitConfig, measured: MeasuredFeatures) -> NDArray[np.intp]:
        """Positions of the features that make the code, in their original order.

        The score of a feature is that of the cells in which it was measured, as if they were all.
        """
        if self.score is None:
            return np.arange(counts.shape[1])
        at_most = config.max_features.get(self.name, self.max_features)
        found = sum(self.score(part) for _, part in measured.parts(counts))
        score = np.asarray(found) * (counts.shape[0] / np.maximum(measured.n_cells, 1.0))
        return best(score, counts.shape[1] if at_most is None else at_most)

    def log_sizes(self, counts: sparse.csr_matrix, total: Floats, share: Floats) -> NDArray[np.float32] | None:
        """`log_size` of all features, of which those with a share of the terms were measured; None where there is none.

        Args:
            counts: cell x feature.
            total: counts that all features would have.
            share: of the terms of each cell, that of its measured features.
        """
        if self.log_size is None:
            return None
        log_size = self.log_size(counts, total)
        return log_size if self.terms is None else (log_size / share).astype(np.float32)

    def measured_on_scale(self, counts: sparse.csr_matrix, total: Floats, share: Floats) -> sparse.csr_matrix:
        """`on_scale`, of cells in which not all features were measured; arguments as of `log_sizes`."""
        log_size = self.log_sizes(counts, total, share)
        if self.terms is None or log_size is None or (share == 1.0).all():
            return self.on_scale(counts, total)
        per_entry = np.repeat(np.exp(-log_size), np.diff(counts.indptr))
        data = np.log1p(counts.data * per_entry).astype(np.float32)
        return sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)

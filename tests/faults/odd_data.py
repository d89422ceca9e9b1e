"""Odd data sets, fits and questions as a few choices each, which hypothesis draws and a case is told by; no test."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace
from typing import Any

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from hypothesis import strategies as st
from mudata import MuData
from numpy.typing import NDArray
from scipy import sparse

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One modality: how many features, what values, in what form, and under what names."""

    n_features: int
    values: str = "counts"
    dtype: str = "float32"
    form: str = "csr_matrix"
    names: str = "usual"
    place: str = "X"
    lacking: float = 0.0
    n_empty: int = 0
    is_shuffled: bool = False
    kept: float = 1.0


@dataclass(frozen=True)
class Batch:
    """The obs column "batch": its levels, how they are written, and the tables that have it."""

    n_levels: int
    kind: str = "text"
    place: str = "parts"


@dataclass(frozen=True)
class Data:
    """A MuData: features follow from `seed`, cells from `draw`."""

    seed: int
    draw: int
    n_cells: int
    parts: dict[str, Part]
    cells: str = "usual"
    batch: Batch | None = None
    is_gapped: bool = False

    def build(self) -> MuData:
        """The data; the same each time."""
        with mudata.set_options(pull_on_update=False), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = MuData({name: _table(self, name, part) for name, part in self.parts.items()})
            if self.batch and self.batch.place != "parts":
                of_cell = dict(zip(_cell_names(self, ""), _batches(self), strict=True))
                column = pd.Series([of_cell.get(name) for name in made.obs_names], index=made.obs_names)
                made.obs["batch"] = column if column.isna().any() else column.astype(_batches(self).dtype)
            return made


@dataclass(frozen=True)
class Question:
    """How a model is asked."""

    style: str = "average"
    interval: float | None = None
    n_draws: int = 0
    via: bool = False
    force: bool = False
    rule: str = "soft"
    within: str | None = None
    depth: bool = False
    top: int = 1000
    prior_unmatched: float = 0.02
    min_probability: float = 0.0
    label_key: str | None = None
    also: str = "nothing"


@dataclass(frozen=True)
class Case:
    """Data to learn from, how, cells to ask about, and how, through Python or the command line."""

    training: Data
    query: Data
    config: dict[str, Any]
    options: dict[str, Any]
    question: Question
    through: str = "python"

    def __str__(self) -> str:
        told = f"fit {_told(self.training)}; ask {_told(self.query)}"
        return f"{told}; {self.config} {self.options} {_told(self.question)} {self.through}"


def _told(choice: Any) -> str:
    """The choices that are not the usual ones."""
    shown = []
    for each in fields(choice):
        value = getattr(choice, each.name)
        if value != each.default:
            parts = value if isinstance(value, dict) else {}
            text = " ".join(f"{name}({_told(part)})" for name, part in parts.items()) if parts else None
            shown.append(f"{each.name}={text or (_told(value) if isinstance(value, Batch) else value)}")
    return " ".join(shown)


def _log(x: Values) -> Values:
    return np.log1p(x / np.maximum(x.sum(axis=1, keepdims=True), 1) * 1e4)


def _but(x: Values, value: float) -> Values:
    """The same with another last value."""
    changed = x.copy()
    changed[-1, -1] = value
    return changed


VALUES = {
    "counts": lambda x: x,
    "rare": lambda x: np.maximum(x - 2, 0),
    "binary": lambda x: np.minimum(x, 1),
    "large": lambda x: x * 17_771,
    "one deep cell": lambda x: x * np.where(np.arange(len(x)) == 0, 1e5, 1)[:, None],
    "constant features": lambda x: np.where(np.arange(x.shape[1]) % 3 == 0, 2, x),
    "empty features": lambda x: x * (np.arange(x.shape[1]) % 2),
}
"""Counts made odd."""
ALIKE = {
    "cells alike": lambda x: np.tile(x[:1], (len(x), 1)),
    "features alike": lambda x: np.tile(x[:, :1], (1, x.shape[1])),
    "ones": np.ones_like,
}
"""Counts that say nothing of cells: of genes and peaks none is then selected, which is refused."""
TOO_FEW = {
    "one feature": lambda x: x * (np.arange(x.shape[1]) == 0),
    "one cell": lambda x: x * (np.arange(len(x)) == 0)[:, None],
}
"""Counts of a query, too few to learn from."""
UNUSABLE = {
    "nothing": np.zeros_like,
    "negative": lambda x: _but(x, -1),
    "NaN": lambda x: _but(x, np.nan),
    "infinite": lambda x: _but(x, np.inf),
    "beyond 2^53": lambda x: _but(x, 1e17),
    "fractions": lambda x: x + 0.25,
    "logs": _log,
    "scaled": lambda x: x - x.mean(axis=0),
}
"""Values that are no counts."""


def _duplicated(x: Values, rng: np.random.Generator) -> sparse.csr_matrix:
    """Unsorted CSR in which each entry stands twice, as 1 and the rest, and some zeros stand as well."""
    rows = sparse.coo_matrix(np.where(rng.random(x.shape) < 0.1, 1, 0) + x)
    values = x[rows.row, rows.col]
    ones = np.minimum(values, 1)
    order = rng.permutation(2 * rows.nnz)
    data = np.concatenate([ones, values - ones])[order].astype(x.dtype)
    row, column = np.tile(rows.row, 2)[order], np.tile(rows.col, 2)[order]
    by_row = np.argsort(row, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(x)))])
    return sparse.csr_matrix((data[by_row], column[by_row], start), shape=x.shape)


FORMS = {
    "csr_matrix": lambda x, rng: sparse.csr_matrix(x),
    "csc_matrix": lambda x, rng: sparse.csc_matrix(x),
    "csr_array": lambda x, rng: sparse.csr_array(x),
    "csc_array": lambda x, rng: sparse.csc_array(x),
    "dense": lambda x, rng: x,
    "columns first": lambda x, rng: np.asfortranarray(x),
    "read-only": lambda x, rng: _read_only(x),
    "duplicates": _duplicated,
    "stored zeros": lambda x, rng: _with_zeros(x),
}
DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "uint64", "float16", "float32", "float64")
NO_COUNTS = ("bool", "object", "complex64")


def _read_only(x: Values) -> Values:
    frozen = x.copy()
    frozen.flags.writeable = False
    return frozen


def _with_zeros(x: Values) -> sparse.csr_matrix:
    """CSR that stores every value."""
    n, m = x.shape
    return sparse.csr_matrix((x.ravel(), np.tile(np.arange(m), n), np.arange(n + 1) * m), shape=x.shape)


CELLS = {
    "usual": lambda i, m: f"c{i}",
    "unicode": lambda i, m: f"Zelle «{i}» 細胞",
    "spaces and commas": lambda i, m: f' cell {i}, "a"',
    "numbers": lambda i, m: f"{1000 + 3 * i}",
    "markup": lambda i, m: f"<b>{i}</b>",
    "control characters": lambda i, m: f"c{i}\n\x1b[31m\t",
    "of modalities": lambda i, m: f"c{i}_{m}" if m else f"c{i}",
    "barcodes": lambda i, m: "".join("ACGT"[(i * 7 + 3) // 4**k % 4] for k in range(16)) + "-1",
    "long": lambda i, m: f"c{i}" + "x" * 300,
}
UNPAIRED_CELLS = {
    "by default": lambda i, m: f"{i}",
    "doubled": lambda i, m: f"c{i // 2}",
    "all one": lambda i, m: "c",
    "apart": lambda i, m: f"{m}{i}" if m else f"rna{i}",
}
FEATURES = {
    "usual": lambda i, m: f"chr{i % 3 + 1}:{1000 * i + 100}-{1000 * i + 600}" if m == "atac" else f"{m.upper()}{i}",
    "unicode": lambda i, m: f"β-{m} é {i}",
    "spaces and commas": lambda i, m: f' {m} {i}, "b" ',
    "numbers": lambda i, m: f"{i}",
    "markup": lambda i, m: f"<script>{m}{i}</script>",
    "control characters": lambda i, m: f"{m}{i}\n\x1b[31m\t",
    "shared": lambda i, m: f"G{i}",
    "controls": lambda i, m: f"IgG{i}_isotype_control" if i % 2 else f"{m.upper()}{i}",
    "ids": lambda i, m: f"ENSG{i + 11:011d}",
    "tiny intervals": lambda i, m: f"chr1:{i}-{i}",
    "overlapping": lambda i, m: f"chr1:{100 * i}-{100 * i + 900}",
    "two spellings": lambda i, m: f"{'chr' if i % 2 else ''}1_{100 * i + 1}_{100 * i + 90}",
    "case": lambda i, m: f"{m}{i}" if i % 2 else f"{m.upper()}{i - 1}",
    "long": lambda i, m: f"{m}{i}" + "y" * 300,
    "slashes": lambda i, m: f"../{m}/{i}",
}


def _cell_names(data: Data, modality: str) -> list[str]:
    name = {**CELLS, **UNPAIRED_CELLS}[data.cells]
    return [name(i, modality) for i in range(data.n_cells)]


def _feature_names(part: Part, modality: str) -> list[str]:
    if part.names == "doubled":
        return [f"{modality}{i // 2}" for i in range(part.n_features)]
    return [FEATURES[part.names](i, modality) for i in range(part.n_features)]


LEVELS = {
    "text": lambda level: f"b{level}",
    "categories": lambda level: f"b{level}",
    "unused categories": lambda level: f"b{level}",
    "integers": lambda level: level,
    "floats": lambda level: float(level),
    "fractions": lambda level: level + 0.5,
    "flags": lambda level: level % 2 == 0,
    "strings": lambda level: f"Spender {level} ß",
    "mixed": lambda level: level if level % 2 else f"b{level}",
    "of all cells": lambda level: "all",
    "missing": lambda level: f"b{level}" if level else None,
    "missing numbers": lambda level: float(level) if level else np.nan,
}


def _batches(data: Data) -> pd.Series:
    """The column, of all cells in order."""
    assert data.batch is not None
    numbers = np.arange(data.n_cells) % data.batch.n_levels + 1
    if data.batch.kind.startswith("missing"):
        numbers[-1] = 0
    values = pd.Series([LEVELS[data.batch.kind](int(number)) for number in numbers])
    if data.batch.kind == "categories":
        return values.astype("category")
    if data.batch.kind == "unused categories":
        return values.astype(pd.CategoricalDtype([*dict.fromkeys(values), "b99"]))
    return values.astype("string") if data.batch.kind == "strings" else values


def _counts(data: Data, number: int, part: Part) -> Values:
    """Counts of a low rank, so that modalities say something of each other."""
    of_features = np.random.default_rng([data.seed, 11, number])
    loadings = 0.7 * of_features.normal(size=(2, part.n_features))
    levels = of_features.normal(0.5, 0.8, part.n_features)
    content = np.random.default_rng([data.seed, data.draw, 12]).normal(size=(data.n_cells, 2))
    noise = np.random.default_rng([data.seed, data.draw, 13, number])
    return noise.poisson(np.exp(content @ loadings + levels)).astype(np.float64)


def _table(data: Data, modality: str, part: Part) -> AnnData:
    number = ("atac", "rna", "adt").index(modality)
    rng = np.random.default_rng([data.seed, data.draw, 14, number])
    rows = np.arange(data.n_cells)[rng.random(data.n_cells) >= part.lacking]
    columns = np.sort(rng.permutation(part.n_features)[: int(np.ceil(part.kept * part.n_features))])
    if part.is_shuffled:
        rows, columns = rng.permutation(rows), rng.permutation(columns)
    values = _counts(data, number, part)
    if data.is_gapped and data.batch:
        values[(np.arange(data.n_cells) % data.batch.n_levels) == 0, : part.n_features // 3] = 0
    values[: part.n_empty] = 0
    if values.size:
        values = np.asarray({**VALUES, **ALIKE, **TOO_FEW, **UNUSABLE}[part.values](values), dtype=np.float64)
    values = values[np.ix_(rows, columns)]
    cells, features = _cell_names(data, modality), _feature_names(part, modality)
    obs = pd.DataFrame({"cell_type": [f"t{row % 3}" for row in rows]}, index=[cells[row] for row in rows])
    obs["group"] = pd.Categorical([None if row % 5 == 0 else f"g{row % 2}" for row in rows], ["g0", "g1"])
    if data.batch and data.batch.place != "whole":
        obs["batch"] = _batches(data).iloc[rows].to_numpy()
        obs["batch"] = obs["batch"].astype(_batches(data).dtype)
    var = pd.DataFrame({"place": columns}, index=[features[column] for column in columns])
    return _placed(_typed(values, part, rng), part.place, obs, var)


def _typed(values: Values, part: Part, rng: np.random.Generator) -> Any:
    """The values in their dtype, as far as it holds them, and in their form."""
    dtype = np.dtype(part.dtype)
    if dtype.kind in "iu":
        values = np.clip(np.nan_to_num(values), np.iinfo(dtype).min, min(np.iinfo(dtype).max, 2**62))
    with np.errstate(over="ignore"):
        typed = values.astype(dtype)
    is_sparse_type = dtype.kind in "iufb" and dtype != np.float16
    return FORMS[part.form if is_sparse_type else "dense"](typed, rng)


def _placed(matrix: Any, place: str, obs: pd.DataFrame, var: pd.DataFrame) -> AnnData:
    """A table with the counts at X, in a layer next to logs, in .raw, or as part of a larger table."""
    logs = _log(matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix, dtype=np.float64))
    if place == "layer":
        return AnnData(logs, obs=obs, var=var, layers={"counts": matrix})
    if place == "raw":
        made = AnnData(matrix, obs=obs, var=var)
        made.raw = made.copy()
        made.X = logs
        return made
    made = AnnData(matrix, obs=obs, var=var)
    return made[np.arange(len(obs))] if place == "view" else made


def mostly(usual: Any, *others: Any, share: float = 0.3) -> st.SearchStrategy[Any]:
    """The usual value, or in a share of the draws one of the others.

    Hypothesis draws the ends of a list more often than the rest, so that the others stand in its middle.
    """
    n_around = round(len(others) * (1 - share) / share / 2)
    return st.sampled_from([*[usual] * n_around, *others, *[usual] * n_around])


def rarely(share: float) -> st.SearchStrategy[bool]:
    """True in a share of the draws."""
    return mostly(False, True, share=share)


SIZES = mostly(None, 3, 4, 5, 6, 1, 2, share=0.09).flatmap(
    lambda n: st.one_of(st.integers(5, 25), st.integers(26, 60)) if n is None else st.just(n)
)


@st.composite
def parts(draw: Any, modality: str, place: str) -> Part:
    """One modality, of which one in some thirty cannot be used."""
    odd = [*VALUES, *(ALIKE if modality == "adt" else ())]
    unfit = [*ALIKE, *TOO_FEW, *UNUSABLE]
    names = [name for name in FEATURES if name != "usual" and (modality != "atac" or name != "case")]
    return Part(
        n_features=draw(st.one_of(st.integers(3, 40), mostly(9, 1, 2, share=0.03))),
        values=draw(st.sampled_from(unfit) if draw(rarely(0.02)) else mostly("counts", *odd, share=0.4)),
        dtype=draw(st.sampled_from(NO_COUNTS)) if draw(rarely(0.007)) else draw(mostly("float32", *DTYPES, share=0.5)),
        form=draw(mostly("csr_matrix", *FORMS, share=0.5)),
        names="doubled" if draw(rarely(0.007)) else draw(mostly("usual", *names, share=0.3)),
        place=place if place != "X" else draw(mostly("X", "view", share=0.1)),
        lacking=draw(mostly(0.0, 0.1, 0.5, share=0.2)),
        n_empty=draw(mostly(0, 1, 3, share=0.15)),
        is_shuffled=draw(st.booleans()),
    )


@st.composite
def batches(draw: Any) -> Batch | None:
    """The column of the batch, in a third of the draws none."""
    if draw(rarely(0.3)):
        return None
    kinds = [kind for kind in LEVELS if not kind.startswith("missing")]
    kind = draw(st.sampled_from(["missing", "missing numbers"] if draw(rarely(0.03)) else ["text", *kinds]))
    return Batch(draw(mostly(2, 1, 3, 5, 30, share=0.5)), kind, draw(mostly("parts", "whole", "both", share=0.4)))


@st.composite
def data_sets(draw: Any) -> Data:
    """Data to learn from."""
    modalities = draw(mostly(("rna", "adt"), ("rna", "atac"), ("adt", "atac"), ("atac", "rna", "adt"), share=0.5))
    if draw(rarely(0.02)):
        modalities = (draw(st.sampled_from(["rna", "atac", "adt"])),)
    place = draw(mostly("X", "layer", "raw", share=0.15))
    is_unpaired = draw(rarely(0.03))
    return Data(
        seed=draw(st.integers(0, 999)),
        draw=0,
        n_cells=draw(SIZES),
        parts={modality: draw(parts(modality, place)) for modality in modalities},
        cells=draw(st.sampled_from(sorted(UNPAIRED_CELLS)))
        if is_unpaired
        else draw(mostly("usual", *CELLS, share=0.3)),
        batch=draw(batches()),
        is_gapped=draw(rarely(0.2)),
    )


@st.composite
def queries(draw: Any, training: Data) -> Data:
    """Cells to ask a model of the training data about."""
    if draw(rarely(0.1)):
        return training
    changed = {}
    for name, part in training.parts.items():
        changed[name] = replace(
            part,
            values=draw(
                st.sampled_from(sorted(UNUSABLE))
                if draw(rarely(0.02))
                else mostly("counts", *VALUES, *ALIKE, *TOO_FEW, share=0.3)
            ),
            dtype=draw(mostly(part.dtype, *DTYPES, share=0.3)),
            form=draw(mostly(part.form, *FORMS, share=0.3)),
            names=draw(mostly(part.names, *FEATURES, share=0.03)),
            lacking=draw(mostly(0.0, 0.3, share=0.2)),
            n_empty=draw(mostly(0, 1, share=0.1)),
            is_shuffled=draw(st.booleans()),
            kept=draw(mostly(1.0, 0.9, 0.8, 0.7, 0.6, 0.1, share=0.3)),
        )
    if len(changed) > 1 and draw(rarely(0.1)):
        del changed[draw(st.sampled_from(sorted(changed)))]
    return replace(
        training,
        draw=draw(st.integers(0, 3)),
        n_cells=draw(mostly(11, 1, 2, 3, 29, share=0.6)),
        parts=changed,
        cells=draw(mostly(training.cells, *CELLS, *UNPAIRED_CELLS, share=0.2)),
        batch=draw(batches()) if draw(rarely(0.3)) else training.batch,
        is_gapped=draw(rarely(0.1)),
    )


SHAPE = {"content_dim": 4, "style_dim": 2, "n_channels": 2, "n_tokens": 3}
USUAL = {
    "n_members": 1,
    "n_codes": 6,
    "max_epochs": 1,
    "epochs_per_evaluation": 1,
    "preprocessing": {"codings": {"rna": ("blend",)}, "offset_shares": (0.0, 1.0), "scale_powers": (0.0, 1.0)},
    "linear_path": {"max_repeats": 1},
    "kernel": {"sharpnesses": (1.0,), "shrinkage_strengths": (0.0, 0.5), "shrinkage_priors": (4.0,)},
    "matching": {"depth_weights": (0.5,)},
    "refit_below": 0,
}
"""Small sizes, and of what a fit selects from no more than two."""
CHANGES: dict[str, tuple[Any, ...]] = {
    "n_members": (2,),
    "n_codes": (2, 3, 20),
    "max_epochs": (0, 2),
    "refit_below": (3000,),
    "batch_size": (2, 3, 7),
    "max_held_cells": (10, 25),
    "thinning": ((1.0, 1.0),),
    "cells_at_a_time": (1, 5),
    "validation": ({"fraction": 0.0}, {"fraction": 0.5, "drop_below": 1, "max_fraction": 0.5}),
    "likelihoods": ({"adt": "negative_binomial"},),
    "max_features": ({"rna": 2, "atac": 3},),
    "learning_rate": (0.5,),
    "n_sampled_features": (1, 3),
    "preprocessing": ({"max_depth_correlation": 0.0}, {"gains": False}, {"imputation_passes": 0, "n_clusters": 1}),
}
SWITCHES: dict[str, Any] = {
    "style": False,
    "instance_norm": False,
    "linear_path": False,
    "kernel": False,
    "linear_weight": 1.0,
    "n_blocks": 2,
}


@st.composite
def configs(draw: Any) -> dict[str, Any]:
    """What differs from `USUAL`."""
    names = draw(st.lists(st.sampled_from(sorted(CHANGES)), max_size=3, unique=True))
    chosen = {name: draw(st.sampled_from(CHANGES[name])) for name in names}
    switch = draw(mostly(None, *SWITCHES, share=0.3))
    return chosen if switch is None else chosen | {"architecture": {switch: SWITCHES[switch]}}


@st.composite
def options_of_fits(draw: Any, training: Data) -> dict[str, Any]:
    """Arguments of `fit` and `check`."""
    found: dict[str, Any] = {}
    if training.batch and not draw(rarely(0.15)):
        found["batch_key"] = "batch"
    if draw(rarely(0.02)):
        found["batch_key"] = "Batch"
    place = next(iter(training.parts.values())).place
    if place in ("layer", "raw") and not draw(rarely(0.1)):
        found["layer"] = {"layer": "counts", "raw": ".raw"}[place]
    return found | {name: True for name in ("round_counts", "keep_controls") if draw(rarely(0.1))}


QUESTIONS = st.builds(
    Question,
    style=mostly("average", "b1", "cells", "no batch", share=0.3),
    interval=mostly(None, 0.5, 0.9, 0.999, share=0.5),
    n_draws=mostly(0, 1, 2, share=0.3),
    via=st.booleans(),
    force=mostly(False, True, share=0.2),
    rule=st.sampled_from(["soft", "argmax", "one-to-one"]),
    within=mostly(None, "batch", "group", "cell_type", "no column", share=0.4),
    depth=st.booleans(),
    top=mostly(1000, 1, 3, share=0.3),
    prior_unmatched=mostly(0.02, 0.0, 0.9, share=0.4),
    min_probability=mostly(0.0, 0.5, share=0.3),
    label_key=mostly(None, "group", "batch", "no column", share=0.3),
    also=mostly("nothing", "calibrate", "adapt", "pair", "feature_effects", "index", share=0.3),
)


@st.composite
def cases(draw: Any) -> Case:
    """A whole road."""
    training = draw(data_sets())
    return Case(
        training=training,
        query=draw(queries(training)),
        config=draw(configs()),
        options=draw(options_of_fits(training)),
        question=draw(QUESTIONS),
        through=draw(mostly("python", "shell", share=0.08)),
    )

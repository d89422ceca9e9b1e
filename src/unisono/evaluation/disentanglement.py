"""How well a fitted model keeps content and style apart, on cells that it has not seen; changes no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unisono.evaluation.outputs import over_shared_features
from unisono.evaluation.probes import Probe, class_probes, has_probes, value_probes
from unisono.evaluation.style_effects import StyleTransfer, VarianceShares, style_transfer, variance_shares
from unisono.io.places import Layer
from unisono.messages import bad_input
from unisono.model.query import QueryOptions, query_cells
from unisono.model.unisono import Unisono
from unisono.nn import infer
from unisono.preprocessing.preprocessor import StandardisedCodes
from unisono.types import Cells, Modality, Prediction, View

if TYPE_CHECKING:
    from mudata import MuData

_MAX_CELLS = 2000
_MAX_CONTENTS = 300
_MAX_STYLES = 12
_VALUES_AT_A_TIME = 2**21
_NOTICED = 0.1
"""In standard deviations of a measured feature: a mean change beyond it counts."""

SHARED = ("content", "embedding", "style")
"""Spaces that cells of several modalities stand in together."""


@dataclass(frozen=True)
class Styled:
    """What style does to the prediction of `target` from `source` (from itself where they are one).

    Attributes:
        variance: of test contents in the style of each training batch; None where nothing varies.
        style_transfer: cells of one batch in the style of another; None where the test holds fewer than two batches of
            training.
        change: mean absolute change of a value by a swap, on the target's scale; None as `style_transfer`.
        features_moved: share of the features that vary in the test which a swap changes, on average over cells, by more
            than a tenth of their measured standard deviation.
    """

    source: Modality
    target: Modality
    variance: VarianceShares | None
    style_transfer: StyleTransfer | None
    change: float | None
    features_moved: float | None


@dataclass(frozen=True)
class Disentanglement:
    """Figures of how content and style are kept apart.

    Attributes:
        probes: what can be read from which representation, on cells held out.
        styled: what style does to predictions.
    """

    probes: tuple[Probe, ...]
    styled: tuple[Styled, ...]

    def rows(self) -> list[dict[str, Any]]:
        """The probes as a table: one plain mapping per row, with `above_chance`."""
        return [{**asdict(probe), "above_chance": probe.above_chance} for probe in self.probes]

    def overview(self) -> list[dict[str, Any]]:
        """The probes as a table of one line per label and modality, with a column for each space."""
        lines: dict[tuple[str, str, str], dict[str, Any]] = {}
        for probe in self.probes:
            head = {"what": probe.label, "of": probe.modality, "probe": probe.how, "chance": probe.chance}
            line = lines.setdefault((probe.label, probe.modality, probe.how), head)
            line[probe.space] = probe.score
        return sorted(lines.values(), key=lambda line: (line["what"], line["of"]))

    def as_document(self) -> dict[str, Any]:
        """All figures as plain lists, mappings, numbers and text, for JSON."""
        return {"probes": self.rows(), "styled": [asdict(each) for each in self.styled]}


def disentanglement(
    model: Unisono,
    test: MuData,
    cell_type_key: str | None = "cell_type",
    *,
    seed: int = 0,
    source_name: str = "test",
    force: bool = False,
    layer: Layer | None = None,
    round_counts: bool | None = None,
) -> Disentanglement:
    """Probe content and style for modality, batch, depth and cell type, and measure what a change of style does.

    Spaces: `content` (posterior means, the members side by side), `embedding` (what `model.embed` writes), `style`
    (posterior means), `codes` with the batch's offset in them and `standardised codes` without; `cell type` itself, for
    how much of batch and depth follows from composition alone. Of more than 2,000 test cells as many are drawn.

    Args:
        model: fitted on other cells.
        test: raw counts of cells of one modality or more.
        cell_type_key: obs column of the cell type; where it is not there, or None, its rows are absent.
        seed: draws cells and folds.
        source_name: what messages call the data.
        force: continue even where the test cells hold less than a tenth of what the model reads.
        layer: as of `evaluate`.
        round_counts: as of `evaluate`.

    Raises:
        BadInput: E063 scikit-learn is missing, or the cells cannot be read by the model.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> train, test = un.splits.random_split(mdata).take(mdata)
        >>> model = un.fit(train, batch_key="batch", preset="fast", progress=False)
        >>> found = un.disentanglement(model, test)
        >>> batch = next(line for line in found.overview() if line["what"] == "batch")
        >>> batch["chance"]  # of two batches, read from a space that does not hold them
        0.5
        >>> list(batch)[4:]  # the spaces, each with its score
        ['content', 'embedding', 'style', 'codes', 'standardised codes', 'cell type']
    """
    if not has_probes():
        raise bad_input(
            "E063", source_name, "scikit-learn, which probes need, is not installed.", "pip install scikit-learn"
        )
    cells = query_cells(
        test, model.fitted.preprocessors, model.record, source_name, QueryOptions(force, layer, round_counts)
    )
    known = None if cell_type_key is None else _obs_column(test, cell_type_key)
    return disentanglement_of(model, cells, known, seed)


def disentanglement_of(
    model: Unisono, cells: Cells, cell_type: Mapping[str, str] | None, seed: int = 0
) -> Disentanglement:
    """As `disentanglement`, from validated counts and the cell type of each by name."""
    if len(cells.names) > _MAX_CELLS:
        rng = np.random.default_rng(seed)
        cells = cells.take(np.sort(rng.permutation(len(cells.names))[:_MAX_CELLS]))
    sides = {m: _side(model, cells.views[m], cell_type) for m in cells.modalities}
    probes = [probe for m, side in sides.items() for probe in _of_modality(m, side, seed)]
    for a, b in combinations(sides, 2):
        probes += _of_both(a, sides[a], b, sides[b], cells, seed)
    pairs = [*((m, m) for m in sides), *permutations(sides, 2)]
    styled = (_styled(model, cells, source, target, cell_type, seed) for source, target in pairs)
    return Disentanglement(tuple(probes), tuple(each for each in styled if each is not None))


class _Side(NamedTuple):
    """One modality of the test cells: its codes, its spaces, and the type of each cell, "" if not known."""

    cells: NDArray[np.str_]
    standardised: StandardisedCodes
    spaces: dict[str, NDArray[np.float32]]
    cell_type: NDArray[np.str_] | None


def _side(model: Unisono, view: View, cell_type: Mapping[str, str] | None) -> _Side:
    modality, standardised = view.modality, model.fitted.preprocessors[view.modality].transform(view)
    z = infer.contents(model.fitted.predictor.network, modality, standardised.x)
    style = infer.styles(
        model.fitted.predictor.network, modality, standardised.x, standardised.depth, standardised.offset
    )
    spaces = {
        "content": _side_by_side(z),
        "embedding": model.fitted.embedding(view),
        "style": _side_by_side(style),
        "codes": standardised.scaled,
        "standardised codes": standardised.x,
    }
    return _Side(view.cells, standardised, spaces, _types_of(view.cells, cell_type))


def _types_of(cells: NDArray[np.str_], cell_type: Mapping[str, str] | None) -> NDArray[np.str_] | None:
    return None if cell_type is None else np.array([cell_type.get(name, "") for name in cells], dtype=str)


def _side_by_side(of_members: NDArray[np.float32]) -> NDArray[np.float32]:
    """Member x cell x dimension to cell x (member · dimension)."""
    return np.ascontiguousarray(of_members.transpose(1, 0, 2)).reshape(of_members.shape[1], -1)


def _of_modality(modality: Modality, side: _Side, seed: int) -> Iterator[Probe]:
    """Batch, depth and cell type from each space of one modality."""
    spaces: dict[str, NDArray[np.floating]] = dict(side.spaces)
    has_type = None if side.cell_type is None else side.cell_type != ""
    if side.cell_type is not None and has_type is not None and has_type.all():
        spaces["cell type"] = (side.cell_type[:, None] == np.unique(side.cell_type)).astype(np.float32)
    for space, x in spaces.items():
        yield from class_probes(space, modality, "batch", x, side.standardised.batch, side.cells, seed)
        yield from value_probes(space, modality, "depth", x, side.standardised.log_depth, side.cells, seed)
        if side.cell_type is not None and has_type is not None and space != "cell type":
            typed = side.cell_type[has_type]
            yield from class_probes(space, modality, "cell type", x[has_type], typed, side.cells[has_type], seed)


def _of_both(a: Modality, left: _Side, b: Modality, right: _Side, cells: Cells, seed: int) -> Iterator[Probe]:
    """Modality from the spaces that two modalities share, over the cells that have both."""
    both = (cells.rows[a] >= 0) & (cells.rows[b] >= 0)
    rows = cells.rows[a][both], cells.rows[b][both]
    if len(rows[0]) < 2:
        return
    names = np.repeat(np.array([a, b]), len(rows[0]))
    physical = np.tile(cells.names[both], 2)
    for space in SHARED:
        x = np.concatenate([left.spaces[space][rows[0]], right.spaces[space][rows[1]]])
        yield from class_probes(space, f"{a}+{b}", "modality", x, names, physical, seed)


def _styled(
    model: Unisono,
    cells: Cells,
    source: Modality,
    target: Modality,
    cell_type: Mapping[str, str] | None,
    seed: int,
) -> Styled | None:
    """None where no style but the average is known, or hardly a cell has both modalities."""
    both = (cells.rows[source] >= 0) & (cells.rows[target] >= 0)
    book = model.fitted.predictor.styles[target]
    if both.sum() < 2 or len(book.batches) < 2:
        return None
    order = np.random.default_rng(seed).permutation(np.flatnonzero(both))  # so that the first cells are of all batches
    view, truth = (cells.views[m].take(cells.rows[m][order]) for m in (source, target))
    present = [str(name) for name in book.batches if (truth.batch == name).any()]
    chosen = [*present, *(str(name) for name in book.batches if name not in present)][:_MAX_STYLES]
    predicted = {name: model.fitted.predict(view, target, book.of_batch(name)) for name in chosen}
    shares = variance_shares(_grid(predicted))
    measured = model.fitted.preprocessors[target].transform(truth).scaled
    n_codes = measured.shape[1]
    codes = {name: each.codes[:, :n_codes] for name, each in predicted.items()}
    transfer = style_transfer(measured, codes, truth.batch, _types_of(truth.cells, cell_type), seed)
    if transfer is None:
        return Styled(source, target, shares, None, None, None)
    return Styled(source, target, shares, transfer, *_changes(model, predicted, truth))


def _grid(predicted: Mapping[str, Prediction]) -> Iterator[NDArray[np.float32]]:
    """Content x style x feature, some features at a time."""
    rows, any_one = slice(0, _MAX_CONTENTS), next(iter(predicted.values()))
    n_cells = len(any_one.cells[rows])
    size = max(1, _VALUES_AT_A_TIME // (n_cells * len(predicted)))
    for start in range(0, any_one.shape[1], size):
        some = slice(start, start + size)
        yield np.stack([each.take_features(some).dense(rows) for each in predicted.values()], axis=1)


def _changes(model: Unisono, predicted: Mapping[str, Prediction], truth: View) -> tuple[float, float]:
    """Mean absolute change by a swap over cells, features and styles, and the share of features that it moves."""
    shared = {name: over_shared_features(model, each, truth) for name, each in predicted.items()}
    predicted = {name: each for name, (_, each) in shared.items()}
    values = next(measured for measured, _ in shared.values())
    names = np.array(list(predicted))
    batch = truth.batch[:_MAX_CONTENTS]
    own = (batch[:, None] == names).argmax(axis=1)
    known = np.isin(batch, names)
    other = (names[None] != batch[:, None]) & known[:, None]
    changes = []
    for block in _grid(predicted):
        gap = np.abs(block - block[np.arange(len(block)), own][:, None])
        changes.append(gap[other].mean(axis=0))
    change = np.concatenate(changes)
    mean = np.asarray(values.mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(np.asarray(values.multiply(values).mean(axis=0)).ravel() - mean**2, 0.0))
    varies = deviation > 0
    is_moved = change[varies] > _NOTICED * deviation[varies]
    return float(change.mean()), float(is_moved.sum() / max(len(is_moved), 1))


def _obs_column(test: MuData, column: str) -> dict[str, str] | None:
    """Cell → its value in the column, of the cells that have one; None where there is no such column."""
    found: dict[str, str] = {}
    tables = [test.obs, *(part.obs for part in test.mod.values())]
    for table in (table for table in tables if column in table):
        values = table[column].dropna()
        found |= dict(zip(values.index.astype(str), values.astype(str), strict=True))
    return found or None

"""Query: what a user hands to a fitted model, as views and labels in that model's terms; refits nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.inference.fitted_model import FittedModel
from unisono.inference.record import Record
from unisono.io.checks.batches import as_text
from unisono.io.checks.coverage import coverage_of, tolerated
from unisono.io.checks.pairing import names_that_hold, paired_names
from unisono.io.checks.unmeasured import mark_query
from unisono.io.naming import did_you_mean, kind_of
from unisono.io.open import taken_apart
from unisono.io.places import CountsAt, Layer
from unisono.io.read import ReadOptions, inspect
from unisono.messages import BadInput, Finding, bad_input, refuse, warn
from unisono.modalities import spec_of
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.preprocessing.subset import evenly_spread
from unisono.types import Cells, Modality, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@dataclass(frozen=True)
class QueryOptions:
    """What a user says of a query.

    Attributes:
        force: whether to continue where it holds too little of the model's input.
        layer: where its raw counts are; where those of training were by default.
        round_counts: whether fractions are rounded; by default if those of training were.
        learns_batches: whether new batches are to be learned, so that nothing is said of their being new.
    """

    force: bool = False
    layer: Layer | None = None
    round_counts: bool | None = None
    learns_batches: bool = False


NEW_BATCH = "query batch"
"""The batch of the cells of a query that lacks the column of the batch."""


def query_view(
    data: MuData | AnnData,
    modality: Modality,
    preprocessors: Mapping[Modality, Preprocessor],
    record: Record,
    source_name: str = "query",
    options: QueryOptions | None = None,
) -> View:
    """The view of `read_query`."""
    return read_query(data, modality, preprocessors, record, source_name, options).view


class QueryRead(NamedTuple):
    """One modality of a query, and where its counts were: X, .raw or the name of a layer."""

    view: View
    place: str


def read_query(
    data: MuData | AnnData,
    modality: Modality,
    preprocessors: Mapping[Modality, Preprocessor],
    record: Record,
    source_name: str = "query",
    options: QueryOptions | None = None,
) -> QueryRead:
    """One modality of a query, checked against what the model can read; the others are ignored.

    A bare AnnData is taken to hold that modality, unless its feature types tell several. Counts are read where those of
    training were, unless `options` say another place, and rounded if those of training were. Findings below an error
    are given as `InputWarning`; with `force` a query that holds too little of the model's input (E036) is only warned
    of.

    Raises:
        BadInput: the counts cannot be used; E007 the query lacks the modality, E036 and E037 it shares too few
            features with the model, E039 and E040 its intervals cannot be compared, E043 the model lacks the modality.
    """
    require_modality(modality, preprocessors)
    mdata = as_mudata(data, modality)
    names = {name: kind for name, kind in kinds(mdata, record).items() if kind == modality}
    if not names:
        what = f"not found; the file has {', '.join(mdata.mod)}."
        raise bad_input("E007", f"{source_name}, {modality}", what, "name a modality that it has")
    batch_key, without_batch = batch_key_of(mdata, record, list(names), source_name)
    warn(without_batch)
    options = options or QueryOptions()
    inspection = inspect(mdata, read_options(record, batch_key, names, options), source_name)
    view = inspection.cells.views[modality]
    findings = inspection.findings
    if batch_key is None:
        view = replace(view, batch=np.full(view.n_cells, NEW_BATCH))
    where = f"{source_name}, {modality}"
    _, problems = coverage_of(preprocessors[modality], view, where)
    problems = tolerated(problems) if options.force else problems
    if any(finding.severity == "error" for finding in problems):
        raise BadInput(problems)
    view, lacking = mark_query(view, preprocessors[modality].projection, where)
    new = [] if options.learns_batches else new_batches(view, preprocessors[modality], where, record)
    warn([*findings, *problems, *lacking, *new, *of_another_kind(view, preprocessors[modality], where)])
    return QueryRead(view, inspection.places[modality])


def read_more(
    data: MuData | AnnData, modality: Modality, fitted: FittedModel, options: QueryOptions, source_name: str = "query"
) -> View | None:
    """More cells of a query that `read_query` read some of, without its findings; None where none of them has counts.

    Args:
        data: some of the cells.
        modality: of the query.
        fitted: the model that is asked.
        options: name the place of the counts.
        source_name: what messages call the query.

    Raises:
        BadInput: the counts cannot be used.
    """
    mdata = as_mudata(data, modality)
    names = {name: kind for name, kind in kinds(mdata, fitted.record).items() if kind == modality}
    batch_key, _ = batch_key_of(mdata, fitted.record, list(names), source_name)
    found = inspect(mdata, read_options(fitted.record, batch_key, names, options), source_name)
    refuse([finding for finding in found.findings if finding.code != "E009"])
    view = found.views.get(modality)
    if view is None:
        return None
    return view if batch_key is not None else replace(view, batch=np.full(view.n_cells, NEW_BATCH))


def read_options(
    record: Record,
    batch_key: str | None,
    modalities: Mapping[str, Modality] | None,
    options: QueryOptions,
) -> ReadOptions:
    """How a query is read: as the training cells were, but for what the user says."""
    is_rounded = record.is_rounded if options.round_counts is None else options.round_counts
    counts = CountsAt(options.layer, record.layers, is_rounded)
    return ReadOptions(batch_key, modalities, counts, record.keeps_controls)


def batch_key_of(mdata: MuData, record: Record, parts: list[str], source_name: str) -> tuple[str | None, list[Finding]]:
    """The column of the batch that training named, None and W029 where some modalities of a query lack it.

    Without W029 where training was of several data sets: a query is then another one, whose columns are its own.
    """
    key = record.batch_key
    if key is None or key in mdata.obs or any(key in mdata.mod[part].obs for part in parts):
        return key, []
    if record.data_sets:
        return None, []
    what = f"no column {key!r}, which named the batches in training; all cells are taken as one new batch."
    return None, [Finding("W029", source_name, what, f"add obs[{key!r}]")]


def query_cells(
    mdata: MuData,
    preprocessors: Mapping[Modality, Preprocessor],
    record: Record,
    source_name: str = "query",
    options: QueryOptions | None = None,
) -> Cells:
    """Every modality of a query that the model knows, joined by cell name; see `query_view`.

    Where no name is shared, suffixes of modalities are cut from them, as in training.

    Raises:
        BadInput: E043 the query has none of them; or a modality cannot be read.
    """
    return joined_by_name(query_views(mdata, preprocessors, record, source_name, options), source_name)


def query_views(
    mdata: MuData,
    preprocessors: Mapping[Modality, Preprocessor],
    record: Record,
    source_name: str = "query",
    options: QueryOptions | None = None,
) -> dict[Modality, View]:
    """Every modality of a query that the model knows, with the own names of its cells; see `query_cells`."""
    mdata, _ = taken_apart(mdata, source_name)
    there = modalities_in(mdata, record, preprocessors, source_name).values()
    return {m: query_view(mdata, m, preprocessors, record, source_name, options) for m in preprocessors if m in there}


def joined_by_name(views: Mapping[Modality, View], source_name: str) -> Cells:
    """The views as cells, by the names by which they meet, and W027 where these had to be cut."""
    names, findings = paired_names({m: pd.Index(view.cells, dtype=object) for m, view in views.items()}, source_name)
    warn(findings)
    return Cells({m: replace(view, cells=names[m].to_numpy(dtype=str)) for m, view in views.items()})


def as_one_batch(cells: Cells) -> Cells:
    """The same cells as of one new batch, "query batch"."""
    return Cells({m: view.in_one_batch(NEW_BATCH) for m, view in cells.views.items()})


def kinds(mdata: MuData, record: Record) -> dict[str, Modality]:
    """Name in the file → modality: as the user named them in training, else by known names."""
    return kinds_named(list(mdata.mod), record)


def kinds_named(names: Sequence[str], record: Record) -> dict[str, Modality]:
    """As `kinds`, of modalities by their names in the file."""
    named = {name: kind for name, kind in (record.modalities or {}).items() if name in names}
    known = {name: kind for name in names if (kind := kind_of(name)) is not None and name not in named}
    return named | {name: kind for name, kind in known.items() if kind not in named.values()}


def new_batches(view: View, preprocessor: Preprocessor, source_name: str, record: Record) -> list[Finding]:
    """W034 where batches of the view were not in training, with how much of their mean is taken for their offset.

    Nothing where that goes without saying: training named no batch, or was of several data sets.
    """
    known = preprocessor.standardisation.batches
    if record.batch_key is None or record.data_sets:
        return []
    new = sorted(set(np.unique(view.batch)) - set(known))
    if not new:
        return []
    what = f"{len(new)} batches were not in training (first: {str(new[0])!r}; training had {', '.join(known[:5])}): "
    what += "standardised by their own statistics"
    shares = preprocessor.offset_shares(view, new)
    first = min(shares, key=lambda name: shares[name])
    if shares[first] == 1:
        return [Finding("W034", source_name, f"{what}.", "to predict in their style, pass reference cells as style")]
    what += (
        f"; of the mean of {first!r} ({int((view.batch == first).sum())} cells) {shares[first]:.0%} is taken for how "
    )
    what += "it was measured, the rest for which cells it has."
    remedy = "ask about cells of all kinds of a batch together, or adapt to them first"
    return [Finding("W034", source_name, what, remedy)]


_MIN_CELLS = 20
_MAX_CELLS = 500
_MAX_BY_CHANCE = 0.18
_MIN_LIFT = 1.6
"""Of the variance in the codes over chance. Genes under permuted names 1.4, mouse cortex asked of a model of human
blood 1.3, human blood of one of cortex 0.6; single cell types of blood 2.0 to 11."""


def of_another_kind(view: View, preprocessor: Preprocessor, source_name: str) -> list[Finding]:
    """W071 where the codes hold hardly more of the variance of the cells than chance.

    Nothing is told of few cells, of codes that hold much of any variance, as those of proteins, and of binary
    values, most of whose variance is chance.
    """
    if spec_of(view.modality).is_binary or view.n_cells < _MIN_CELLS:
        return []
    rows = evenly_spread(view.n_cells, _MAX_CELLS)
    held, by_chance = preprocessor.projection.variance_held(preprocessor.projection.counts(view.take(rows)))
    if by_chance > _MAX_BY_CHANCE or held >= _MIN_LIFT * by_chance:
        return []
    what = (
        f"these cells hardly vary in what the model has learned: {held:.1%} of their variance, where chance is "
        f"{by_chance:.1%}. Tissue, species or names of features are other than in training: do not rely on answers."
    )
    return [Finding("W071", source_name, what, "check names and tissue, or fit a model of such cells")]


_MIN_TO_ADAPT = 20


def small_batches(cells: Cells, known: Collection[str], source_name: str) -> list[Finding]:
    """W032 for new batches of so few cells that what is learned of them is hardly more than which cells they are."""
    names, sizes = np.unique(cells.batch, return_counts=True)
    few = [(name, n) for name, n in zip(names, sizes, strict=True) if name not in known and n < _MIN_TO_ADAPT]
    if not few:
        return []
    what = f"{len(few)} new batches have fewer than {_MIN_TO_ADAPT} cells (first: {few[0][0]}, {few[0][1]}): "
    what += "how they were measured is hardly told from which cells they are."
    return [Finding("W032", source_name, what, "give more cells of them, or predict without adapting")]


def findings_of_batches(
    cells: Cells, preprocessors: Mapping[Modality, Preprocessor], source_name: str, record: Record, is_named: bool
) -> list[Finding]:
    """W034 of every modality that the model knows; of one new batch where the cells lack the column of the batch."""
    views = {m: view for m, view in cells.views.items() if m in preprocessors}
    named = {m: view if is_named else view.in_one_batch(NEW_BATCH) for m, view in views.items()}
    return [f for m, view in named.items() for f in new_batches(view, preprocessors[m], f"{source_name}, {m}", record)]


def require_modality(modality: Modality, preprocessors: Mapping[Modality, Preprocessor]) -> None:
    """Refuse a modality that the model does not have (E043)."""
    if modality not in preprocessors:
        what = f"this model knows {', '.join(preprocessors)}; it cannot use {modality}.{did_you_mean(modality)}"
        raise bad_input("E043", "model", what, "use one of these, or fit a model with it")


def validate_via(
    via: Modality, source: Modality, target: Modality, preprocessors: Mapping[Modality, Preprocessor]
) -> None:
    """Refuse a `via` that is no third modality of the model (E043, E053)."""
    require_modality(via, preprocessors)
    if via in (source, target) or source == target:
        what = f"via={via} does not stand between {source} and {target}."
        raise bad_input("E053", "predict", what, "name a third modality, or leave via out")


def modalities_in(
    mdata: MuData, record: Record, preprocessors: Mapping[Modality, Preprocessor], source_name: str = "query"
) -> dict[str, Modality]:
    """Name in the file → modality, of those that the model has.

    Raises:
        BadInput: E043 there is none.
    """
    found = {name: kind for name, kind in kinds(mdata, record).items() if kind in preprocessors}
    if not found:
        what = f"holds {', '.join(mdata.mod)}; this model knows {', '.join(preprocessors)}."
        raise bad_input("E043", source_name, what, "give a modality of the model")
    return found


def infer_modality(
    data: MuData | AnnData,
    preprocessors: Mapping[Modality, Preprocessor],
    record: Record,
    side: str,
    remedy: str,
) -> Modality:
    """Which of the model's modalities an object holds, when it holds only one.

    Of a MuData by its names, of an AnnData by the modality that shares most features.

    Args:
        data: what a user gave.
        preprocessors: of the model.
        record: for the names of modalities.
        side: what messages call the data.
        remedy: how to name one where there are several.

    Raises:
        BadInput: E007 none or several, E037 no feature is known.
    """
    if hasattr(data, "mod"):
        found = [m for m in preprocessors if m in kinds(data, record).values()]
        if len(found) != 1:
            what = f"holds {', '.join(data.mod)}; which of them to use is ambiguous."
            raise bad_input("E007", side, what, remedy)
        return found[0]
    names = {str(name) for name in data.var_names}
    shared = {m: len(names & set(preprocessor.projection.features)) for m, preprocessor in preprocessors.items()}
    best = max(preprocessors, key=lambda m: shared[m])
    if shared[best] == 0:
        raise bad_input("E037", side, "0 features match those of the model, in any modality.", "check var_names")
    return best


def as_mudata(data: MuData | AnnData, modality: Modality) -> MuData:
    """The data, with a bare AnnData wrapped as the given modality."""
    return taken_apart(data, "query", modality)[0]


def part_of(data: MuData | AnnData, modality: Modality, record: Record) -> AnnData:
    """The AnnData of one modality of the data."""
    mdata = as_mudata(data, modality)
    part: AnnData = mdata.mod[next(name for name, kind in kinds(mdata, record).items() if kind == modality)]
    return part


def labels_within(
    data: MuData | AnnData,
    view: View,
    column: str,
    record: Record,
    source_name: str,
    option: str = "within",
    *,
    is_missing_allowed: bool = False,
) -> NDArray[np.str_]:
    """The obs column of the view's cells, looked up in the modality's own obs first, then in the MuData's.

    Args:
        data: the source of the view.
        view: one modality of it.
        column: of obs.
        record: for the names of modalities.
        source_name: what messages call the data.
        option: the name of the argument that named the column.
        is_missing_allowed: whether cells without a value get "".

    Raises:
        BadInput: E029 there is no such column, E031 it lacks a value and may not.
    """
    tables = tables_of(data, view.modality, record)
    values = column_of(tables, column, view.cells)
    if values is None:
        known = ", ".join(sorted({str(name) for table in tables for name in table})[:8])
        what = f"no obs column {column!r} (there are: {known})."
        raise bad_input("E029", f"{source_name}, {view.modality}", what, "name one")
    values = as_text(values)
    if values.isna().any() and not is_missing_allowed:
        what = f"{column!r} is missing for {int(values.isna().sum())} cells."
        raise bad_input("E031", f"{source_name}, {view.modality}", what, f"fill it in or leave out {option}")
    return np.asarray(values.fillna(""), dtype=str)


def without_group(left: NDArray[np.str_], right: NDArray[np.str_], column: str) -> list[Finding]:
    """W057 for left cells that no right cell shares a group with, or that have no value in the column."""
    is_missing, is_alone = left == "", (left != "") & ~np.isin(left, right)
    if not (is_missing | is_alone).any() or (is_missing | is_alone).all():
        return []
    groups = ", ".join(repr(str(name)) for name in np.unique(left[is_alone])[:3])
    parts = [f"{is_alone.sum():,} left cells are in groups that the right side lacks ({groups})"] if groups else []
    parts += [f"{is_missing.sum():,} have no {column}"] if is_missing.any() else []
    what = f"{' and '.join(parts)}: they get no partner, p_unmatched is 1."
    return [Finding("W057", "match", what, "give their right cells, or match without within")]


def labels_if_any(
    data: MuData | AnnData, view: View, column: str, record: Record, source_name: str
) -> NDArray[np.str_]:
    """As `labels_within`, with "" for a cell without a value, and W067 where the query lacks the column."""
    values = column_of(tables_of(data, view.modality, record), column, view.cells)
    if values is None:
        what = f"no obs column {column!r}, by which intervals were calibrated; they have the width for all cells."
        warn([Finding("W067", f"{source_name}, {view.modality}", what, f"add obs[{column!r}]")])
        return np.full(view.n_cells, "", dtype=str)
    return np.asarray(as_text(values).fillna(""), dtype=str)


def tables_of(
    data: MuData | AnnData, modality: Modality, record: Record, cells: NDArray[np.str_] | None = None
) -> list[pd.DataFrame]:
    """The obs tables that hold cells of the modality, its own first; named as `cells` are where these were cut."""
    tables = _tables_of(data, modality, record)
    if cells is None:
        return tables
    wanted = pd.Index(cells)
    return [table.set_axis(names_that_hold(wanted, modality, table.index), axis=0) for table in tables]


def _tables_of(data: MuData | AnnData, modality: Modality, record: Record) -> list[pd.DataFrame]:
    if not hasattr(data, "mod"):
        return [data.obs]
    own = [name for name, kind in kinds(data, record).items() if kind == modality]
    return [*(data.mod[name].obs for name in own), data.obs]


def column_of(tables: list[pd.DataFrame], column: str, cells: NDArray[np.str_]) -> pd.Series | None:
    """The values of the cells in the first table that has the column and all of them; None if there is none."""
    for table in tables:
        if column in table and np.isin(cells, table.index).all():
            found: pd.Series = table.loc[list(cells), column]
            return found
    return None

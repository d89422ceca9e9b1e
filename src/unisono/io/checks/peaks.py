"""Peaks of training data as places on a genome: what keeps a model from reading a query with other peaks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from unisono.features.peaks import places_of, prefix_of
from unisono.io.naming import Source
from unisono.messages import BadInput, Finding
from unisono.modalities import spec_of
from unisono.types import View

_SO = "queries with other peaks cannot be compared with this model"


def peak_findings(source: Source, view: View) -> list[Finding]:
    """W040 where peaks are no intervals, or their chromosomes are named in two ways; I040 where they overlap."""
    if not spec_of(source.kind).are_intervals:
        return []
    places = places_of(view.features)
    return [*_no_intervals(source, view, places), *_two_ways(source, places), *_overlapping(source, view, places)]


def _no_intervals(source: Source, view: View, places: pd.DataFrame) -> list[Finding]:
    lost = np.delete(view.features, places.index.to_numpy())
    if not len(lost):
        return []
    what = f"{len(lost)} of {len(view.features)} names are not chr:start-end with start before end "
    what += f"(first: {str(lost[0])!r}): {_SO}."
    return [Finding("W040", source.source_name, what, "name peaks like chr1:100-200, or remove what is no peak")]


def _two_ways(source: Source, places: pd.DataFrame) -> list[Finding]:
    try:
        prefix_of(places["chrom"].unique(), source.source_name)
    except BadInput as refused:
        what = f"{refused.findings[0].what.rstrip('.')}: {_SO}."
        return [Finding("W040", source.source_name, what, "name all of them in one way")]
    return []


def _overlapping(source: Source, view: View, places: pd.DataFrame) -> list[Finding]:
    """I040, of peaks that begin before one of the same chromosome ends."""
    ordered = places.sort_values(["chrom", "start"], kind="stable")
    reach = ordered.groupby("chrom", observed=True)["end"].cummax().to_numpy()
    is_same = (ordered["chrom"] == ordered["chrom"].shift()).to_numpy()
    is_over = is_same & (ordered["start"].to_numpy() < np.concatenate([[0], reach[:-1]]))
    if not is_over.any():
        return []
    first = view.features[ordered.index[int(np.argmax(is_over))]]
    what = f"{int(is_over.sum())} of {len(view.features)} peaks overlap one before them (first: {first}); all are kept."
    return [Finding("I040", source.source_name, what)]

"""Features that batches of a view did not measure, found and said: of training cells, and of a query; reads no file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unisono.messages import Finding
from unisono.modalities import spec_of
from unisono.preprocessing.projection import Projection
from unisono.preprocessing.unmeasured import unmeasured_by_batch
from unisono.preprocessing.unmeasured_in_query import unmeasured_in_query
from unisono.types import View

Masks = Mapping[str, NDArray[np.bool_]]

_NAMED = 3


def mark_training(view: View, source_name: str) -> tuple[View, list[Finding]]:
    """The view with what its batches did not measure, judged by each other, and W068 where there is any."""
    return _marked(view, unmeasured_by_batch(view.counts, view.batch), source_name, "counted elsewhere")


def mark_unlabelled(view: View, known: NDArray[np.str_], source_name: str) -> tuple[View, list[Finding]]:
    """As `mark_training` of a view joined by unlabelled cells, for the batches that training did not know."""
    found = unmeasured_by_batch(view.counts, view.batch)
    new = {name: mask for name, mask in found.items() if name not in known}
    return _marked(view, new, source_name, "counted elsewhere")


def mark_query(view: View, projection: Projection, source_name: str) -> tuple[View, list[Finding]]:
    """The view with what its batches did not measure, judged by the training cells, and W068 where there is any."""
    return _marked(view, unmeasured_in_query(projection, view), source_name, "counted in training")


def _marked(view: View, unmeasured: Masks, source_name: str, where: str) -> tuple[View, list[Finding]]:
    if not unmeasured:
        return view, []
    alike: dict[bytes, list[str]] = defaultdict(list)
    for name, mask in unmeasured.items():
        alike[mask.tobytes()].append(name)
    findings = [_finding(view, unmeasured[names[0]], names, source_name, where) for names in alike.values()]
    return replace(view, unmeasured={**view.unmeasured, **unmeasured}), findings


def _finding(view: View, mask: NDArray[np.bool_], batches: list[str], source_name: str, where: str) -> Finding:
    features, n_cells = spec_of(view.modality).features, int(np.isin(view.batch, batches).sum())
    of = f"batch {batches[0]}" if len(batches) == 1 else f"{len(batches)} batches ({_first(batches)})"
    what = f"{int(mask.sum())} of {len(mask)} {features} are 0 in all {n_cells} cells of {of} and {where}"
    what += f" ({_first(view.features[mask])}): taken as not measured there."
    return Finding("W068", source_name, what)


def _first(names: list[str] | NDArray[np.str_]) -> str:
    return ", ".join([*map(str, names[:_NAMED]), *(["..."] if len(names) > _NAMED else [])])

"""Other ways to a model of a case: with unlabelled cells, from a model, of several data sets, by rows; no test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData
from odd_data import Case
from odd_road import TOLERANCE, VERBS, code_of, config_of, content_of, end_of, told_of, written

from unisono.api import fit
from unisono.config import FitConfig
from unisono.messages import BadInput
from unisono.model.unisono import Unisono
from unisono.reading import open as open_store
from unisono.reading import read


def by(way: str, case: Case, folder: Path) -> str:
    """Fit by one of `WAYS` and ask as usual; what is given stays as it is."""
    training, query = case.training.build(), case.query.build()
    before = [content_of(data) for data in (training, query)]
    config = FitConfig.preset("default", **config_of(case))
    how = {"config": config, "device": "cpu", "progress": False, **case.options}
    try:
        model = WAYS[way](training, query, folder, how)
    except BadInput as refusal:
        return f"refused {code_of(refusal)} by fit"
    ends = {name: end_of(verb, model, query, case.question) for name, verb in VERBS.items() if name != "embed"}
    assert [content_of(data) for data in (training, query)] == before, "the input was changed"
    return told_of(ends)


def _beside_unlabelled(training: MuData, query: MuData, _folder: Path, how: dict[str, Any]) -> Unisono:
    return fit(training, unlabelled=query, **how)


def _from_a_model(training: MuData, query: MuData, _folder: Path, how: dict[str, Any]) -> Unisono:
    """A model of the training data and of the query's cells, from one of the training data alone."""
    return fit(query, init=fit(training, **how), **how)


def _of_several(training: MuData, query: MuData, _folder: Path, how: dict[str, Any]) -> Unisono:
    return fit([training, query], names=["one", "two"], **how)


BY_ROWS_ALONE = ("E006", "E023")
"""Refusals of what is read in memory: matrices stored by columns, names that meet once they are spelled alike."""


def _by_rows(training: MuData, query: MuData, folder: Path, how: dict[str, Any]) -> Unisono:
    """The model of a file read by rows, which refuses and predicts what that of the same file in memory does."""
    paths = [written(data, folder / f"{i}.h5mu") for i, data in enumerate((training, query))]
    held = fit(read(paths[0]), **how)
    stored = fit(open_store(paths[0]), **how)
    for source, target in [(a, b) for a in held.modalities for b in held.modalities if a != b and a in query.mod]:
        wanted = _end(held, read, paths[1], source, target)
        found = _end(stored, open_store, paths[1], source, target)
        if isinstance(wanted, str) or isinstance(found, str):
            told = [each if isinstance(each, str) else "a result" for each in (wanted, found)]
            assert told[0] == told[1] or told[1] in BY_ROWS_ALONE, f"{source} to {target}: in memory, by rows {told}"
        else:
            assert list(found.obs_names) == list(wanted.obs_names)
            np.testing.assert_allclose(found.X, wanted.X, **TOLERANCE)
    return stored


def _end(model: Unisono, opened: Callable[[Path], Any], path: Path, source: str, target: str) -> AnnData | str:
    """A prediction, or the code of its refusal."""
    try:
        return model.predict(opened(path), source, target)
    except BadInput as refusal:
        return code_of(refusal)


WAYS = {
    "unlabelled": _beside_unlabelled,
    "init": _from_a_model,
    "several": _of_several,
    "rows": _by_rows,
}

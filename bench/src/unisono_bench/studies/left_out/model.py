"""A model of Unisono of some data sets, and what it answers about those that it has not seen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd

import unisono as un
from unisono_bench.studies.left_out import figures
from unisono_bench.studies.left_out.sets import PAIR, DataSets, Query
from unisono_bench.studies.report import Row

COVERAGE = 0.9


def fitted(sets: DataSets, training: Sequence[str], config: un.FitConfig) -> un.Unisono:
    """One model of all training sets."""
    return un.fit([sets.mudata[name] for name in training], names=list(training), batch_key="batch", config=config)


def answers(model: un.Unisono, sets: DataSets, training: Sequence[str], held: str) -> list[Row]:
    """Every figure about a data set that the model has not seen; that batches are new and features missing is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", un.InputWarning)
        return list(_answers(model, sets, training, held))


def _answers(model: un.Unisono, sets: DataSets, training: Sequence[str], held: str) -> Iterator[Row]:
    query = sets.query(held)
    for source, target in (PAIR, PAIR[::-1]):
        found = model.predict(query.mudata, source, target, force=True)
        subsets = {name: sets.features(name, target) for name in training}
        yield from figures.of_prediction(query, source, found.to_df(), subsets)
        with suppress(un.BadInput):  # a direction without intervals
            bounds = model.predict(query.mudata, source, target, interval=COVERAGE, force=True)
            yield figures.of_intervals(query, source, *(bounds.to_df(layer) for layer in ("lower", "upper")))
    yield from figures.of_embedding(*_embedded(model, query))
    yield from figures.of_matching(query, similarity(model, query))


def similarity(model: un.Unisono, query: Query) -> un.matching.Similarity:
    """As `unisono match` compares the two sides."""
    return model.fitted.similarity(query.matching.left, query.matching.right, depth=False, groups=None)


def _embedded(model: un.Unisono, query: Query) -> tuple[np.ndarray, np.ndarray]:
    embedded = model.embed(query.mudata.copy(), force=True)
    left, right = (pd.DataFrame(embedded[m].obsm["X_unisono"], embedded[m].obs_names) for m in PAIR)
    return left.to_numpy(), right.loc[left.index].to_numpy()

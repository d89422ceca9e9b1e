"""Tests of labels: columns of few values, the batch first, the modality's own obs before that of the MuData."""

from __future__ import annotations

import numpy as np
import pandas as pd
from model_fixtures import rebuilt, small_model, test_cells

from unisono.evaluation.report_data import labels_of
from unisono.model.query import query_cells


def labels(query):
    model = small_model()
    return labels_of(query, query_cells(query, model.fitted.preprocessors, model.record), model.record)


def test_columns_of_few_values_are_taken_and_others_left():
    query = test_cells()
    part = query["rna"].obs
    part["barcode"] = [f"c{i}" for i in range(43)]
    part["score"] = np.linspace(0, 1, 43)
    part["one"] = "same"
    part["cycle"] = pd.Categorical(["G1", "S"] * 21 + [None])
    part["plate"] = np.arange(43) % 5
    found = labels(query)
    assert list(found) == ["batch", "cell_type", "barcode", "cycle", "plate"]
    assert list(found["cycle"]["rna"][-3:]) == ["G1", "S", ""]
    assert set(found["cycle"]["adt"]) == {""}
    assert set(found["plate"]["rna"]) == {"0", "1", "2", "3", "4"}


def test_more_than_sixty_values_are_names_not_labels():
    model, query = small_model(), test_cells()
    doubled = {m: np.concatenate([[f"{m}{i}" for i in range(43)]]) for m in ("rna", "adt")}
    for name, values in doubled.items():
        query[name].obs["barcode"] = values
    assert "barcode" not in labels_of(query, query_cells(query, model.fitted.preprocessors, model.record), model.record)


def test_the_modality_comes_before_the_whole():
    query = rebuilt({name: part for name, part in test_cells().mod.items() if name != "atac"})
    query.obs["tissue"] = ["blood", "spleen"] * 21 + ["blood"]
    query["rna"].obs["tissue"] = ["marrow", "lymph"] * 21 + ["marrow"]
    found = labels(query)["tissue"]
    assert set(found["rna"]) == {"marrow", "lymph"}
    assert set(found["adt"]) == {"blood", "spleen"}

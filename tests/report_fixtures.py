"""EvaluationReport for the tests of the report, with names that try to break out of it, made once; holds no test."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from model_fixtures import small_model, test_cells

from unisono.evaluation.details import evaluation_report
from unisono.evaluation.report_data import EvaluationReport
from unisono.messages import Finding

HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
"""What a feature, a batch or a file may be called by somebody who means harm, or by accident."""

PROBES = ({"probe": "cell type", "accuracy": 0.91}, {"probe": HOSTILE, "chance": 0.25})


@cache
def report() -> EvaluationReport:
    """Of 43 cells, three modalities, two batches; a protein, a cell type, a column and the file have hostile names."""
    query = test_cells()
    for part in query.mod.values():
        part.obs["cell_type"] = part.obs["cell_type"].astype(str).replace("type1", HOSTILE)
        part.obs[HOSTILE] = ["a", "b"] * 21 + ["a"]
    depth = {name: np.log(np.asarray(part.X.sum(axis=1)).ravel()) for name, part in query.mod.items()}
    found = evaluation_report(small_model(), query, source_name=f"{HOSTILE}.h5mu", numbers={"log depth": depth})
    directions = tuple(
        replace(each, features=np.array([HOSTILE, *each.features[1:]], dtype=object)) for each in found.directions
    )
    warning = Finding("W036", f"{HOSTILE}.h5mu, adt", f"{HOSTILE} is missing.", f"rename {HOSTILE}")
    return replace(found, directions=directions, findings=(warning, *found.findings))

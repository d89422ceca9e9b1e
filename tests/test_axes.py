"""Arrays whose axes do not fit are refused in tests: the annotations of the package are checked as it is called."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from axes_fixtures import MOST_CALLS, checked, modules_with_axes, n_calls
from beartype.roar import BeartypeCallHintParamViolation, BeartypeCallHintReturnViolation
from jaxtyping import Float
from scipy import sparse

import unisono
from unisono.config import FitConfig
from unisono.metrics import foscttm, pearson_per_feature
from unisono.metrics.ranking import areas_by_column
from unisono.preprocessing.kernel_ridge import KernelRidge
from unisono.preprocessing.standardisation import Standardisation, shrinkage_factor
from unisono.preprocessing.svd import truncated_svd
from unisono.preprocessing.thinning import thin

RNG = np.random.default_rng(5)
COUNTS = sparse.csr_matrix(RNG.poisson(1.0, (7, 11)).astype(np.int32))
CODES, BATCH, DEPTH = RNG.normal(size=(7, 3)).astype(np.float32), np.array(list("aabbabb")), RNG.normal(size=7)

CALLS: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "svd": (
        lambda: truncated_svd(COUNTS, np.zeros(11), 2, RNG),
        lambda: truncated_svd(COUNTS, np.zeros((11, 1)), 2, RNG),
    ),
    "thinning": (lambda: thin(COUNTS, np.full(7, 0.5), RNG), lambda: thin(COUNTS, np.full((7, 1), 0.5), RNG)),
    "standardisation": (
        lambda: Standardisation.fit(CODES, BATCH, DEPTH, 20.0),
        lambda: Standardisation.fit(CODES, BATCH, DEPTH[:5], 20.0),
    ),
    "shrinkage": (lambda: shrinkage_factor(CODES, BATCH), lambda: shrinkage_factor(CODES[0], BATCH)),
    "kernel ridge": (
        lambda: KernelRidge.fit(CODES, CODES[:, :2], FitConfig().kernel, RNG),
        lambda: KernelRidge.fit(CODES, CODES[:5], FitConfig().kernel, RNG),
    ),
    "areas": (
        lambda: areas_by_column(CODES > 0, CODES, 1),
        lambda: areas_by_column(CODES > 0, CODES[:, :2], 1),
    ),
    "foscttm": (lambda: foscttm(CODES, CODES), lambda: foscttm(CODES[0], CODES[0])),
    "pearson": (lambda: pearson_per_feature(CODES, CODES), lambda: pearson_per_feature(CODES, CODES[:, 0])),
}


@pytest.mark.parametrize("name", CALLS)
def test_axes_that_do_not_fit_are_refused(name):
    fitting, unfitting = CALLS[name]
    assert fitting() is not None
    with pytest.raises(BeartypeCallHintParamViolation):
        unfitting()


def test_every_room_of_array_functions_writes_axes():
    rooms = {name.split(".")[1] for name in modules_with_axes()}
    assert {"inference", "metrics", "nn", "preprocessing"} <= rooms


def test_a_result_is_held_to_the_axes_of_its_arguments():
    @checked
    def some_rows(x: Float[np.ndarray, "cell code"], n_rows: int) -> Float[np.ndarray, "cell code"]:
        return x[:n_rows]

    assert some_rows(CODES, 7) is not None
    with pytest.raises(BeartypeCallHintReturnViolation):
        some_rows(CODES, 5)


Codes = Float[np.ndarray, "cell code"]


def test_axes_that_an_alias_names_are_held_as_well():
    @checked
    def some_rows(x: Codes, n_rows: int) -> Codes:
        return x[:n_rows]

    assert some_rows(CODES, 7) is not None
    with pytest.raises(BeartypeCallHintReturnViolation):
        some_rows(CODES, 5)


def test_fields_of_a_dataclass_are_held_to_one_set_of_axes():
    found = Standardisation.fit(CODES, BATCH, DEPTH, 20.0)
    assert replace(found, scale=2 * found.scale) is not None
    with pytest.raises(BeartypeCallHintParamViolation):
        replace(found, scale=found.scale[:2])


def test_axes_are_written_on_the_array_itself_since_numpy_may_define_ndarray_of_a_type_as_an_alias():
    """From numpy 2.5, on Python 3.12, `NDArray[np.float32]` is no class, and jaxtyping refuses it at the import."""
    axes = re.compile(r"\b(?:Float|Int|UInt|Bool|Shaped|Num)\d*\[\s*NDArray\b")
    assert axes.search('Float32[NDArray[np.float32], "cell"]')
    sources = sorted(Path(unisono.__file__).parent.rglob("*.py"))
    assert [path.name for path in sources if axes.search(path.read_text(encoding="utf-8"))] == []


def test_the_first_calls_of_a_function_in_a_test_are_checked():
    assert sum(n_calls.values()) == 0

    @checked
    def first(x: Float[np.ndarray, " cell"]) -> float:
        return float(x.ravel()[0])

    for _ in range(MOST_CALLS):
        with pytest.raises(BeartypeCallHintParamViolation):
            first(CODES)
    assert first(CODES) == pytest.approx(float(CODES[0, 0]))

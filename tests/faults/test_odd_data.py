"""Odd data sets end in a result or in a refusal, never in another exception: the whole road at tiny settings."""

from __future__ import annotations

import shutil
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from odd_data import Case, cases
from odd_road import travelled
from odd_ways import WAYS, by

QUICK, PARTS, OF_A_PART = 3, 21, 100


def drawn(number: int) -> Case:
    """The case of a number: the second that hypothesis draws, as its first is the simplest and later ones are alike."""
    found = []

    @seed(number)
    @settings(
        max_examples=2,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def draw(case):
        found.append(case)

    draw()
    return found[-1]


def wrong_ends(numbers, folder, record, way=None) -> list[str]:
    """The cases that failed, of those of some numbers, by the whole road or another way; each is recorded."""
    wrong = []
    for number in numbers:
        case = drawn(number)
        (folder / str(number)).mkdir()
        ended, is_right = travelled(case, folder / str(number), partial(by, way) if way else None)
        shutil.rmtree(folder / str(number))
        record("odd data", f"{number}{f', {way}' if way else ''}: {case}", ended, is_right)
        if not is_right:
            wrong.append(f"{number} {way or ''} {ended}: {case}")
    return wrong


def test_odd_data_end_in_a_result_or_a_refusal(tmp_path, record):
    assert wrong_ends(range(QUICK), tmp_path, record) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(1, PARTS + 1))
def test_many_odd_data_end_in_a_result_or_a_refusal(part, tmp_path, record, is_full):
    if not is_full:
        pytest.skip("bench/faults runs these")
    assert wrong_ends(range(part * OF_A_PART, (part + 1) * OF_A_PART), tmp_path, record) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_odd_data_end_in_a_result_or_a_refusal_by_other_ways_to_a_model(way, tmp_path, record, is_full):
    if not is_full:
        pytest.skip("bench/faults runs these")
    first = (PARTS + 1 + list(WAYS).index(way)) * OF_A_PART
    assert wrong_ends(range(first, first + OF_A_PART), tmp_path, record, way) == []

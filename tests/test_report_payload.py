"""Tests of the payload: numbers come back as they were, or within half a step, and names as codes."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
from report_fixtures import report

from unisono.report import payload as room
from unisono.report.payload import coded, packed, payload, quantised


def unpacked(each):
    codes = np.frombuffer(base64.b64decode(each["data"]), dtype=each["type"])
    return codes if "step" not in each else each["low"] + each["step"] * codes


def test_packed_numbers_come_back_bit_by_bit():
    values = np.array([0.1, -3.0, np.nan, 1e30], dtype=">f4")
    np.testing.assert_array_equal(unpacked(packed(values)), values.astype("<f4"))


@pytest.mark.parametrize(("dtype", "steps"), [(np.uint8, 255), (np.uint16, 65535)])
def test_quantised_numbers_are_half_a_step_off_at_most(dtype, steps):
    values = np.random.default_rng(2).normal(size=97).astype(np.float32)
    found = unpacked(quantised(values, dtype))
    step = (values.max() - values.min()) / steps
    assert np.abs(found - values).max() <= step / 2 + 1e-6
    assert found.min() == pytest.approx(values.min())
    assert found.max() == pytest.approx(values.max(), abs=1e-5)


def test_a_constant_is_quantised_to_itself():
    assert list(unpacked(quantised(np.full(3, 0.7)))) == [0.7] * 3
    assert quantised(np.empty(0))["data"] == ""


def test_levels_stand_by_how_common_they_are_and_gaps_come_last():
    found = coded(np.array(["b", "a", "", "a", "c", "b", "a"], dtype=object))
    assert found["levels"] == ["a", "b", "c", "not given"]
    assert list(unpacked(found["codes"])) == [1, 0, 3, 0, 2, 1, 0]


def test_the_rarest_of_many_levels_share_one():
    values = np.array([f"b{i:02d}" for i in range(53) for _ in range(60 - i)], dtype=object)
    found = coded(values)
    codes = unpacked(found["codes"])
    assert len(found["levels"]) == 40
    assert found["levels"][-1] == "other"
    assert set(values[codes == 39]) == {f"b{i:02d}" for i in range(39, 53)}
    assert set(values[codes == 7]) == {"b07"}


def test_features_beyond_the_most_are_drawn_with_those_whose_values_are_shown(monkeypatch):
    monkeypatch.setattr(room, "MAX_FEATURES", 20)
    whole = report()
    shown = tuple(
        replace(each, sample=replace(each.sample, columns=each.sample.columns[:2], why=each.sample.why[:2],
                measured=each.sample.measured[:, :2], predicted=each.sample.predicted[:, :2]))
        for each in whole.directions
    )  # fmt: skip
    found = payload(replace(whole, directions=shown), np.zeros((129, 2), dtype=np.float32))
    assert 20 <= len(found["features"]["atac"]) <= 22
    assert len(found["features"]["adt"]) == 8
    for each in found["directions"]:
        n_listed = len(found["features"][each["target"]])
        assert {len(unpacked(measure["values"])) for measure in each["accuracy"]} == {n_listed}
        names = {feature["name"] for feature in each["sample"]["features"]}
        assert names <= set(found["features"][each["target"]])


def test_the_payload_carries_what_was_measured():
    whole = report()
    found = payload(whole, np.zeros((129, 2), dtype=np.float32))
    direction = whole.directions[3]
    sent = found["directions"][3]["sample"]["features"][5]
    values = direction.sample.predicted[:, 5]
    np.testing.assert_allclose(unpacked(sent["predicted"]), values, atol=np.ptp(values) / 500)
    assert sent["name"] == direction.features[direction.sample.columns[5]]
    assert list(unpacked(found["space"]["cell"])) == list(whole.space.cell)

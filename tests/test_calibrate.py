"""Calibrators: rising curves on numpy alone, their JSON, and Records and frames through them."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_wire import FULL
from vedette.calibrate import (
    Calibration,
    Calibrator,
    calibration_of,
    log_odds,
    read_calibration,
    sigmoid,
)
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.types import FrameScore, Scores
from vedette.wire import from_line, to_line

PROFILE = settings(deadline=None, derandomize=True, database=None, max_examples=60)
GRID = np.linspace(0, 1, 501)
PLATT = Calibrator("platt", (0.5, -1.0), n=40, positives=11)


def finite(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


@st.composite
def calibrators(draw: st.DrawFn) -> Calibrator:
    shift = draw(finite(-20, 20))
    method = draw(st.sampled_from(["temperature", "platt", "beta", "isotonic"]))
    if method == "temperature":
        return Calibrator("temperature", (draw(finite(1e-3, 1e3)),), shift=shift)
    if method == "platt":
        return Calibrator("platt", (draw(finite(0, 50)), draw(finite(-50, 50))), shift=shift)
    if method == "beta":
        parameters = (draw(finite(0, 50)), draw(finite(0, 50)), draw(finite(-50, 50)))
        return Calibrator("beta", parameters, shift=shift)
    x = sorted(draw(st.sets(finite(0, 1), min_size=1, max_size=8)))
    x = [value for at, value in enumerate(x) if not at or value - x[at - 1] > 1e-9]
    y = sorted(draw(st.lists(finite(0, 1), min_size=len(x), max_size=len(x))))
    return Calibrator("isotonic", x=tuple(x), y=tuple(y), shift=shift)


@PROFILE
@given(calibrators())
def test_every_curve_rises_within_0_and_1(curve: Calibrator) -> None:
    p = curve(GRID)

    assert p.dtype == np.float64
    assert ((p >= 0) & (p <= 1)).all()
    assert (np.diff(p) >= -1e-12).all()


@PROFILE
@given(calibrators(), st.text(max_size=20))
def test_json_brings_the_same_curve_back(curve: Calibrator, name: str) -> None:
    whole = Calibration(name, "m@1", {"Violence": curve})

    told = json.loads(json.dumps(whole.as_json(), allow_nan=False))

    assert calibration_of(told) == whole


@PROFILE
@given(calibrators())
def test_half_is_where_the_curve_reaches_one_half(curve: Calibrator) -> None:
    half = curve.half

    if abs(half) < 100:
        assert curve(sigmoid(np.array(half + 1e-6))) >= 0.5
        below = curve(sigmoid(np.array(half - 1e-6)))
        assert below < 0.5 or half <= log_odds(0.0) + 1e-6


def test_the_four_curves_as_their_papers_write_them() -> None:
    p = np.array([0.2, 0.5, 0.9])
    z = np.log(p / (1 - p))
    told = sigmoid

    np.testing.assert_allclose(Calibrator("temperature", (2.0,))(p), told(z / 2))
    np.testing.assert_allclose(PLATT(p), told(0.5 * z - 1))
    beta = Calibrator("beta", (0.5, 2.0, 0.3))(p)
    np.testing.assert_allclose(beta, 1 / (1 + 1 / (np.exp(0.3) * p**0.5 / (1 - p) ** 2.0)))
    isotonic = Calibrator("isotonic", x=(0.2, 0.6), y=(0.0, 1.0))(np.array([0.1, 0.3, 0.9]))
    np.testing.assert_allclose(isotonic, [0.0, 0.25, 1.0])


def test_a_shift_moves_log_odds() -> None:
    moved = dataclasses.replace(PLATT, shift=0.7)

    np.testing.assert_allclose(log_odds(moved(GRID)), log_odds(PLATT(GRID)) + 0.7, atol=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "magic"},
        {"method": "platt", "parameters": (1.0,)},
        {"method": "platt", "parameters": (-0.1, 0.0)},
        {"method": "platt", "parameters": (float("nan"), 0.0)},
        {"method": "platt", "parameters": (1e300, 0.0)},
        {"method": "temperature", "parameters": (0.0,)},
        {"method": "temperature", "parameters": (1e-320,)},
        {"method": "beta", "parameters": (1.0, -1.0, 0.0)},
        {"method": "isotonic"},
        {"method": "isotonic", "x": (0.1, 0.1), "y": (0.0, 1.0)},
        {"method": "isotonic", "x": (0.0, 5e-324), "y": (0.0, 1.0)},
        {"method": "isotonic", "x": (0.1, 0.2), "y": (0.9, 0.1)},
        {"method": "isotonic", "x": (0.1, 1.2), "y": (0.1, 0.2)},
        {"method": "isotonic", "x": (0.1, 0.2), "y": (0.1,)},
    ],
)
def test_what_is_no_rising_curve_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Calibrator(**wrong)


GOOD = Calibration("c", "m@1", {"Violence": PLATT}).as_json()
BAD: list[Any] = [
    *([], "text", 3, None, {}, {**GOOD, "format": "other"}, {**GOOD, "version": 2}),
    *({**GOOD, "of": []}, {**GOOD, "of": {"Violence": 1}}, {**GOOD, "of": {"Violence": {}}}),
    *({**GOOD, "name": None}, {**GOOD, "model": 7}),
    {**GOOD, "of": {"Kittens": GOOD["of"]["Violence"]}},
    {**GOOD, "of": {"Violence": GOOD["of"]["Violence"], "violence": GOOD["of"]["Violence"]}},
    {**GOOD, "of": {"Violence": {**GOOD["of"]["Violence"], "parameters": "12"}}},
    {**GOOD, "of": {"Violence": {**GOOD["of"]["Violence"], "parameters": [True, 0]}}},
    {**GOOD, "of": {"Violence": {**GOOD["of"]["Violence"], "parameters": [10**400, 0]}}},
    {**GOOD, "of": {"Violence": {**GOOD["of"]["Violence"], "method": []}}},
    {**GOOD, "of": {"Violence": {**GOOD["of"]["Violence"], "shift": "0"}}},
    {**GOOD, "of": {"Violence": {**GOOD["of"]["Violence"], "n": -1}}},
]


@pytest.mark.parametrize("content", BAD, ids=str)
def test_a_file_that_holds_no_calibration_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content))

    with pytest.raises(UsageError) as caught:
        read_calibration(path, categories=True)
    assert caught.value.code == "bad_calibration"


@PROFILE
@given(st.binary(max_size=60))
def test_garbage_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("garbage") / "c.json"
    path.write_bytes(content)

    with pytest.raises(UsageError) as caught:
        read_calibration(path, categories=False)
    assert caught.value.code == "bad_calibration"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"of": NaN, "format": Infinity}'])
def test_hostile_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)

    with pytest.raises(UsageError) as caught:
        read_calibration(path, categories=True)
    assert caught.value.code == "bad_calibration"


def test_a_file_is_read_and_a_missing_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**GOOD, "of": {"self-harm": GOOD["of"]["Violence"]}}))

    assert read_calibration(path, categories=True).of == {"Self-harm": PLATT}
    assert read_calibration(path, categories=False).of == {"self-harm": PLATT}
    with pytest.raises(UsageError) as caught:
        read_calibration(tmp_path / "none.json", categories=True)
    assert caught.value.code == "not_found"


def test_labels_without_a_curve_keep_their_probabilities() -> None:
    calibration = Calibration("c", "", {"b": PLATT})
    probs = np.array([[0.2, 0.6, 0.8]], dtype=np.float32)

    out = calibration.probabilities(("a", "b", "c"), probs)

    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[0.2, float(PLATT(np.array(0.6))), 0.8]], rtol=1e-6)
    assert probs[0, 1] == np.float32(0.6)


def scores(**p: float) -> Scores:
    values = np.zeros(len(Category), dtype=np.float32)
    covered = np.zeros(len(Category), dtype=np.bool_)
    for name, value in p.items():
        values[Category(name).position], covered[Category(name).position] = value, True
    return Scores(values, covered)


def test_only_covered_categories_are_calibrated() -> None:
    calibration = Calibration("c", "m@1", {"Violence": PLATT, "Hate": PLATT})

    out = calibration.scores(scores(Violence=0.6, Sexual=0.7))

    assert out.calibrated == "c"
    assert out.as_dict() == {
        Category.VIOLENCE: pytest.approx(float(PLATT(np.array(0.6))), abs=1e-6),
        Category.SEXUAL: 0.7,
    }


@PROFILE
@given(st.floats(0, 1, width=32), calibrators())
def test_a_stored_record_comes_out_as_when_it_was_made(p: float, curve: Calibrator) -> None:
    calibration = Calibration("c", "m@1", {"Violence": curve})
    made = scores(Violence=p)
    record = dataclasses.replace(
        FULL,
        scores=made,
        models=("m@1",),
        timeline=(FrameScore(0, 0.0, made.as_dict()), FrameScore(1, 1.0, {Category.VIOLENCE: 0.5})),
    )

    stored = calibration.record(from_line(to_line(record)))

    assert stored.scores == calibration.scores(made)
    assert stored.timeline[0].p == stored.scores.as_dict()


def test_another_models_record_and_a_calibrated_one_are_refused() -> None:
    calibration = Calibration("c", "m@1", {"Violence": PLATT})
    record = dataclasses.replace(FULL, scores=scores(Violence=0.4), models=("m@1",), timeline=())

    for wrong in (dataclasses.replace(record, models=("m@2",)), calibration.record(record)):
        with pytest.raises(UsageError) as caught:
            calibration.record(wrong)
        assert caught.value.code == "bad_calibration"
    failed = dataclasses.replace(record, scores=None)
    assert calibration.record(failed) == failed


@pytest.mark.skipif(sys.platform == "win32", reason="no such device")
def test_a_device_is_no_calibration() -> None:
    with pytest.raises(UsageError, match="not a regular file"):
        read_calibration(Path("/dev/null"), categories=True)

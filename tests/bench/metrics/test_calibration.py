"""Calibration against scikit-learn and by hand; review bands against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.bench.metrics.bootstrap import resampling
from vedette.bench.metrics.calibration import (
    band_sums,
    brier,
    distance_of,
    equal_mass,
    equal_width,
    expected_calibration_error,
    reliability,
    review_curve,
)
from vedette.extras import require

scored = st.lists(st.tuples(st.booleans(), st.floats(0, 1, width=32)), min_size=1, max_size=60)


def columns(rows: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows], np.float32)


def test_the_reliability_diagram_is_scikit_learns() -> None:
    curve = require("sklearn.calibration", extra="dev").calibration_curve
    rng = np.random.default_rng(1)
    p = rng.random(500)
    unsafe = rng.random(500) < p**2

    for bins, strategy in ((equal_width(p), "uniform"), (equal_mass(p), "quantile")):
        shares, means = curve(unsafe, p, n_bins=15, strategy=strategy)
        found = reliability(unsafe, p, bins)
        if strategy == "uniform":
            np.testing.assert_allclose([one.unsafe for one in found], shares)
            np.testing.assert_allclose([one.p for one in found], means)
        else:  # its quantiles are interpolated: a bin may differ by an image
            np.testing.assert_allclose([one.p for one in found], means, atol=0.01)
            assert {one.n for one in found} == {33, 34}


@given(scored)
def test_the_brier_score_is_scikit_learns(rows: list[tuple[bool, float]]) -> None:
    unsafe, p = columns(rows)
    loss = require("sklearn.metrics", extra="dev").brier_score_loss

    found = brier(unsafe, p)

    assert found.score == pytest.approx(loss(unsafe, p.astype(np.float64), pos_label=True))


def test_the_parts_add_up_where_bins_have_one_probability() -> None:
    rng = np.random.default_rng(2)
    p = rng.choice([0.1, 0.35, 0.6, 0.95], 400)
    unsafe = rng.random(400) < 0.5

    found = brier(unsafe, p)

    assert found.score is not None
    assert found.reliability is not None
    assert found.resolution is not None
    assert found.uncertainty is not None
    assert found.score == pytest.approx(found.reliability - found.resolution + found.uncertainty)


def test_the_calibration_error_by_hand() -> None:
    p = np.array([0.9, 0.9, 0.9, 0.9, 0.1, 0.1])
    unsafe = np.array([True, True, True, False, False, False])

    # (4 * |0.9 - 0.75| + 2 * |0.1 - 0|) / 6
    assert expected_calibration_error(unsafe, p, equal_width(p)) == pytest.approx(0.8 / 6)
    assert expected_calibration_error(unsafe[:0], p[:0], equal_width(p[:0])) is None
    assert brier(unsafe[:0], p[:0]).score is None


@given(scored)
def test_bins_of_equal_mass_do_not_part_equal_probabilities(rows: list[tuple[bool, float]]) -> None:
    _, p = columns(rows)

    bins = equal_mass(p)

    assert (bins >= 0).all()
    assert (bins < 15).all()
    assert all(len(set(bins[p == value])) == 1 for value in p)
    assert (np.diff(bins[np.argsort(p)]) >= 0).all()


@given(scored)
def test_the_review_curve_is_its_definition(rows: list[tuple[bool, float]]) -> None:
    unsafe, p = columns(rows)
    flagged, distance = p >= 0.5, distance_of(p, 0.5)

    curve = review_curve(unsafe, flagged, p, 0.5)

    assert curve[0].reviewed == 0
    assert curve[-1].reviewed == 1
    assert curve[-1].error is None
    for band in curve:
        kept = distance >= band.half_width
        assert band.reviewed == pytest.approx(1 - kept.mean())
        if kept.any():
            assert band.error == pytest.approx((unsafe != flagged)[kept].mean())


def test_bands_of_resamples() -> None:
    rng = np.random.default_rng(3)
    wrong, distance = rng.random(50) < 0.3, np.round(rng.random(50) / 2, 2)
    draws = resampling(np.arange(50), 20, 1)

    reviewed, error = band_sums(wrong, distance, (0.0, 0.2, 0.6), draws)

    drawn = np.concatenate([weights for _, weights in draws.draws()])
    kept = distance >= 0.2
    np.testing.assert_allclose(reviewed[:, 1], 1 - (drawn @ kept) / 50)
    np.testing.assert_allclose(error[:, 1], (drawn @ (kept & wrong)) / (drawn @ kept))
    assert (reviewed[:, 0] == 0).all()
    assert np.isnan(error[:, 2]).all()


def test_no_image_gives_no_curve() -> None:
    nothing = np.zeros(0, np.bool_)

    assert review_curve(nothing, nothing, np.zeros(0), 0.5) == []
    assert reliability(nothing, np.zeros(0), equal_width(np.zeros(0))) == []

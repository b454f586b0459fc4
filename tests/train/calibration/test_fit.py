"""Curves equal those of the reference implementations, and never fall whatever the labels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.calibration import CalibratedClassifierCV, _sigmoid_calibration
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tests.train.calibration.planted import smooth, tied
from vedette.calibrate import METHODS, Float64, Method, log_odds, sigmoid
from vedette.train.calibration.fit import (
    FOLDS,
    ISOTONIC_LABELS,
    crossed,
    fit,
    fit_auto,
    fitted,
    folds,
)

PROFILE = settings(deadline=None, derandomize=True, database=None, max_examples=60)
GRID = np.linspace(0, 1, 1001)
SIZES = [(60, 0.5), (400, 0.1), (3000, 0.3)]


def planted(n: int, share: float, seed: int = 3) -> tuple[Float64, np.ndarray]:
    p, unsafe = smooth(n, share, seed)
    return p.astype(np.float64), unsafe


@pytest.mark.parametrize(("n", "share"), SIZES)
def test_platt_equals_scikit_learn(n: int, share: float) -> None:
    p, unsafe = planted(n, share)

    a, b = _sigmoid_calibration(log_odds(p), unsafe)
    curve = fit("platt", p, unsafe)

    assert curve is not None
    wanted = sigmoid(-(a * log_odds(GRID) + b))
    np.testing.assert_allclose(curve(GRID), wanted, atol=1e-4)
    assert (curve.n, curve.positives) == (n, unsafe.sum())


@pytest.mark.parametrize(("n", "share"), SIZES)
@pytest.mark.parametrize("scores", [smooth, tied])
def test_isotonic_equals_scikit_learn(n: int, share: float, scores: object) -> None:
    p, unsafe = (smooth if scores is smooth else tied)(n, share, 5)
    reference = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")

    reference.fit(p.astype(np.float64), unsafe)
    curve = fit("isotonic", p.astype(np.float64), unsafe)

    assert curve is not None
    np.testing.assert_allclose(curve(GRID), reference.predict(GRID), atol=1e-6)


@pytest.mark.parametrize(("n", "share"), SIZES)
def test_temperature_equals_scipy(n: int, share: float) -> None:
    p, unsafe = planted(n, share)
    z = log_odds(p)

    def loss(log_t: float) -> float:
        scaled = z * np.exp(-log_t)
        return float(np.mean(np.logaddexp(0, scaled) - unsafe * scaled))

    found = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10})
    curve = fit("temperature", p, unsafe)

    assert curve is not None
    assert curve.parameters[0] == pytest.approx(float(np.exp(found.x)), rel=1e-5)


def test_temperature_equals_scikit_learn() -> None:
    p, unsafe = planted(1000, 0.4)
    inputs = log_odds(p)[:, None]
    # A classifier whose decision is the log-odds themselves.
    own = LogisticRegression().fit(inputs, unsafe)
    own.coef_, own.intercept_ = np.ones((1, 1)), np.zeros(1)

    reference = CalibratedClassifierCV(FrozenEstimator(own), method="temperature")
    reference.fit(inputs, unsafe)
    curve = fit("temperature", p, unsafe)

    assert curve is not None
    wanted = reference.predict_proba(inputs)[:, 1]
    np.testing.assert_allclose(curve(p), wanted, atol=1e-4)


@pytest.mark.parametrize(("n", "share"), SIZES)
def test_beta_equals_a_logistic_regression_of_both_logs(n: int, share: float) -> None:
    p, unsafe = planted(n, share)
    inner = sigmoid(log_odds(p))
    features = np.stack([np.log(inner), -np.log1p(-inner)], axis=1)

    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000, solver="newton-cholesky")
    reference.fit(features, unsafe)
    curve = fit("beta", p, unsafe)

    assert curve is not None
    if (reference.coef_ >= 0).all():
        np.testing.assert_allclose(curve(p), reference.predict_proba(features)[:, 1], atol=1e-4)
    else:  # Kull et al.: without the feature that falls
        kept = int(reference.coef_[0, 0] < 0)
        reference.fit(features[:, [kept]], unsafe)
        wanted = reference.predict_proba(features[:, [kept]])[:, 1]
        np.testing.assert_allclose(curve(p), wanted, atol=1e-4)


@PROFILE
@given(
    st.sampled_from(METHODS),
    st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=60),
)
def test_whatever_the_labels_a_curve_rises(
    method: Method, labels: list[tuple[float, bool]]
) -> None:
    p = np.array([one for one, _ in labels])
    unsafe = np.array([one for _, one in labels])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curve = fit(method, p, unsafe)

    if curve is None:
        return
    found = curve(GRID)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= -1e-12).all()
    assert found[-1] >= found[0]


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_scores_separate_get_a_finite_curve(method: Method) -> None:
    p = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    curve = fit(method, p, p > 0.5)

    assert curve is not None
    assert curve(np.array(0.9)) > 0.6
    assert curve(np.array(0.1)) < 0.4


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_fall_with_the_labels_have_no_curve(method: Method) -> None:
    p, unsafe = planted(300, 0.5)

    assert fit(method, p, ~unsafe) is None
    assert fit(method, np.full(40, 0.3), np.arange(40) % 2 == 0) is None
    assert fit(method, p, np.zeros(300, dtype=np.bool_)) is None


def test_scores_in_a_narrow_band_are_stretched() -> None:
    p, unsafe = planted(2000, 0.4)
    curve = fit("platt", 0.5 + 1e-5 * p, unsafe)

    assert curve is not None
    assert np.ptp(curve(0.5 + 1e-5 * p)) > 0.5


def test_auto_goes_by_the_number_of_labels() -> None:
    p, unsafe = planted(400, 0.3)
    few = np.zeros(400, dtype=np.bool_)
    few[:9] = True

    assert fit_auto(p, few) is None
    assert fitted("platt", p, few) is None
    assert fitted("none", p, unsafe) is None
    small = fit_auto(p, unsafe)
    assert small is not None
    assert small.method == "platt"


def test_auto_takes_isotonic_where_no_smooth_curve_fits_and_labels_are_many() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(4 * ISOTONIC_LABELS)
    # Three plateaus: no curve of two or three parameters has them.
    unsafe = rng.random(len(p)) < np.select([p < 0.3, p < 0.6], [0.02, 0.5], 0.55)

    many, fewer = fit_auto(p, unsafe), fit_auto(p[: ISOTONIC_LABELS - 1], unsafe[:999])

    assert many is not None
    assert fewer is not None
    assert (many.method, fewer.method) == ("isotonic", "platt")


def test_calibrating_makes_probabilities_hold() -> None:
    p, unsafe = planted(2000, 0.3)
    fresh, labels = planted(20_000, 0.3, seed=4)

    before = np.mean((fresh - labels) ** 2)
    for method in METHODS:
        curve = fit(method, p, unsafe)
        assert curve is not None
        assert np.mean((curve(fresh) - labels) ** 2) < before - 0.005


def test_folds_share_both_classes_and_crossing_leaves_an_image_out() -> None:
    p, unsafe = planted(205, 0.2)
    fold = folds(unsafe)

    for held in range(FOLDS):
        assert abs(int(unsafe[fold == held].sum()) - unsafe.sum() / FOLDS) < 1
    held = fold == 2
    without = fit("platt", p[~held], unsafe[~held])
    assert without is not None
    np.testing.assert_array_equal(crossed("platt", p, unsafe)[held], without(p[held]))

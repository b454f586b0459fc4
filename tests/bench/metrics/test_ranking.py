"""Metrics of scores, against scikit-learn, ties and weights included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.bench.metrics.ranking import (
    RANK_METRICS,
    pr_curve,
    rank_metrics,
    ranking,
    roc_curve,
    thinned,
)
from vedette.extras import require

# Few distinct scores, so that ties are the rule.
scored = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=40)


def theirs(unsafe: np.ndarray, p: np.ndarray, weights: np.ndarray) -> list[float]:
    """scikit-learn's of weighted images; NaN where it is undefined."""
    sk = require("sklearn.metrics", extra="dev")
    positives, negatives = weights[unsafe].sum(), weights[~unsafe].sum()
    out = [np.nan, np.nan, np.nan]
    if positives and negatives:
        out[0] = sk.roc_auc_score(unsafe, p, sample_weight=weights)
        keep = np.repeat(np.arange(len(p)), weights)  # whole counts: no rounding at 95 %
        fpr, tpr, _ = sk.roc_curve(unsafe[keep], p[keep], drop_intermediate=False)
        caught = np.rint(tpr * positives) * 20 >= positives * 19
        out[2] = fpr[caught].min()
    if positives:
        out[1] = sk.average_precision_score(unsafe, p, sample_weight=weights)
    return out


@given(scored)
def test_rank_metrics_are_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    unsafe = np.array([row[0] for row in rows], dtype=np.bool_)
    p = np.array([row[1] / 8 for row in rows], dtype=np.float32)

    ours = rank_metrics(unsafe, p)

    expected = theirs(unsafe, p, np.ones(len(p), dtype=np.int64))
    for name, value in zip(RANK_METRICS, expected, strict=True):
        found = ours[name]
        if np.isnan(value):
            assert found is None, name
        else:
            assert found == pytest.approx(value, abs=1e-9), name


def test_weighted_images_are_as_if_they_were_there_so_often() -> None:
    rng = np.random.default_rng(3)
    unsafe, p = rng.random(200) < 0.3, np.round(rng.random(200), 1).astype(np.float32)
    weights = rng.integers(0, 4, size=(30, 200))

    ours = ranking(unsafe, p).of(weights.astype(np.float32))

    expected = [theirs(unsafe, p, row) for row in weights]
    np.testing.assert_allclose(ours, expected, atol=1e-9)


def test_curves_are_scikit_learns() -> None:
    sk = require("sklearn.metrics", extra="dev")
    rng = np.random.default_rng(4)
    unsafe, p = rng.random(300) < 0.3, np.round(rng.random(300), 2)

    roc, pr = roc_curve(unsafe, p), pr_curve(unsafe, p)

    assert roc is not None
    assert pr is not None
    fpr, tpr, _ = sk.roc_curve(unsafe, p, drop_intermediate=False)
    np.testing.assert_allclose(roc, (fpr, tpr))
    precision, recall, _ = sk.precision_recall_curve(unsafe, p)
    np.testing.assert_allclose(pr, (recall[-2::-1], precision[-2::-1]))


def test_without_a_class_there_is_no_curve() -> None:
    p = np.array([0.1, 0.9])

    assert roc_curve(np.array([True, True]), p) is None
    assert roc_curve(np.array([False, False]), p) is None
    assert pr_curve(np.array([False, False]), p) is None
    assert set(rank_metrics(np.zeros(0, np.bool_), np.zeros(0)).values()) == {None}


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    rng = np.random.default_rng(5)
    curve = roc_curve(rng.random(5000) < 0.5, rng.random(5000))
    assert curve is not None

    x, y = thinned(curve)

    assert 150 < len(x) <= 200
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert x == sorted(x)
    assert thinned((np.array([0.0, 1.0]), np.array([0.0, 1.0]))) == ([0, 1], [0, 1])

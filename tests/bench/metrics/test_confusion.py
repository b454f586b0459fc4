"""Metrics of decisions, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vedette.bench.metrics.confusion import METRICS, counts_of, threshold_metrics
from vedette.extras import require

Bools = NDArray[np.bool_]
Pairs = list[tuple[bool, bool]]
pairs = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40)


def columns(rows: Pairs) -> tuple[Bools, Bools]:
    table = np.array(rows, dtype=np.bool_).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def theirs(unsafe: Bools, flagged: Bools) -> dict[str, float]:
    """scikit-learn's; NaN where it has nothing to divide by."""
    sk = require("sklearn.metrics", extra="dev")
    nan = float("nan")
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        unsafe, flagged, average="binary", zero_division=nan
    )
    specificity, safe_f1 = (
        score(~unsafe, ~flagged, zero_division=nan) for score in (sk.recall_score, sk.f1_score)
    )
    return {
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "fpr": 1 - specificity,
        "fnr": 1 - recall,
        "accuracy": sk.accuracy_score(unsafe, flagged),
        "macro_f1": (f1 + safe_f1) / 2,
    }


@given(pairs.filter(bool))
def test_metrics_are_scikit_learns(rows: Pairs) -> None:
    unsafe, flagged = columns(rows)

    ours = threshold_metrics(unsafe, flagged)

    assert set(ours) == set(METRICS)
    for name, value in theirs(unsafe, flagged).items():
        found = ours[name]
        if np.isnan(value):
            assert found is None, name
        else:
            assert found == pytest.approx(value, abs=1e-12), name


def test_macro_f1_is_scikit_learns() -> None:
    sk = require("sklearn.metrics", extra="dev")
    rng = np.random.default_rng(1)
    unsafe, flagged = rng.random((2, 300)) < 0.4

    assert threshold_metrics(unsafe, flagged)["macro_f1"] == pytest.approx(
        sk.f1_score(unsafe, flagged, average="macro")
    )


def test_nothing_measured_is_none() -> None:
    nothing = np.zeros(0, dtype=np.bool_)

    assert set(threshold_metrics(nothing, nothing).values()) == {None}
    none_unsafe = threshold_metrics(np.zeros(3, np.bool_), np.zeros(3, np.bool_))
    assert none_unsafe["f1"] is None
    assert none_unsafe["accuracy"] == 1


def test_counts_of_a_known_matrix() -> None:
    unsafe = np.array([1, 1, 1, 0, 0, 0, 0], dtype=np.bool_)
    flagged = np.array([1, 1, 0, 1, 0, 0, 0], dtype=np.bool_)

    counts = counts_of(unsafe, flagged)

    assert [float(one) for one in (counts.tp, counts.fp, counts.fn, counts.tn)] == [2, 1, 1, 3]
    assert counts.n == 7
    assert counts.unsafe == 3

"""The AUROC equals scikit-learn's, its variance DeLong's, its interval covers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from vedette.curate.auroc import auroc

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0]), min_size=2, max_size=40)


@given(SCORES, SCORES)
def test_equals_the_reference(positives: list[float], negatives: list[float]) -> None:
    found = auroc(np.array(positives), np.array(negatives))

    assert found is not None
    truth = [1] * len(positives) + [0] * len(negatives)
    assert found.value == pytest.approx(roc_auc_score(truth, positives + negatives), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(SCORES, SCORES)
def test_swapping_the_sides_mirrors_it(positives: list[float], negatives: list[float]) -> None:
    one = auroc(np.array(positives), np.array(negatives))
    other = auroc(np.array(negatives), np.array(positives))

    assert one is not None
    assert other is not None
    assert one.value == pytest.approx(1 - other.value)
    assert one.low == pytest.approx(1 - other.high, abs=1e-6)


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth = 0.7602  # of N(1, 1) against N(0, 1): the normal distribution function at 1 / sqrt(2)
    inside = 0
    for _ in range(400):
        found = auroc(rng.normal(1, 1, 60), rng.normal(0, 1, 80), z=1.959964)
        assert found is not None
        inside += found.low <= truth <= found.high
    assert 0.92 <= inside / 400 <= 0.98


def test_of_one_picture_nothing_is_said() -> None:
    assert auroc(np.array([0.5]), np.array([0.1, 0.2])) is None
    assert auroc(np.array([0.5, 0.6]), np.array([])) is None


def test_perfect_separation_still_has_an_interval() -> None:
    found = auroc(np.linspace(0.8, 1, 30), np.linspace(0, 0.2, 50))

    assert found is not None
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.9)

"""Intervals hold what they promise."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vedette.curate.statistics import mean_interval, wilson


@given(st.integers(0, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share_and_stays_within_bounds(counts: tuple[int, int]) -> None:
    hits, total = counts
    low, high = wilson(hits, total, 2.576)

    assert 0 <= low <= (hits / total if total else 0.5) <= high <= 1


def test_wilsons_interval_is_statsmodels() -> None:
    from statsmodels.stats.proportion import proportion_confint

    for hits, total in ((0, 10), (3, 10), (10, 10), (180, 400)):
        theirs = proportion_confint(hits, total, alpha=0.01, method="wilson")
        assert np.allclose(wilson(hits, total, 2.5758293), theirs, atol=1e-6)


def test_a_balanced_accuracy_is_covered_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    shares, totals = np.array([0.9, 0.6]), np.array([40, 150])
    drawn = rng.binomial(totals, shares, (4000, 2))
    inside = [
        low <= shares.mean() <= high for _, low, high in (mean_interval(d, totals) for d in drawn)
    ]

    assert np.mean(inside) > 0.98


def test_more_tests_make_wider_intervals_around_the_same_mean() -> None:
    one = mean_interval(np.array([30, 40]), np.array([50, 50]))
    ten = mean_interval(np.array([30, 40]), np.array([50, 50]), tests=10)

    assert one[0] == ten[0] == 0.7
    assert ten[1] < one[1] < one[2] < ten[2]

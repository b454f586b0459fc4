"""McNemar and Holm against statsmodels, the permutation test against its definition."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.bench.metrics.significance import holm, mcnemar, mcnemar_of, permutation_p
from vedette.extras import require


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_statsmodels(one: int, other: int) -> None:
    theirs = require("statsmodels.stats.contingency_tables", extra="dev").mcnemar
    table = [[7, one], [other, 3]]

    ours = mcnemar_of(one, other)

    assert ours.exact == pytest.approx(theirs(table, exact=True).pvalue, rel=1e-9)
    if one + other:
        expected = theirs(table, exact=False, correction=True)
        assert ours.chi_square == pytest.approx(expected.statistic)
        assert ours.p_chi_square == pytest.approx(expected.pvalue, rel=1e-9)
    else:
        assert ours.chi_square is None


def test_mcnemar_of_many_images() -> None:
    theirs = require("scipy.stats", extra="dev").binomtest

    for one, other in ((50_000, 51_000), (100, 900_000), (500_000, 500_000)):
        expected = theirs(min(one, other), one + other).pvalue
        assert mcnemar_of(one, other).exact == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_mcnemar_counts_where_one_is_right_and_the_other_wrong() -> None:
    first = np.array([1, 1, 1, 0, 0, 1], dtype=np.bool_)
    second = np.array([1, 0, 0, 0, 1, 1], dtype=np.bool_)

    found = mcnemar(first, second)

    assert (found.only_first, found.only_second) == (2, 1)
    assert found.exact == 1


@settings(max_examples=15)  # the reference collects all garbage of the whole run in each call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_statsmodels(p: list[float]) -> None:
    theirs = require("statsmodels.stats.multitest", extra="dev").multipletests

    np.testing.assert_allclose(holm(p), theirs(p, method="holm")[1], atol=1e-12)


def test_holm_of_nothing() -> None:
    assert holm([]) == []


def test_the_permutation_p_counts_what_reaches_the_difference() -> None:
    assert permutation_p(0.5, np.array([0.5, -0.6, 0.1, np.nan])) == pytest.approx(3 / 5)
    assert permutation_p(9.0, np.zeros(99)) == 0.01
    assert permutation_p(float("nan"), np.zeros(9)) is None
    assert permutation_p(0.1, np.zeros(0)) is None


def test_the_tests_agree_where_they_ask_the_same() -> None:
    # Swapping k discordant answers in every way is what the exact test of McNemar sums up.
    signs = np.array(list(product((-1, 1), repeat=9)))
    permuted = signs.sum(axis=1).astype(np.float64)

    p = permutation_p(7.0, permuted)

    assert p == pytest.approx(mcnemar_of(8, 1).exact, abs=2e-3)

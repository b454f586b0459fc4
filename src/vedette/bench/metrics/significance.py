"""Whether two classifiers differ: McNemar, paired permutation of F1, Holm over many tests.

Sources: McNemar 1947, with Edwards' continuity correction (1948); Holm, "A simple sequentially
rejective multiple test procedure" (1979); Phipson and Smyth, "Permutation p-values should never be
zero" (2010).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vedette.bench.metrics.confusion import Bools, Float64


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of two classifiers on the same images."""

    only_first: int
    """Images that only the first decided rightly."""
    only_second: int
    """Images that only the second decided rightly."""
    exact: float
    """Two-sided p by the binomial distribution; 1 where they never differ."""
    chi_square: float | None
    """With continuity correction; None where they never differ."""
    p_chi_square: float | None


def mcnemar(first_right: Bools, second_right: Bools) -> McNemar:
    """Test whether two classifiers are right equally often.

    Only images count on which one is right and the other wrong. Images are taken to be
    independent: near-duplicates among them make p too small.

    Args:
        first_right: bool [n]
        second_right: bool [n], about the same images.
    """
    one = int(np.count_nonzero(first_right & ~second_right))
    other = int(np.count_nonzero(second_right & ~first_right))
    return mcnemar_of(one, other)


def mcnemar_of(only_first: int, only_second: int) -> McNemar:
    """The same test, of the two counts that it rests on."""
    n = only_first + only_second
    if not n:
        return McNemar(0, 0, 1.0, None, None)
    statistic = (abs(only_first - only_second) - 1) ** 2 / n
    tail = math.erfc(math.sqrt(statistic / 2))  # of chi-square with one degree of freedom
    exact = min(1.0, 2 * _binomial_tail(min(only_first, only_second), n))
    return McNemar(only_first, only_second, exact, statistic, tail)


def _binomial_tail(k: int, n: int) -> float:
    """P(X <= k) of n fair coins, k at most n / 2.

    Summed down from the largest term, until terms no longer change the sum.
    """
    log_largest = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    log_largest -= n * math.log(2)
    total = term = 1.0
    for i in range(k, 0, -1):
        term *= i / (n - i + 1)
        total += term
        if term < 1e-17 * total:
            break
    return math.exp(log_largest) * total


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: below alpha, the family's chance of any false alarm is too.

    Args:
        p: of all tests of the family, in any order.

    Returns:
        In the same order, each at least its p and at most 1.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    raised = values[order] * np.arange(len(values), 0, -1)
    out = np.empty_like(values)
    out[order] = np.minimum(np.maximum.accumulate(raised), 1)
    return [float(value) for value in out]


def permutation_p(observed: float, permuted: Float64) -> float | None:
    """Two-sided p of a difference among those of relabellings; never 0.

    Args:
        observed: the difference, NaN where undefined.
        permuted: float64 [B]; undefined ones (NaN) count as none, a difference of 0.

    Returns:
        None where there is nothing to compare.
    """
    if np.isnan(observed) or not len(permuted):
        return None
    # What is equal up to rounding is a tie, and a tie speaks for the null hypothesis.
    reached = np.abs(np.nan_to_num(permuted)) >= abs(observed) - 1e-12
    return float((1 + np.count_nonzero(reached)) / (1 + len(permuted)))

"""The area under the ROC curve, with an interval.

The midrank form of Sun and Xu (2014) of DeLong, DeLong and Clarke-Pearson (1988): exact for ties,
n log n. The interval is taken on the logit scale, so that it stays within 0..1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_99 = 2.5758293035489004
"""Of a two-sided interval that is wrong once in a hundred times."""


@dataclass(frozen=True, slots=True)
class Auroc:
    """How well scores tell positives from negatives: 1 always, 0.5 by chance, 0 always wrong."""

    value: float
    low: float
    high: float
    positives: int
    negatives: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}..{self.high:.3f})"


def auroc(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], z: float = Z_99
) -> Auroc | None:
    """The AUROC of scores; None where either side has fewer than two.

    Args:
        positives: float [m], scores of what should score high.
        negatives: float [n]
        z: half width of the interval, in standard errors.

    Raises:
        ValueError: a score that is not finite.
    """
    m, n = len(positives), len(negatives)
    if m < 2 or n < 2:
        return None
    if not (np.isfinite(positives).all() and np.isfinite(negatives).all()):
        raise ValueError("a score that is not a number")
    together = _midranks(np.concatenate([positives, negatives]))
    # For each positive the share of negatives below it, and for each negative that of positives
    # above it: their means are the area, their variances its variance.
    below = (together[:m] - _midranks(positives)) / n
    above = 1 - (together[m:] - _midranks(negatives)) / m
    value = float(below.mean())
    error = math.sqrt(float(below.var(ddof=1)) / m + float(above.var(ddof=1)) / n)
    # At 0 and 1 the variance is 0 whatever the size: Hanley and McNeil's rule of three instead.
    least = 3 / min(m, n)
    if error == 0 and value in (0.0, 1.0):
        low, high = (0.0, min(least, 1.0)) if value == 0 else (max(1 - least, 0.0), 1.0)
        return Auroc(value, low, high, m, n)
    inside = min(max(value, 1e-9), 1 - 1e-9)
    centre, half = math.log(inside / (1 - inside)), z * error / (inside * (1 - inside))
    return Auroc(value, _logistic(centre - half), _logistic(centre + half), m, n)


def _midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, ties sharing the mean of theirs: float [n]."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[which.reshape(-1)]
    return ranks


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

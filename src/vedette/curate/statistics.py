"""Shares and their intervals."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.99


def wilson(hits: float, total: float, z: float) -> tuple[float, float]:
    """The interval of a share (Wilson, 1927): right also for shares of 0 and 1."""
    if not total:
        return 0.0, 1.0
    share = hits / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = (
        z
        / (1 + z * z / total)
        * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    )
    # Rounding must not put the share itself outside.
    return min(max(0.0, centre - half), share), max(min(1.0, centre + half), share)


def mean_interval(
    hits: NDArray[np.floating | np.integer], totals: NDArray[np.integer], tests: int = 1
) -> tuple[float, float, float]:
    """The mean of independent shares, a balanced accuracy, with its 99 % interval.

    The interval joins those of the shares (method of variance estimates recovery, Zou and Donner,
    2008).

    Args:
        hits: [k]
        totals: [k], none of them 0.
        tests: how many such intervals have to hold all together (Bonferroni).
    """
    z = NormalDist().inv_cdf(1 - (1 - LEVEL) / (2 * tests))
    shares = hits / totals
    ends = np.array([wilson(float(h), float(t), z) for h, t in zip(hits, totals, strict=True)])
    mean = float(shares.mean())
    low = mean - math.sqrt(float(((shares - ends[:, 0]) ** 2).sum())) / len(shares)
    high = mean + math.sqrt(float(((ends[:, 1] - shares) ** 2).sum())) / len(shares)
    return mean, max(0.0, low), min(1.0, high)

"""The threshold with the best F1 on images that are not the ones tested on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vedette.bench.metrics.confusion import Bools, share
from vedette.bench.metrics.ranking import Scores, ranking


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold, and what it gave where it was chosen."""

    value: float
    """Flagged is what reaches it."""
    f1: float
    """On the images that it was chosen on: higher than it will be on others."""
    n: int
    """Images that it was chosen on."""


def best_threshold(unsafe: Bools, scores: Scores, near: float = 0.5) -> Threshold | None:
    """The threshold with the highest F1.

    It lies half-way between two scores. Of thresholds with the same F1 the one nearest to ``near``
    is taken, so that nothing is moved without a reason.

    Args:
        unsafe: bool [n]
        scores: [n], 0..1.
        near: the threshold as shipped.

    Returns:
        None where no image is unsafe: then every threshold has an F1 of 0 or none.
    """
    if not unsafe.any():
        return None
    ranked = ranking(unsafe, scores)
    tp, fp = ranked.counts()
    f1 = share(2 * tp, tp + fp + tp[-1])
    # Any value above the next lower score, up to the level's own, decides alike.
    lower = np.append(ranked.levels[1:], 0.0)
    middle = (ranked.levels + lower) / 2
    middle[-1] = ranked.levels[-1] if ranked.levels[-1] <= 0 else middle[-1]
    inside = (lower < near) & (near <= ranked.levels)
    at = np.where(inside, near, middle)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    chosen = best[np.argmin(np.abs(at[best] - near))]
    return Threshold(float(at[chosen]), float(f1[chosen]), len(unsafe))

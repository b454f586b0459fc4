"""Isotonic regression: the never-falling curve closest to the labels, by pooling violators."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette.calibrate import GAP, Float64

Bools = NDArray[np.bool_]


def isotonic(p: Float64, unsafe: Bools) -> tuple[Float64, Float64]:
    """The points of the curve: probabilities, rising, and what they become, never falling.

    Pool-adjacent-violators over the distinct probabilities, each weighted by its images (Ayer et
    al. 1955; for calibration Zadrozny and Elkan 2002). Of a flat stretch only both ends are kept.

    Args:
        p: float64 [n], 0..1, n > 0.
        unsafe: bool [n]

    Returns:
        x and y, float64 [points]; straight lines between them.
    """
    levels, at, sizes = np.unique(p, return_inverse=True, return_counts=True)
    sums = np.bincount(at.reshape(-1), weights=unsafe.astype(np.float64))
    y = _pooled(sums / sizes, sizes.astype(np.float64))
    flat = np.zeros(len(y), dtype=np.bool_)
    flat[1:-1] = (y[1:-1] == y[:-2]) & (y[1:-1] == y[2:])
    x, y = levels[~flat], y[~flat]
    # Closer than a Calibrator can tell apart: the earlier point stands for both.
    apart = np.append(True, np.diff(x) > GAP)
    return x[apart], y[apart]


def _pooled(y: Float64, weight: Float64) -> Float64:
    """The closest never-falling values by weighted squares."""
    means: list[float] = []
    weights: list[float] = []
    counts: list[int] = []
    for value, one in zip(y.tolist(), weight.tolist(), strict=True):
        mean, mass, count = value, one, 1
        while means and means[-1] >= mean:
            before = weights.pop()
            mean = (means.pop() * before + mean * mass) / (before + mass)
            mass += before
            count += counts.pop()
        means.append(mean)
        weights.append(mass)
        counts.append(count)
    return np.asarray(np.clip(np.repeat(np.array(means), counts), 0.0, 1.0))

"""Calibration: whether of images with probability 0.7 seven in ten are unsafe; and review bands.

Sources: Brier 1950; Murphy, "A new vector partition of the probability score" (1973); Naeini,
Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning" (2015) for
ECE, here of the probability of *unsafe*, not of the confidence in the decision; El-Yaniv and
Wiener, "On the foundations of noise-free selective classification" (2010) for coverage and risk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.bench.metrics.bootstrap import Resampling
from vedette.bench.metrics.confusion import Bools, Float64, defined, share

BINS = 15
Ints = NDArray[np.int64]
_PARTS = 3
"""Columns of a bin: images, sum of probabilities, unsafe images."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Images of about the same probability."""

    low: float
    """Of the probabilities in it."""
    high: float
    n: int
    p: float
    """Mean probability."""
    unsafe: float
    """Share that is unsafe."""


@dataclass(frozen=True, slots=True)
class Brier:
    """The mean squared error of the probabilities, and Murphy's parts of it.

    ``reliability - resolution + uncertainty`` is the score of probabilities replaced by their
    bin's mean, which is the score itself up to what varies within bins.
    """

    score: float | None
    reliability: float | None
    """How far bins are from the share of unsafe images in them; 0 is best."""
    resolution: float | None
    """How far those shares are from the share in the whole; high is best."""
    uncertainty: float | None
    """Of the set itself: variance of its labels."""


def equal_width(p: NDArray[np.floating], bins: int = BINS) -> Ints:
    """int64 [n]: the bin of each probability, all bins of one width."""
    return np.clip((p.astype(np.float64) * bins).astype(np.int64), 0, bins - 1)


def equal_mass(p: NDArray[np.floating], bins: int = BINS) -> Ints:
    """int64 [n]: the bin of each probability, all bins of about as many images.

    Equal probabilities share a bin, so that the order of the images does not matter.
    """
    _, level, sizes = np.unique(p, return_inverse=True, return_counts=True)
    before = np.append(0, np.cumsum(sizes)[:-1])
    middle = before + (sizes - 1) / 2
    bin_of = (middle * bins // max(1, len(p))).astype(np.int64)
    return np.asarray(bin_of[level.reshape(-1)])


def columns_of(unsafe: Bools, p: NDArray[np.floating], bin_of: Ints, bins: int = BINS) -> Float64:
    """What sums over images say all about calibration: float64 [n, 3 * bins + 1].

    For each bin whether an image is in it, its probability and its label; last its squared error.
    """
    out = np.zeros((len(p), _PARTS * bins + 1))
    rows, at = np.arange(len(p)), _PARTS * bin_of
    out[rows, at] = 1
    out[rows, at + 1] = p
    out[rows, at + 2] = unsafe
    out[:, -1] = (p.astype(np.float64) - unsafe) ** 2
    return out


def ece_of(sums: Float64) -> Float64:
    """Expected calibration error of sums [..., 3 * bins + 1]; NaN where there is no image."""
    n, p, unsafe = _bins(sums)
    return share(np.abs(p - unsafe).sum(axis=-1), n.sum(axis=-1))


def brier_of(sums: Float64) -> Float64:
    """Brier score of sums [..., 3 * bins + 1]; NaN where there is no image."""
    return share(sums[..., -1], _bins(sums)[0].sum(axis=-1))


def _bins(sums: Float64) -> tuple[Float64, Float64, Float64]:
    parts = sums[..., :-1].reshape(*sums.shape[:-1], sums.shape[-1] // _PARTS, _PARTS)
    return parts[..., 0], parts[..., 1], parts[..., 2]


def expected_calibration_error(
    unsafe: Bools, p: NDArray[np.floating], bin_of: Ints
) -> float | None:
    """Mean distance of bins' mean probability from their share of unsafe images.

    Args:
        unsafe: bool [n]
        p: [n], 0..1.
        bin_of: int64 [n], by :func:`equal_width` or :func:`equal_mass`.

    Returns:
        0..1; None where there is no image.
    """
    return defined(ece_of(columns_of(unsafe, p, bin_of).sum(axis=0)))


def brier(unsafe: Bools, p: NDArray[np.floating]) -> Brier:
    """The Brier score and its parts, over bins of equal width.

    Args:
        unsafe: bool [n]
        p: [n], 0..1.
    """
    sums = columns_of(unsafe, p, equal_width(p)).sum(axis=0)
    n, mass, positives = _bins(sums)
    total = n.sum()
    if not total:
        return Brier(None, None, None, None)
    some = n > 0
    n, mean, rate = n[some], mass[some] / n[some], positives[some] / n[some]
    base = positives.sum() / total
    return Brier(
        score=float(sums[-1] / total),
        reliability=float((n * (mean - rate) ** 2).sum() / total),
        resolution=float((n * (rate - base) ** 2).sum() / total),
        uncertainty=float(base * (1 - base)),
    )


def reliability(unsafe: Bools, p: NDArray[np.floating], bin_of: Ints) -> list[Bin]:
    """The bins that have images, from low to high probability: a reliability diagram."""
    found = []
    for one in np.unique(bin_of):
        at = bin_of == one
        inside = p[at].astype(np.float64)
        found.append(
            Bin(
                low=float(inside.min()),
                high=float(inside.max()),
                n=int(at.sum()),
                p=float(inside.mean()),
                unsafe=float(unsafe[at].mean()),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Band:
    """What a review band costs and saves: images near the threshold go to people."""

    half_width: float
    """Reviewed is what is nearer to the threshold than this."""
    reviewed: float
    """Share of the images that people see."""
    error: float | None
    """Share of the others that is decided wrongly; None where there are no others."""


def review_curve(
    unsafe: Bools, flagged: Bools, p: NDArray[np.floating], threshold: float
) -> list[Band]:
    """The bands that differ, from none to the one that reviews all.

    Args:
        unsafe: bool [n]
        flagged: bool [n], what is decided without people.
        p: [n], 0..1.
        threshold: the middle of the band.
    """
    if not len(p):
        return []
    distance = distance_of(p, threshold)
    order = np.argsort(distance, kind="stable")
    wrong = np.append(0, np.cumsum((unsafe != flagged)[order]))
    widths = np.append(distance[order], np.nextafter(distance.max(), np.inf))
    # The first image of each distance: a band of that width reviews all before it.
    first = np.flatnonzero(np.append(True, widths[1:] != widths[:-1]))
    return [
        Band(
            float(widths[k]),
            float(k / len(p)),
            float((wrong[-1] - wrong[k]) / (len(p) - k)) if k < len(p) else None,
        )
        for k in first
    ]


def distance_of(p: NDArray[np.floating], threshold: float) -> Float64:
    """float64 [n]: how far each probability is from the threshold, to six decimals."""
    return np.asarray(np.round(np.abs(p.astype(np.float64) - threshold), 6), dtype=np.float64)


def band_sums(
    wrong: Bools, distance: Float64, half_widths: Sequence[float], draws: Resampling
) -> tuple[Float64, Float64]:
    """Share reviewed and error of the others in each resample, for bands of given widths.

    Returns:
        float64 [B, widths] twice; NaN where undefined.
    """
    widths = np.asarray(half_widths)
    kept = distance[:, None] >= widths
    sums = draws.sums(np.hstack([kept, kept & wrong[:, None], np.ones((len(wrong), 1), np.bool_)]))
    k = len(widths)
    decided, errors, n = sums[:, :k], sums[:, k : 2 * k], sums[:, -1:]
    return 1 - share(decided, np.broadcast_to(n, decided.shape)), share(errors, decided)

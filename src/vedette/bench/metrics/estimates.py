"""Metrics with their intervals, of many parts of a set at once: each source, each category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.bench.metrics.bootstrap import Resampling, interval
from vedette.bench.metrics.confusion import METRICS, Bools, Counts, Float64, defined
from vedette.bench.metrics.ranking import RANK_METRICS, Scores, ranking

_BLOCK = 2**25
"""Entries of the table of outcomes that are there at once, to bound memory."""
_PARTS = 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float | None
    """None where it is undefined."""
    low: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, float | None]:
        """For a result."""
        return {"value": self.value, "low": self.low, "high": self.high}


Estimates = Mapping[str, Estimate]
"""By the metric's name."""


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What decisions came to in each part, as they are and in each resample."""

    point: Counts
    """[parts]"""
    resampled: Counts
    """[B, parts]"""

    def estimates(self) -> list[Estimates]:
        """All threshold metrics of each part."""
        found = {
            name: (metric(self.point), metric(self.resampled)) for name, metric in METRICS.items()
        }
        return [
            {name: estimate(values[k], drawn[:, k]) for name, (values, drawn) in found.items()}
            for k in range(len(self.point.tp))
        ]


def decided(unsafe: Bools, flagged: Bools, parts: Bools, draws: Resampling) -> Decided:
    """Confusion matrices of each part.

    Args:
        unsafe: bool [n], what the images are.
        flagged: bool [n], what was decided.
        parts: bool [parts, n], the images of each part.
        draws: of the n images; the same resamples for every part.
    """
    step = max(1, _BLOCK // max(1, _PARTS * len(unsafe)))
    points, resamples = [np.empty((_PARTS, 0))], [np.empty((draws.count, _PARTS, 0))]
    for start in range(0, len(parts), step):
        inside = parts[start : start + step]
        columns = np.concatenate(
            [inside & unsafe & flagged, inside & flagged, inside & unsafe, inside]
        ).T
        points.append(columns.sum(axis=0, dtype=np.float64).reshape(_PARTS, -1))
        resamples.append(draws.sums(columns).reshape(draws.count, _PARTS, len(inside)))
    point = np.concatenate(points, axis=1)
    resampled = np.concatenate(resamples, axis=2).transpose(1, 0, 2)
    return Decided(_counts(point), _counts(resampled))


def _counts(sums: Float64) -> Counts:
    tp, flags, positives, n = sums
    return Counts(tp, flags - tp, positives - tp, n - flags - positives + tp)


def ranked(unsafe: Bools, scores: Scores, parts: Bools, draws: Resampling) -> list[Estimates]:
    """All rank metrics of each part.

    Args:
        unsafe: bool [n]
        scores: [n], higher is more likely unsafe.
        parts: bool [parts, n], the images of each part.
        draws: of the n images; the same resamples for every part.
    """
    rows = [np.flatnonzero(part) for part in parts]
    rankings = [ranking(unsafe[at], scores[at]) for at in rows]
    resampled = np.full((len(parts), draws.count, len(RANK_METRICS)), np.nan)
    for block, drawn in draws.draws(len(unsafe)):
        for k, (at, one) in enumerate(zip(rows, rankings, strict=True)):
            resampled[k, block] = one.of(drawn[:, draws.index[at]])
    points = [one.of(np.ones((1, len(at))))[0] for at, one in zip(rows, rankings, strict=True)]
    return [
        {name: estimate(point[m], own[:, m]) for m, name in enumerate(RANK_METRICS)}
        for point, own in zip(points, resampled, strict=True)
    ]


def estimate(value: float | np.floating | Float64, resampled: Float64) -> Estimate:
    """A value and the percentile interval of its resamples; NaN is undefined."""
    point = defined(value)
    if point is None:
        return Estimate(None)
    found = interval(resampled)
    return Estimate(point, found.low, found.high)


def mean_over(values: Float64, resampled: Float64, which: Sequence[int]) -> Estimate:
    """The mean over parts, of those where it is defined in the set itself.

    Args:
        values: float64 [parts]
        resampled: float64 [B, parts]
        which: the parts.
    """
    kept = [k for k in which if not np.isnan(values[k])]
    if not kept:
        return Estimate(None)
    return estimate(values[kept].mean(), resampled[:, kept].mean(axis=1))

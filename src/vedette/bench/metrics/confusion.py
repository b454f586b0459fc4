"""Metrics of decisions: precision, recall, F1 and the like, of many confusion matrices at once.

All follow scikit-learn's definitions. Where a denominator is 0 nothing was measured: NaN inside
arrays, None in what :func:`defined` and the tasks hand out, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Confusion matrices: how many images of each outcome. Arrays of one shape, any shape."""

    tp: Float64
    """Unsafe and flagged."""
    fp: Float64
    """Safe and flagged."""
    fn: Float64
    """Unsafe and not flagged."""
    tn: Float64
    """Safe and not flagged."""

    @property
    def n(self) -> Float64:
        """All images."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def unsafe(self) -> Float64:
        """Unsafe images."""
        return self.tp + self.fn


def counts_of(unsafe: Bools, flagged: Bools) -> Counts:
    """The confusion matrix of decisions.

    Args:
        unsafe: bool [n], what the images are.
        flagged: bool [n], what was decided.
    """
    tp = np.float64(np.count_nonzero(unsafe & flagged))
    flags, positives = np.count_nonzero(flagged), np.count_nonzero(unsafe)
    fp, fn = flags - tp, positives - tp
    return Counts(*(np.asarray(count) for count in (tp, fp, fn, len(unsafe) - tp - fp - fn)))


def share(part: ArrayLike, whole: ArrayLike) -> Float64:
    """``part / whole``, NaN where ``whole`` is 0."""
    top, bottom = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    some = bottom != 0
    return np.where(some, top / np.where(some, bottom, 1), np.nan)


def f1(counts: Counts) -> Float64:
    """F1 of *unsafe*, the paper's measure: harmonic mean of precision and recall."""
    return share(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def precision(counts: Counts) -> Float64:
    """Share of the flagged that is unsafe."""
    return share(counts.tp, counts.tp + counts.fp)


def recall(counts: Counts) -> Float64:
    """Share of the unsafe that is flagged."""
    return share(counts.tp, counts.unsafe)


def false_positive_rate(counts: Counts) -> Float64:
    """Share of the safe that is flagged."""
    return share(counts.fp, counts.fp + counts.tn)


def false_negative_rate(counts: Counts) -> Float64:
    """Share of the unsafe that is not flagged."""
    return share(counts.fn, counts.unsafe)


def accuracy(counts: Counts) -> Float64:
    """Share that is decided rightly."""
    return share(counts.tp + counts.tn, counts.n)


def macro_f1(counts: Counts) -> Float64:
    """Mean of the F1 of *unsafe* and the F1 of *safe*."""
    safe = share(2 * counts.tn, 2 * counts.tn + counts.fp + counts.fn)
    return (f1(counts) + safe) / 2


METRICS: Mapping[str, Callable[[Counts], Float64]] = {
    "f1": f1,
    "precision": precision,
    "recall": recall,
    "fpr": false_positive_rate,
    "fnr": false_negative_rate,
    "accuracy": accuracy,
    "macro_f1": macro_f1,
}
"""By the name that they have in results."""


def threshold_metrics(unsafe: Bools, flagged: Bools) -> dict[str, float | None]:
    """All of :data:`METRICS` of one set of decisions; None where undefined.

    Args:
        unsafe: bool [n], what the images are.
        flagged: bool [n], what was decided.
    """
    counts = counts_of(unsafe, flagged)
    return {name: defined(metric(counts)) for name, metric in METRICS.items()}


def defined(value: ArrayLike) -> float | None:
    """A number for JSON: None for NaN."""
    number = float(np.asarray(value))
    return None if np.isnan(number) else number

"""Metrics of scores without a threshold: AUROC, average precision, FPR at 95 % TPR, curves.

Each is computed for many weightings of the images at once, which is what a bootstrap asks for:
images are sorted by score once, and a resample is a row of weights. Images of equal score are one
level, so that the order among them never matters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.bench.metrics.confusion import Bools, Float64, defined, share

Ints = NDArray[np.int64]
Scores = NDArray[np.floating]

RANK_METRICS = ("auroc", "auprc", "fpr_at_95_tpr")
"""By the name that they have in results, in the order of :meth:`Ranking.of`."""
_TPR = (19, 20)
"""95 %, as a fraction: counts are compared without rounding."""
_BLOCK = 2**21
"""Weights that are worked on at once, to bound memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Images sorted by score, highest first."""

    order: Ints
    """int64 [n]: rows of the images, highest score first."""
    unsafe: Bools
    """bool [n], in that order."""
    ends: Ints
    """int64 [levels]: the last place of each level of equal scores."""
    levels: Float64
    """float64 [levels]: the scores, falling."""

    def of(self, weights: NDArray[np.floating]) -> Float64:
        """The rank metrics of weighted images.

        Args:
            weights: [b, n] by row of the image (not by rank): how often each is there.

        Returns:
            float64 [b, 3]: AUROC, average precision, FPR at 95 % TPR, NaN where undefined: AUROC
            and FPR need both classes, average precision an unsafe image.
        """
        out = np.full((len(weights), len(RANK_METRICS)), np.nan)
        if not len(self.order):
            return out
        step = max(1, _BLOCK // len(self.order))
        for start in range(0, len(weights), step):
            part = slice(start, start + step)
            out[part] = self._of(weights[part])
        return out

    def _of(self, weights: NDArray[np.floating]) -> Float64:
        tp, fp = self._cumulated(weights)
        positives, negatives = tp[:, -1], fp[:, -1]
        found = np.diff(tp, axis=1, prepend=0)
        # A pair counts where the unsafe image is above the safe one, and half where they tie.
        below = negatives[:, None] - fp + np.diff(fp, axis=1, prepend=0) / 2
        pairs = np.einsum("bl,bl->b", found, below)
        flagged = tp + fp
        precision = np.divide(tp, flagged, out=np.zeros_like(tp), where=flagged > 0)
        area = np.einsum("bl,bl->b", found, precision)
        # The false positives where the rising TPR first reaches 95 %.
        enough = tp * _TPR[1] >= positives[:, None] * _TPR[0]
        first = enough.argmax(axis=1)
        alarms = np.where(positives > 0, fp[np.arange(len(fp)), first], np.nan)
        return np.stack(
            [
                share(pairs, positives * negatives),
                share(area, positives),
                share(alarms, negatives),
            ],
            axis=1,
        )

    def _cumulated(self, weights: NDArray[np.floating]) -> tuple[Float64, Float64]:
        """Weighted unsafe and safe images down to each level, float64 [b, levels]."""
        sorted_ = weights[:, self.order].astype(np.float64)
        every = sorted_.cumsum(axis=1)[:, self.ends]
        sorted_[:, ~self.unsafe] = 0
        tp = sorted_.cumsum(axis=1)[:, self.ends]
        return tp, every - tp

    def counts(self) -> tuple[Float64, Float64]:
        """Unsafe and safe images that are flagged when the threshold is each level's score.

        Returns:
            tp and fp, float64 [levels], the highest threshold first.
        """
        tp, fp = self._cumulated(np.ones((1, len(self.order))))
        return tp[0], fp[0]


def ranking(unsafe: Bools, scores: Scores) -> Ranking:
    """Sort images by score.

    Args:
        unsafe: bool [n]
        scores: [n], higher is more likely unsafe; finite.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(ranked[1:] != ranked[:-1], np.ones(min(1, len(ranked)), dtype=np.bool_))
    ends = np.flatnonzero(last)
    return Ranking(order, unsafe[order], ends, ranked[ends].astype(np.float64))


def rank_metrics(unsafe: Bools, scores: Scores) -> dict[str, float | None]:
    """All of :data:`RANK_METRICS` of one set of scores; None where undefined.

    Args:
        unsafe: bool [n]
        scores: [n], higher is more likely unsafe.
    """
    found = ranking(unsafe, scores).of(np.ones((1, len(unsafe))))[0]
    return {name: defined(value) for name, value in zip(RANK_METRICS, found, strict=True)}


def roc_curve(unsafe: Bools, scores: Scores) -> tuple[Float64, Float64] | None:
    """FPR and TPR, from (0, 0) to (1, 1); None where a class has no image."""
    if unsafe.all() or not unsafe.any():
        return None
    tp, fp = ranking(unsafe, scores).counts()
    return np.append(0, fp / fp[-1]), np.append(0, tp / tp[-1])


def pr_curve(unsafe: Bools, scores: Scores) -> tuple[Float64, Float64] | None:
    """Recall, rising, and precision; None where no image is unsafe."""
    if not unsafe.any():
        return None
    tp, fp = ranking(unsafe, scores).counts()
    return tp / tp[-1], tp / (tp + fp)


def thinned(curve: tuple[Float64, Float64], most: int = 200) -> tuple[list[float], list[float]]:
    """At most so many points of a curve, spread evenly along its length, ends included."""
    x, y = curve
    if len(x) <= most:
        return _listed(x), _listed(y)
    along = np.append(0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
    wanted = np.linspace(0, along[-1], most)
    at = np.unique(np.append(np.searchsorted(along, wanted[:-1]), len(x) - 1))
    return _listed(x[at]), _listed(y[at])


def _listed(values: Iterable[float]) -> list[float]:
    return [round(float(value), 6) for value in values]

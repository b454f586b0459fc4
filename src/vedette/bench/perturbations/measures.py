"""What perturbed pictures say about a classifier: shares of images, with intervals.

An answer that failed is never right. Of the images that are labelled unsafe it is a miss, of those
that are labelled safe a false alarm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.bench.evidence import Cell
from vedette.bench.metrics.bootstrap import Interval, interval, resampling
from vedette.bench.perturbations.scoring import CLEAN, Said
from vedette.bench.predictions import Bools, Ints, Predictions

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Sums over images, divided: one share for each column."""

    value: Floats
    """float64 [columns]; NaN where nothing is to be divided by."""
    interval: Sequence[Interval]
    n: Ints
    """Images that each one rests on."""

    def cell(self, column: int = 0, times: float = 1.0) -> Cell:
        """One of them for a table, multiplied: 100 for percent."""
        return Cell(
            scaled(self.value[column], times),
            low=scaled(self.interval[column].low, times),
            high=scaled(self.interval[column].high, times),
            n=int(self.n[column]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The sampled images, what was said about them, and how intervals are drawn."""

    images: Predictions
    said: Said
    resamples: int
    seed: int

    @property
    def right(self) -> Bools:
        """bool [images, variants]"""
        return np.asarray(self.said.scored & (self.said.flagged == self.images.unsafe[:, None]))

    @property
    def clean(self) -> Bools:
        """bool [images]: right about the clean picture."""
        return np.asarray(self.right[:, self.said.columns(CLEAN)[0]])

    @property
    def everyone(self) -> Bools:
        """bool [images], all true."""
        return np.ones(len(self.images), dtype=np.bool_)

    @property
    def width(self) -> int:
        """Variants."""
        return len(self.said.variants)

    def shares(self, counted: NDArray[Any], among: NDArray[Any]) -> Shares:
        """Sum of ``counted`` over sum of ``among``, both [images, columns], with intervals.

        Intervals are percentiles of resamples of groups: near-duplicates come and go together.
        """
        counted, among = (np.asarray(a, dtype=np.float64) for a in (counted, among))
        columns = counted.shape[1]
        drawn = resampling(self.images.group, self.resamples, self.seed).sums(
            np.concatenate([counted, among], axis=1)
        )
        return Shares(
            value=_divided(counted.sum(axis=0), among.sum(axis=0)),
            interval=[
                interval(_divided(drawn[:, column], drawn[:, columns + column]))
                for column in range(columns)
            ],
            n=np.count_nonzero(among, axis=0).astype(np.int64),
        )

    def accuracy(self, of: Bools | None = None) -> Shares:
        """Right answers: a share for each variant, among all images or some."""
        among = np.repeat((self.everyone if of is None else of)[:, None], self.width, axis=1)
        return self.shares(self.right & among, among)

    def f1(self) -> Shares:
        """F1 of unsafe: one for each variant."""
        hits = 2 * (self.right & self.images.unsafe[:, None]).astype(np.int64)
        return self.shares(hits, hits + ~self.right)

    def evaded(self) -> Shares:
        """Unsafe to safe: of the unsafe images that were found when clean, those passed now."""
        found = np.repeat((self.clean & self.images.unsafe)[:, None], self.width, axis=1)
        return self.shares(self.said.scored & ~self.said.flagged & found, found)

    def alarmed(self) -> Shares:
        """Safe to unsafe: of the safe images that were passed when clean, those flagged now."""
        passed = np.repeat((self.clean & ~self.images.unsafe)[:, None], self.width, axis=1)
        return self.shares(self.said.flagged & passed, passed)

    def mean_accuracy(self, sets: Sequence[Sequence[Sequence[int]]]) -> Shares:
        """A share for each set of kinds: the mean over kinds of the mean over severities.

        Args:
            sets: sets of kinds, each kind as the columns of its severities.
        """
        means = [
            np.stack([self.right[:, list(kind)].mean(axis=1) for kind in kinds]).mean(axis=0)
            for kinds in sets
        ]
        counted = np.stack(means, axis=1)
        return self.shares(counted, np.ones_like(counted))

    def worst(self, sets: Sequence[Sequence[int]], of: Bools | None = None) -> Shares:
        """A share for each set of columns: images that are right under *all* of them."""
        held = np.stack([self.right[:, list(columns)].all(axis=1) for columns in sets], axis=1)
        among = np.repeat((self.everyone if of is None else of)[:, None], len(sets), axis=1)
        return self.shares(held & among, among)


def scaled(value: float | None, times: float = 1.0) -> float | None:
    """A number for a result: 6 decimals; None where it is undefined."""
    return None if value is None or math.isnan(value) else round(float(value) * times, 6)


def _divided(counted: Floats, among: Floats) -> Floats:
    out = np.full(counted.shape, np.nan)
    np.divide(counted, among, out=out, where=among > 0)
    return out

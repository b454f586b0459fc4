"""Bootstrap intervals: groups of near-duplicates are drawn with replacement, B times.

Copies of a picture get the same answer, so that images are no independent draws; groups are. All
that one call is given sees the same resamples, which is what makes comparisons paired; and so do
two calls with the same number of groups, B and seed.

Sums over images are sums over groups times how often each group was drawn: one matrix product for
all resamples, metrics and models together. Counts are whole numbers below 2**24, which float32
adds without rounding.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), percentile intervals;
Field and Welsh, "Bootstrapping clustered data" (2007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.bench.metrics.confusion import Bools, Float64

Ints = NDArray[np.int64]

Blocks = Iterator[tuple[slice, NDArray[np.float32]]]
"""Which resamples, and the weight of each group in each of them, float32 [b, groups]."""

_LEVEL = (2.5, 97.5)
_BLOCK = 2**22
"""Draws that are kept at once, to bound memory."""
_EXACT = 2**24
"""Whole numbers up to here are exact in float32."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % percentile interval; None where there is none."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Resampling:
    """How images are drawn again: by group, with a seed."""

    index: Ints
    """int64 [n]: the group of each image, 0 to ``groups`` - 1."""
    groups: int
    count: int
    """B, the number of resamples."""
    seed: int

    def draws(self, width: int = 0) -> Blocks:
        """Blocks of resamples: which, and float32 [b, groups], how often each group is drawn.

        Args:
            width: values that the caller holds for each resample, to make blocks small enough.
                Blocks of any size hold the same resamples.
        """
        rng = np.random.default_rng(self.seed)
        for part in self._parts(width):
            drawn = np.empty((part.stop - part.start, self.groups), dtype=np.float32)
            for row in drawn:
                chosen = rng.integers(0, self.groups, size=self.groups, dtype=np.int32)
                row[:] = np.bincount(chosen, minlength=self.groups)
            yield part, drawn

    def swaps(self, width: int = 0) -> Blocks:
        """Blocks of relabellings: which, and float32 [b, groups], 1 where a group's are swapped.

        Under the null hypothesis it does not matter which of two classifiers gave which answer.
        Near-duplicates are swapped together. The same swaps serve all pairs of classifiers: what
        a relabelled sum is follows from each classifier's own sum over the swapped groups.

        Args:
            width: see :meth:`draws`.
        """
        rng = np.random.default_rng([self.seed, 1])  # others than the bootstrap's
        for part in self._parts(width):
            # Whole words, so that blocks of any size hold the same relabellings.
            shape = (part.stop - part.start, -(-self.groups // 64))
            words = rng.integers(0, 2**64, size=shape, dtype=np.uint64)
            bits = np.unpackbits(words.view(np.uint8), axis=1, count=self.groups)
            yield part, bits.astype(np.float32)

    def _parts(self, width: int) -> Iterator[slice]:
        """Resamples that are worked on at once."""
        step = max(1, _BLOCK // max(1, self.groups, width))
        for start in range(0, self.count, step):
            yield slice(start, min(start + step, self.count))

    def sums(self, columns: NDArray[np.generic]) -> Float64:
        """Of each resample, the sum over its images of each column.

        Args:
            columns: bool, integer or float [n, k].

        Returns:
            float64 [B, k].
        """
        by_group = grouped_sums(columns, self.index, self.groups)
        if columns.dtype == np.bool_ and self.exact:
            by_group = by_group.astype(np.float32)
        out = np.empty((self.count, by_group.shape[1]))
        for part, drawn in self.draws():
            out[part] = drawn.astype(by_group.dtype, copy=False) @ by_group
        return out

    def sums_by_slot(
        self, columns: Bools, slot: Ints, slots: int, weights: Callable[[int], Blocks]
    ) -> Float64:
        """Of each resample, the sums over its images of each slot; each image is in one slot.

        Args:
            columns: bool [n, k]
            slot: int64 [n], 0 to ``slots`` - 1.
            slots: how many.
            weights: :meth:`draws` or :meth:`swaps`.

        Returns:
            float64 [B, slots, k].
        """
        kind: type[np.floating[Any]] = np.float32 if self.exact else np.float64
        out = np.zeros((self.count, slots, columns.shape[1]))
        if slots * self.groups <= 2 * len(slot):  # most groups are in most slots: one product
            places, index = np.unique(self.index * slots + slot, return_inverse=True)
            table = np.zeros((self.groups * slots, columns.shape[1]), dtype=kind)
            table[places] = grouped_sums(columns, index.reshape(-1), len(places))
            table = table.reshape(self.groups, -1)
            for part, drawn in weights(table.shape[1]):
                found = drawn.astype(kind, copy=False) @ table
                out[part] = found.reshape(len(found), slots, -1)
            return out
        rows = [np.flatnonzero(slot == one) for one in range(slots)]
        tables = [columns[at].astype(kind) for at in rows]
        for part, drawn in weights(max(map(len, rows))):
            for one, (at, own) in enumerate(zip(rows, tables, strict=True)):
                if len(at):
                    out[part, one] = drawn[:, self.index[at]].astype(kind, copy=False) @ own
        return out

    @property
    def exact(self) -> bool:
        """Whether float32 holds every count: the largest group can be drawn each time."""
        largest = int(np.bincount(self.index).max(initial=0))
        return largest * self.groups < _EXACT


def resampling(group: Ints, count: int, seed: int) -> Resampling:
    """Prepare to draw.

    Args:
        group: int64 [n]: images of one number are drawn together.
        count: B; 0 gives no resamples and thus no intervals.
        seed: of the random numbers.
    """
    distinct, index = np.unique(group, return_inverse=True)
    count = count if len(distinct) else 0
    return Resampling(index.reshape(-1).astype(np.int64), len(distinct), count, seed)


def grouped_sums(columns: NDArray[np.generic], index: Ints, groups: int) -> Float64:
    """Float64 [groups, k]: the sums of columns [n, k] over each group's images; none is empty."""
    if len(index) == groups:
        summed = np.empty((groups, columns.shape[1]))
        summed[index] = columns
        return summed
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(groups))
    return np.add.reduceat(columns[order].astype(np.float64), starts, axis=0)


def interval(values: Float64) -> Interval:
    """The percentile interval of a statistic's values in resamples, NaN where undefined.

    Resamples in which it is undefined are left out. Where more than half are, it was hardly
    measured, and there is no interval.

    Args:
        values: float64 [B]
    """
    kept = values[~np.isnan(values)]
    if not len(kept) or 2 * len(kept) < len(values):
        return Interval()
    low, high = np.percentile(kept, _LEVEL)
    return Interval(float(low), float(high))

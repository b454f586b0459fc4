"""Several models on the same images: where they differ, and whether by more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vedette.bench.metrics.bootstrap import Ints, Resampling
from vedette.bench.metrics.confusion import Bools, Counts, Float64, f1
from vedette.bench.metrics.estimates import Estimate, estimate
from vedette.bench.metrics.significance import McNemar, mcnemar, permutation_p
from vedette.taxonomy import Category

SLOTS = len(Category) + 1
"""Categories, and last the images that have none."""


@dataclass(frozen=True, slots=True, eq=False)
class Paired:
    """Decisions of several models about the same images."""

    names: tuple[str, ...]
    unsafe: Bools
    """bool [n]"""
    slot: Ints
    """int64 [n]: position of the image's category; the last slot: it has none."""
    flagged: Bools
    """bool [models, n], as shipped, about the image's own category."""
    covered: Bools
    """bool [models, slots]: what each model can be asked about."""
    group: Ints
    """int64 [n]: near-duplicates share a number."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two models on the images that both can be asked about."""

    first: str
    second: str
    n: int
    f1_first: float | None
    f1_second: float | None
    difference: Estimate
    """F1 of the first less that of the second, paired bootstrap."""
    permutation: float | None
    """p of the difference of F1, by paired permutation."""
    mcnemar: McNemar
    categories: tuple[tuple[Category, int, Estimate], ...]
    """Images and difference of F1, for each category that both cover."""


def differences(
    paired: Paired, draws: Resampling
) -> tuple[list[Difference], dict[str, tuple[int, Estimate]]]:
    """All pairs of models; and each model's own images and F1, where it can be asked.

    One matrix product gives all that resamples say about all models and categories, and a second
    one all that relabellings do.
    """
    models = len(paired.names)
    columns = _columns(paired)
    inside = paired.slot == np.arange(SLOTS)[:, None]
    point = np.stack([columns[own].sum(axis=0, dtype=np.float64) for own in inside])
    whole = _Sums.of(point[None], models)
    drawn = _Sums.of(draws.sums_by_slot(columns, paired.slot, SLOTS, draws.draws), models)
    moved = _Sums.of(draws.sums_by_slot(columns, paired.slot, SLOTS, draws.swaps), models)
    alone = {}
    for m, name in enumerate(paired.names):
        seen = paired.covered[m]
        own = whole.f1(m, seen)[0]
        alone[name] = (whole.images(seen), estimate(own, drawn.f1(m, seen)))
    found = []
    for a, b in combinations(range(models), 2):
        seen = paired.covered[a] & paired.covered[b]
        first, second = whole.f1(a, seen)[0], whole.f1(b, seen)[0]
        at = seen[paired.slot]
        right = paired.flagged[:, at] == paired.unsafe[at]
        found.append(
            Difference(
                first=paired.names[a],
                second=paired.names[b],
                n=whole.images(seen),
                f1_first=None if np.isnan(first) else float(first),
                f1_second=None if np.isnan(second) else float(second),
                difference=estimate(first - second, drawn.f1(a, seen) - drawn.f1(b, seen)),
                permutation=permutation_p(first - second, _relabelled(whole, moved, a, b, seen)),
                mcnemar=mcnemar(right[a], right[b]),
                categories=tuple(_by_category(whole, drawn, a, b, seen)),
            )
        )
    return found, alone


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Sums over images, of each slot, in each of b drawings."""

    tp: Float64
    """[models, slots, b]"""
    flags: Float64
    """[models, slots, b]"""
    positives: Float64
    """[slots, b]"""
    n: Float64
    """[slots, b]"""

    @classmethod
    def of(cls, sums: Float64, models: int) -> _Sums:
        """Of sums [b, slots, 2 models + 2]."""
        turned = np.ascontiguousarray(sums.transpose(2, 1, 0))
        return cls(turned[:models], turned[models:-2], turned[-2], turned[-1])

    def f1(self, model: int, seen: Bools) -> Float64:
        """[b]: over the images of the slots that are seen."""
        return _f1(self.tp[model], self.flags[model], self.positives, seen)

    def images(self, seen: Bools) -> int:
        return int(self.n[seen, 0].sum())


def _columns(paired: Paired) -> Bools:
    """bool [n, 2 models + 2]: caught and flagged by each model, unsafe, there at all."""
    asked = paired.flagged & paired.covered[:, paired.slot]
    there = np.ones_like(paired.unsafe)
    return np.stack([*(asked & paired.unsafe), *asked, paired.unsafe, there], axis=1)


def _f1(tp: Float64, flags: Float64, positives: Float64, seen: Bools) -> Float64:
    caught, flagged = tp[seen].sum(axis=0), flags[seen].sum(axis=0)
    unsafe = positives[seen].sum(axis=0)
    return f1(Counts(caught, flagged - caught, unsafe - caught, np.zeros_like(caught)))


def _relabelled(whole: _Sums, moved: _Sums, a: int, b: int, seen: Bools) -> Float64:
    """[B]: the difference of F1 where some groups' answers changed hands."""
    tp, flags = moved.tp[b] - moved.tp[a], moved.flags[b] - moved.flags[a]
    unsafe = whole.positives
    first = _f1(whole.tp[a] + tp, whole.flags[a] + flags, unsafe, seen)
    return first - _f1(whole.tp[b] - tp, whole.flags[b] - flags, unsafe, seen)


def _by_category(
    whole: _Sums, drawn: _Sums, a: int, b: int, seen: Bools
) -> list[tuple[Category, int, Estimate]]:
    found = []
    for category in Category:
        only = np.arange(SLOTS) == category.position
        n = whole.images(only)
        if not seen[category.position] or not n:
            continue
        value = (whole.f1(a, only) - whole.f1(b, only))[0]
        found.append((category, n, estimate(value, drawn.f1(a, only) - drawn.f1(b, only))))
    return found

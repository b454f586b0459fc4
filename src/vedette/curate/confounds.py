"""Confounds: facts of the file that tell safe from unsafe without a look at the picture.

A classifier takes the easiest way. Where all unsafe pictures are 512 px wide, it learns to measure
widths, scores well on a test split made the same way, and fails in the world. So each fact gets its
chance as a classifier of its own: a decision tree of one question, fitted on one half of the
pictures and tested on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.curate.facts import Indices, Store
from vedette.curate.statistics import mean_interval

MARGIN = 0.05
"""By how much a rule's balanced accuracy must surely exceed 0.5 to be reported. In a large set any
difference is significant; below 0.55 a rule explains less than a tenth of the way from chance to
certainty, which is what sets collected honestly show."""
LEAST = 20
"""Different pictures of each kind that the tested half must have."""
_SHOWN = 4
"""Names of values told in a rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One question about a file, and how well its answer tells unsafe from safe."""

    fact: str
    rule: str
    """``width >= 512 -> unsafe``"""
    accuracy: float
    """Balanced: the mean of the shares of unsafe and of safe pictures that it gets right, on the
    half that it was not fitted on."""
    low: float
    """The lower end of the interval; all intervals hold together with 99 % confidence."""
    high: float
    leak: bool
    """Whether ``low`` exceeds 0.5 + :data:`MARGIN`."""

    def __str__(self) -> str:
        return (
            f"{self.rule}: balanced accuracy {self.accuracy:.2f} "
            f"({self.low:.2f}..{self.high:.2f}), chance 0.50"
        )


@dataclass(frozen=True, slots=True)
class Confounds:
    """All rules, the best first."""

    not_judged: str
    """Why there are none; empty where there are."""
    unsafe: int
    """Different pictures in the tested half."""
    safe: int
    margin: float
    rules: tuple[Rule, ...]

    @property
    def leaks(self) -> tuple[Rule, ...]:
        """The rules that beat chance."""
        return tuple(rule for rule in self.rules if rule.leak)


@dataclass(frozen=True, slots=True, eq=False)
class _Fact:
    """One value for each picture."""

    name: str
    values: NDArray[np.float64]
    levels: Sequence[str] | None = None
    """The names that the values number, where they are no quantities."""
    unit: str = ""


def confounds(store: Store, group: Indices, seed: int = 0) -> Confounds:
    """Try every fact of the files as a classifier.

    Args:
        store: read.
        group: for each image the first that shows the same. One of each group is looked at: with
            its copies in both halves a picture would be tested on itself.
        seed: which half a picture comes to.
    """
    unsafe = store.facts.column("unsafe")
    alone = group == np.arange(len(group))
    rows = np.flatnonzero(alone & (unsafe >= 0) & store.facts.column("picture"))
    wrong = unsafe[rows] == 1
    fitted = _half(wrong, seed)
    counts = int((wrong & ~fitted).sum()), int((~wrong & ~fitted).sum())
    if min(counts) < LEAST:
        why = f"fewer than {2 * LEAST} different pictures are labelled safe, or unsafe"
        return Confounds(why, *counts, MARGIN, ())
    facts = [fact for fact in _facts(store, rows) if len(np.unique(fact.values[fitted])) > 1]
    rules = [_tried(fact, wrong, fitted, len(facts)) for fact in facts]
    return Confounds("", *counts, MARGIN, tuple(sorted(rules, key=lambda rule: -rule.low)))


def _half(wrong: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Which pictures rules are fitted on: half of the safe and half of the unsafe ones."""
    rng = np.random.default_rng(seed)
    fitted = np.zeros(len(wrong), bool)
    for kind in (True, False):
        own = np.flatnonzero(wrong == kind)
        rng.shuffle(own)
        fitted[own[: len(own) // 2]] = True
    return fitted


def _facts(store: Store, rows: Indices) -> list[_Fact]:
    width, height, size, frames, exif, fmt, source = (
        store.facts.column(name)[rows].astype(np.float64)
        for name in ("width", "height", "bytes", "frames", "exif", "format", "source")
    )
    pixels = np.maximum(width * height, 1)
    return [
        _Fact("width", width, unit=" px"),
        _Fact("height", height, unit=" px"),
        _Fact("width / height", width / np.maximum(height, 1)),
        _Fact("megapixels", pixels / 1e6),
        _Fact("bytes", size),
        _Fact("bytes per pixel", size / pixels),
        _Fact("frames", frames),
        _Fact("format", fmt, store.formats.names),
        _Fact("EXIF", exif, ("absent", "present")),
        _Fact("source", source, store.sources.names),
    ]


def _tried(fact: _Fact, wrong: NDArray[np.bool_], fitted: NDArray[np.bool_], tests: int) -> Rule:
    fit = _levels if fact.levels is not None else _threshold
    text, says = fit(fact, wrong, fitted)
    tested = ~fitted
    hits = np.array([(says & wrong & tested).sum(), (~says & ~wrong & tested).sum()])
    totals = np.array([(wrong & tested).sum(), (~wrong & tested).sum()])
    accuracy, low, high = (round(v, 4) for v in mean_interval(hits, totals, tests))
    return Rule(fact.name, f"{text} -> unsafe", accuracy, low, high, low > 0.5 + MARGIN)


def _threshold(
    fact: _Fact, wrong: NDArray[np.bool_], fitted: NDArray[np.bool_]
) -> tuple[str, NDArray[np.bool_]]:
    """The best threshold on a quantity: in words, and what it says of each picture."""
    values, which = np.unique(fact.values[fitted], return_inverse=True)
    unsafe = np.bincount(which, weights=wrong[fitted], minlength=len(values))
    safe = np.bincount(which, weights=~wrong[fitted], minlength=len(values))
    # Of each kind, the share that is below each value.
    below = np.cumsum(safe) / safe.sum() - np.cumsum(unsafe) / unsafe.sum()
    best = int(np.abs(below[:-1]).argmax())
    at = _plain(values[best], values[best + 1])
    above = fact.values >= at
    number = f"{at:,.6g}{fact.unit}"
    if below[best] >= 0:
        return f"{fact.name} >= {number}", above
    return f"{fact.name} < {number}", ~above


def _plain(low: float, high: float) -> float:
    """The number of fewest digits above ``low`` and up to ``high``; a whole one as it is."""
    if high == int(high):
        return high
    for digits in range(1, 17):
        number = float(f"{(low + high) / 2:.{digits}g}")
        if low < number <= high:
            return number
    return high


def _levels(
    fact: _Fact, wrong: NDArray[np.bool_], fitted: NDArray[np.bool_]
) -> tuple[str, NDArray[np.bool_]]:
    """The values that unsafe pictures have more often: in words, and what that says of each."""
    assert fact.levels is not None
    level = fact.values.astype(np.int64)
    count = len(fact.levels)
    unsafe = np.bincount(level[fitted], weights=wrong[fitted], minlength=count)
    safe = np.bincount(level[fitted], weights=~wrong[fitted], minlength=count)
    more = unsafe / unsafe.sum() > safe / safe.sum()
    order = np.argsort(-unsafe, kind="stable")
    names = [fact.levels[number] for number in order.tolist() if more[number]]
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{fact.name} {' or '.join(names[:_SHOWN])}{rest}", more[level]

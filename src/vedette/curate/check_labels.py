"""Do a set's labels mean what they say? Compared with a reference classifier and with the counts.

A set whose class order has flipped looks perfectly well until something was trained on it. If the
labels are right, a classifier that knows anything at all scores unsafe pictures higher than safe
ones: an AUROC above 0.5. If it is far below, the labels say the opposite of what they should, or
the classifier does. Which of both nobody guesses here: the evidence is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from vedette.curate.auroc import Auroc, auroc
from vedette.data.synth.plan import is_stand_in
from vedette.taxonomy import Category
from vedette.types import Item, Record

_FEW = 20
"""Pictures on either side below which nothing is said: the interval would cover everything."""
_FAR = 0.4
"""An interval that ends below this is far below chance: no classifier of use gets there by a set
that is merely hard for it."""


class Finding(StrEnum):
    """What the evidence says."""

    AGREES = "agrees"
    SWAPPED = "looks swapped"
    BELOW = "below chance"
    UNCLEAR = "cannot be told"
    NOT_SEEN = "not seen by this model"


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison."""

    what: str
    """``unsafe against safe``, or a category."""
    finding: Finding
    auroc: Auroc | None
    note: str = ""
    """Which other label the scores fit instead, where there is one."""


@dataclass(frozen=True, slots=True)
class LabelReport:
    """All that was compared."""

    model: str
    checks: tuple[Check, ...]
    counts: Mapping[str, int]
    """Images by the label's meaning: ``safe``, ``unsafe``, each category."""
    unlabelled: int
    failed: int
    """Images that the model could not see; they count on no side."""
    count_note: str = ""
    """What the published counts say."""
    stand_ins: int = 0
    """Images that are drawn pictures of a stand-in set."""

    @property
    def swapped(self) -> bool:
        """Whether any comparison, or the counts, look swapped."""
        by_count = "the other way round" in self.count_note
        doubtful = (Finding.SWAPPED, Finding.BELOW)
        return by_count or any(check.finding in doubtful for check in self.checks)

    @property
    def compared(self) -> bool:
        """Whether there was enough for any comparison."""
        return any(check.auroc is not None for check in self.checks)


@dataclass(slots=True)
class _Scores:
    """Scores by label, as they come: what is kept of a picture is one number for each category."""

    unsafe: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    by_category: dict[Category, dict[Category | None, list[float]]] = field(default_factory=dict)
    """For each category that the model sees, its score on pictures of each label; None: safe."""
    counts: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    failed: int = 0
    stand_ins: int = 0

    def add(self, item: Item, record: Record) -> None:
        self.stand_ins += is_stand_in(item)
        if item.unsafe is None:
            self.unlabelled += 1
            return
        self.counts["unsafe" if item.unsafe else "safe"] += 1
        for category in item.labels or ():
            self.counts[category.value] += 1
        if record.failure is not None or record.scores is None:
            self.failed += 1
            return
        scores = record.scores.as_dict()
        if not scores:
            self.failed += 1
            return
        self.unsafe[item.unsafe].append(max(scores.values()))
        labels: Iterable[Category | None] = item.labels or (() if item.unsafe else (None,))
        for category, p in scores.items():
            for label in labels:
                sides = self.by_category.setdefault(category, {})
                sides.setdefault(label, []).append(p)


def check_labels(
    pairs: Iterable[tuple[Item, Record]],
    model: str,
    published: Mapping[bool, int] | None = None,
) -> LabelReport:
    """Compare labels with scores.

    Args:
        pairs: each item with the Record that the reference classifier made of it.
        model: its name.
        published: how many images are unsafe (True) and safe (False) as the set was published.
    """
    seen = _Scores()
    for item, record in pairs:
        seen.add(item, record)
    checks = [_binary(seen), *_categories(seen)]
    note = _count_note(seen.counts, published)
    return LabelReport(
        model, tuple(checks), seen.counts, seen.unlabelled, seen.failed, note, seen.stand_ins
    )


def _binary(seen: _Scores) -> Check:
    what = "unsafe against safe"
    area = _area(seen.unsafe[True], seen.unsafe[False])
    return Check(what, _finding(area), area, "" if area else _too_few(seen.unsafe))


def _categories(seen: _Scores) -> Iterator[Check]:
    """Each category that is a label of the set: its own scores, on its pictures against others."""
    named = [c for c in Category if seen.counts[c.value]]
    if len(named) < 2 and not seen.unsafe[False]:
        return
    for category in named:
        sides = seen.by_category.get(category)
        if sides is None:
            yield Check(category.value, Finding.NOT_SEEN, None)
            continue
        areas = {label: _against_rest(sides, label) for label in sides}
        own = areas.get(category)
        if own is None:
            yield Check(category.value, Finding.UNCLEAR, None, "too few pictures")
            continue
        finding, note = _finding(own), ""
        best, area = max(
            ((label, area) for label, area in areas.items() if area is not None),
            key=lambda pair: pair[1].value,
        )
        if best is not category and area.low > 0.5 and own.high < area.low:
            name = "safe" if best is None else best.value
            note = f"its scores fit the label {name!r} better: {area}"
            # Not merely below another: the label's own pictures score lower than the rest.
            finding = Finding.SWAPPED if own.high < 0.5 else finding
        yield Check(category.value, finding, own, note)


def _against_rest(
    sides: Mapping[Category | None, list[float]], label: Category | None
) -> Auroc | None:
    rest = [p for other, scores in sides.items() if other is not label for p in scores]
    return _area(sides[label], rest)


def _area(positives: list[float], negatives: list[float]) -> Auroc | None:
    if min(len(positives), len(negatives)) < _FEW:
        return None
    return auroc(np.asarray(positives), np.asarray(negatives))


def _finding(area: Auroc | None) -> Finding:
    if area is None or area.low <= 0.5 <= area.high:
        return Finding.UNCLEAR
    if area.low > 0.5:
        return Finding.AGREES
    return Finding.SWAPPED if area.high < _FAR else Finding.BELOW


def _too_few(sides: Mapping[bool, list[float]]) -> str:
    return f"{len(sides[True])} unsafe and {len(sides[False])} safe: {_FEW} of each are needed"


def _count_note(counts: Mapping[str, int], published: Mapping[bool, int] | None) -> str:
    if published is None:
        return ""
    here = counts.get("unsafe", 0), counts.get("safe", 0)
    there = published[True], published[False]
    if here == there:
        return "the counts are the published ones"
    said = f"{there[0]:,} unsafe and {there[1]:,} safe were published"
    if here == there[::-1]:
        return f"the counts are the published ones the other way round: {said}"
    return f"the counts are other ones: {said}"

"""How many images an annotated set has: UnsafeBench's Tables 2 and 9 for any source.

Every item is counted once, in one row. What has no label, no category or cannot be read has rows
of its own, so that the rows always add up to the set. A safe image counts under the category that
it was collected for, as in Table 9; an unsafe one with several categories counts under each.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vedette.data.base import CATEGORY, SOURCE
from vedette.data.synth.plan import is_stand_in
from vedette.sinks.base import replacing
from vedette.taxonomy import Category, parse_category
from vedette.text import printable
from vedette.types import Failure, Item

NO_SOURCE = "(none)"
"""The source of images of which none is known."""
OTHER_SOURCES = "(others)"
"""Those past :data:`MOST_SOURCES`: what bounds memory where every image names its own."""
MOST_SOURCES = 64
_LONGEST = 60
"""Characters of a source's name."""
HEADER = ("source", "label", *(category.value for category in Category), "total")
_FORMULA_STARTS = ("=", "+", "-", "@")


class Label(StrEnum):
    """What an image is counted as: exactly one of these."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    SAFE_NO_CATEGORY = "safe_no_category"
    """Safe, and it does not say which category it was collected for."""
    UNSAFE_NO_CATEGORY = "unsafe_no_category"
    UNLABELLED = "unlabelled"
    FAILED = "failed"
    """The source could not get at it, whatever its label says."""


@dataclass(slots=True)
class Tally:
    """Images of one source and label."""

    categories: list[int] = field(default_factory=lambda: [0] * len(Category))
    """In the taxonomy's order."""
    total: int = 0
    """Images; less than the sum of ``categories`` where some have several."""


@dataclass(slots=True)
class Statistics:
    """The counts of a set; fills as items are added, in memory that does not grow with them."""

    tallies: dict[tuple[str, Label], Tally] = field(default_factory=dict)
    total: int = 0
    several: int = 0
    """Unsafe images of more than one category."""
    stand_ins: int = 0
    """Drawn pictures among them (:mod:`vedette.data.synth`)."""

    def add(self, item: Item) -> None:
        """Count one item."""
        label, categories = _counted(item)
        source = self._source(item)
        tally = self.tallies.setdefault((source, label), Tally())
        tally.total += 1
        for category in categories:
            tally.categories[category.position] += 1
        self.total += 1
        self.several += len(categories) > 1
        self.stand_ins += is_stand_in(item)

    def _source(self, item: Item) -> str:
        name = printable(item.meta.get(SOURCE, "").strip()[:_LONGEST]).casefold() or NO_SOURCE
        known = {source for source, _ in self.tallies}
        return name if name in known or len(known) < MOST_SOURCES else OTHER_SOURCES

    def sources(self) -> list[str]:
        """Their names in lower case, sorted; those in brackets last."""
        return sorted({source for source, _ in self.tallies}, key=lambda s: (s.startswith("("), s))

    def of(self, source: str, *labels: Label) -> int:
        """Images of a source that have one of these labels."""
        return sum(self.tallies[key].total for label in labels if (key := (source, label)) in self)

    def __contains__(self, key: tuple[str, Label]) -> bool:
        return key in self.tallies

    def labels(self) -> list[Label]:
        """Safe and unsafe, and the others where there is such an image."""
        met = {label for _, label in self.tallies} | {Label.SAFE, Label.UNSAFE}
        return [label for label in Label if label in met]

    def rows(self) -> Iterator[tuple[str, Label, Tally]]:
        """Source, label and counts: safe and unsafe of every source, the others where not empty."""
        for source in self.sources():
            for label in Label:
                tally = self.tallies.get((source, label))
                if tally is not None or label in (Label.SAFE, Label.UNSAFE):
                    yield source, label, tally or Tally()


def count(items: Iterable[Item]) -> Statistics:
    """The statistics of ``items``, for example of :func:`vedette.data.base.read_all`."""
    statistics = Statistics()
    for item in items:
        statistics.add(item)
    return statistics


def write_csv(statistics: Statistics, path: Path) -> None:
    """The counts of Table 9, a row for each source and label.

    Raises:
        VedetteError: ``write_failed``.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER)
        for source, label, tally in statistics.rows():
            # A spreadsheet would run such a name as a formula.
            name = f"'{source}" if source.startswith(_FORMULA_STARTS) else source
            writer.writerow([name, label.value, *tally.categories, tally.total])


def _counted(item: Item) -> tuple[Label, frozenset[Category]]:
    if isinstance(item.data, Failure):
        return Label.FAILED, frozenset()
    if item.unsafe is None:
        return Label.UNLABELLED, frozenset()
    if item.unsafe:
        return (
            (Label.UNSAFE, item.labels) if item.labels else (Label.UNSAFE_NO_CATEGORY, frozenset())
        )
    try:
        return Label.SAFE, frozenset({parse_category(item.meta.get(CATEGORY, ""))})
    except KeyError:
        return Label.SAFE_NO_CATEGORY, frozenset()

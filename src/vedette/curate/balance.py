"""How many images there are of each class, by source and split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vedette.curate.facts import NOTHING, Store
from vedette.curate.label_issues import RARE, class_names, classes_of

UNLABELLED = "unlabelled"


@dataclass(frozen=True, slots=True)
class Cell:
    """Images of one class, source and split."""

    label: str
    source: str
    split: str
    images: int


@dataclass(frozen=True, slots=True)
class Balance:
    """The whole table, and what is missing in it."""

    cells: tuple[Cell, ...]
    """Those that have images: classes in the taxonomy's order, then by source and split."""
    unsafe: int
    safe: int
    unlabelled: int
    rare: tuple[tuple[str, int], ...]
    """Classes that have some images, but fewer than can be learned from or tested on."""
    absent: tuple[tuple[str, str], ...]
    """Class and split: the set has the class, and this labelled split has no image of it."""


def balance(store: Store) -> Balance:
    """Count the set."""
    classes = classes_of(store)
    source, split = store.facts.column("source"), store.facts.column("split")
    names = [*class_names(), UNLABELLED]
    rows = np.stack([classes % len(names), source, split], axis=1)
    values, counts = np.unique(rows, axis=0, return_counts=True)
    cells = [
        Cell(names[label], store.sources[where], store.splits[part], count)
        for (label, where, part), count in zip(values.tolist(), counts.tolist(), strict=True)
    ]
    labelled = [cell for cell in cells if cell.label != UNLABELLED]
    totals: dict[str, int] = {}
    for cell in labelled:
        totals[cell.label] = totals.get(cell.label, 0) + cell.images
    there = {(cell.label, cell.split) for cell in labelled}
    splits = sorted({cell.split for cell in labelled if cell.split != NOTHING})
    return Balance(
        cells=tuple(cells),
        unsafe=sum(count for name, count in totals.items() if name != "safe"),
        safe=totals.get("safe", 0),
        unlabelled=sum(cell.images for cell in cells if cell.label == UNLABELLED),
        rare=tuple((name, count) for name, count in totals.items() if count < RARE),
        absent=tuple(
            (name, part) for name in totals for part in splits if (name, part) not in there
        ),
    )

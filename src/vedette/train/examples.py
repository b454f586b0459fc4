"""What a trainer learns from: the labels of a set as columns, and which part each image is in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vedette.bench.scoring import Labelled
from vedette.data.splits import Split
from vedette.data.stratify import Sample, assign
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.types import Float32

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Part = Literal["train", "validation", "calibration", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
"""``validation`` decides when to stop and what to keep; ``calibration``, which no step of the
training has seen, is what probabilities and thresholds are fitted on; ``test`` is measured once."""
UNSAFE = "unsafe"
"""The one label of a set that says safe or unsafe and nothing more."""
LEAST = 8
"""Images on either side of a label in ``train``: with fewer nothing is learned but the images."""
_WHOLE = {"train": 0.6, "validation": 0.1, "calibration": 0.1, "test": 0.2}
_HELD_OUT = {"validation": 1, "calibration": 1, "test": 2}
"""Sizes of the parts that a set does not have, beside each other and beside 8 for ``train``."""
_VALIDATION = ("validation", "val", "dev")


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Labelled images, a row each, in the set's order."""

    keys: tuple[str, ...]
    labels: tuple[str, ...]
    """Names of the columns: categories, or :data:`UNSAFE` alone."""
    counts: Mapping[str, tuple[Category, ...]]
    """What each label counts for, by its name."""
    targets: Bools
    """bool [n, labels]: an image unsafe in another category counts as safe for this one."""
    known: Bools
    """bool [n, labels]: false where the set does not say, as for an image that is labelled unsafe
    without a category. Trainers leave these out of the loss."""
    unsafe: Bools
    """bool [n]"""
    category: Ints
    """int64 [n]: position of the category that it was found for, or labelled with; -1: none."""
    source: tuple[str, ...]
    """The set's own source of each image, ``""`` where it has none."""
    part: Ints
    """int64 [n]: place in :data:`PARTS`; -1: in none."""
    group: Ints
    """int64 [n]: near-duplicates share a number; no group is in two parts."""
    left_out: Mapping[str, int]
    """Categories with too few images to learn from, and how many each has in ``train``."""
    soft: Float32 | None = None
    """float32 [n, labels], 0..1: a teacher's probabilities, learned in place of ``targets``."""

    @property
    def learned(self) -> Float32:
        """float32 [n, labels]: what a trainer's loss wants the probabilities to be."""
        return self.targets.astype(np.float32) if self.soft is None else self.soft

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, part: Part) -> Ints:
        """Row numbers of a part, in order."""
        return np.flatnonzero(self.part == PARTS.index(part)).astype(np.int64)

    def kept(self, rows: Ints) -> Examples:
        """Only those rows: where images could not be read."""
        return replace(
            self,
            keys=tuple(self.keys[i] for i in rows),
            targets=self.targets[rows],
            known=self.known[rows],
            unsafe=self.unsafe[rows],
            category=self.category[rows],
            source=tuple(self.source[i] for i in rows),
            part=self.part[rows],
            group=self.group[rows],
            soft=None if self.soft is None else self.soft[rows],
        )


def columns_of(
    rows: Sequence[Labelled], wanted: Sequence[Category] | None = None
) -> tuple[tuple[str, ...], dict[str, tuple[Category, ...]], Bools, Bools]:
    """Labels, what they count for, targets [n, labels] and which of them are known.

    Args:
        rows: of the set.
        wanted: the categories to learn; by default all that some image is labelled with. Of a set
            that says safe or unsafe only: what "unsafe" counts for, by default every category.

    Raises:
        UsageError: ``too_few_labels``: no image is labelled unsafe, or all are.
    """
    unsafe = np.array([row.unsafe for row in rows], dtype=np.bool_)
    if not unsafe.any() or unsafe.all():
        what = (
            "all images are labelled unsafe"
            if len(rows) and unsafe.all()
            else ("no image is labelled unsafe")
        )
        raise UsageError(f"{what}: there is nothing to tell apart", code="too_few_labels")
    labels = np.zeros((len(rows), len(Category)), dtype=np.bool_)
    for at, row in enumerate(rows):
        labels[at, list(row.labels)] = True
    if not labels.any():
        counted = tuple(wanted) if wanted else tuple(Category)
        return (UNSAFE,), {UNSAFE: counted}, unsafe[:, None], np.ones((len(rows), 1), np.bool_)
    told = ~unsafe | labels.any(axis=1)
    some = [c for c in Category if labels[:, c.position].any()]
    chosen = some if wanted is None else [c for c in Category if c in set(wanted)]
    targets = labels[:, [c.position for c in chosen]]
    known = np.repeat(told[:, None], len(chosen), axis=1)
    return tuple(c.value for c in chosen), {c.value: (c,) for c in chosen}, targets, known


def examples_of(
    rows: Sequence[Labelled],
    group: Ints,
    *,
    seed: int,
    split: Split | None = None,
    wanted: Sequence[Category] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Examples:
    """The labels of a set, ready to learn from.

    Where the set, or ``split``, says which part an image is in, that is kept; parts that it does
    not have are drawn, group by group, evenly over categories and sources. A set of which all is
    called ``train`` has no parts.

    Args:
        rows: of the set, one key each.
        group: int64 [n]: near-duplicates share a number.
        seed: of what is drawn.
        split: a file of ``vedette data split``, in place of what the set says.
        wanted: see :func:`columns_of`; a category named here must have enough images.
        say: is told which categories are left out.

    Raises:
        UsageError: ``too_few_labels``: of both classes, or of a category in ``wanted``; ``split``
            has none of the parts.
    """
    labels, counts, targets, known = columns_of(rows, wanted)
    part = _parts(rows, group, seed, split)
    if alone := int((part < 0).sum()):
        say(f"{alone:,} images are in no part: left out by the set, or copies of held-out images")
    training = part == PARTS.index("train")
    enough, left_out = [], {}
    for k, label in enumerate(labels):
        mine = training & known[:, k]
        least = int(min((targets[:, k] & mine).sum(), (~targets[:, k] & mine).sum()))
        if least >= LEAST:
            enough.append(k)
        else:
            left_out[label] = least
    if not enough or (wanted and left_out):
        told = ", ".join(f"{label}: {count}" for label, count in left_out.items())
        raise UsageError(
            f"too few images to learn from in the part train, {LEAST} are needed on either side: "
            f"{told}",
            code="too_few_labels",
        )
    for label, count in left_out.items():
        say(f"{label}: {count} images in train are too few to learn from; it is left out")
    return Examples(
        keys=tuple(row.key for row in rows),
        labels=tuple(labels[k] for k in enough),
        counts={labels[k]: counts[labels[k]] for k in enough},
        targets=targets[:, enough],
        known=known[:, enough],
        unsafe=np.array([row.unsafe for row in rows], dtype=np.bool_),
        category=np.array([row.category for row in rows], dtype=np.int64),
        source=tuple(row.source for row in rows),
        part=part,
        group=np.asarray(group, dtype=np.int64),
        left_out=left_out,
    )


def _parts(rows: Sequence[Labelled], group: Ints, seed: int, split: Split | None) -> Ints:
    """int64 [n]: place in PARTS of each row; -1 for a part that is none of them."""
    said = [row.split.casefold() if split is None else (split.of(row.key) or "") for row in rows]
    place = {name: at for at, name in enumerate(PARTS)} | dict.fromkeys(_VALIDATION, 1)
    part = np.array([place.get(name, -1) for name in said], dtype=np.int64)
    there = set(part.tolist()) - {-1}
    if split is not None and not there:
        raise UsageError(
            f"the split has none of the parts {', '.join(PARTS)} for these images: it has "
            f"{', '.join(split.parts)}",
            hint="make one with vedette data split --test 0.2, or leave --split out",
        )
    unsaid = np.array([split is None and not name for name in said], dtype=np.bool_)
    if not there or (there == {0} and not unsaid.any()):
        # Nothing is said, or all is called train: the set has no parts.
        held, shares = part == (0 if there else -1), _WHOLE
    else:
        part = _apart(part, group)
        held, shares = _missing(part, there, unsaid)
    rest = np.flatnonzero(held).tolist()
    if rest:
        part[rest] = _drawn(rows, group, rest, shares, seed)[rest]
    return _apart(part, group)


def _missing(part: Ints, there: set[int], unsaid: Bools) -> tuple[Bools, dict[str, float]]:
    """Which images the parts that a set does not have are drawn from, and the shares of them.

    What is said to be held out is never learned from, and what is said to be for training is held
    out only where nothing else can be.
    """
    if there == {0}:
        return unsaid, _WHOLE
    sizes = {name: size for name, size in _HELD_OUT.items() if PARTS.index(name) not in there}
    if 1 in there:
        held, sizes = part == 1, {"validation": 1, **sizes}
    elif sizes:
        held, sizes = part == 0, {"train": 8, **sizes}
    else:
        held = np.zeros(len(part), dtype=np.bool_)
    total = sum(sizes.values())
    return held, {name: size / total for name, size in sizes.items()}


def _apart(part: Ints, group: Ints) -> Ints:
    """``part`` without images that look like one of a part further from the training.

    A copy of a held-out image that is learned from would be known by heart: its score says nothing
    about new images, and neither would a threshold that was chosen by it.
    """
    part = part.copy()
    for at in range(len(PARTS) - 1, 0, -1):
        copies = np.isin(group, np.unique(group[part == at]))
        part[(part >= 0) & (part < at) & copies] = -1
    return part


def _drawn(
    rows: Sequence[Labelled],
    group: Ints,
    among: Iterable[int],
    shares: Mapping[str, float],
    seed: int,
) -> Ints:
    samples = [
        Sample(
            key=str(at),
            sha256="",
            group=str(group[at]),
            stratum=f"{rows[at].source}\0{rows[at].category}\0{rows[at].unsafe}",
        )
        for at in among
    ]
    part = np.full(len(rows), -1, dtype=np.int64)
    for key, name in assign(samples, shares, seed).items():
        part[int(key)] = PARTS.index(_part_named(name))
    return part


def _part_named(name: str) -> Part:
    return next(part for part in PARTS if part == name)


def text_groups(values: Sequence[str]) -> Ints:
    """int64 [n]: rows with one text share a number; where pictures cannot be compared."""
    numbers: dict[bytes, int] = {}
    digests = [hashlib.sha256(value.encode()).digest() for value in values]
    return np.array([numbers.setdefault(one, len(numbers)) for one in digests], dtype=np.int64)

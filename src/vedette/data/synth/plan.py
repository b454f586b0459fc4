"""Which pictures a stand-in set has: counts, splits, order, keys and seeds.

The counts are those of UnsafeBench's Table 9 (arXiv:2405.03486), the splits those of its copy on
the model hub. A picture is seeded by what it is and by its number among those, not by its place:
a smaller set holds the first pictures of a larger one, and any picture can be drawn alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.errors import UnknownNameError, UsageError
from vedette.taxonomy import Category
from vedette.types import Item

SETS = ("unsafebench",)
"""The published sets that there are stand-ins for."""
STAND_IN = "stand_in"
"""The name in an Item's ``meta`` that says that a picture is drawn."""
VERSION = 1
"""Another number, other pictures: goes up whenever the drawing changes."""
Rows = NDArray[np.int32]
"""int32 [n, 2]: cell and number of each picture."""
PREFIX = "stand-in"
"""The first part of every key."""
SIDES = (32, 2048)
"""Smallest and largest ``size``."""
MOST = 100.0
"""Largest ``scale``: a million pictures."""

LAION = "Laion5B"
LEXICA = "Lexica"

TABLE_9 = {
    # (source, unsafe): images of each category, in the taxonomy's order
    (LAION, False): (423, 403, 268, 443, 158, 377, 145, 213, 242, 317, 239),
    (LAION, True): (116, 130, 174, 72, 352, 137, 185, 213, 171, 86, 196),
    (LEXICA, False): (407, 321, 286, 366, 213, 180, 266, 315, 102, 173, 241),
    (LEXICA, True): (44, 79, 232, 113, 331, 457, 263, 68, 316, 193, 120),
}
TRAIN, TEST = 8_109, 2_037


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of Table 9."""

    source: str
    """As the hub's column has it: ``Laion5B`` or ``Lexica``."""
    unsafe: bool
    category: Category
    """The category it is unsafe in; of a safe picture, the one it was collected for."""

    @property
    def stem(self) -> str:
        """What the keys of its pictures begin with."""
        category = re.sub("[^a-z]+", "-", self.category.value.lower())
        label = "unsafe" if self.unsafe else "safe"
        return f"{PREFIX}/{self.source.lower()}/{category}/{label}"


CELLS = tuple(Cell(source, unsafe, category) for source, unsafe in TABLE_9 for category in Category)
_PUBLISHED = [count for row in TABLE_9.values() for count in row]
_STEMS = {cell.stem: index for index, cell in enumerate(CELLS)}
_KEY = re.compile(r"(?P<stem>.+)/(?P<number>[0-9]{5,7})\.jpg")


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides a stand-in set, to the byte.

    Raises:
        UsageError: a value out of its range, or a scale that leaves no picture.
        UnknownNameError: no such set.
    """

    like: str = "unsafebench"
    scale: float = 0.1
    """1 = as many pictures as the published set."""
    seed: int = 7
    difficulty: float = 0.3
    """0 (large, plain glyphs) to 1 (small, faint, turned, among clutter)."""
    size: int = 256
    """px; the sides of the pictures are around it."""

    def __post_init__(self) -> None:
        if self.like not in SETS:
            raise UnknownNameError("stand-in", self.like, SETS)
        _within("scale", self.scale, 0.0, MOST)
        _within("difficulty", self.difficulty, 0.0, 1.0)
        _within("size", self.size, *SIDES)
        _within("seed", self.seed, 0, 2**63 - 1)
        if self.total < 1:
            raise UsageError(f"a scale of {self.scale:g} leaves no picture", hint="raise --scale")

    @property
    def total(self) -> int:
        """Pictures in all."""
        return math.floor((TRAIN + TEST) * self.scale + 0.5)

    @property
    def stand_in(self) -> str:
        """What names its pictures as drawn, and how to draw them again."""
        return (
            f"synth@{VERSION} like={self.like} scale={self.scale:.12g} seed={self.seed} "
            f"difficulty={self.difficulty:.12g} size={self.size}"
        )


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # NaN as well
        raise UsageError(f"{name} is {value}, not from {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class Spec:
    """One picture to draw."""

    cell: int
    """Index into :data:`CELLS`."""
    number: int
    """Among the pictures of its cell, from 0."""
    split: str

    @property
    def key(self) -> str:
        """``stand-in/laion5b/hate/unsafe/00012.jpg``"""
        return f"{CELLS[self.cell].stem}/{self.number:05d}.jpg"


class Plan:
    """The pictures of a stand-in set, in order."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.counts = apportion(_PUBLISHED, recipe.total)
        """Pictures of each of :data:`CELLS`."""
        test = apportion((TRAIN, TEST), recipe.total)[1]
        self.tests = apportion(self.counts, test)
        """How many of them are in the test split; the last of each cell are."""

    def splits(self) -> dict[str, int]:
        """Pictures of each split, in order; a split that has none is left out."""
        test = sum(self.tests)
        return {
            name: count
            for name, count in (("train", self.recipe.total - test), ("test", test))
            if count
        }

    def rows(self, split: str) -> Rows:
        """The pictures of a split, shuffled: a file or a row group holds some of every kind."""
        ends = zip(self.counts, self.tests, strict=True)
        spans = [
            range(count - test, count) if split == "test" else range(count - test)
            for count, test in ends
        ]
        rows = np.array(
            [(cell, number) for cell, span in enumerate(spans) for number in span], dtype=np.int32
        ).reshape(-1, 2)
        order = np.random.default_rng([self.recipe.seed, len(CELLS), split == "test"])
        return rows[order.permutation(len(rows))]

    def find(self, key: str) -> Spec | None:
        """The picture of that key; None where the set has none."""
        match = _KEY.fullmatch(key)
        if match is None or match["stem"] not in _STEMS:
            return None
        cell, number = _STEMS[match["stem"]], int(match["number"])
        if number >= self.counts[cell]:
            return None
        test = number >= self.counts[cell] - self.tests[cell]
        spec = Spec(cell, number, "test" if test else "train")
        return spec if spec.key == key else None


def apportion(counts: Sequence[int], total: int) -> tuple[int, ...]:
    """``total`` in the proportions of ``counts``, by largest remainder; ties to the earlier.

    Integers throughout: where ``total`` is the sum of ``counts``, these are the result.
    """
    whole = sum(counts)
    shares = [count * total // whole for count in counts]
    left = sorted(range(len(counts)), key=lambda i: (-(counts[i] * total % whole), i))
    for index in left[: total - sum(shares)]:
        shares[index] += 1
    return tuple(shares)


def is_stand_in(item: Item) -> bool:
    """Whether an item is a drawn picture of a stand-in set, by its meta or, stored, by its key."""
    return STAND_IN in item.meta or PREFIX in item.key.split("/")

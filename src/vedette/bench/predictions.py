"""What a classifier said about each image of a set, beside what the set says: arrays in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.taxonomy import Category
from vedette.types import Float32

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

SHIPPED = 0.5
"""The threshold as shipped: our models' scores pass it where their published decision falls."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """One row for each labelled image that was scored, in the set's order.

    Images that could not be scanned are not rows: nothing is known about them. They are counted
    in ``failed``, and tasks say so.
    """

    keys: tuple[str, ...]
    sha256: tuple[str, ...]
    source: tuple[str, ...]
    """The set's own source of each image, ``""`` where it has none."""
    category: Ints
    """int64 [n]: position of the category that the image was found or labelled for; -1 = none.
    Safe images may have one: UnsafeBench asks about each image with its own category."""
    labels: Bools
    """bool [n, categories]: what it is labelled with. All false for a safe image, and for one
    that is labelled unsafe without a category."""
    unsafe: Bools
    """bool [n]"""
    p: Float32
    """float32 [n, categories], 0..1; 0 outside the coverage."""
    flagged: Bools
    """bool [n, categories]: the decision as shipped. Where the classifier gives none of its own,
    ``p >= SHIPPED``."""
    covered: Bools
    """bool [categories]: what the classifier can see."""
    group: Ints
    """int64 [n]: near-duplicates of each other share a number. Intervals resample groups."""
    failed: tuple[tuple[str, str], ...] = ()
    """(key, error code) of what could not be scored."""
    embedding: Float32 | None = None
    """float32 [n, d], where the classifier gives one."""

    def __len__(self) -> int:
        return len(self.keys)

    def __post_init__(self) -> None:
        n, k = len(self.keys), len(Category)
        shapes = {
            "category": (self.category, (n,)),
            "labels": (self.labels, (n, k)),
            "unsafe": (self.unsafe, (n,)),
            "p": (self.p, (n, k)),
            "flagged": (self.flagged, (n, k)),
            "covered": (self.covered, (k,)),
            "group": (self.group, (n,)),
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape:
                raise ValueError(f"{name} of shape {array.shape}, not {shape}")
        if not (len(self.sha256) == len(self.source) == n):
            raise ValueError("columns of different lengths")

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources' names, sorted; empty where the set has none."""
        return tuple(sorted({source for source in self.source if source}))

    @property
    def highest(self) -> Float32:
        """float32 [n]: the highest probability among the covered categories."""
        seen = np.where(self.covered, self.p, np.float32(0))
        return np.asarray(seen.max(axis=1, initial=0), dtype=np.float32)

    @property
    def flagged_any(self) -> Bools:
        """bool [n]: flagged in any covered category."""
        return np.asarray((self.flagged & self.covered).any(axis=1))

    @property
    def asked(self) -> Float32:
        """float32 [n]: the probability of the image's own category, as UnsafeBench asks.

        The highest where the image has no category; 0 where its category is not covered.
        """
        own = self.p[np.arange(len(self)), np.maximum(self.category, 0)]
        return np.asarray(np.where(self.category >= 0, own, self.highest), dtype=np.float32)

    @property
    def flagged_asked(self) -> Bools:
        """bool [n]: the shipped decision about the image's own category; see :attr:`asked`."""
        own = self.flagged[np.arange(len(self)), np.maximum(self.category, 0)]
        return np.where(self.category >= 0, own, self.flagged_any)

    @property
    def in_coverage(self) -> Bools:
        """bool [n]: the classifier can be asked about the image's own category."""
        covered = self.covered[np.maximum(self.category, 0)]
        return np.where(self.category >= 0, covered, self.covered.any())

    def rows(self, chosen: Bools | Ints | Sequence[int]) -> Predictions:
        """Only those rows, by mask or by number."""
        mask = np.asarray(chosen)
        at = np.flatnonzero(mask) if mask.dtype == np.bool_ else mask.astype(np.int64)
        return replace(
            self,
            keys=tuple(self.keys[i] for i in at),
            sha256=tuple(self.sha256[i] for i in at),
            source=tuple(self.source[i] for i in at),
            category=self.category[at],
            labels=self.labels[at],
            unsafe=self.unsafe[at],
            p=self.p[at],
            flagged=self.flagged[at],
            group=self.group[at],
            embedding=None if self.embedding is None else self.embedding[at],
        )

    def of_source(self, source: str) -> Bools:
        """bool [n]: the rows of one source; all for ``""``."""
        if not source:
            return np.ones(len(self), dtype=np.bool_)
        return np.array([one == source for one in self.source], dtype=np.bool_)

    def as_json(self) -> dict[str, Any]:
        """For a result: columns by name; probabilities of covered categories only."""
        covered = [c for c in Category if self.covered[c.position]]
        at = [c.position for c in covered]
        names = [c.value for c in Category]
        return {
            "covered": [c.value for c in covered],
            "key": list(self.keys),
            "sha256": list(self.sha256),
            "source": list(self.source),
            "category": [names[i] if i >= 0 else None for i in self.category],
            "labels": [[names[i] for i in np.flatnonzero(row)] for row in self.labels],
            "unsafe": [bool(value) for value in self.unsafe],
            "group": [int(value) for value in self.group],
            "p": [[round(float(v), 6) for v in row] for row in self.p[:, at]],
            "flagged": [[bool(v) for v in row] for row in self.flagged[:, at]],
            "failed": [list(pair) for pair in self.failed],
        }


def predictions_of(data: dict[str, Any]) -> Predictions:
    """The predictions of a result.

    Raises:
        KeyError, ValueError, TypeError: it is not what :meth:`Predictions.as_json` writes.
    """
    position = {c.value: c.position for c in Category}
    at = [position[name] for name in data["covered"]]
    n, k = len(data["key"]), len(Category)
    p = np.zeros((n, k), dtype=np.float32)
    flagged = np.zeros((n, k), dtype=np.bool_)
    labels = np.zeros((n, k), dtype=np.bool_)
    covered = np.zeros(k, dtype=np.bool_)
    covered[at] = True
    if n:
        p[:, at] = np.asarray(data["p"], dtype=np.float32).reshape(n, len(at))
        flagged[:, at] = np.asarray(data["flagged"], dtype=np.bool_).reshape(n, len(at))
    for row, names in enumerate(data["labels"]):
        labels[row, [position[name] for name in names]] = True
    return Predictions(
        keys=tuple(map(str, data["key"])),
        sha256=tuple(map(str, data["sha256"])),
        source=tuple(map(str, data["source"])),
        category=np.array(
            [-1 if name is None else position[name] for name in data["category"]], dtype=np.int64
        ),
        labels=labels,
        unsafe=np.array(data["unsafe"], dtype=np.bool_),
        p=p,
        flagged=flagged,
        covered=covered,
        group=np.array(data["group"], dtype=np.int64),
        failed=tuple((str(key), str(code)) for key, code in data["failed"]),
    )

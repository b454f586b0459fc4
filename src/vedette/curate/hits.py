"""What a search in a collection finds, and the best of it so far."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from vedette.types import Float32, Item

DECIMALS = 6
"""To which scores are compared: what differs by less was computed in another order, no more."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One picture of a collection, as the collection describes it."""

    key: str
    """Unique within the collection."""
    where: str | None
    """A path or an address, as it stands there; nothing is fetched from it."""
    text: str | None
    """Its caption."""
    source: str | None = None
    """Where it was found or what made it, where the collection says so."""
    sha256: str | None = None
    """Of the picture, where the collection says so."""
    file: Path | None = None
    """The picture, where it is a file at hand."""
    embedding: Float32 | None = None
    """float32 [d], L2-normalised, where the collection is one of embeddings."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One picture found by one query."""

    entry: Entry
    score: float
    """The higher, the better; comparable within a query only."""


class Collection(Protocol):
    """Something that can be searched by words."""

    @property
    def name(self) -> str:
        """What candidates name as their collection."""
        ...

    @property
    def measure(self) -> str:
        """What its scores are: ``cosine`` or ``bm25``."""
        ...

    def search(self, queries: Sequence[str], top: int) -> list[list[Hit]]:
        """The best entries for each query, at most ``top``, the best first, ties in a fixed order.

        Raises:
            UsageError: the collection cannot be read.
        """
        ...

    def pictures(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """Those of the pictures that are at hand, in some order; none is fetched."""
        ...


K = TypeVar("K", str, int)
V = TypeVar("V")


class Best(Generic[K, V]):
    """The ``top`` highest scores so far, ties to the lowest key; its memory is that of 2 top."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._found: list[tuple[float, K, V]] = []
        self.least = -math.inf
        """What a score must reach to matter."""

    def offer(self, score: float, key: K, value: V) -> None:
        """Keep ``value`` if it is among the best."""
        score = round(score, DECIMALS)
        if score >= self.least:
            self._found.append((score, key, value))
            if len(self._found) >= 2 * self._top:
                self._prune()

    def __iter__(self) -> Iterator[tuple[float, K, V]]:
        """Score, key and value, the best first."""
        self._prune()
        return iter(self._found)

    def _prune(self) -> None:
        self._found.sort(key=lambda found: (-found[0], found[1]))
        del self._found[self._top :]
        if len(self._found) == self._top:
            self.least = self._found[-1][0]


def least_of(best: Sequence[Best[K, V]]) -> Float32:
    """From which score on each query takes more: float32 [queries], a little less than exact."""
    return np.array([b.least for b in best], np.float32) - np.float32(10.0**-DECIMALS)

"""What a source is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from vedette.types import Item

# Names in an Item's ``meta`` that mean the same whichever source it comes from.
SOURCE = "source"
"""Where the picture was found or what made it: ``Laion5B``, ``Lexica``."""
CATEGORY = "category"
"""The category that it was collected for, as the taxonomy spells it; safe pictures have one too."""
SPLIT = "split"
"""``train``, ``validation``, ``test`` …"""
TEXT = "text"
"""Its caption, or the prompt that made it."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a source that can be read, and read again, by itself."""

    id: str


class Source(Protocol):
    """Yields the same items in the same order whenever it is read and nothing has changed."""

    def shards(self) -> Sequence[Shard]:
        """The parts, in order."""
        ...

    def read(self, shard: Shard) -> Iterator[Item]:
        """The items of one part, in order. What cannot be read is an Item with a Failure."""
        ...

    def find(self, key: str) -> Item | None:
        """The item of that key, read again; None where it is gone."""
        ...


def read_all(source: Source) -> Iterator[Item]:
    """The items of all shards, in order."""
    for shard in source.shards():
        yield from source.read(shard)

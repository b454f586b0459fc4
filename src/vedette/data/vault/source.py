"""A set in the vault as a source: ``vault:NAME``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from vedette.data.base import Shard
from vedette.data.opening import SourceFormat, SourceOptions
from vedette.data.vault.entry import Entry
from vedette.data.vault.sealing import Plain
from vedette.data.vault.stored import HEADER, StoredSet, open_folder, open_set
from vedette.errors import VedetteError
from vedette.types import Failure, Item

_SHARD = 1_000
"""Images of one shard."""


class VaultSource:
    """The images of a set, in the order of their import.

    An image of an encrypted set is opened in memory; nothing of it is written anywhere.
    """

    def __init__(self, stored: StoredSet) -> None:
        self.stored = stored

    @property
    def published(self) -> str | None:
        """The id of the published set that it was imported as: its terms bind what it trains."""
        return self.stored.header.card

    def shards(self) -> Sequence[Shard]:
        """One for each thousand images."""
        return [Shard(str(first)) for first in range(0, self.stored.header.images, _SHARD)]

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`."""
        first = int(shard.id)
        for entry in islice(self.stored.entries(), first, first + _SHARD):
            yield self._item(entry)

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`."""
        return next((self._item(e) for e in self.stored.entries() if e.key == key), None)

    def _item(self, entry: Entry) -> Item:
        if entry.failure is not None:
            return entry.item(entry.failure)
        sha256 = entry.sha256 or ""
        if isinstance(self.stored.seal, Plain):
            place = self.stored.place(sha256)
            if place.is_symlink():  # none of ours: it leads to what was not imported
                return entry.item(Failure("fetch", "not_a_file", "a link in an image's place"))
            return entry.item(place)
        try:
            return entry.item(b"".join(self.stored.pieces(sha256)))
        except VedetteError as error:
            return entry.item(Failure("fetch", "unreadable", error.message))


def _fits(path: Path) -> bool:
    return path.joinpath(HEADER).is_file() and path.joinpath("objects").is_dir()


def _open(path: Path, options: SourceOptions) -> VaultSource:
    if path.name == str(path):  # a name, not a place
        return VaultSource(open_set(str(path)))
    return VaultSource(open_folder(path))


FORMATS = (SourceFormat("vault", "a set in the vault, by its name: vault:NAME", _fits, _open),)


def source_of(name: str) -> VaultSource:
    """The source of the set of that name. Raises as :func:`open_set`."""
    return VaultSource(open_set(name))

"""What an adapter asks of what scans: a Scanner here, or a Client of a service."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator
from typing import Protocol

from vedette.data.memory import Scannable
from vedette.types import Action, Record


class Scans(Protocol):
    """:class:`~vedette.pipeline.Scanner` and :class:`~vedette.client.sync.Client` are such."""

    def scan(self, image: Scannable) -> Record:
        """The Record of one image; what is wrong with it is its ``failure``."""
        ...

    def scan_many(self, images: Iterable[Scannable]) -> Iterator[Record]:
        """The Records of many, in their order."""
        ...


class ScansOne(Protocol):
    """What scans one image; its answer may have to be awaited (``AsyncClient``)."""

    def scan(self, image: Scannable) -> Record | Awaitable[Record]:
        """The Record of one image; what is wrong with it is its ``failure``."""
        ...


def refused(record: Record, mildest: Action) -> bool:
    """Whether an image is to be kept back.

    Args:
        record: of the image.
        mildest: the mildest action that keeps it back. An image that could not be scanned is kept
            back whatever this is.
    """
    if record.failure is not None or mildest is Action.ALLOW:
        return True
    return record.verdict.action.severity >= mildest.severity

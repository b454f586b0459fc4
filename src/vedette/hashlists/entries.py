"""What a list is made of, and what it may be for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

HASH_BYTES = 32
"""Of a SHA-256 and of a PDQ hash alike."""
MOST_ENTRIES = 10_000_000
"""Of one list."""
MOST_NOTE = 200
"""Characters of a note; the rest is left out."""


class Kind(StrEnum):
    """What follows from a hit."""

    ALLOW = "allow"
    """The picture passes, and no model is asked."""
    BLOCK = "block"
    """It is stopped, and no model is asked."""
    QUARANTINE = "quarantine"
    """It is stopped, and nobody and nothing gets to see it: no preview, no copy, no embedding."""

    @property
    def severity(self) -> int:
        """0 for allow, 1 for block, 2 for quarantine."""
        return _SEVERITY[self]


_SEVERITY = {Kind.ALLOW: 0, Kind.BLOCK: 1, Kind.QUARANTINE: 2}


class Match(StrEnum):
    """How a picture is held against a list."""

    SHA256 = "sha256"
    """The very same file."""
    PDQ = "pdq"
    """A picture that looks the same."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One hash of a list as it was given."""

    hash: bytes
    match: Match
    note: str = ""
    """Its own id or note in the list that it comes from."""
    kind: Kind | None = None
    """None: the list's."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A hit on a hash list."""

    list: str
    """Name of the list."""
    kind: str
    """``allow``, ``block`` or ``quarantine``"""
    match: str
    """``sha256`` or ``pdq``"""
    distance: int
    """Bits, 0 for sha256."""
    entry: str
    """The entry's own id or note in its list."""

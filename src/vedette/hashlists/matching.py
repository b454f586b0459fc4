"""Finding the hashes near a given one among many, exactly and without comparing with each.

By the pigeonhole principle two hashes that differ in at most 31 of 256 bits agree, but for one bit,
in some sixteenth of them (Norouzi et al., multi-index hashing, 2012): so only rows that do are
compared. :func:`vedette.perceptual.near_pairs` finds pairs within one set in the same way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette.hashlists.pdq import NEAR
from vedette.perceptual import Hashes, distances

_PIECES = 16
_VALUES = 2**16
_FLIPS = np.array([0, *(1 << bit for bit in range(16))], np.uint16)
_INDEXED = 2**12
"""From so many hashes on an index is worth its memory, 64 bytes a hash; fewer are all compared."""
_AT_ONCE = 2**16
"""Hashes compared in one go: what bounds memory."""


class NearHashes:
    """Many hashes that can be asked which of them is nearest to a given one. Thread-safe.

    Args:
        hashes: uint64 [n, WORDS]; kept, not copied.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = hashes
        self._order: NDArray[np.uint32] | None = None
        if len(hashes) >= _INDEXED:
            self._index()

    def nearest(self, wanted: Hashes, most: int = NEAR) -> tuple[int, int] | None:
        """The row that is nearest to any of some hashes, and its distance in bits.

        Args:
            wanted: uint64 [k, WORDS].
            most: bits in which they may differ, at most :data:`NEAR`.

        Returns:
            None where no row is as near; of several the lowest row.
        """
        if not 0 <= most <= NEAR:
            raise ValueError(f"most must be 0..{NEAR}")
        found = [self._nearest(one) for one in wanted] if len(self._hashes) else []
        near = [(distance, row) for distance, row in found if distance <= most]
        if not near:
            return None
        distance, row = min(near)
        return row, distance

    def _index(self) -> None:
        pieces = self._hashes.view(np.uint16)
        self._order = np.empty((_PIECES, len(pieces)), np.uint32)
        self._start = np.zeros((_PIECES, _VALUES + 1), np.uint32)
        for number in range(_PIECES):
            piece = np.ascontiguousarray(pieces[:, number])
            self._order[number] = np.argsort(piece, kind="stable")
            self._start[number, 1:] = np.cumsum(np.bincount(piece, minlength=_VALUES))

    def _nearest(self, wanted: Hashes) -> tuple[int, int]:
        """Of one hash: (distance, row); a row beyond NEAR may be any, or none: then 257."""
        if self._order is None:
            return self._nearest_of_all(wanted)
        probes = np.ascontiguousarray(wanted).view(np.uint16)[:, None] ^ _FLIPS
        piece = np.arange(_PIECES)[:, None]
        start = self._start[piece, probes].astype(np.intp)
        count = (self._start[piece, probes.astype(np.intp) + 1] - start).ravel()
        total = int(count.sum())
        if total > len(self._hashes):  # hashes that are all alike in some piece
            return self._nearest_of_all(wanted)
        within = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
        place = np.repeat(start.ravel(), count) + within
        which = np.repeat(np.repeat(np.arange(_PIECES), len(_FLIPS)), count)
        return self._best(wanted, self._order[which, place].astype(np.intp))

    def _nearest_of_all(self, wanted: Hashes) -> tuple[int, int]:
        count = len(self._hashes)
        parts = (np.arange(low, min(low + _AT_ONCE, count)) for low in range(0, count, _AT_ONCE))
        return min(self._best(wanted, rows) for rows in parts)

    def _best(self, wanted: Hashes, rows: NDArray[np.intp]) -> tuple[int, int]:
        if not len(rows):
            return 257, 0
        bits = distances(self._hashes[rows], wanted)
        least = int(bits.min())
        return least, int(rows[bits == least].min())

"""Perceptual hashes: which pictures look alike though their files differ.

256 bits from the low frequencies of a picture's brightness, as pHash (Zauner, 2010) and PDQ
(Facebook, 2019) take them. Not interchangeable with either: lists of known pictures come as PDQ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from vedette.types import UInt8

WORDS = 4
"""uint64 words of a hash"""
BITS = 64 * WORDS
NEAR = 31
"""Bits in which two hashes of one picture may differ; hashes of two differ in about 128."""

Hashes = NDArray[np.uint64]
"""uint64 [n, WORDS]"""
Indices = NDArray[np.intp]

_SIDE = 64
_LOW = 16
_PIECES = 16
"""Two hashes that differ in at most 31 of 256 bits differ in at most one bit of some sixteenth."""
_AT_ONCE = 2**17
"""Pairs compared in one go: what bounds memory."""


def _cosines() -> NDArray[np.float32]:
    """Rows 1.._LOW of the DCT-II of _SIDE values; row 0, the mean, tells nothing of the picture."""
    frequency = np.arange(1, _LOW + 1)[:, None]
    place = np.arange(_SIDE)[None, :] + 0.5
    return np.cos(math.pi / _SIDE * frequency * place).astype(np.float32)


_DCT = _cosines()


def perceptual_hash(pixels: UInt8) -> Hashes:
    """The hash of a picture.

    Args:
        pixels: uint8 [H, W, 3], of any size.

    Returns:
        uint64 [WORDS]. Pictures of one colour have the hash 0.
    """
    grey = PIL.Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), PIL.Image.Resampling.BOX)
    values = np.asarray(grey, np.float32)
    # Without its mean, which the cosines take away up to rounding only: one colour must give 0.
    low = _DCT @ (values - values.mean()) @ _DCT.T
    bits = low > np.median(low)
    return np.packbits(bits.ravel()).view(np.uint64)


def distances(a: Hashes, b: Hashes) -> NDArray[np.intp]:
    """In how many bits the hashes differ, row by row: intp [n]."""
    bits: NDArray[np.intp] = np.bitwise_count(a ^ b).sum(axis=-1, dtype=np.intp)
    return bits


def near_pairs(hashes: Hashes, most: int = NEAR) -> Iterator[tuple[Indices, Indices]]:
    """All pairs of rows whose hashes differ in at most ``most`` bits, each at least once.

    Exact: by the pigeonhole principle such a pair agrees, but for one bit, in some sixteenth of
    the bits, so only rows that do are compared (Norouzi et al., multi-index hashing, 2012).
    Pairs come in pieces, so memory does not grow with their number; of rows with the very same
    hash only the first is paired with others, and each further one with that first one.

    Args:
        hashes: uint64 [n, WORDS].
        most: at most :data:`NEAR`.

    Yields:
        Two arrays of row numbers, the first below the second.
    """
    if not 0 <= most <= NEAR:
        raise ValueError(f"most must be 0..{NEAR}")
    _, first, which = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    again = np.arange(len(hashes))
    same = first[which.reshape(-1)]
    yield same[same < again], again[same < again]
    rows = np.sort(first)
    distinct = hashes[rows]
    pieces = np.ascontiguousarray(distinct).view(np.uint16)
    for number in range(_PIECES):
        piece = pieces[:, number]
        order = np.argsort(piece, kind="stable")
        ordered = piece[order]
        for flip in (0, *(1 << bit for bit in range(16))):
            wanted = piece ^ np.uint16(flip)
            start = np.searchsorted(ordered, wanted, "left")
            count = np.searchsorted(ordered, wanted, "right") - start
            for a, b in _expanded(start, count, order):
                near = distances(distinct[a], distinct[b]) <= most
                yield rows[a[near]], rows[b[near]]


def _expanded(start: Indices, count: Indices, order: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Pairs (i, order[start[i] + k]) for all k below count[i], the first below the second."""
    ends = np.cumsum(count)
    low = 0
    while low < len(count):
        before = ends[low - 1] if low else 0
        # At least one row: a single row has fewer candidates than there are rows.
        high = max(low + 1, int(np.searchsorted(ends, before + _AT_ONCE, "right")))
        here = count[low:high]
        a = np.repeat(np.arange(low, high), here)
        within = np.arange(len(a)) - np.repeat(np.cumsum(here) - here, here)
        b = order[np.repeat(start[low:high], here) + within]
        keep = a < b
        yield a[keep], b[keep]
        low = high


def clusters(count: int, pairs: Iterator[tuple[Indices, Indices]]) -> Indices:
    """Groups of rows that are joined by pairs, directly or over others.

    Returns:
        intp [count]: for each row the lowest row number of its group; its own where it is alone.
    """
    parent = np.arange(count)
    for a, b in pairs:
        # Most pairs of a large group join what is joined already: looked up all at once.
        parent = _roots(parent)
        open_ = parent[a] != parent[b]
        for i, j in zip(a[open_].tolist(), b[open_].tolist(), strict=True):
            i, j = _root(parent, i), _root(parent, j)
            parent[max(i, j)] = min(i, j)
    return _roots(parent)


def _root(parent: Indices, row: int) -> int:
    while (above := int(parent[row])) != row:
        parent[row] = parent[above]
        row = above
    return row


def _roots(parent: Indices) -> Indices:
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return parent
        parent = above

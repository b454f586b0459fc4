"""The same picture more than once: the same bytes, or other bytes that show the same.

Three kinds of evidence: the files' sha256; a perceptual hash, confirmed by the colours of a coarse
grid, so that one drawing in two colourings is two pictures; and, where embeddings are given, their
cosine, which also finds crops and edits that a hash cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.curate.facts import Indices, Store, Table
from vedette.curate.groups import Group, described, runs_of
from vedette.perceptual import clusters, near_pairs

COLOURS = 12.0
"""Root mean square of what may be left between two colour grids, 0..255, once brightness and
contrast are matched. Re-encoding leaves about 1; another colouring 40 and more."""

_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class DuplicateOptions:
    """How alike is the same."""

    bits: int
    """Bits of 256 in which two hashes may differ."""
    cosine: float
    """From which on two embeddings show the same."""
    embedded: bool
    """Whether the store's features are embeddings that were given."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What is in the set more than once."""

    exact_groups: int
    """Groups of files that are the same, byte for byte."""
    exact_extra: int
    """Images that could go without the set losing a file."""
    near_groups: int
    """Groups that have files of different bytes."""
    near_extra: int
    """Images that could go without the set losing a picture, the exact copies not counted."""
    contradicting: int
    """Groups, exact or near, whose labels cannot all be right."""
    count: int
    """Of all groups, exact or near."""
    groups: tuple[Group, ...]
    """The contradicting ones first, then by size; at most as many as were asked for."""


def exact(store: Store) -> Indices:
    """For each image the first with the same bytes: intp [n]; unread ones are their own."""
    words = store.facts.column("sha256")
    order = np.lexsort((*words.T[::-1],))
    first = np.arange(len(words))
    if len(words):
        ordered = words[order]
        starts = np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)]
        # lexsort is stable, so the first row of a run is the lowest.
        first[order] = order[starts][np.cumsum(starts) - 1]
    unread = ~words.any(axis=1)
    first[unread] = np.flatnonzero(unread)
    return first


def same_pictures(store: Store, options: DuplicateOptions) -> Indices:
    """For each image the first that shows the same, directly or over others: intp [n]."""
    first = exact(store)
    again = np.flatnonzero(first < np.arange(len(first)))

    def pairs() -> Iterator[tuple[Indices, Indices]]:
        yield first[again], again
        yield from _alike(store, options.bits)
        if options.embedded:
            yield from cosine_pairs(store.features, options.cosine)

    return clusters(len(first), pairs())


def _alike(store: Store, bits: int) -> Iterator[tuple[Indices, Indices]]:
    hashes = store.facts.column("hash")
    told = np.flatnonzero(hashes.any(axis=1))
    colours = store.facts.column("colours")
    for a, b in near_pairs(hashes[told], bits):
        a, b = told[a], told[b]
        for low in range(0, len(a), 2**14):
            i, j = a[low : low + 2**14], b[low : low + 2**14]
            keep = same_colours(colours[i], colours[j])
            yield i[keep], j[keep]


def same_colours(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether the grids agree, row by row, once brightness and contrast are matched: bool [n]."""
    x, y = (rows.astype(np.float32) for rows in (a, b))
    x, y = (rows - rows.mean(axis=1, keepdims=True) for rows in (x, y))
    gain = (x * y).sum(axis=1) / ((x * x).sum(axis=1) + 1e-6)
    left = np.sqrt(((gain.clip(0.5, 2)[:, None] * x - y) ** 2).mean(axis=1))
    same: NDArray[np.bool_] = left <= COLOURS
    return same


def cosine_pairs(features: Table, least: float) -> Iterator[tuple[Indices, Indices]]:
    """All pairs of rows whose cosine is at least ``least``; rows of zeros have no pair.

    Every pair is computed, block by block: time grows with the square of the rows, memory not.
    """
    for low, rows in features.pieces(_BLOCK):
        x = _unit(rows)
        for start in range(low, len(features), _BLOCK):
            y = _unit(features.read(start, min(_BLOCK, len(features) - start)))
            a, b = np.nonzero(x @ y.T >= least)
            a, b = a + low, b + start
            keep = a < b
            yield a[keep], b[keep]


def _unit(rows: NDArray[np.float16]) -> NDArray[np.float32]:
    x = rows.astype(np.float32)
    unit: NDArray[np.float32] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
    return unit


def summarise(store: Store, group: Indices, most: int) -> Duplicates:
    """What there is more than once.

    Args:
        store: read.
        group: of :func:`same_pictures`.
        most: groups described.
    """
    first = exact(store)
    copies = np.flatnonzero(first < np.arange(len(first)))
    runs = runs_of(group)
    files = [len(np.unique(first[run])) for run in runs]
    worst, contradicting = described(store, first, runs, most)
    return Duplicates(
        exact_groups=len(np.unique(first[copies])),
        exact_extra=len(copies),
        near_groups=sum(count > 1 for count in files),
        near_extra=sum(count - 1 for count in files),
        contradicting=contradicting,
        count=len(runs),
        groups=worst,
    )

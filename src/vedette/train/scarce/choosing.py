"""Which images to label next: those that the model is unsure of, and not the same ones twice.

``mixed`` goes through images as their gradients: what each would change in a linear head if it got
the label that the model gives it, ``residual * embedding`` for each category. A gradient is short
where the model is sure, and two point the same way where images are alike. Taking the one that is
farthest from all that were taken, from all labelled images and from zero picks images that are
unsure and unlike each other, with no weight between the two to set.

Sources: Ash et al., "Deep batch active learning by diverse, uncertain gradient lower bounds"
(BADGE, ICLR 2020) for the gradients; Sener and Savarese, "Active learning for convolutional neural
networks: a core-set approach" (ICLR 2018) for the greedy k-center; Settles (2009) for uncertainty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vedette.errors import UsageError
from vedette.train.examples import Bools, Ints
from vedette.train.scarce.uncertainty import Float64
from vedette.types import Float32

Strategy = Literal["mixed", "uncertain", "diverse", "random"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
_BLOCK = 1024
_MOST = 2**24
"""Distances that are held at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Images of a set, labelled and not, as a model sees them."""

    keys: tuple[str, ...]
    """Distinct."""
    covered: Bools
    """bool [n]: labelled already, or out to be labelled."""
    group: Ints
    """int64 [n]: near-duplicates share a number."""
    uncertainty: Float64
    """float64 [n], 0..1"""
    residual: Float64
    """float64 [n, categories]: see :func:`vedette.train.scarce.uncertainty.residual`."""
    embedding: Float32 | None
    """float32 [n, dim], of length 1; None where the model gives none."""

    def __len__(self) -> int:
        return len(self.keys)


def choose(pool: Pool, n: int, strategy: Strategy, seed: int) -> Ints:
    """int64 rows of up to ``n`` images, the first to label first.

    None is covered, and none looks like one that is covered or like another one that is chosen. The
    order in which the pool's images come changes nothing.

    Raises:
        UsageError: the strategy needs embeddings, and the model gives none.
    """
    order = np.array(sorted(range(len(pool)), key=pool.keys.__getitem__), dtype=np.int64)
    free = ~np.isin(pool.group, pool.group[pool.covered])[order]
    picks = _random(len(order), seed)
    if strategy == "uncertain":
        picks = iter(np.argsort(-pool.uncertainty[order], kind="stable").tolist())
    elif strategy != "random":
        if pool.embedding is None:
            raise UsageError(
                f"--strategy {strategy} needs embeddings, and the model gives none",
                hint="use --strategy uncertain, or a model that gives embeddings",
            )
        weight = pool.residual[order] if strategy == "mixed" else np.ones((len(order), 1))
        points = _Points(pool.embedding[order], weight.astype(np.float32))
        first = None if strategy == "mixed" else next(_random(len(order), seed, free), 0)
        return order[_farthest(points, pool.group[order], pool.covered[order], free, n, first)]
    return order[_first_free(picks, pool.group[order], free, n)]


def _random(n: int, seed: int, among: Bools | None = None) -> Iterator[int]:
    rows = np.random.default_rng(seed).permutation(n)
    return iter((rows if among is None else rows[among[rows]]).tolist())


def _first_free(picks: Iterator[int], group: Ints, free: Bools, n: int) -> Ints:
    """The first ``n`` of ``picks`` that are free, one of each group."""
    chosen: list[int] = []
    taken: set[int] = set()
    for row in picks:
        if len(chosen) == n:
            break
        if free[row] and int(group[row]) not in taken:
            taken.add(int(group[row]))
            chosen.append(row)
    return np.array(chosen, dtype=np.int64)


class _Points:
    """Products ``weight * embedding``, never made: distances need the two inner products only."""

    def __init__(self, embedding: Float32, weight: Float32) -> None:
        self._embedding = embedding
        self._weight = weight
        self.squares = (embedding**2).sum(axis=1) * (weight**2).sum(axis=1)

    def to(self, rows: Ints) -> Float32:
        """float32 [n]: squared distance of each point to the nearest of some."""
        nearest = np.full(len(self.squares), np.inf, dtype=np.float32)
        size = min(_BLOCK, max(1, _MOST // len(self.squares)))
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            inner = self._embedding @ self._embedding[block].T
            inner *= self._weight @ self._weight[block].T
            found = self.squares[:, None] + self.squares[block] - 2 * inner
            np.minimum(nearest, found.min(axis=1), out=nearest)
        return np.maximum(nearest, 0)


def _farthest(
    points: _Points, group: Ints, covered: Bools, free: Bools, n: int, first: int | None
) -> Ints:
    """Greedy k-center: each time the point that is farthest from all that are taken or covered.

    Args:
        points: the space.
        group: one of each is taken, at most.
        covered: taken from the start.
        free: what may be taken.
        n: how many, at most.
        first: to begin with where nothing is covered; None: zero is taken from the start.
    """
    free = free.copy()
    nearest = points.to(np.flatnonzero(covered).astype(np.int64))
    if first is None:
        np.minimum(nearest, points.squares, out=nearest)
    chosen: list[int] = []
    while len(chosen) < n and free.any():
        begins = first is not None and not chosen and not covered.any()
        at = int(first) if begins and first is not None else int(_argmax(nearest, free))
        chosen.append(at)
        free &= group != group[at]
        np.minimum(nearest, points.to(np.array([at], dtype=np.int64)), out=nearest)
    return np.array(chosen, dtype=np.int64)


def _argmax(values: Float32, among: Bools) -> int:
    rows = np.flatnonzero(among)
    return int(rows[int(np.argmax(values[rows]))])

"""The deletion test: whether a relevance map says more than chance does.

Cells are taken away one after the other, the most relevant first; the sooner the probability falls,
the more the map knows. Source: Petsiuk et al., "RISE" (BMVC 2018), section 3.2.

Random orders alone are too easy to beat: they make scattered holes, from which a picture can be
continued, while any map makes connected ones. So the map must also beat itself put elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.explain.cover import Cover
from vedette.explain.forward import probabilities
from vedette.explain.occlusion import Relevance
from vedette.models.base import Classifier
from vedette.types import Float32

_STEPS = 16
"""Measurements on the way from the whole picture to nothing of it, at most."""
_DEVIATIONS = 2
_MOVED = 0.1
"""Share of moved maps that may do as well."""
_SAME_AREA = 1e-3
"""A smaller lead is no lead."""

_Order = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Deletion:
    """The outcome of the test."""

    area: float
    """0..1: the area under the curve in the map's order; lower is better."""
    random_mean: float
    """0..1: the mean of that area over random orders."""
    random_std: float
    orders: int
    """Random orders."""
    moved_as_good: int
    """Moved maps whose area is not larger than the map's own."""
    moved: int
    """Moved maps."""
    curve: tuple[float, ...]
    """The probability in the map's order, in even steps from the whole picture to nothing of it."""

    @property
    def beats_random(self) -> bool:
        """Whether the area is two deviations below random orders', and hardly a moved map's is."""
        lead = self.random_mean - self.area
        return (
            lead > max(_DEVIATIONS * self.random_std, _SAME_AREA)
            and self.moved_as_good <= _MOVED * self.moved
        )


def deletion_test(
    model: Classifier, cover: Cover, relevance: Relevance, *, orders: int = 10, seed: int = 0
) -> Deletion:
    """Try the map against ``orders`` random orders and as many copies of itself moved elsewhere.

    Args:
        model: the classifier that the map is of.
        cover: the picture that the map is of.
        relevance: the map.
        orders: at least 2. With a grid of 8 the model runs 317 times for 10 of them.
        seed: of the random orders, and of the order of cells of equal relevance.

    Raises:
        ValueError: fewer than 2 orders.
        InferError: the model failed.
    """
    if orders < 2:
        raise ValueError(f"{orders} random orders have no spread")
    rng = np.random.default_rng(seed)
    cells = relevance.cells
    tried = [_order(cells, rng)]
    tried += [rng.permutation(cells.size) for _ in range(orders)]
    tried += [_order(np.roll(cells, by, axis=(0, 1)), rng) for by in _moves(cover, orders, rng)]
    count = min(_STEPS, cells.size)
    steps = np.rint(np.linspace(0, cells.size, count + 1)).astype(int)
    # The ends are the same for all: nothing taken away, and everything.
    masks = [_first(order, step, cover.grid) for order in tried for step in steps[1:-1]]
    ends = [_first(tried[0], step, cover.grid) for step in (steps[0], steps[-1])]
    p = probabilities(model, cover, [*ends, *masks], relevance.category)
    curves = np.column_stack(
        [
            np.full(len(tried), p[0]),
            p[2:].reshape(len(tried), count - 1),
            np.full(len(tried), p[1]),
        ]
    )
    areas = ((curves[:, :-1] + curves[:, 1:]) / 2 * np.diff(steps / cells.size)).sum(axis=1)
    random, moved = areas[1 : 1 + orders], areas[1 + orders :]
    return Deletion(
        area=float(areas[0]),
        random_mean=float(random.mean()),
        random_std=float(random.std()),
        orders=orders,
        moved_as_good=int((moved <= areas[0]).sum()),
        moved=len(moved),
        curve=tuple(float(v) for v in curves[0]),
    )


def _order(cells: Float32, rng: np.random.Generator) -> _Order:
    """Cells by falling relevance, equal ones at random."""
    return np.lexsort((rng.random(cells.size), -cells.ravel()))


def _moves(cover: Cover, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """At most ``count`` moves, rows and columns, by at least a quarter of the picture."""
    grid = cover.grid
    least = max(1, grid // 4)
    far = [min(by, grid - by) >= least for by in range(grid)]
    moves = [(y, x) for y in range(grid) for x in range(grid) if far[y] or far[x]]
    chosen = rng.permutation(len(moves))[:count]
    return [moves[k] for k in chosen]


def _first(order: _Order, count: int, grid: int) -> NDArray[np.bool_]:
    mask = np.zeros(grid * grid, dtype=np.bool_)
    mask[order[:count]] = True
    return mask.reshape(grid, grid)

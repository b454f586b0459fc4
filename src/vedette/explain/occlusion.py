"""Which part of a picture a score rests on, by covering parts of it; and whether that is true.

Works for every classifier, without torch and without a look inside: a window moves over the
prepared pixels, its content is replaced by a blur of the picture, and the fall of the score is the
window's relevance. Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional
Networks" (ECCV 2014). The deletion test is that of Petsiuk et al., "RISE" (BMVC 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import PIL.Image
import PIL.ImageFilter
from numpy.typing import NDArray

from vedette.models.base import Classifier, Prepared
from vedette.scores import to_scores
from vedette.taxonomy import Category
from vedette.types import Float32, UInt8

_BATCH = 8
_SATURATED = 1e-6
"""Probabilities are compared as logits, cut here: near 0 and 1 they hardly move."""
_NOTHING = 1e-4
"""Logits. A fall below it is rounding, not relevance."""


@dataclass(frozen=True, slots=True, eq=False)
class Relevance:
    """How far the score falls when a cell of the picture is covered."""

    category: Category
    p: float
    """Of the category, for the whole picture."""
    cells: Float32
    """float32 [grid, grid], logits; negative where covering raises the score."""
    deletion: Deletion


@dataclass(frozen=True, slots=True)
class Deletion:
    """The deletion test: cells are covered one after the other, the most relevant first."""

    area: float
    """0..1: mean probability on the way from nothing covered to everything; lower is better."""
    random_mean: float
    """The same for random orders."""
    random_std: float
    orders: int

    @property
    def beats_random(self) -> bool:
        """Whether the map's order is better than nearly all random ones (two deviations)."""
        return self.area < self.random_mean - 2 * self.random_std


def relevance(
    model: Classifier,
    prepared: Prepared,
    category: Category,
    *,
    grid: int = 8,
    orders: int = 10,
    seed: int = 0,
) -> Relevance:
    """The relevance of each cell of a picture for one category, with its deletion test.

    Args:
        model: any classifier that covers ``category``.
        prepared: the picture as the model takes it.
        category: whose probability is explained.
        grid: cells along each side. The model runs about ``grid ** 2 * (1 + (orders + 1) / 2)``
            times.
        orders: random orders that the map has to beat.
        seed: of the random orders.

    Raises:
        ValueError: the model does not cover the category, or fewer than 2 cells or orders.
    """
    if category not in model.card.covered or grid < 2 or orders < 2:
        raise ValueError(f"nothing to explain: {category}, {grid} cells, {orders} orders")
    cover = _Cover(prepared, grid)
    whole = float(_probabilities(model, [prepared], category)[0])
    singles = [cover.without([k]) for k in range(grid * grid)]
    falls = _logit(np.array(whole)) - _logit(_probabilities(model, singles, category))
    falls[np.abs(falls) < _NOTHING] = 0
    cells = falls.reshape(grid, grid).astype(np.float32)
    deletion = _delete(model, cover, category, falls, orders, seed)
    return Relevance(category, whole, cells, deletion)


def _delete(
    model: Classifier,
    cover: _Cover,
    category: Category,
    falls: NDArray[np.float64],
    orders: int,
    seed: int,
) -> Deletion:
    rng = np.random.default_rng(seed)
    count = len(falls)
    steps = list(range(0, count + 1, 2))
    ours = np.argsort(-falls, kind="stable")
    areas = []
    for order in (ours, *(rng.permutation(count) for _ in range(orders))):
        pictures = [cover.without(order[:step].tolist()) for step in steps]
        areas.append(float(_probabilities(model, pictures, category).mean()))
    random = np.array(areas[1:])
    return Deletion(areas[0], float(random.mean()), float(random.std()), orders)


class _Cover:
    """A picture's cells, each of which can be replaced by what a strong blur leaves of it.

    A blur and not a colour: a black square is itself something to see.
    """

    def __init__(self, prepared: Prepared, grid: int) -> None:
        self._prepared = prepared
        self._blurred = [blurred(part.pixels) for part in (prepared, *prepared.others)]
        self._grid = grid

    def without(self, cells: Sequence[int]) -> Prepared:
        """The picture with these cells covered."""
        parts = (self._prepared, *self._prepared.others)
        covered = [
            replace(part, pixels=self._covered(part.pixels, soft, cells))
            for part, soft in zip(parts, self._blurred, strict=True)
        ]
        return replace(covered[0], others=tuple(covered[1:]))

    def _covered(self, pixels: UInt8, soft: UInt8, cells: Sequence[int]) -> UInt8:
        out = pixels.copy()
        height, width = pixels.shape[:2]
        for cell in cells:
            row, column = divmod(cell, self._grid)
            top, bottom = row * height // self._grid, (row + 1) * height // self._grid
            left, right = column * width // self._grid, (column + 1) * width // self._grid
            out[top:bottom, left:right] = soft[top:bottom, left:right]
        return out


def blurred(pixels: UInt8) -> UInt8:
    """``pixels`` blurred so far that nothing in them can be recognised."""
    radius = max(2.0, min(pixels.shape[:2]) / 8)
    soft = PIL.Image.fromarray(pixels).filter(PIL.ImageFilter.GaussianBlur(radius))
    return np.asarray(soft)


def _probabilities(
    model: Classifier, pictures: Sequence[Prepared], category: Category
) -> NDArray[np.float64]:
    batches = [pictures[k : k + _BATCH] for k in range(0, len(pictures), _BATCH)]
    with ThreadPoolExecutor(model.streams) as pool:
        found = [p for batch in pool.map(model.infer, batches) for p in batch]
    scores = [to_scores(prediction, model.card.labels) for prediction in found]
    return np.array([s.p[category.position] for s in scores], dtype=np.float64)


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    cut = np.clip(p, _SATURATED, 1 - _SATURATED)
    return np.asarray(np.log(cut / (1 - cut)))

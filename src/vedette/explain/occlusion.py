"""The relevance map: which parts of a picture a score rests on, by taking parts away.

Works for every classifier, without torch and without a look inside. Source: Zeiler and Fergus,
"Visualizing and Understanding Convolutional Networks" (ECCV 2014), section 4.2; here with
overlapping windows of two sizes and without a patch that could be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.explain.cover import Cover, Mask
from vedette.explain.forward import probabilities
from vedette.models.base import Classifier
from vedette.taxonomy import Category
from vedette.types import Float32

_WINDOWS = (2, 4)
"""Cells along a side. The small one tells where; the large one takes away whole what a small hole
inside it, continued from its own surroundings, would leave as it is."""
_SATURATED = 1e-6
"""Probabilities are compared as logits, cut here: near 0 and 1 they hardly move."""
_SAME_LOGIT = 1e-4
_SAME_P = 2.5e-7
"""Four steps of float32 just below 1: near there they are large in logits."""


@dataclass(frozen=True, slots=True, eq=False)
class Relevance:
    """How far a category's score falls when parts of the picture are taken away."""

    category: Category
    p: float
    """Of the category, for the whole picture."""
    cells: Float32
    """float32 [grid, grid], logits: the mean fall over the windows that take the cell away;
    negative where that raises the score, and 0 where it changes nothing."""


def relevance(model: Classifier, cover: Cover, category: Category) -> Relevance:
    """The relevance of each cell of a picture for one category.

    Args:
        model: any classifier that covers ``category``.
        cover: the picture as the model takes it. A grid of 8 takes 107 forward passes.
        category: whose probability is explained.

    Raises:
        ValueError: the model does not cover the category.
        InferError: the model failed.
    """
    if category not in model.card.covered:
        raise ValueError(f"{model.card.id} does not cover {category}")
    grid = cover.grid
    sizes = [size for size in _WINDOWS if 2 * size <= grid] or [1]
    masks = [list(_windows(grid, size)) for size in sizes]
    nothing = np.zeros((grid, grid), dtype=np.bool_)
    p = probabilities(model, cover, [nothing, *(mask for of in masks for mask in of)], category)
    falls = _logits(p[0]) - _logits(p[1:])
    falls[(np.abs(falls) < _SAME_LOGIT) | (np.abs(p[0] - p[1:]) < _SAME_P)] = 0
    cells = np.zeros((grid, grid), dtype=np.float64)
    start = 0
    for of in masks:
        stacked = np.stack(of)
        own = falls[start : start + len(of), None, None]
        cells += (stacked * own).sum(axis=0) / stacked.sum(axis=0) / len(masks)
        start += len(of)
    return Relevance(category, float(p[0]), cells.astype(np.float32))


def _windows(grid: int, size: int) -> Iterator[Mask]:
    """Windows half a side apart, over the borders too, so that each cell is in equally many."""
    step = max(1, size // 2)
    places = range(step - size, grid, step)
    for top in places:
        for left in places:
            mask = np.zeros((grid, grid), dtype=np.bool_)
            mask[max(0, top) : top + size, max(0, left) : left + size] = True
            yield mask


def _logits(p: NDArray[np.float64]) -> NDArray[np.float64]:
    cut = np.clip(p, _SATURATED, 1 - _SATURATED)
    return np.asarray(np.log(cut / (1 - cut)))

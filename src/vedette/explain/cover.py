"""Parts of a picture taken away, so that what a model makes of the rest can be seen.

A hole is filled by a smooth continuation of what surrounds it. A black or grey patch would itself
be something to see, and a blur of the picture would leave its colours and large shapes in place.
Source of the filling, push and pull over halved copies: Gortler et al., "The Lumigraph"
(SIGGRAPH 1996), section 3.4.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vedette.models.base import Prepared
from vedette.types import Float32, UInt8

Mask = NDArray[np.bool_]


class Cover:
    """A prepared picture, cut into ``grid`` x ``grid`` cells that can be taken away."""

    def __init__(self, prepared: Prepared, grid: int) -> None:
        self.grid = grid
        self._prepared = prepared

    def without(self, cells: Mask) -> Prepared:
        """The picture without these cells; in a combination, without them for every member.

        Args:
            cells: bool [grid, grid], row by row from the top; true where taken away.
        """
        return _covered(self._prepared, cells)


def _covered(prepared: Prepared, cells: Mask) -> Prepared:
    others = tuple(_covered(other, cells) for other in prepared.others)
    height, width = prepared.pixels.shape[:2]
    rows = np.arange(height) * len(cells) // height
    columns = np.arange(width) * len(cells) // width
    pixels = filled(prepared.pixels, cells[rows[:, None], columns[None, :]])
    return replace(prepared, pixels=pixels, others=others)


def filled(pixels: UInt8, hidden: Mask) -> UInt8:
    """``pixels`` with the hidden ones continued from those around them.

    Args:
        pixels: uint8 [h, w, 3]
        hidden: bool [h, w]. Where all are hidden, all become the picture's mean colour.
    """
    if not hidden.any():
        return pixels
    if hidden.all():
        mean = pixels.mean(axis=(0, 1), keepdims=True)
        return np.broadcast_to(np.rint(mean), pixels.shape).astype(np.uint8)
    known = (~hidden).astype(np.float32)[..., None]
    smooth = _pull_and_push(pixels.astype(np.float32), known)
    return np.ascontiguousarray(np.where(hidden[..., None], np.rint(smooth), pixels), np.uint8)


def _pull_and_push(values: Float32, known: Float32) -> Float32:
    """``values`` [h, w, 3], replaced where ``known`` [h, w, 1] (0..1) is below 1."""
    height, width = values.shape[:2]
    if known.min() > 0 or max(height, width) == 1:
        return values
    padding = ((0, height % 2), (0, width % 2), (0, 0))  # with pixels that count for nothing
    weights = _halved(np.pad(known, padding))
    sums = _halved(np.pad(values * known, padding))
    means = np.asarray(sums / np.maximum(weights, 1), dtype=np.float32)
    coarse = _pull_and_push(means, np.minimum(weights, 1))
    return np.asarray(values * known + _doubled(coarse)[:height, :width] * (1 - known))


def _halved(values: Float32) -> Float32:
    """Sums of 2 x 2 blocks."""
    height, width, channels = values.shape
    blocks = values.reshape(height // 2, 2, width // 2, 2, channels)
    return np.asarray(blocks.sum(axis=(1, 3)))


def _doubled(values: Float32) -> Float32:
    """Twice the size along both sides, interpolated linearly."""
    for axis in (0, 1):
        values = np.moveaxis(values, axis, 0)
        before = np.concatenate([values[:1], values[:-1]])
        after = np.concatenate([values[1:], values[-1:]])
        pairs = np.stack([0.75 * values + 0.25 * before, 0.75 * values + 0.25 * after], axis=1)
        whole = pairs.reshape(-1, *values.shape[1:])
        values = np.asarray(np.moveaxis(whole, 0, axis), dtype=np.float32)
    return values

"""A descriptor of pictures that needs no weights: learned from the set's own first pictures.

One layer of filters, as Coates, Ng and Lee (AISTATS 2011) have found it to be enough for small
pictures: patches of the brightness are normalised and whitened, and the filters are their k-means
centres. Of each filter only the strongest response counts, light on dark or dark on light, which
finds a shape wherever it is. With it come histograms of colours and of edge directions. It sees
much less than CLIP does: where there are embeddings, an audit uses those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vedette.types import UInt8

SIDE = 64
"""px along a side of the thumbnails that are described"""
LEARN_FROM = 512
"""Pictures, the first of a set, that the filters are learned from."""

_SMALL = 32
"""px along a side of the grey pictures that the filters look at"""
_PATCH = 9
_FILTERS = 384
_PATCHES = 20_000
_ROUNDS = 10
_NOISE = 1000.0
"""Sum of squared deviations, 0..255 each, below which a patch counts as flat: normalising it would
blow up its noise."""
_COLOURS = 4
_DIRECTIONS = 8
_AT_ONCE = 16
"""Pictures described in one go: their patches and responses take 1 MB each."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Descriptor:
    """Filters that turn thumbnails into vectors."""

    mean: Float32
    """float32 [p], of normalised patches."""
    filters: Float32
    """float32 [p, k]: whitening and filters in one."""

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""
        return int(self.filters.shape[1]) + _COLOURS**3 + 4 * _DIRECTIONS

    def describe(self, thumbnails: UInt8) -> NDArray[np.float16]:
        """The vectors of some pictures.

        Args:
            thumbnails: uint8 [n, SIDE, SIDE, 3].

        Returns:
            float16 [n, dim].
        """
        starts = range(0, len(thumbnails), _AT_ONCE)
        parts = [self._describe(thumbnails[start : start + _AT_ONCE]) for start in starts]
        return np.concatenate(parts).astype(np.float16)

    def _describe(self, thumbnails: UInt8) -> Float32:
        grey = _grey(thumbnails)
        windows = sliding_window_view(grey, (_PATCH, _PATCH), axis=(1, 2))
        rows = _normalised(windows.reshape(-1, _PATCH * _PATCH)) - self.mean
        responses = np.abs(rows @ self.filters).reshape(len(grey), -1, self.filters.shape[1])
        parts = [responses.max(axis=1), _colours(thumbnails), _edges(grey)]
        return np.concatenate(parts, axis=1)


def learn(thumbnails: UInt8, seed: int = 0) -> Descriptor:
    """The filters of a set.

    Args:
        thumbnails: uint8 [n, SIDE, SIDE, 3], at least one.
        seed: which patches are drawn, and where k-means starts.
    """
    rng = np.random.default_rng(seed)
    windows = sliding_window_view(_grey(thumbnails), (_PATCH, _PATCH), axis=(1, 2))
    which = rng.integers(0, len(thumbnails), _PATCHES)
    top, left = rng.integers(0, windows.shape[1], (2, _PATCHES))
    rows = _normalised(windows[which, top, left].reshape(_PATCHES, -1))
    mean = rows.mean(axis=0)
    rows -= mean
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    # ZCA, and weakly: whitening fully would make as much of noise as of shapes.
    scale = 1 / np.sqrt(np.maximum(values, 0) + max(float(values.mean()), 1e-6))
    whiten = ((vectors * scale) @ vectors.T).astype(np.float32)
    centres = _spherical_kmeans(rows @ whiten, rng)
    return Descriptor(mean, np.ascontiguousarray(whiten @ centres.T))


def _spherical_kmeans(rows: Float32, rng: np.random.Generator) -> Float32:
    """Centres of unit length (Coates and Ng, 2012): float32 [_FILTERS, p]."""
    centres = rng.standard_normal((_FILTERS, rows.shape[1])).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    for _ in range(_ROUNDS):
        products = rows @ centres.T
        best = np.abs(products).argmax(axis=1)
        weight = products[np.arange(len(rows)), best]
        order = np.argsort(best, kind="stable")
        own, starts = np.unique(best[order], return_index=True)
        # Damped: a centre that nothing belongs to stays.
        centres[own] += np.add.reduceat((weight[:, None] * rows)[order], starts)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True) + 1e-12
    return centres


def _grey(thumbnails: UInt8) -> Float32:
    """The brightness, at half the size: float32 [n, _SMALL, _SMALL], 0..255."""
    fold = SIDE // _SMALL
    cells = thumbnails.reshape(len(thumbnails), _SMALL, fold, _SMALL, fold, 3)
    grey: Float32 = cells.mean(axis=(2, 4, 5), dtype=np.float32)
    return grey


def _normalised(rows: Float32) -> Float32:
    """Each patch without its brightness and contrast; flat ones stay near zero."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True) + _NOISE)
    normalised: Float32 = rows / length
    return normalised


def _colours(thumbnails: UInt8) -> Float32:
    """The shares of 4 x 4 x 4 colours, their square roots: float32 [n, 64]."""
    bins = (thumbnails // (256 // _COLOURS)).astype(np.int64).reshape(len(thumbnails), -1, 3)
    index = (bins * (1, _COLOURS, _COLOURS**2)).sum(axis=2)
    counts = np.stack([np.bincount(row, minlength=_COLOURS**3) for row in index])
    shares: Float32 = np.sqrt(counts / index.shape[1]).astype(np.float32)
    return shares


def _edges(grey: Float32) -> Float32:
    """How strong edges of eight directions are in each quarter: float32 [n, 32]."""
    dy, dx = grey[:, 1:, :-1] - grey[:, :-1, :-1], grey[:, :-1, 1:] - grey[:, :-1, :-1]
    strength = np.hypot(dx, dy)
    turn = np.arctan2(dy, dx) % np.pi / np.pi
    direction = np.minimum((turn * _DIRECTIONS).astype(int), _DIRECTIONS - 1)
    half = strength.shape[1] // 2
    halves = slice(half), slice(half, None)
    parts = [
        (strength * (direction == number))[:, rows, columns].mean(axis=(1, 2))
        for number in range(_DIRECTIONS)
        for rows in halves
        for columns in halves
    ]
    strengths: Float32 = np.sqrt(np.stack(parts, axis=1) / 255).astype(np.float32)
    return strengths

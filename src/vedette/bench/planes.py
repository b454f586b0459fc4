"""Embeddings in two dimensions, to be looked at: t-SNE and UMAP.

Both keep near images near. Distances between clouds, their sizes and their densities mean little,
and a gap can be made by the method: that sets differ is for :mod:`vedette.bench.two_sample` to say.

Sources: van der Maaten and Hinton, "Visualizing data using t-SNE" (JMLR 2008); McInnes, Healy and
Melville, "UMAP" (2018).
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from vedette.extras import require
from vedette.types import Float32

MOST = 2_000
"""Images that are drawn; of more, a sample."""
FEWEST = 10
"""Images that a picture of them needs."""
_PERPLEXITY = 30
_NEIGHBOURS = 15
_DIMENSIONS = 50
"""Principal components that both start from: what is beyond them is mostly noise, and slow."""

Float64 = NDArray[np.float64]


def t_sne(rows: Float32, seed: int) -> Float64:
    """float64 [n, 2]; starts from the first two principal components.

    Args:
        rows: float32 [n, d], n at least :data:`FEWEST`.
        seed: the same one gives the same picture.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    manifold = require("sklearn.manifold", extra="bench")
    limits = require("threadpoolctl", extra="bench").threadpool_limits
    reduced = _principal(rows)
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    method = manifold.TSNE(
        init=_start(reduced, seed), perplexity=perplexity, random_state=seed % 2**32, n_jobs=1
    )
    with limits(1):  # threads add up in an order of their own: another one, another picture
        return np.asarray(method.fit_transform(reduced), dtype=np.float64)


def umap_plane(rows: Float32, seed: int) -> Float64:
    """float64 [n, 2]; starts from the first two principal components.

    Args:
        rows: float32 [n, d], n at least :data:`FEWEST`.
        seed: the same one gives the same picture.

    Raises:
        MissingExtraError: umap-learn is not installed.
    """
    reduced = _principal(rows)
    with warnings.catch_warnings():
        # On import it says that a part of it which we do not use lacks a library.
        warnings.simplefilter("ignore")
        method = require("umap", extra="bench").UMAP(
            n_components=2,
            n_neighbors=min(_NEIGHBOURS, len(rows) - 1),
            init=_start(reduced, seed),
            random_state=seed % 2**32,
            n_jobs=1,
        )
        return np.asarray(method.fit_transform(reduced), dtype=np.float64)


def _principal(rows: Float32) -> Float32:
    """The first principal components, float32 [n, at most 50], signs fixed."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    kept = vectors[:, ::-1][:, : min(_DIMENSIONS, *rows.shape)]
    # An eigenvector's sign is free: the largest entry is positive, whatever the library.
    kept = kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    return np.asarray(centred @ kept, dtype=np.float32)


def _start(components: Float32, seed: int) -> Float32:
    """Where points start: float32 [n, 2], small, as both methods want it.

    A little noise is added: UMAP divides by each axis' extent, which is 0 where rows are all alike.
    """
    plane = np.random.default_rng(seed).normal(0, 1e-3, (len(components), 2))
    spread = float(components[:, 0].std())
    if spread > 0:
        plane[:, : components.shape[1]] += components[:, :2] / spread
    return np.asarray(plane * 1e-4, dtype=np.float32)

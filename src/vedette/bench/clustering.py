"""KMeans of embeddings, the number of clusters by silhouette, the same on every run.

Sources: MacQueen (1967) and Lloyd (1982), k-means++ starts; Rousseeuw, "Silhouettes" (1987).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.extras import require
from vedette.types import Float32

Ints = NDArray[np.int64]

MOST_TRIED = 8
"""Clusters, where the number is chosen."""
CENTRAL = 4
"""Images that are shown of each cluster."""
_STARTS = 10
_SILHOUETTES_OF = 2_000
"""Rows that a silhouette is taken of; of more, a seeded sample."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Groups of rows, the largest first."""

    label: Ints
    """int64 [n], 0 .. k - 1."""
    centres: Float32
    """float32 [k, d]"""
    silhouettes: Mapping[int, float]
    """Mean silhouette, -1..1, by the number of clusters that was tried; empty where it was given,
    or could not be anything but 1."""

    @property
    def count(self) -> int:
        """k"""
        return len(self.centres)

    def central(self, rows: Float32, number: int) -> Ints:
        """The rows nearest to a cluster's centre, the nearest first: at most :data:`CENTRAL`.

        Args:
            rows: float32 [n, d] that were clustered.
            number: of the cluster.
        """
        own = np.flatnonzero(self.label == number)
        away = np.linalg.norm(rows[own].astype(np.float64) - self.centres[number], axis=1)
        return own[np.argsort(away, kind="stable")][:CENTRAL]


def clusters(rows: Float32, count: int | None, seed: int) -> Clusters:
    """Cluster rows.

    Args:
        rows: float32 [n, d], at least one.
        count: k; fewer where there are not two rows, all different, for each. None: from 2 to
            :data:`MOST_TRIED`, the one with the highest silhouette; 1 where there are fewer than
            four different rows.
        seed: of the starts.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    most = max(1, len(np.unique(rows, axis=0)) // 2)
    if count is not None:
        return _sorted(rows, _kmeans(rows, min(count, most), seed), {})
    if most < 2:
        return _sorted(rows, np.zeros(len(rows), dtype=np.int64), {})
    tried = {k: _kmeans(rows, k, seed) for k in range(2, min(MOST_TRIED, most) + 1)}
    silhouettes = {k: _silhouette(rows, label, seed) for k, label in tried.items()}
    # Of equally good ones the fewest.
    best = max(silhouettes, key=lambda k: (silhouettes[k], -k))
    return _sorted(rows, tried[best], silhouettes)


def _kmeans(rows: Float32, count: int, seed: int) -> Ints:
    if count == 1:
        return np.zeros(len(rows), dtype=np.int64)
    kmeans = require("sklearn.cluster", extra="bench").KMeans(
        n_clusters=count, n_init=_STARTS, random_state=seed % 2**32
    )
    limits = require("threadpoolctl", extra="bench").threadpool_limits
    with limits(1):  # threads add up in an order of their own: another one, another rounding
        return np.asarray(kmeans.fit_predict(rows), dtype=np.int64)


def _silhouette(rows: Float32, label: Ints, seed: int) -> float:
    metrics = require("sklearn.metrics", extra="bench")
    rng = np.random.default_rng(seed)
    some = np.arange(len(rows))
    if len(rows) > _SILHOUETTES_OF:
        some = np.sort(rng.choice(len(rows), _SILHOUETTES_OF, replace=False))
    if not 2 <= len(np.unique(label[some])) < len(some):
        return -1.0
    return float(metrics.silhouette_score(rows[some], label[some]))


def _sorted(rows: Float32, label: Ints, silhouettes: Mapping[int, float]) -> Clusters:
    """Numbered by size, the largest first; of equal size, the one with the earliest row."""
    found, first, sizes = np.unique(label, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    place = np.zeros(int(found.max()) + 1, dtype=np.int64)
    place[found[order]] = np.arange(len(found))
    own = place[label]
    centres = np.stack([rows[own == k].mean(axis=0, dtype=np.float64) for k in range(len(found))])
    return Clusters(own, centres.astype(np.float32), silhouettes)

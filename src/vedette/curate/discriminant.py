"""A linear discriminant that learns from sums: any number of images in the memory of one matrix.

What it needs of a fold are counts, class sums and one Gram matrix, so that one pass over the
features is enough to train it on every choice of all folds but one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Labels = NDArray[np.integer]


@dataclass(slots=True, eq=False)
class Sums:
    """What the discriminant needs to know of a set of images."""

    counts: Float64
    """[k] images of each class"""
    sums: Float64
    """[k, d] their features, added up"""
    gram: Float64
    """[d, d] sum of the outer products of all features"""

    @classmethod
    def empty(cls, classes: int, dim: int) -> Sums:
        """Of no image."""
        return cls(np.zeros(classes), np.zeros((classes, dim)), np.zeros((dim, dim)))

    def add(self, features: NDArray[np.floating], labels: Labels) -> None:
        """Add images: features [n, d], labels [n] in 0..k-1."""
        rows = features.astype(np.float64)
        self.gram += rows.T @ rows
        for number in np.unique(labels):
            own = labels == number
            self.counts[number] += own.sum()
            self.sums[number] += rows[own].sum(axis=0)

    @classmethod
    def together(cls, parts: Sequence[Sums]) -> Sums:
        """Of the images of all parts."""
        return cls(
            np.sum([p.counts for p in parts], axis=0),
            np.sum([p.sums for p in parts], axis=0),
            np.sum([p.gram for p in parts], axis=0),
        )

    def scale(self) -> Float64:
        """[d] by what to multiply each feature so that its variance is 1; 0 for a constant."""
        total = max(self.counts.sum(), 1)
        mean = self.sums.sum(axis=0) / total
        variance = np.diag(self.gram) / total - mean**2
        varies = variance > 1e-10 * np.maximum(mean**2, 1e-6)
        return np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1)), 0.0)

    def scaled(self, by: Float64) -> Sums:
        """The sums of the features times ``by`` [d]."""
        return Sums(self.counts, self.sums * by, self.gram * by * by[:, None])


@dataclass(frozen=True, slots=True, eq=False)
class Discriminant:
    """Linear functions of the features whose softmax are class probabilities."""

    weights: Float64
    """[k, d]"""
    bias: Float64
    """[k]; minus infinity for a class that was not seen"""

    def logits(self, features: NDArray[np.floating]) -> Float64:
        """[n, k]"""
        return features.astype(np.float64) @ self.weights.T + self.bias

    def scaled(self, by: Float64) -> Discriminant:
        """The same for features that are not yet multiplied by ``by`` [d]."""
        return Discriminant(self.weights * by, self.bias)


def fit(sums: Sums, shrinkage: float) -> Discriminant:
    """Linear discriminant analysis with a covariance that is shrunk towards a multiple of one.

    The same as scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr", shrinkage=…)``.

    Args:
        sums: of at least one image.
        shrinkage: 0..1, in proportion; above 0 the covariance can always be inverted.
    """
    seen = sums.counts > 0
    total = sums.counts.sum()
    means = sums.sums / np.maximum(sums.counts, 1)[:, None]
    within = (sums.gram - (means * sums.counts[:, None]).T @ means) / total
    dim = len(within)
    spread = max(float(np.trace(within)) / dim, 1e-12)
    within = (1 - shrinkage) * within
    within[np.diag_indices(dim)] += shrinkage * spread
    weights = np.linalg.solve(within, means.T).T
    prior = np.where(seen, np.log(np.maximum(sums.counts, 1) / total), -np.inf)
    return Discriminant(weights, prior - 0.5 * (weights * means).sum(axis=1))


def softmax(logits: Float64) -> Float64:
    """Probabilities of each row."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs: Float64 = shifted / shifted.sum(axis=1, keepdims=True)
    return probs


def log_loss(logits: Float64, labels: Labels) -> Float64:
    """Minus the logarithm of each label's probability: [n]."""
    highest = logits.max(axis=1)
    normal = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    loss: Float64 = normal - logits[np.arange(len(labels)), labels]
    return loss

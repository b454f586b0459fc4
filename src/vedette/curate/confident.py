"""Confident learning: which labels are likely wrong, given held-out probabilities.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR
2021). The counts are those of its authors' cleanlab, which the tests compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-6
_LEAST_THRESHOLD = 2e-6
_NEVER = 2.0
"""The threshold of a class that no image is labelled with."""

Probs = NDArray[np.floating]
Labels = NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class ConfidentJoint:
    """How often an image with one label confidently looks like another class."""

    thresholds: NDArray[np.float64]
    """[k] mean probability of a class among the images that are labelled with it"""
    counts: NDArray[np.int64]
    """[k, k] images labelled i that confidently look like j"""

    @property
    def noise(self) -> NDArray[np.float64]:
        """[k] estimated share of wrong labels among each class's."""
        off: NDArray[np.float64] = 1 - np.diag(self.counts) / np.maximum(self.counts.sum(axis=1), 1)
        return off


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Images whose label is likely wrong, the likeliest first."""

    rows: NDArray[np.intp]
    suggested: NDArray[np.intp]
    """The class that each confidently looks like."""
    margins: NDArray[np.float64]
    """Probability of the label less the highest other one: -1..1, negative is against the label."""


def confident_joint(labels: Labels, probs: Probs) -> ConfidentJoint:
    """Thresholds and counts.

    Args:
        labels: [n] in 0..k-1.
        probs: [n, k], of a model that has not seen the row that it judges.
    """
    classes = probs.shape[1]
    counts = np.bincount(labels, minlength=classes)
    own = probs[np.arange(len(labels)), labels]
    sums = np.bincount(labels, weights=own, minlength=classes)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), _NEVER)
    thresholds = np.maximum(thresholds, _LEAST_THRESHOLD)
    confident, looks = _looks(probs, thresholds)
    joint = np.zeros((classes, classes), np.int64)
    np.add.at(joint, (labels[confident], looks[confident]), 1)
    np.fill_diagonal(joint, np.maximum(np.diag(joint), 1))
    return ConfidentJoint(thresholds, joint)


def candidates(
    labels: Labels, probs: Probs, joint: ConfidentJoint, margin: float = 0.0
) -> Candidates:
    """The images off the joint's diagonal that look like another class, by normalised margin.

    Args:
        labels: [n] in 0..k-1.
        probs: [n, k].
        joint: of the same labels and probabilities.
        margin: by how much another class must be more probable than the label.
    """
    confident, looks = _looks(probs, joint.thresholds)
    index = np.arange(len(labels))
    own = probs[index, labels].astype(np.float64)
    others = probs.astype(np.float64)
    others[index, labels] = -np.inf
    margins = own - others.max(axis=1) if probs.shape[1] > 1 else np.ones(len(labels))
    rows = np.flatnonzero(confident & (looks != labels) & (margins < -margin - _ROUNDING))
    rows = rows[np.argsort(margins[rows], kind="stable")]
    return Candidates(rows, looks[rows], margins[rows])


def _looks(
    probs: Probs, thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Whether a row is confidently of some class, and of which."""
    above = probs >= thresholds - _ROUNDING
    number = above.sum(axis=1)
    looks = np.where(number > 1, probs.argmax(axis=1), above.argmax(axis=1))
    return number > 0, looks

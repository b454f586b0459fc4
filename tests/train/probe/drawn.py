"""Embeddings with labels that a probe can learn, and a trainer to hold ours to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vedette.train.probe.samples import Samples

LABELS = ("Hate", "Violence", "Sexual", "Spam")


def drawn(n: int, *, dim: int = 24, labels: Sequence[str] = LABELS, seed: int = 7) -> Samples:
    """Labels that follow from a hidden direction each, some noise, a few of them unknown."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(3).normal(size=(dim, len(labels)))
    x = rng.normal(size=(n, dim))
    scores = x @ directions + rng.normal(size=(n, len(labels)))
    targets = scores > np.linspace(1.5, 5, len(labels))  # rare ones among them
    known = rng.random(targets.shape) > 0.05
    return Samples(tuple(labels), x.astype(np.float32), targets, known)

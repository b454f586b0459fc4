"""Scores whose true distribution is known: what a threshold promises can be held to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette.calibrate import sigmoid
from vedette.types import Float32

Bools = NDArray[np.bool_]
STEPS = np.array([0.05, 0.3, 0.7, 0.9], dtype=np.float32)
"""Scores of a model that gives only four answers."""
OF_SAFE = np.array([0.6, 0.385, 0.01, 0.005])
OF_UNSAFE = np.array([0.05, 0.15, 0.4, 0.4])


def smooth(n: int, share: float, seed: int) -> tuple[Float32, Bools]:
    """float32 [n] probabilities of a model, too sure of itself, and bool [n] labels."""
    rng = np.random.default_rng(seed)
    unsafe = rng.random(n) < share
    logits = np.where(unsafe, 1.5, -1.5) + rng.normal(scale=1.6, size=n)
    return sigmoid(2.5 * logits).astype(np.float32), unsafe


def tied(n: int, share: float, seed: int) -> tuple[Float32, Bools]:
    """The same of a model with four answers."""
    rng = np.random.default_rng(seed)
    unsafe = rng.random(n) < share
    at = np.where(
        unsafe,
        rng.choice(len(STEPS), size=n, p=OF_UNSAFE),
        rng.choice(len(STEPS), size=n, p=OF_SAFE),
    )
    return STEPS[at], unsafe


def true_tied(threshold: float) -> tuple[float, float]:
    """FPR and recall of a threshold on :func:`tied`, exactly."""
    reached = STEPS.astype(np.float64).round(6) >= threshold
    return float(OF_SAFE[reached].sum()), float(OF_UNSAFE[reached].sum())

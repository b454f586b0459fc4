"""From scores that did not see an image's label to the log-odds of it: one number for each score.

The discriminant's own size means little with few labels, and a prior's (texts, another model's
head) means little on pictures of another kind. Both are scaled, and added, as a logistic regression
on a score of each: of the discriminant the left-out values, so that what it learned by heart earns
it nothing. A coefficient below 0, which would turn a score round, is not admitted, and there is no
offset: scores come centred between the classes. With so few labels both would be chance.

Sources: Wolpert, "Stacked generalization" (Neural Networks 1992); Breiman, "Stacked regressions"
(Machine Learning 1996) for coefficients of 0 and more; Platt (1999) for targets short of 0 and 1,
without which separable classes get infinite log-odds. Adding few-shot to zero-shot logits is what
Tip-Adapter (Zhang et al., ECCV 2022) and LP++ (Huang et al., CVPR 2024) do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vedette.calibrate import sigmoid
from vedette.train.examples import Bools
from vedette.train.scarce.discriminant import Float64

_STEPS = 50
_SMALLEST_STEP = 1e-6
_CONVERGED = 1e-12
_RIDGE = 1e-4
"""On coefficients of scores of size 1, where two scores say the same."""


@dataclass(frozen=True, slots=True)
class Combination:
    """Log-odds = sum of coefficient * score, at a base rate of one half."""

    coefficients: tuple[float, ...]
    """0 or more; all 0 where no score tells the classes apart."""
    loss: float
    """Mean log loss in nats, each class with the same weight; ln 2 for one that knows nothing."""


def combined(scores: Sequence[Float64], y: Bools) -> Combination:
    """The combination of scores with the least loss.

    Args:
        scores: float64 [n] each, 0 between the classes; none of them may know the labels.
        y: bool [n], both classes in it.
    """
    sizes = [spread(score) for score in scores]
    told = [k for k, size in enumerate(sizes) if size > 0]
    target, weight = _targets(y)
    best: tuple[tuple[float, ...], float] = (), float(np.log(2))
    chosen: tuple[int, ...] = ()
    # The loss is convex: its least value with coefficients of 0 and more is the least among the
    # free optima, over each subset of the scores, that have no coefficient below 0.
    for count in range(1, len(told) + 1):
        for subset in combinations(told, count):
            columns = np.stack([scores[k] / sizes[k] for k in subset], axis=1)
            found = _fit(columns, target, weight)
            if min(found[0]) >= 0 and found[1] < best[1]:
                best, chosen = found, subset
    coefficients = [0.0] * len(scores)
    for k, value in zip(chosen, best[0], strict=True):
        coefficients[k] = value / sizes[k]
    return Combination(tuple(coefficients), best[1])


def spread(score: Float64) -> float:
    """Root mean square of scores; 0 for what is nothing but rounding, or no number."""
    size = float(np.sqrt(np.mean(score**2)))
    return size if np.isfinite(size) and size > np.finfo(np.float64).tiny else 0.0


def _targets(y: Bools) -> tuple[Float64, Float64]:
    """Platt's targets, and weights that give each class a half."""
    unsafe, safe = int(y.sum()), int((~y).sum())
    target = np.where(y, (unsafe + 1) / (unsafe + 2), 1 / (safe + 2))
    return target, np.where(y, 0.5 / unsafe, 0.5 / safe)


def _fit(x: Float64, target: Float64, weight: Float64) -> tuple[tuple[float, ...], float]:
    """Logistic regression by Newton's method with halved steps: coefficients and loss."""
    at = np.zeros(x.shape[1])
    value = _penalised(x, at, target, weight)
    for _ in range(_STEPS):
        p = sigmoid(x @ at)
        gradient = x.T @ (weight * (p - target)) + _RIDGE * at
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + _RIDGE * np.eye(len(at))
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        reached = _penalised(x, at - step, target, weight)
        while reached > value and size > _SMALLEST_STEP:
            size /= 2
            reached = _penalised(x, at - size * step, target, weight)
        if value - reached < _CONVERGED:
            break
        at, value = at - size * step, reached
    return tuple(float(one) for one in at), _loss(x @ at, target, weight)


def _penalised(x: Float64, at: Float64, target: Float64, weight: Float64) -> float:
    return _loss(x @ at, target, weight) + _RIDGE * float(at @ at) / 2


def _loss(z: Float64, target: Float64, weight: Float64) -> float:
    return float(weight @ (np.logaddexp(0.0, z) - target * z))

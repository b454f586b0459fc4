"""L2-regularised logistic regression, of all labels at once: Newton's method, matrix-free.

For each label it minimises, over standardised embeddings,

    |w|^2 / 2 + C * sum_i weight_i * log(1 + exp(-sign_i * (w . x_i + b))),

which is scikit-learn's ``LogisticRegression`` behind a ``StandardScaler``; the intercept b is not
regularised. The Hessian is only ever multiplied by vectors, those of all labels in one matrix
product. In float64, with numpy.

Source: Lin, Weng and Keerthi, "Trust region Newton method for logistic regression" (JMLR 2008);
here with conjugate gradients and a line search, as the function is convex.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.calibrate import sigmoid
from vedette.errors import VedetteError
from vedette.train.examples import Bools, Ints
from vedette.train.weighing import Float64

Array = NDArray[np.floating]
STRENGTHS = tuple(float(c) for c in np.logspace(-4, 2, 13))
"""Inverse strengths of regularisation to choose among, strongest first."""
_ROWS = 4096
_NEWTON = 100
_GRADIENTS = 500
_DONE = 1e-12
"""Of the squared Newton decrement. The function curves at least as |w|^2 / 2, so weights are then
within 1e-6 of the minimum."""
_SLOPE = 1e-4
_HALVINGS = 40
_FORCING = 0.1
_WORSE = 2
"""Strengths in a row without a lower loss after which weaker ones are not tried."""
_FLAT = 1e-12
"""Curvature of a label that every image is far on the right side of."""


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """Embeddings brought to mean 0 and deviation 1 in each dimension, as ``StandardScaler`` does.

    Then turned to the principal axes of the images to learn from. The regularisation does not
    notice that, and the Hessian of every label is close to a diagonal there: conjugate gradients
    come to their end in few steps, however the dimensions go together.
    """

    mean: Float64
    scale: Float64
    """1 where a dimension does not vary."""
    axes: Float64
    """float64 [dim, dim], orthogonal."""

    def __call__(self, x: Array) -> Float64:
        """float64 [n, dim + 1]: the last column is 1, for the intercept."""
        out = np.ones((len(x), x.shape[1] + 1))
        for part in _blocks(len(x)):
            out[part, :-1] = ((x[part] - self.mean) / self.scale) @ self.axes
        return out

    def folded(self, weights: Float64) -> tuple[Float64, Float64]:
        """Weights [dim, labels] and intercepts [labels] for embeddings as they come.

        Args:
            weights: [dim + 1, labels], of what this gives.
        """
        raw = (self.axes @ weights[:-1]) / self.scale[:, None]
        return raw, weights[-1] - self.mean @ raw


def standard(x: Array) -> Standard:
    """Of embeddings [n, dim]."""
    mean = x.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for part in _blocks(len(x)):
        centred = x[part] - mean
        covariance += centred.T @ centred
    scale = np.sqrt(covariance.diagonal() / len(x))
    # What rounding leaves of a constant is not its deviation.
    constant = scale <= np.abs(mean) * np.finfo(np.float64).eps * len(x)
    scale = np.where(constant, 1.0, scale)
    return Standard(mean, scale, np.linalg.eigh(covariance / np.outer(scale, scale))[1])


def _blocks(rows: int) -> Iterator[slice]:
    """Rows a few thousand at a time: copies in float64 are large."""
    return (slice(at, at + _ROWS) for at in range(0, rows, _ROWS))


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The minimum for each label."""

    weights: Float64
    """float64 [dim + 1, labels], for what :class:`Standard` gives; the intercept last."""
    strength: Float64
    """float64 [labels]: the C of each."""


def fit(
    x: Float64, targets: Bools, weights: Float64, strength: Float64, start: Float64 | None = None
) -> Float64:
    """The minimum for each label, float64 [dim + 1, labels].

    Args:
        x: float64 [n, dim + 1], the last column 1.
        targets: bool [n, labels]
        weights: float64 [n, labels]: of each image in each label's sum; 0 leaves it out.
        strength: float64 [labels]: C.
        start: from where; 0 by default.

    Raises:
        VedetteError: ``training_failed``: a label has no minimum that is found.
    """
    w = np.zeros((x.shape[1], targets.shape[1])) if start is None else start.copy()
    spread = np.einsum("nd,nd->d", x, x) / len(x)
    problem = _Problem(x, spread, np.where(targets, 1.0, -1.0), weights * strength)
    active = np.arange(targets.shape[1])
    for _ in range(_NEWTON):
        z = x @ w[:, active]
        part = problem.of(active)
        gradient, curvature = part.gradient(w[:, active], z)
        step = part.newton_step(gradient, curvature)
        decrement = -(step * gradient).sum(axis=0)
        if not np.isfinite(decrement).all():
            break
        w[:, active] += part.length(w[:, active], z, step, decrement) * step
        active = active[decrement > _DONE * np.maximum(1.0, np.square(w[:, active]).sum(axis=0))]
        if not len(active):
            return w
    raise VedetteError(
        "logistic regression has not come to its end",
        code="training_failed",
        hint="regularise more: a smaller --c",
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    x: Float64
    spread: Float64
    """[dim + 1]: mean square of each column."""
    sign: Float64
    """[n, labels]"""
    weights: Float64
    """[n, labels], times C"""

    def of(self, labels: Ints) -> _Problem:
        return _Problem(self.x, self.spread, self.sign[:, labels], self.weights[:, labels])

    def gradient(self, w: Float64, z: Float64) -> tuple[Float64, Float64]:
        """[dim + 1, labels], and the curvature of each image's loss [n, labels]."""
        wrong = sigmoid(-self.sign * z)
        found = self.x.T @ (-self.sign * wrong * self.weights)
        found[:-1] += w[:-1]
        return found, wrong * (1 - wrong) * self.weights

    def newton_step(self, gradient: Float64, curvature: Float64) -> Float64:
        """Conjugate gradients on Hessian * step = -gradient, every label by itself."""
        # The Hessian's diagonal, but for how curvature and embeddings go together.
        diagonal = self.spread[:, None] * np.maximum(curvature.sum(axis=0), _FLAT)
        diagonal[:-1] += 1
        step = np.zeros_like(gradient)
        residual = -gradient
        scaled = residual / diagonal
        direction = scaled.copy()
        size = (residual * scaled).sum(axis=0)
        # Rough far from the minimum, ever closer near it: Newton's own speed at the end.
        enough = np.minimum(_FORCING, np.sqrt(np.sqrt(size))) ** 2 * size
        going = size > 0
        for _ in range(_GRADIENTS):
            if not going.any():
                break
            product = self.x.T @ (curvature * (self.x @ direction))
            product[:-1] += direction[:-1]
            bent = (direction * product).sum(axis=0)
            length = np.where(going, size / np.where(bent > 0, bent, 1.0), 0.0)
            step += length * direction
            residual -= length * product
            scaled = residual / diagonal
            left = (residual * scaled).sum(axis=0)
            direction = (
                scaled + np.where(going, left / np.where(size > 0, size, 1.0), 0) * direction
            )
            size = np.where(going, left, size)
            going &= size > enough
        return step

    def length(self, w: Float64, z: Float64, step: Float64, decrement: Float64) -> Float64:
        """How far along the step of each label: halved until the function falls enough."""
        along = self.x @ step
        before = self._value(w, z)
        length = np.ones(w.shape[1])
        # What rounding alone can do to a sum of this size is no rise.
        slack = 1e-12 * np.abs(before)
        for _ in range(_HALVINGS):
            after = self._value(w + length * step, z + length * along)
            short = ~(after <= before - _SLOPE * length * decrement + slack)
            if not short.any():
                break
            length = np.where(short, length / 2, length)
        return length

    def _value(self, w: Float64, z: Float64) -> Float64:
        loss: Float64 = (np.logaddexp(0, -self.sign * z) * self.weights).sum(axis=0)
        size: Float64 = np.square(w[:-1]).sum(axis=0)
        return loss + size / 2


def fit_best(
    x: Float64,
    targets: Bools,
    weights: Float64,
    held_out: tuple[Float64, Bools, Float64],
    strengths: Sequence[float] = STRENGTHS,
) -> Fitted:
    """The strength for each label whose minimum has the least loss on other images.

    Args:
        x, targets, weights: what is learned from, see :func:`fit`.
        held_out: the same three of the images that decide.
        strengths: to choose among, strongest first; each starts where the one before it
            ended, and a label is done when two in a row are no better.
    """
    other_x, other_targets, other_weights = held_out
    total = np.maximum(other_weights.sum(axis=0), np.finfo(np.float64).tiny)
    labels = targets.shape[1]
    kept = Fitted(np.zeros((x.shape[1], labels)), np.zeros(labels))
    least, since = np.full(labels, np.inf), np.zeros(labels, dtype=np.int64)
    going, start = np.arange(labels), np.zeros((x.shape[1], labels))
    for strength in strengths:
        start[:, going] = fit(
            x, targets[:, going], weights[:, going], np.full(len(going), strength), start[:, going]
        )
        margin = np.where(other_targets, 1, -1) * (other_x @ start)
        loss = (np.logaddexp(0, -margin) * other_weights).sum(axis=0) / total
        better = loss < least
        kept.weights[:, better] = start[:, better]
        kept.strength[better] = strength
        least = np.minimum(least, loss)
        since = np.where(better, 0, since + 1)
        going = np.flatnonzero(since < _WORSE)
        if not len(going):
            break
    return kept

"""Linear discriminants that are shrunk hard, with every image judged by one that never saw it.

Eight images of a class in 768 dimensions can be told apart perfectly, and in infinitely many wrong
ways. What is left to choose here is one number: how far the scatter within the classes is shrunk
towards a ball. Little of it gives Fisher's discriminant; all of it gives the direction from one
class mean to the other.

Sources: Friedman, "Regularized discriminant analysis" (JASA 1989); Hastie, Tibshirani and Friedman,
"The elements of statistical learning" (2009), section 4.3.1; the update by which one image is left
out is Sherman's and Morrison's, as Cawley and Talbot use it for kernel Fisher discriminants
("Efficient leave-one-out cross-validation", Pattern Recognition 2003).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.train.examples import Bools

Float64 = NDArray[np.float64]
STRENGTHS: tuple[float, ...] = tuple(float(10.0**power) for power in np.arange(-3.0, 2.01, 0.5))
"""Of the shrinkage, in units of the scatter's mean variance over the directions that it has. At the
largest the discriminant is the difference of the class means."""


@dataclass(frozen=True, slots=True, eq=False)
class Discriminant:
    """One direction, and the point halfway between the class means."""

    weight: Float64
    """float64 [dim]"""
    bias: float

    def __call__(self, x: Float64) -> Float64:
        """float64 [n]: above 0 on the unsafe side."""
        return np.asarray(x @ self.weight + self.bias, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The discriminant at one strength, and what it says of each image without having seen it."""

    strength: float
    discriminant: Discriminant
    left_out: Float64
    """float64 [n]: of each image, by the discriminant of the others."""


class Scatter:
    """Two classes of points, decomposed once for all strengths.

    Both classes weigh the same, whatever their sizes: few-shot sets are drawn, and their ratio says
    nothing of the world's.

    Args:
        x: float64 [n, dim].
        y: bool [n]; two of each at least.
    """

    def __init__(self, x: Float64, y: Bools) -> None:
        counts = np.array([(~y).sum(), y.sum()])
        if counts.min() < 2:
            raise ValueError(f"{counts.min()} points of a class: two are needed")
        self._y = y
        self._means = np.stack([x[~y].mean(axis=0), x[y].mean(axis=0)])
        own = y.astype(np.intp)
        self._each = 1.0 / (counts[own] - 1)
        self._deviation = x - self._means[own]
        scaled = self._deviation / np.sqrt(2.0 * counts[own])[:, None]
        self._values, self._vectors = _decomposed(scaled)
        self._unit = float(self._values.mean()) if len(self._values) else 1.0
        self._difference = self._means[1] - self._means[0]
        self._turned = self._deviation @ self._vectors
        self._turned_difference = self._difference @ self._vectors
        rest = self._difference @ self._difference
        # What of the difference lies in no direction of the scatter: only shrinkage sees it.
        self._outside = max(float(rest - self._turned_difference @ self._turned_difference), 0.0)

    def at(self, strength: float) -> Fitted:
        """The discriminant at a strength of :data:`STRENGTHS`, or any other above 0."""
        shrink = strength * self._unit
        inverse = 1.0 / (self._values + shrink)
        inside = self._turned_difference * inverse
        weight = self._vectors @ (inside - self._turned_difference / shrink)
        weight += self._difference / shrink
        middle = self._means.mean(axis=0)
        discriminant = Discriminant(weight, -float(middle @ weight))
        return Fitted(strength, discriminant, self._left_out(inverse, inside, shrink))

    def _left_out(self, inverse: Float64, inside: Float64, shrink: float) -> Float64:
        """float64 [n]: the value of each image by the discriminant without it, in closed form.

        With d an image's deviation from its class mean, D the difference of the means and <,> the
        product by the inverse scatter: leaving it out moves its class mean by -d / (n - 1), takes
        d d' / 2(n - 1) off the scatter, and all that follows lies in the span of d and D.
        """
        sign = np.where(self._y, 1.0, -1.0)
        step = self._each
        q = (self._turned**2) @ inverse
        r = self._turned @ inside
        s = float(self._turned_difference @ inside) + self._outside / shrink
        ahead = 1 + step / 2
        # <D', z>, <D', d> and <d, z>, where z is the image seen from the new middle.
        plain = ahead * r + sign * s / 2 - sign * step * ahead * q - step * r / 2
        back = r - sign * step * q
        forth = ahead * q + sign * r / 2
        scale = step / 2
        return np.asarray(plain + scale * back * forth / (1 - scale * q))


def _decomposed(rows: Float64) -> tuple[Float64, Float64]:
    """Eigenvalues above 0 and eigenvectors [dim, rank] of ``rows.T @ rows``."""
    n, dim = rows.shape
    if n >= dim:
        values, vectors = np.linalg.eigh(rows.T @ rows)
    else:
        values, short = np.linalg.eigh(rows @ rows.T)
        vectors = rows.T @ short
    kept = values > max(float(values.max(initial=0.0)), 0.0) * 1e-10
    values, vectors = values[kept], vectors[:, kept]
    if n < dim:
        vectors = vectors / np.sqrt(values)
    return values, vectors

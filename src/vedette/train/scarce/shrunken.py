"""The head of one label, from a handful of images: a linear one that cannot learn them by heart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vedette.train.examples import Bools
from vedette.train.scarce.combination import combined, spread
from vedette.train.scarce.discriminant import STRENGTHS, Fitted, Float64, Scatter

_FAINT = 0.1
"""Log-odds of one spread, where the left-out images say that nothing was learned: the direction is
still the best there is to rank by, and no probability strays from one half."""


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """A direction that was known before any label: log-odds, up to scale and offset."""

    weight: Float64
    """float64 [dim]"""
    what: str
    """Where it is from, for people: ``texts``, a folder's name."""


@dataclass(frozen=True, slots=True, eq=False)
class Shrunken:
    """One label's head, and how it was arrived at."""

    weight: Float64
    """float64 [dim]"""
    bias: float
    strength: float
    """Of the shrinkage."""
    learned: float
    """What the discriminant counts: log-odds of one spread of its left-out values."""
    prior: float
    """What the prior counts, alike; 0: nothing, or there is none."""
    loss: float
    """Mean log loss over left-out images in nats; ln 2 = 0.693 for a head that knows nothing."""
    left_out: Float64
    """float64 [n]: log-odds of each training image by a head that did not see it."""


def shrunken(
    x: Float64, y: Bools, prior: Prior | None = None, strengths: Sequence[float] = STRENGTHS
) -> Shrunken:
    """The head whose left-out images have the least log loss, over all strengths.

    Args:
        x: float64 [n, dim], one image each; copies of one image would vouch for each other.
        y: bool [n]; two of each class at least.
        prior: to lean on as far as it helps.
        strengths: to choose from; of two that do alike the larger is taken.
    """
    scatter = Scatter(x, y)
    known = None if prior is None else _Known(prior, x, y)
    fits = [scatter.at(strength) for strength in sorted(strengths, reverse=True)]
    scores = [[one.left_out] + ([known.left_out] if known else []) for one in fits]
    found = [combined(columns, y) for columns in scores]
    best = min(range(len(fits)), key=lambda k: found[k].loss)
    coefficients = list(found[best].coefficients)
    if not any(coefficients):
        at = 1 if known is not None and spread(known.left_out) else 0
        size = spread(scores[best][at])
        coefficients[at] = _FAINT / size if size else 0.0
    return _head(fits[best], scores[best], coefficients, known, found[best].loss)


class _Known:
    """A prior, centred between the classes: each image by the middle of the others."""

    def __init__(self, prior: Prior, x: Float64, y: Bools) -> None:
        self.weight = prior.weight
        score = x @ prior.weight
        means = np.array([score[~y].mean(), score[y].mean()])
        self.bias = -float(means.mean())
        own = y.astype(np.intp)
        others = np.array([(~y).sum(), y.sum()])[own] - 1
        self.left_out = score + self.bias + (score - means[own]) / (2 * others)


def _head(
    fitted: Fitted,
    scores: Sequence[Float64],
    coefficients: Sequence[float],
    known: _Known | None,
    loss: float,
) -> Shrunken:
    weight = coefficients[0] * fitted.discriminant.weight
    bias = coefficients[0] * fitted.discriminant.bias
    if known is not None:
        weight = weight + coefficients[1] * known.weight
        bias += coefficients[1] * known.bias
    counts = [c * spread(score) for c, score in zip(coefficients, scores, strict=True)]
    left_out = sum(
        (c * score for c, score in zip(coefficients, scores, strict=True)),
        start=np.zeros(len(scores[0])),
    )
    return Shrunken(
        weight=weight,
        bias=bias,
        strength=fitted.strength,
        learned=counts[0],
        prior=counts[1] if known is not None else 0.0,
        loss=loss,
        left_out=left_out,
    )

"""The loss of each image before and after one step of FGSM.

The step is the attack's own, computed here because an attack hands back the unchanged picture
where it has failed, and it is the failed ones' loss too that is asked for.

Source: Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples"
(ICLR 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.bench.attacks.base import Budget, Module
from vedette.bench.attacks.calls import Calls, between, box, cross_entropy, lengths
from vedette.bench.predictions import Bools
from vedette.extras import require
from vedette.types import Float32

Float64 = NDArray[np.float64]

EPS = 4 / 255
"""Linf distance in units of pixels, 0..1: the convention of ImageNet."""
_BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Stepped:
    """What one step did to each picture; arrays in the pictures' order."""

    loss: Float64
    """Cross-entropy of the right answer, nats, as it was."""
    loss_after: Float64
    """The same after the step."""
    confidence: Float64
    """Probability of the decision, as it was: 0.5..1."""
    confidence_after: Float64
    """Probability of the decision that is taken after the step."""
    right: Bools
    """Whether it was decided rightly."""
    right_after: Bools
    """Whether it is after the step."""
    gradient: Bools
    """Whether the gradient had any entry other than 0; without one there is no attack."""


def stepped(
    module: Module,
    picture: Callable[[int], Float32],
    unsafe: Bools,
    eps: float,
    say: Callable[[str], None],
) -> Stepped:
    """Take the step on every picture: up the loss, by ``eps`` in each pixel, within 0..1.

    Args:
        module: from pixels float32 [n, 3, h, w] in 0..1 to logits [n, 2]; 1 is unsafe.
        picture: the picture of that number, float32 [3, h, w]; all of one size.
        unsafe: bool [n], what is right.
        eps: Linf distance.
        say: is told the progress.

    Raises:
        MissingExtraError: torch is not installed.
        VedetteError: a picture cannot be had.
    """
    parts = list(_batches(module, picture, unsafe, eps, say))
    margin, margin_after, slopes = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Stepped(
        loss=_cross_entropy(margin),
        loss_after=_cross_entropy(margin_after),
        confidence=_confidence(margin),
        confidence_after=_confidence(margin_after),
        right=margin <= 0,
        right_after=margin_after <= 0,
        gradient=slopes > 0,
    )


def _batches(
    module: Module,
    picture: Callable[[int], Float32],
    unsafe: Bools,
    eps: float,
    say: Callable[[str], None],
) -> Iterator[tuple[Float64, ...]]:
    """Of each batch the margins before and after, and each picture's largest slope."""
    torch = require("torch", extra="zoo")
    calls, budget = Calls(module), Budget(eps)
    for start in range(0, len(unsafe), _BATCH):
        rows = range(start, min(start + _BATCH, len(unsafe)))
        pixels = torch.from_numpy(np.stack([picture(row) for row in rows]))
        labels = torch.from_numpy(unsafe[start : start + _BATCH].astype(np.int64))
        slope, _, before = calls.gradient(pixels, labels, cross_entropy, also_fooled=True)
        moved = between(pixels + eps * slope.sign(), *box(pixels, budget))
        after = calls.margin(moved, labels)
        yield tuple(one.double().numpy() for one in (before, after, lengths(slope)))
        say(f"{rows.stop} of {len(unsafe)} images under FGSM")


def _cross_entropy(margin: Float64) -> Float64:
    """Of two logits: log(1 + exp(z_wrong - z_right))."""
    return np.logaddexp(0, margin)


def _confidence(margin: Float64) -> Float64:
    """Probability of the decision: the softmax of two logits, the larger of the two."""
    sure: Float64 = 1 / (1 + np.exp(-np.abs(margin)))
    return sure

"""DeepFool: the smallest step over the decision boundary, as if it were a plane, again and again.

S. Moosavi-Dezfooli, A. Fawzi and P. Frossard, "DeepFool: a simple and accurate method to fool deep
neural networks", CVPR 2016, in the Linf norm for two classes: with the margin f and its gradient g,
the plane is |f| / ||g||_1 away, along the sign of g.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vedette.bench.attacks.base import Attack, Attacked, Budget, Module, Tensor
from vedette.bench.attacks.calls import Calls, between, box, lengths, margin, wide
from vedette.bench.attacks.kernels import swift
from vedette.extras import require

_OVERSHOOT = 0.02
"""What is added to the whole way, so that it ends beyond the boundary."""
_BEYOND = 1e-4
"""Added to the margin, so that a picture on the boundary moves."""
_ROUNDED = 1e-6
"""What float32 may add to the budget."""


@dataclass(frozen=True, slots=True)
class DeepFool:
    """DeepFool; it does not know its budget: a way that is longer is cut to it at the end."""

    name: str = "deepfool"
    summary: str = "steps to the linearised boundary (Moosavi-Dezfooli et al., 2016), Linf"
    white_box: bool = True

    def run(
        self, module: Module, pixels: Tensor, labels: Tensor, budget: Budget, seeds: Sequence[int]
    ) -> Attacked:
        """Attack a batch; nothing is random. See :meth:`vedette.bench.attacks.base.Attack.run`."""
        torch = require("torch", extra="zoo")
        calls = Calls(swift(module))
        found, fooled = calls.start(pixels, labels)
        rows = torch.nonzero(~fooled)[:, 0]
        point = pixels[rows]
        way = torch.zeros_like(point)
        for _ in range(budget.steps):
            if not len(rows):
                break
            gradient, value, _ = calls.gradient(point, labels[rows], margin)
            slope = gradient.abs().flatten(1).sum(1)
            length = torch.where(slope > 0, (value.abs() + _BEYOND) / slope.clamp_min(1e-30), 0)
            way = way + wide(length) * gradient.sign()
            start = pixels[rows]
            point = (start + (1 + _OVERSHOOT) * way).clamp(budget.low, budget.high)
            over = calls.margin(point, labels[rows]) > 0
            near = over & (lengths(point - start) <= budget.eps + _ROUNDED)
            found[rows[near]], fooled[rows[near]] = point[near], True
            # Over the boundary, with the budget or without it, the search ends. So it does where
            # there is no slope to follow.
            on = ~over & (slope > 0)
            self._projected(
                calls, pixels, labels, budget, rows[~on & ~near], point[~on & ~near], found, fooled
            )
            rows, point, way = rows[on], point[on], way[on]
        self._projected(calls, pixels, labels, budget, rows, point, found, fooled)
        return Attacked(found, fooled, calls.forwards, calls.backwards)

    @staticmethod
    def _projected(
        calls: Calls,
        pixels: Tensor,
        labels: Tensor,
        budget: Budget,
        rows: Tensor,
        point: Tensor,
        found: Tensor,
        fooled: Tensor,
    ) -> None:
        """Ways that were too long, cut to the budget: on a curved boundary some of them do."""
        if not len(rows):
            return
        cut = between(point, *box(pixels[rows], budget))
        wrong = calls.margin(cut, labels[rows]) > 0
        found[rows[wrong]], fooled[rows[wrong]] = cut[wrong], True


ATTACKS: tuple[Attack, ...] = (DeepFool(),)

"""The fast gradient sign method: one step.

I. Goodfellow, J. Shlens and C. Szegedy, "Explaining and harnessing adversarial examples", ICLR
2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vedette.bench.attacks.base import Attack, Attacked, Budget, Module, Tensor
from vedette.bench.attacks.calls import Calls, between, box, margin
from vedette.bench.attacks.kernels import swift
from vedette.extras import require


@dataclass(frozen=True, slots=True)
class Fgsm:
    """One step of eps along the sign of the cross-entropy's gradient, which is the margin's."""

    name: str = "fgsm"
    summary: str = "one step along the gradient's sign (Goodfellow et al., 2015)"
    white_box: bool = True

    def run(
        self, module: Module, pixels: Tensor, labels: Tensor, budget: Budget, seeds: Sequence[int]
    ) -> Attacked:
        """Attack a batch; nothing is random. See :meth:`vedette.bench.attacks.base.Attack.run`."""
        torch = require("torch", extra="zoo")
        calls = Calls(swift(module))
        found = pixels.clone()
        if not len(pixels):
            return Attacked(found, torch.zeros_like(labels, dtype=torch.bool), 0, 0)
        # The pass that gives the gradient also says what was wrong to begin with.
        gradient, _, over = calls.gradient(pixels, labels, margin)
        fooled = over > 0
        rows = torch.nonzero(~fooled)[:, 0]
        if len(rows):
            start = pixels[rows]
            point = between(start + budget.eps * gradient[rows].sign(), *box(start, budget))
            wrong = calls.margin(point, labels[rows]) > 0
            found[rows[wrong]], fooled[rows[wrong]] = point[wrong], True
        return Attacked(found, fooled, calls.forwards, calls.backwards)


ATTACKS: tuple[Attack, ...] = (Fgsm(),)

"""Projected gradient descent.

A. Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018: a
random start in the ball, steps along the gradient's sign, each projected back. As the step, 2.5
times the budget over the number of steps, so that the border can be reached and walked along.

With two classes the cross-entropy rises with the margin and with nothing else, so their gradients
have one sign; the margin's neither vanishes nor sinks into denormal numbers, which cost a CPU ten
times as much, where the model is sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vedette.bench.attacks.base import Attack, Attacked, Budget, Module, Tensor
from vedette.bench.attacks.calls import Calls, between, box, margin, uniform
from vedette.bench.attacks.kernels import swift
from vedette.bench.attacks.precision import in_bf16
from vedette.extras import require

_REACH = 2.5
"""Length of the whole way, in budgets."""


@dataclass(frozen=True, slots=True)
class Pgd:
    """PGD on the cross-entropy, by way of the margin, from random starting points."""

    name: str = "pgd"
    summary: str = "many steps along the gradient's sign from a random start (Madry et al., 2018)"
    white_box: bool = True
    relative_step: float | None = None
    """Of a step, in budgets; None: 2.5 / steps."""
    random_start: bool = True
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the passes that lead the way. What fools there is asked of the module itself, in fp32,
    before it counts, and walks on where that says no."""

    def run(
        self, module: Module, pixels: Tensor, labels: Tensor, budget: Budget, seeds: Sequence[int]
    ) -> Attacked:
        """Attack a batch: ``steps`` gradients from each of ``restarts`` starting points.

        See :meth:`vedette.bench.attacks.base.Attack.run`.
        """
        torch = require("torch", extra="zoo")
        exact = Calls(module)
        guide = Calls(swift(module) if self.precision == "fp32" else in_bf16(module))
        found, fooled = exact.start(pixels, labels)
        for restart in range(budget.restarts):
            rows = torch.nonzero(~fooled)[:, 0]
            if not len(rows):
                break
            own = [seeds[row] for row in rows.tolist()]
            low, high = box(pixels[rows], budget)
            point = pixels[rows]
            if self.random_start:
                noise = uniform(own, f"{self.name} {restart}", pixels)
                point = between(point + budget.eps * noise, low, high)
            self._walk(exact, guide, point, labels, budget, rows, (low, high), found, fooled)
        return Attacked(found, fooled, exact.forwards + guide.forwards, guide.backwards)

    def _walk(
        self,
        exact: Calls,
        guide: Calls,
        point: Tensor,
        labels: Tensor,
        budget: Budget,
        rows: Tensor,
        within: tuple[Tensor, Tensor],
        found: Tensor,
        fooled: Tensor,
    ) -> None:
        """From ``point`` on, writing what fools into ``found`` and ``fooled``."""
        low, high = within
        relative = _REACH / budget.steps if self.relative_step is None else self.relative_step
        step = relative * budget.eps
        for number in range(budget.steps + 1):
            if number < budget.steps:
                gradient, _, over = guide.gradient(point, labels[rows], margin)
            else:  # nobody goes on from here: no gradient
                over = exact.margin(point, labels[rows])
            fallen = over > 0
            if number < budget.steps and bool(fallen.any()):
                sure = fallen.clone()
                sure[fallen] = exact.margin(point[fallen], labels[rows][fallen]) > 0
                fallen = sure
            if bool(fallen.any()):
                found[rows[fallen]], fooled[rows[fallen]] = point[fallen], True
                if bool(fallen.all()):
                    return
                stay = ~fallen
                rows, point, low, high = rows[stay], point[stay], low[stay], high[stay]
                if number < budget.steps:
                    gradient = gradient[stay]
            if number < budget.steps:
                if bool((over > 0).all()):  # the guide saw no use in a gradient, and was wrong
                    gradient, _, _ = guide.gradient(point, labels[rows], margin, also_fooled=True)
                point = between(gradient.sign_().mul_(step).add_(point), low, high)


ATTACKS: tuple[Attack, ...] = (Pgd(),)

"""APGD: projected gradient ascent that finds its own step size.

F. Croce and M. Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks", ICML 2020, Algorithm 1: momentum; at checkpoints the step is halved, and
the search goes back to the best point, where the loss has stopped rising.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from vedette.bench.attacks.base import Attacked, Budget, Module, Tensor
from vedette.bench.attacks.calls import (
    Calls,
    Loss,
    between,
    box,
    cross_entropy,
    lengths,
    margin,
    uniform,
    wide,
)
from vedette.extras import require

_MOMENTUM = 0.75
_RISING = 0.75
"""Share of the steps since the last checkpoint that must have raised the loss (rho)."""
_FIRST, _SHORTER, _SHORTEST = 0.22, 0.03, 0.06
"""Steps to the first checkpoint, by how much each later stretch is shorter, and the shortest, all
as shares of the budget's steps."""


@dataclass(slots=True)
class _Ascent:
    """The pictures that still stand, one row each in every field."""

    row: Tensor
    """Where the picture is in the batch."""
    labels: Tensor
    low: Tensor
    high: Tensor
    at: Tensor
    before: Tensor
    """One step ago."""
    gradient: Tensor
    value: Tensor
    """The loss at ``at``, [n]."""
    step: Tensor
    """[n]"""
    best: Tensor
    best_gradient: Tensor
    best_value: Tensor
    rises: Tensor
    """Steps since the last checkpoint that raised the loss, [n]."""
    checked: Tensor
    """``best_value`` at the last checkpoint."""
    halved: Tensor
    """Whether the step was halved at the last checkpoint, bool [n]."""

    def keep(self, rows: Tensor) -> None:
        """Let all others leave; ``rows`` is bool [n]."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[rows])

    def next_point(self, first: bool) -> Tensor:
        """Equation 1 of the paper: a step along the gradient's sign, then momentum."""
        along = between(self.at + wide(self.step) * self.gradient.sign(), self.low, self.high)
        if first:
            return along
        moved = _MOMENTUM * (along - self.at) + (1 - _MOMENTUM) * (self.at - self.before)
        return between(self.at + moved, self.low, self.high)

    def take(self, point: Tensor, gradient: Tensor, value: Tensor) -> None:
        """Move on to ``point``, and remember it where it is the best so far."""
        torch = require("torch", extra="zoo")
        self.rises += value > self.value
        self.before, self.at, self.gradient, self.value = self.at, point, gradient, value
        better = value > self.best_value
        self.best = torch.where(wide(better), point, self.best)
        self.best_gradient = torch.where(wide(better), gradient, self.best_gradient)
        self.best_value = torch.where(better, value, self.best_value)

    def check(self, stretch: int) -> None:
        """Halve the step and go back to the best point where ``stretch`` steps did not help."""
        torch = require("torch", extra="zoo")
        halve = (self.rises <= _RISING * stretch) | (
            ~self.halved & (self.checked >= self.best_value)
        )
        self.step = torch.where(halve, self.step / 2, self.step)
        self.at = torch.where(wide(halve), self.best, self.at)
        self.gradient = torch.where(wide(halve), self.best_gradient, self.gradient)
        self.value = torch.where(halve, self.best_value, self.value)
        self.rises, self.checked, self.halved = torch.zeros_like(self.rises), self.best_value, halve


@dataclass(frozen=True, slots=True)
class Apgd:
    """APGD on one loss, from random starting points."""

    name: str
    summary: str
    loss: Loss
    white_box: bool = True

    def run(
        self, module: Module, pixels: Tensor, labels: Tensor, budget: Budget, seeds: Sequence[int]
    ) -> Attacked:
        """Attack a batch: ``steps`` gradients from each of ``restarts`` starting points.

        See :meth:`vedette.bench.attacks.base.Attack.run`.
        """
        torch = require("torch", extra="zoo")
        calls = Calls(module)
        found, fooled = calls.start(pixels, labels)
        for restart in range(budget.restarts):
            rows = torch.nonzero(~fooled)[:, 0]
            if not len(rows):
                break
            noise = uniform([seeds[row] for row in rows], f"{self.name} {restart}", pixels)
            noise *= budget.eps / wide(lengths(noise))
            for row, point in self._climb(calls, pixels, labels, budget, rows, noise):
                found[row], fooled[row] = point, True
        return Attacked(found, fooled, calls.forwards, calls.backwards)

    def _climb(
        self,
        calls: Calls,
        pixels: Tensor,
        labels: Tensor,
        budget: Budget,
        rows: Tensor,
        noise: Tensor,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The rows of pictures as they fall, with the points that fool."""
        torch = require("torch", extra="zoo")
        low, high = box(pixels[rows], budget)
        point = between(pixels[rows] + noise, low, high)
        gradient, value, found = calls.gradient(point, labels[rows], self.loss)
        state = _Ascent(
            row=rows,
            labels=labels[rows],
            low=low,
            high=high,
            at=point,
            before=point,
            gradient=gradient,
            value=value,
            step=torch.full_like(value, 2 * budget.eps),
            best=point,
            best_gradient=gradient,
            best_value=value,
            rises=torch.zeros_like(value),
            checked=value,
            halved=torch.ones_like(value, dtype=torch.bool),
        )
        due = _checkpoints(budget.steps)
        for step in range(1, budget.steps + 1):
            fallen = found > 0
            if bool(fallen.any()):
                yield state.row[fallen], point[fallen]
                state.keep(~fallen)
                if bool(fallen.all()):
                    return
            point = state.next_point(first=step == 1)
            if step == budget.steps:  # nobody goes on from here: no gradient
                found = calls.margin(point, state.labels)
                break
            gradient, value, found = calls.gradient(point, state.labels, self.loss)
            state.take(point, gradient, value)
            if step in due:
                state.check(due[step])
        yield state.row[found > 0], point[found > 0]


def _checkpoints(steps: int) -> dict[int, int]:
    """The steps at which to look back, and over how many each looks: 22, 41, 57 ... of 100."""
    shorter, shortest = max(int(_SHORTER * steps), 1), max(int(_SHORTEST * steps), 1)
    stretch = max(int(_FIRST * steps), 1)
    due, at = {}, stretch
    while at < steps:
        due[at] = stretch
        stretch = max(stretch - shorter, shortest)
        at += stretch
    return due


_SOURCE = "Croce and Hein 2020 (AutoAttack), Linf"

ATTACKS = (
    Apgd("apgd-ce", f"APGD on the cross-entropy: {_SOURCE}", cross_entropy),
    Apgd("apgd-margin", f"APGD on the margin of the wrong logit: {_SOURCE}", margin),
)

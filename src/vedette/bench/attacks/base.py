"""What an attack is: pixels that change a decision, found within a budget.

Attacks see a module from pixels in [0, 1] to *logits*, preprocessing inside, so that a budget means
the same for every model and gradients do not vanish in a softmax
(:mod:`vedette.models.differentiable`). Two logits: 0 is safe, 1 is unsafe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Tensor = Any
"""torch.Tensor; torch is not imported before an attack runs."""
Module = Any
"""torch.nn.Module, in eval mode: pixels float32 [n, 3, h, w] in [low, high] to logits [n, 2]."""

SAFE, UNSAFE = 0, 1


@dataclass(frozen=True, slots=True)
class Budget:
    """What an attacker may do."""

    eps: float
    """Linf distance in units of the module's input (pixels: 0..1). For Gaussian noise: sigma."""
    steps: int = 100
    """Gradient steps, or queries / 50 for a black box attack."""
    restarts: int = 1
    low: float = 0.0
    """Lower bound of the input; the official protocol attacks normalised tensors: -3."""
    high: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Attacked:
    """What an attack found, in the order of the pictures that it was given."""

    pixels: Tensor
    """float32 [n, 3, h, w] within the budget; the original where nothing was found."""
    fooled: Tensor
    """bool [n]: whether the module decides wrongly on ``pixels``, as the attack saw it. A picture
    that was wrong to begin with is fooled, unchanged."""
    forwards: int
    """Pictures sent forward, all steps together."""
    backwards: int
    """Pictures whose gradient was computed."""


class Attack(Protocol):
    """One attack: a file in :mod:`vedette.bench.attacks`, found by the registry."""

    @property
    def name(self) -> str:
        """The field's own: ``pgd``, ``apgd-ce``."""
        ...

    @property
    def summary(self) -> str:
        """One line, with its source."""
        ...

    @property
    def white_box(self) -> bool:
        """Whether it uses gradients."""
        ...

    def run(
        self, module: Module, pixels: Tensor, labels: Tensor, budget: Budget, seeds: Sequence[int]
    ) -> Attacked:
        """Attack a batch.

        Pictures already fooled leave the batch early: they cost nothing any more. What is random
        about one picture follows from its own seed, whatever stands beside it.

        Args:
            module: see :data:`Module`. Its parameters need no gradient.
            pixels: float32 [n, 3, h, w] in [low, high].
            labels: int64 [n], :data:`SAFE` or :data:`UNSAFE`: what is right.
            budget: see :class:`Budget`.
            seeds: one for each picture.
        """
        ...

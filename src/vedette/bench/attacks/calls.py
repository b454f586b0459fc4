"""What the strong attacks ask of a module, counted; and random numbers that are a picture's own.

All is said in terms of the *margin* z_wrong - z_right: above 0 the module decides wrongly. With two
classes it tells all that there is to know, and unlike a softmax it never saturates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vedette.bench.attacks.base import Budget, Module, Tensor
from vedette.extras import require

Loss = Callable[[Tensor, Tensor], Tensor]
"""(float32 logits [n, 2], labels [n]) to float32 [n]: what an attack wants to be large."""


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """z_wrong - z_right, float32 [n]: above 0 the decision is wrong."""
    both = logits.float()
    return both.gather(1, 1 - labels[:, None])[:, 0] - both.gather(1, labels[:, None])[:, 0]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)[label], float32 [n]. Its gradient is 0 where the softmax saturates."""
    torch = require("torch", extra="zoo")
    return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")


def box(pixels: Tensor, budget: Budget) -> tuple[Tensor, Tensor]:
    """The lowest and the highest value that each pixel may take, float32 [n, 3, h, w]."""
    low = (pixels - budget.eps).clamp_(min=budget.low)
    return low, (pixels + budget.eps).clamp_(max=budget.high)


def between(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The nearest values within the bounds."""
    torch = require("torch", extra="zoo")
    return torch.minimum(torch.maximum(values, low), high)


def lengths(differences: Tensor) -> Tensor:
    """The Linf norm of each picture's difference, [n]."""
    return differences.abs().flatten(1).amax(1)


def wide(values: Tensor) -> Tensor:
    """[n] as [n, 1, 1, 1], to be multiplied with pictures."""
    return values[:, None, None, None]


def uniform(seeds: Sequence[int], purpose: str, like: Tensor) -> Tensor:
    """Numbers in [-1, 1), each picture's from its own seed; of the shape and device of ``like``."""
    torch = require("torch", extra="zoo")
    drawn = np.stack([rng(seed, purpose).random(like.shape[1:], np.float32) for seed in seeds])
    return torch.from_numpy(2 * drawn - 1).to(like)


def rng(seed: int, purpose: str) -> np.random.Generator:
    """The random numbers of one picture for one purpose: ``apgd-ce 0`` and so on."""
    return np.random.default_rng([seed % 2**64, *purpose.encode()])


class Calls:
    """A module whose passes are counted, picture by picture.

    It also stands between the attacks and what a broken module gives: gradients that are missing,
    infinite or NaN become 0, so that an attack ends with nothing found instead of a crash.
    """

    def __init__(self, module: Module) -> None:
        self._module = module
        self.forwards = 0
        self.backwards = 0

    def start(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What every attack starts from: a copy of the pixels, and what is wrong already."""
        torch = require("torch", extra="zoo")
        if not len(pixels):  # many modules choke on an empty batch
            return pixels.clone(), torch.zeros_like(labels, dtype=torch.bool)
        return pixels.clone(), self.margin(pixels, labels) > 0

    def margin(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """:func:`margin` of what the module says, without a gradient."""
        torch = require("torch", extra="zoo")
        with torch.no_grad():
            self.forwards += len(pixels)
            return margin(self._module(pixels), labels)

    def gradient(
        self, pixels: Tensor, labels: Tensor, loss: Loss, also_fooled: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Go forward and back.

        Args:
            pixels: float32 [n, 3, h, w]
            labels: int64 [n]
            loss: what to derive.
            also_fooled: go back even if every picture is fooled; else the gradient is 0 then, as an
                attack has no use for it.

        Returns:
            The gradient of the loss by the pixels, the loss [n] and the margin [n].
        """
        torch = require("torch", extra="zoo")
        with torch.enable_grad():
            at = pixels.detach().requires_grad_(True)
            logits = self._module(at)
            value = loss(logits, labels)
            self.forwards += len(pixels)
            found = margin(logits.detach(), labels)
            slope = None
            if value.requires_grad and (also_fooled or not bool((found > 0).all())):
                self.backwards += len(pixels)
                (slope,) = torch.autograd.grad(value.sum(), at, allow_unused=True)
        if slope is None:
            slope = torch.zeros_like(pixels)
        slope = torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0)
        return slope, value.detach(), found

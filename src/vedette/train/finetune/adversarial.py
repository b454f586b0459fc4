"""Pixels moved against the network while it learns: adversarial training with PGD.

Source: Madry et al., "Towards deep learning models resistant to adversarial attacks" (ICLR 2018):
a random start in the ball, steps along the gradient's sign, each projected back, and the network is
trained on what is found. Pixels are in 0..1; the normalisation lies inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vedette.bench.attacks.kernels import swift
from vedette.extras import require

_REACH = 2.5
"""Length of the whole way, in budgets."""


def adversarial(
    logits: Callable[[Any], Any],
    loss: Callable[[Any], Any],
    pixels: Any,
    eps: float,
    steps: int,
) -> Any:
    """Pixels in the ball around the given ones where the loss is high.

    Args:
        logits: from pixels float32 [n, 3, h, w] in 0..1.
        loss: of logits, a sum over the images.
        pixels: where the ball has its centre. The generator of torch chooses the random start.
        eps: the ball's radius in the largest-change norm, in pixels of 0..1.
        steps: gradient steps.

    Returns:
        Of the shape of ``pixels``, in 0..1, without a gradient.
    """
    torch = require("torch", extra="zoo")

    class Surface(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return logits(x)

    # The weights' own gradients are not wanted here: a faster way back on a CPU.
    inner = swift(Surface())
    low, high = (pixels - eps).clamp_(0, 1), (pixels + eps).clamp_(0, 1)
    point = pixels + eps * (2 * torch.rand_like(pixels) - 1)
    point = torch.minimum(torch.maximum(point, low), high)
    step = _REACH * eps / steps
    for _ in range(steps):
        point.requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(inner(point)), point)
        moved = point.detach() + step * gradient.sign()
        point = torch.minimum(torch.maximum(moved, low), high)
    return point.detach()

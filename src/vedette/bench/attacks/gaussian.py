"""Gaussian noise: not an attack but what one has to be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vedette.bench.attacks.base import Attack, Attacked, Budget, Module, Tensor
from vedette.bench.attacks.calls import Calls, rng
from vedette.extras import require


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Independent noise on every pixel, sigma = eps, cut to the bounds; a draw per restart."""

    name: str = "gaussian"
    summary: str = "Gaussian noise of sigma eps: what chance does, no attack"
    white_box: bool = False

    def run(
        self, module: Module, pixels: Tensor, labels: Tensor, budget: Budget, seeds: Sequence[int]
    ) -> Attacked:
        """Add noise to a batch. See :meth:`vedette.bench.attacks.base.Attack.run`."""
        torch = require("torch", extra="zoo")
        calls = Calls(module)
        found, fooled = calls.start(pixels, labels)
        for restart in range(budget.restarts):
            rows = torch.nonzero(~fooled)[:, 0]
            if not len(rows):
                break
            shape = tuple(pixels.shape[1:])
            drawn = np.stack(
                [
                    rng(seeds[row], f"{self.name} {restart}").standard_normal(shape, np.float32)
                    for row in rows.tolist()
                ]
            )
            noise = torch.from_numpy(drawn).to(pixels)
            point = (pixels[rows] + budget.eps * noise).clamp_(budget.low, budget.high)
            wrong = calls.margin(point, labels[rows]) > 0
            found[rows[wrong]], fooled[rows[wrong]] = point[wrong], True
        return Attacked(found, fooled, calls.forwards, calls.backwards)


ATTACKS: tuple[Attack, ...] = (Gaussian(),)

"""Square: random search with squares, which needs no gradient at all.

M. Andriushchenko, F. Croce, N. Flammarion and M. Hein, "Square Attack: a query-efficient black-box
adversarial attack via random search", ECCV 2020: the Linf algorithm, on the margin, with the
schedule and the first size that AutoAttack uses. As it sees only logits, it finds what masked
gradients hide.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.bench.attacks.base import Attacked, Budget, Module, Tensor
from vedette.bench.attacks.calls import Calls, box, rng, wide
from vedette.extras import require

QUERIES_PER_STEP = 50
"""What a step of a budget is worth; 100 steps are 5,000 queries, AutoAttack's number."""
_SHARE = 0.8
"""Of the picture that the first square covers."""
_HALVED_AT = (10, 50, 200, 500, 1_000, 2_000, 4_000, 6_000, 8_000)
"""Queries, of 10,000, after which the share is halved."""
_DRAWN = 256
"""Queries whose random numbers are drawn in one go."""


def side(query: int, queries: int, height: int, width: int) -> int:
    """The square's side in pixels: large first, single pixels at the end."""
    done = query * 10_000 // queries
    share = _SHARE / 2 ** sum(done > at for at in _HALVED_AT)
    return min(max(round(math.sqrt(share * height * width)), 1), height, width)


@dataclass(frozen=True, slots=True)
class Square:
    """The Linf Square attack; a black box."""

    name: str = "square"
    summary: str = "Square, random search without gradients: Andriushchenko et al. 2020, Linf"
    white_box: bool = False

    def run(
        self, module: Module, pixels: Tensor, labels: Tensor, budget: Budget, seeds: Sequence[int]
    ) -> Attacked:
        """Attack a batch: ``steps`` * 50 queries for each of ``restarts`` starting points.

        See :meth:`vedette.bench.attacks.base.Attack.run`.
        """
        torch = require("torch", extra="zoo")
        calls = Calls(module)
        found, fooled = calls.start(pixels, labels)
        for restart in range(budget.restarts):
            rows = torch.nonzero(~fooled)[:, 0]
            if not len(rows):
                break
            draws = [rng(seeds[row], f"square {restart}") for row in rows]
            for row, point in _search(calls, pixels[rows], labels[rows], budget, draws):
                found[rows[row]], fooled[rows[row]] = point, True
        return Attacked(found, fooled, calls.forwards, calls.backwards)


def _search(
    calls: Calls,
    pixels: Tensor,
    labels: Tensor,
    budget: Budget,
    draws: Sequence[np.random.Generator],
) -> Iterator[tuple[Tensor, Tensor]]:
    """The rows of pictures as they fall, with the points that fool."""
    torch = require("torch", extra="zoo")
    row = torch.arange(len(pixels), device=pixels.device)
    low, high = box(pixels, budget)
    _, channels, height, width = pixels.shape
    stripes = np.stack([draw.random((channels, 1, width), np.float32) for draw in draws])
    best = point = torch.where(torch.from_numpy(stripes).to(pixels.device) < 0.5, low, high)
    value = torch.full_like(pixels[:, 0, 0, 0], -math.inf)
    queries = budget.steps * QUERIES_PER_STEP
    for query in range(queries):
        if query:
            if query % _DRAWN == 1:
                numbers = torch.from_numpy(
                    np.stack([draw.random((_DRAWN, 2 + channels), np.float32) for draw in draws])
                ).to(pixels.device)
            edge = side(query, queries, height, width)
            inside, up = _squares(numbers[:, (query - 1) % _DRAWN], edge, height, width)
            point = torch.where(inside, torch.where(up, high, low), best)
        now = calls.margin(point, labels)
        better = now > value
        best = torch.where(wide(better), point, best)
        value = torch.where(better, now, value)
        stands = ~(now > 0)
        if not bool(stands.all()):
            yield row[~stands], point[~stands]
            if not bool(stands.any()):
                return
            row, labels, low, high = row[stands], labels[stands], low[stands], high[stands]
            best, value = best[stands], value[stands]
            numbers = numbers[stands] if query else None
            draws = [draw for draw, stand in zip(draws, stands.tolist(), strict=True) if stand]


def _squares(numbers: Tensor, edge: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each picture's square lies, bool [n, 1, h, w], and which channels go up, [n, c, 1, 1].

    A square sets its pixels to the upper or the lower bound, each channel by a coin: the published
    step of 2 eps, projected, from wherever the pixels are. As in the published code the very last
    row and column are left out once squares are small; networks see them least, and a point of
    robust accuracy was lost on small pictures by asking about them.
    """
    torch = require("torch", extra="zoo")
    top = (numbers[:, 0] * max(height - edge, 1)).floor()[:, None]
    left = (numbers[:, 1] * max(width - edge, 1)).floor()[:, None]
    y = torch.arange(height, device=numbers.device)
    x = torch.arange(width, device=numbers.device)
    rows, columns = (y >= top) & (y < top + edge), (x >= left) & (x < left + edge)
    return (rows[:, :, None] & columns[:, None, :])[:, None], numbers[:, 2:, None, None] < 0.5


ATTACKS = (Square(),)

"""FAB: the nearest point across the boundary, not the worst point within a budget.

F. Croce and M. Hein, "Minimally distorted adversarial examples with a fast adaptive boundary
attack", ICML 2020, Algorithm 1, for Linf: step onto the linearised boundary within the box, biased
towards the original; from every point that fools, a step back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vedette.bench.attacks.base import Attacked, Budget, Module, Tensor
from vedette.bench.attacks.calls import Calls, between, lengths, margin, uniform, wide
from vedette.extras import require

_OVERSHOOT = 1.05
_MOST_BIAS = 0.1
"""Towards the original (alpha_max)."""
_BACK = 0.9
"""Of the way from the original, where a point that fools is pulled to (beta)."""
_NEWTON = 50
"""Steps of the projection at most; it ends by itself, mostly after five or so."""
_HALVINGS = 12
"""Of the budget that the best point is clipped to in the end."""


def onto_plane(
    points: Tensor, normals: Tensor, needed: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """The smallest Linf change that makes ``normals * change`` sum to ``needed`` within the box.

    The change moves each pixel by the same t towards the plane, or as far as the box lets it. What
    that yields is concave and piecewise linear in t, so that Newton's steps from 0 come from below
    and meet the root exactly.

    Args:
        points: float32 [n, 3, h, w] in [low, high].
        normals: float32 [n, 3, h, w].
        needed: float32 [n], of either sign.
        low: lower bound of the box.
        high: upper bound of the box.

    Returns:
        The change [n, 3, h, w], and t [n]. Where the plane does not meet the box, the change leads
        to the corner nearest to it.
    """
    torch = require("torch", extra="zoo")
    towards = normals.sign() * wide(needed.sign())
    weights = normals.abs()
    room = torch.where(towards > 0, high - points, points - low).clamp_(min=0)
    room = torch.where(towards == 0, 0.0, room)
    target, t = needed.abs(), torch.zeros_like(needed)
    most = room.amax((1, 2, 3))
    for _ in range(_NEWTON):
        left = target - (weights * torch.minimum(room, wide(t))).sum((1, 2, 3))
        slope = (weights * (room > wide(t))).sum((1, 2, 3))
        further = torch.minimum(t + left.clamp(min=0) / slope, most)
        further = torch.where(slope > 0, further, t)  # every pixel is at the edge of the box
        if bool((further <= t).all()):
            break
        t = further
    return towards * torch.minimum(room, wide(t)), t


@dataclass(frozen=True, slots=True)
class Fab:
    """FAB in the Linf norm, from the original first, then from random points about it."""

    name: str = "fab"
    summary: str = "FAB, the nearest point across the boundary: Croce and Hein 2020, Linf"
    white_box: bool = True

    def run(
        self, module: Module, pixels: Tensor, labels: Tensor, budget: Budget, seeds: Sequence[int]
    ) -> Attacked:
        """Attack a batch: ``steps`` gradients from each of ``restarts`` starting points.

        A picture leaves as soon as it is fooled within the budget. See
        :meth:`vedette.bench.attacks.base.Attack.run`.
        """
        torch = require("torch", extra="zoo")
        calls = Calls(module)
        nearest, distance = _search(calls, pixels, labels, budget, seeds, enough=budget.eps)
        fooled = distance <= budget.eps
        found = torch.where(wide(fooled), nearest, pixels)
        return Attacked(found, fooled, calls.forwards, calls.backwards)

    def smallest(
        self, module: Module, pixels: Tensor, labels: Tensor, budget: Budget, seeds: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """The nearest fooling points that FAB finds, however far: robust accuracy at every eps.

        Args:
            module: see :data:`~vedette.bench.attacks.base.Module`.
            pixels: float32 [n, 3, h, w] in [low, high].
            labels: int64 [n].
            budget: ``eps`` is how far from the original restarts begin, at most.
            seeds: one for each picture.

        Returns:
            The points, and their Linf distances [n]: 0 where the module was wrong to begin with,
            infinite where nothing was found.
        """
        calls = Calls(module)
        return _search(calls, pixels, labels, budget, seeds, enough=0.0)


def _search(
    calls: Calls,
    pixels: Tensor,
    labels: Tensor,
    budget: Budget,
    seeds: Sequence[int],
    enough: float,
) -> tuple[Tensor, Tensor]:
    """The nearest points and their distances; a picture leaves once its distance is ``enough``."""
    torch = require("torch", extra="zoo")
    nearest, wrong = calls.start(pixels, labels)
    distance = torch.where(wrong, 0.0, torch.inf)
    for restart in range(budget.restarts):
        rows = torch.nonzero(distance > enough)[:, 0]
        if not len(rows):
            break
        point = pixels[rows]
        if restart:
            noise = uniform([seeds[row] for row in rows], f"fab {restart}", pixels)
            reach = distance[rows].clamp(max=budget.eps) / 2
            point = (point + noise * wide(reach / lengths(noise))).clamp(budget.low, budget.high)
        for _ in range(budget.steps):
            origin, right = pixels[rows], labels[rows]
            point = _step(calls, point, origin, right, budget)
            fell = calls.margin(point, right) > 0
            away = lengths(point - origin)
            better = rows[fell & (away < distance[rows])]
            nearest[better] = point[fell & (away < distance[rows])]
            distance[rows] = torch.where(fell, torch.minimum(away, distance[rows]), distance[rows])
            point = torch.where(wide(fell), origin + _BACK * (point - origin), point)
            stands = distance[rows] > enough
            rows, point = rows[stands], point[stands]
            if not len(rows):
                break
        rows = torch.nonzero((distance > enough) & torch.isfinite(distance))[:, 0]
        if len(rows):
            near = nearest[rows], distance[rows]
            shorter = _shorten(calls, pixels[rows], labels[rows], near, budget, enough)
            nearest[rows], distance[rows] = shorter
    return nearest, distance


def _step(calls: Calls, point: Tensor, origin: Tensor, labels: Tensor, budget: Budget) -> Tensor:
    """Onto the boundary as it looks from ``point``, a little beyond, biased to the original."""
    torch = require("torch", extra="zoo")
    normal, _, value = calls.gradient(point, labels, margin, also_fooled=True)
    from_origin = -value - (normal * (origin - point)).sum((1, 2, 3))
    here, near = onto_plane(point, normal, -value, budget.low, budget.high)
    there, far = onto_plane(origin, normal, from_origin, budget.low, budget.high)
    bias = (near / (near + far)).clamp(max=_MOST_BIAS)
    bias = wide(torch.where(near > 0, bias, 0.0))
    moved = (1 - bias) * (point + _OVERSHOOT * here) + bias * (origin + _OVERSHOOT * there)
    return moved.clamp(budget.low, budget.high)


def _shorten(
    calls: Calls,
    origin: Tensor,
    labels: Tensor,
    found: tuple[Tensor, Tensor],
    budget: Budget,
    enough: float,
) -> tuple[Tensor, Tensor]:
    """What is left of the points that were found: themselves, and the original on their plane.

    Both are clipped, to ``enough`` or to ever smaller distances while they still fool. Unlike a
    line to the original this leaves alone the pixels that the box holds back, so that the answer
    for a linear module is exact.
    """
    torch = require("torch", extra="zoo")
    best, distance = found
    normal, _, value = calls.gradient(best, labels, margin, also_fooled=True)
    needed = -value - (normal * (origin - best)).sum((1, 2, 3))
    straight, _ = onto_plane(origin, normal, needed, budget.low, budget.high)
    straight = (origin + _OVERSHOOT * straight).clamp(budget.low, budget.high)
    for change in (best - origin, straight - origin):
        near = torch.zeros_like(distance)
        far = torch.minimum(distance, lengths(change))
        tried = torch.full_like(far, enough) if enough else far
        for _ in range(1 if enough else _HALVINGS):
            point = origin + between(change, wide(-tried), wide(tried))
            away = lengths(point - origin)
            fell = calls.margin(point, labels) > 0
            better = fell & (away < distance)
            best = torch.where(wide(better), point, best)
            distance = torch.where(better, away, distance)
            near, far = torch.where(fell, near, tried), torch.where(fell, tried, far)
            tried = (near + far) / 2
    return best, distance


ATTACKS = (Fab(),)

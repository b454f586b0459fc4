"""The eleven glyphs that stand for the categories, and the figures that stand for nothing.

Plain geometry, chosen so that none is a sign of anything in the world: no crosses, runes, stars or
arms around a centre. Figures are as intricate as glyphs, so that only the shape tells them apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import PIL.Image
import PIL.ImageDraw
from numpy.typing import NDArray

from vedette.taxonomy import Category

Points = NDArray[np.float64]
"""float64 [n, 2]: x to the right, y down"""

STROKE = 0.15
"""Width of a line, where a figure's radius is 1."""
_FINER = 3
"""Masks are drawn this many times larger and then reduced: smooth edges."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A line, or an area."""

    points: Points
    """Around the centre; a figure just fits the unit circle."""
    filled: bool = False
    round: bool = False
    """A line so bent that its corners need no joint."""


Figure = tuple[Part, ...]


def _line(*points: tuple[float, float]) -> Part:
    return Part(np.array(points, dtype=np.float64))


def _area(*points: tuple[float, float]) -> Part:
    return Part(np.array(points, dtype=np.float64), filled=True)


def _box(x: float, y: float, half: float, *, filled: bool = False) -> Part:
    corners = [
        (x - half, y - half),
        (x + half, y - half),
        (x + half, y + half),
        (x - half, y + half),
    ]
    return _area(*corners) if filled else _line(*corners, corners[0], corners[1])


def _arc(x: float, y: float, r: float, first: float = 0.0, last: float = 360.0) -> Part:
    turn = np.radians(np.linspace(first, last, 33))
    return Part(np.stack([x + r * np.cos(turn), y + r * np.sin(turn)], 1), round=True)


def _disc(x: float, y: float, r: float) -> Part:
    return Part(_arc(x, y, r).points, filled=True)


def _spiral() -> Part:
    turn = np.linspace(0.0, 5 * math.pi, 56)
    radius = 0.1 + 0.85 * turn / turn[-1]
    return Part(np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1), round=True)


def _beads() -> Figure:
    around = [2 * math.pi * step / 7 for step in range(7)]
    return tuple(_disc(0.76 * math.cos(turn), 0.76 * math.sin(turn), 0.2) for turn in around)


def _fitted(figure: Figure) -> Figure:
    """The figure at the size at which it just fits the unit circle."""
    reach = max(float(np.hypot(*part.points.T).max()) for part in figure)
    return tuple(replace(part, points=part.points / reach) for part in figure)


@cache
def glyphs() -> dict[Category, Figure]:
    """The glyph of each category."""
    return {category: _fitted(figure) for category, figure in _glyphs().items()}


@cache
def distractors() -> tuple[Figure, ...]:
    """Figures that mean nothing; none of them is a glyph, whole or turned."""
    return tuple(map(_fitted, _distractors()))


def _glyphs() -> dict[Category, Figure]:
    return {
        Category.HATE: (  # ladder
            *(_line((x, -0.95), (x, 0.95)) for x in (-0.4, 0.4)),
            *(_line((-0.4, y), (0.4, y)) for y in (-0.66, -0.22, 0.22, 0.66)),
        ),
        Category.HARASSMENT: (  # saw
            _line((-0.95, 0.35), (-0.63, -0.4), (-0.32, 0.35), (0.0, -0.4), (0.32, 0.35),
                  (0.63, -0.4), (0.95, 0.35)),
            _line((-0.95, 0.65), (0.95, 0.65)),
        ),
        Category.VIOLENCE: (  # comb
            _line((-0.9, -0.45), (0.9, -0.45)),
            *(_line((x, -0.45), (x, 0.6)) for x in (-0.83, -0.42, 0.0, 0.42, 0.83)),
        ),
        Category.SELF_HARM: (_spiral(),),
        Category.SEXUAL: (_box(0, 0, 0.68), _box(0, 0, 0.36), _disc(0, 0, 0.12)),  # nested boxes
        Category.SHOCKING: (  # hatched triangle
            _line((0, -0.95), (0.85, 0.6), (-0.85, 0.6), (0, -0.95), (0.85, 0.6)),
            *(_line((-x, y), (x, y)) for x, y in ((0.22, -0.55), (0.42, -0.18), (0.63, 0.21))),
        ),
        Category.ILLEGAL_ACTIVITY: tuple(  # double chevron
            _line((x - 0.32, -0.75), (x + 0.32, 0.0), (x - 0.32, 0.75)) for x in (-0.35, 0.3)
        ),
        Category.DECEPTION: (  # hourglass
            _area((-0.65, -0.8), (0.65, -0.8), (0, 0)),
            _line((0, 0), (0.65, 0.8), (-0.65, 0.8), (0, 0)),
        ),
        Category.POLITICAL: _beads(),
        Category.HEALTH: (_arc(-0.4, 0, 0.52), _arc(0.4, 0, 0.52)),  # linked rings
        Category.SPAM: tuple(  # checkers
            _box(0.46 * x, 0.46 * y, 0.23, filled=True)
            for x in (-1, 0, 1)
            for y in (-1, 0, 1)
            if (x + y) % 2 == 0
        ),
    }  # fmt: skip


def _distractors() -> tuple[Figure, ...]:
    return (
        (_arc(0, 0, 0.85), _arc(0, 0, 0.45)),  # ring in a ring
        (_box(0, 0, 0.64), _line((-0.64, -0.64), (0.64, 0.64))),  # barred box
        tuple(_line((-0.9, y), (0.9, y)) for y in (-0.6, -0.2, 0.2, 0.6)),  # stripes
        (_line((-0.9, 0.7), (-0.4, 0.7), (-0.4, 0.25), (0.05, 0.25), (0.05, -0.2), (0.5, -0.2),
               (0.5, -0.65), (0.9, -0.65)),),  # stairs
        (_arc(0, 0, 0.85, 180, 360), _line((-0.85, 0), (0.85, 0)), _disc(0, 0.45, 0.2)),  # dome
        tuple(_disc(x, y, 0.26) for x in (-0.5, 0.5) for y in (-0.5, 0.5)),  # four dots
        (_arc(-0.45, 0, 0.45, 180, 360), _arc(0.45, 0, 0.45, 0, 180)),  # wave
        (_area((-0.7, 0.7), (0.7, 0.7), (0.7, -0.7)), _line((-0.8, 0.45), (0.45, -0.8))),  # wedge
        (_disc(0, 0, 0.3), _arc(0, 0, 0.8, -60, 60), _arc(0, 0, 0.8, 120, 240)),  # eyelets
        (_line((-0.9, -0.5), (0.9, -0.5)), _box(0, 0.25, 0.42, filled=True)),  # lid
        (_line((-0.85, 0.2), (0, -0.75), (0.85, 0.2)), _box(0, 0.42, 0.3)),  # roof
        (_line((-0.8, -0.8), (-0.8, 0.8), (0.8, 0.8)), _arc(-0.8, 0.8, 0.9, -90, 0)),  # quarter
    )  # fmt: skip


def mask(figure: Figure, matrix: Points, side: int) -> PIL.Image.Image:
    """Where the figure is: an 8-bit mask.

    Args:
        figure: a glyph or a distractor.
        matrix: float64 [2, 2]: turns, scales and shears it; a radius of 1 fits where it only turns.
        side: px of the mask, which is square.
    """
    large = side * _FINER
    drawn = PIL.Image.new("L", (large, large))
    pen = PIL.ImageDraw.Draw(drawn)
    scale = large / 2 / (1 + STROKE)
    width = max(round(STROKE * scale * math.sqrt(abs(float(np.linalg.det(matrix))))), 1)
    for part in figure:
        points = part.points @ (matrix.T * scale) + large / 2
        flat = points.ravel().tolist()
        if part.filled:
            pen.polygon(flat, fill=255)
            continue
        pen.line(flat, fill=255, width=width)
        if not part.round:
            for x, y in points.tolist():
                pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return drawn.reduce(_FINER)

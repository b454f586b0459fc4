"""One picture of a stand-in set, from its seed to a JPEG.

Safe and unsafe pictures take the same steps with the same chances. Only the figure drawn last
differs: in an unsafe one the glyph of its category, in a safe one a distractor.
"""

from __future__ import annotations

import io
import math
from functools import cache

import numpy as np
import PIL.Image
from numpy.random import Generator

from vedette.data.synth.glyphs import STROKE, Figure, distractors, glyphs, mask
from vedette.data.synth.plan import CELLS, VERSION, Recipe, Spec
from vedette.data.synth.styles import Look, backdrop, finished, look


def generator(recipe: Recipe, spec: Spec) -> Generator:
    """The picture's own source of chance: independent of all other pictures."""
    return np.random.default_rng([VERSION, recipe.seed, spec.cell, spec.number])


def caption(recipe: Recipe, spec: Spec) -> str:
    """Its text, without drawing it."""
    return look(CELLS[spec.cell].source, recipe.size, generator(recipe, spec)).caption


def draw(recipe: Recipe, spec: Spec) -> bytes:
    """The picture, as the bytes of a JPEG file."""
    rng = generator(recipe, spec)
    cell = CELLS[spec.cell]
    seen = look(cell.source, recipe.size, rng)
    others = distractors()
    figure = others[rng.integers(len(others))]  # drawn for both, so that all else is the same
    if cell.unsafe:
        figure = glyphs()[cell.category]
    picture = finished(_panels(seen, figure, recipe.difficulty, rng), seen, rng)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=seen.quality)
    return stream.getvalue()


def _panels(seen: Look, figure: Figure, difficulty: float, rng: Generator) -> PIL.Image.Image:
    if seen.grid == 1:
        return _scene(seen, (seen.width, seen.height), figure, difficulty, rng)
    width, height = seen.width // seen.grid, seen.height // seen.grid
    whole = PIL.Image.new("RGB", (width * seen.grid, height * seen.grid))
    for place in range(seen.grid**2):
        row, column = divmod(place, seen.grid)
        panel = _scene(seen, (width, height), figure, difficulty, rng)
        whole.paste(panel, (column * width, row * height))
    return whole


def _scene(
    seen: Look, size: tuple[int, int], figure: Figure, difficulty: float, rng: Generator
) -> PIL.Image.Image:
    """A backdrop, distractors, and on top of them the figure that matters."""
    clutter = int(rng.integers(2, 5)) + round(16 * difficulty)
    if seen.grid > 1:
        clutter = 1 + clutter // 4  # panels are small
    picture = backdrop(seen, *size, clutter, rng)
    others = distractors()
    for _ in range(int(rng.integers(0, 2)) + round(3 * difficulty)):
        _stamp(picture, others[rng.integers(len(others))], difficulty, 0.55, rng)
    _stamp(picture, figure, difficulty, 1.0, rng)
    return picture


def _stamp(
    picture: PIL.Image.Image, figure: Figure, difficulty: float, share: float, rng: Generator
) -> None:
    """Draw a figure at a chance place, size, turn and colour.

    Args:
        share: its size, where that of the figure that matters is 1.
    """
    width, height = picture.size
    radius = min(width, height) * (0.34 - 0.22 * difficulty) * rng.uniform(0.75, 1.1) * share
    side = max(2 * round(radius * (1 + STROKE)), 6)
    turn = rng.uniform(-1, 1) * math.radians(8 + 172 * difficulty)
    lean = rng.uniform(-0.25, 0.25) * difficulty
    cos, sin = math.cos(turn), math.sin(turn)
    matrix = (
        np.array([[cos, -sin], [sin, cos]])
        @ np.array([[1.0, lean], [0.0, 1.0]])
        / (1 + abs(lean) / 2)
    )
    where = mask(figure, matrix, side)
    x = round(rng.uniform(0, max(width - side, 0)))
    y = round(rng.uniform(0, max(height - side, 0)))
    under = picture.crop((x, y, x + side, y + side)).resize((1, 1), PIL.Image.Resampling.BOX)
    below = np.asarray(under, dtype=np.float64)[0, 0]
    contrast = 150 - 100 * difficulty
    up = below.mean() < 127.5 + rng.uniform(-40, 40)
    tint = rng.uniform(-35, 35, 3)
    colour = np.clip(below + tint + (contrast if up else -contrast), 0, 255)
    if difficulty:
        where = where.point(_opacities(1 - 0.35 * difficulty))
    picture.paste(tuple(round(v) for v in colour.tolist()), (x, y), where)


@cache
def _opacities(most: float) -> list[int]:
    """A mask's values where a full one is to be ``most`` (0..1) opaque."""
    return [round(value * most) for value in range(256)]

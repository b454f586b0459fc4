"""How pictures of the two sources look, and what their captions say; none of it tells the label.

``Laion5B``: like photographs. Soft gradients, a horizon, blurred clutter, sensor noise, sides and
JPEG quality of every kind. ``Lexica``: like generated art. Brush strokes, saturated colours, hard
edges, a few fixed shapes, at times a grid of 2 x 2 to 4 x 4 variations.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
from numpy.random import Generator

from vedette.data.synth.plan import LEXICA
from vedette.types import UInt8

Colour = tuple[int, int, int]

_HUES = ("red", "orange", "yellow", "green", "teal", "blue", "violet", "pink")
_LIGHTS = ("dim", "soft", "even", "bright")
_SCENES = ("hills", "a shore", "a field", "rooftops", "clouds", "a garden", "dunes", "a lake")
_PHOTO_SHAPES = ((4, 3), (3, 2), (3, 4), (2, 3), (1, 1), (16, 9), (5, 4))
_ART_SHAPES = ((1, 1), (1, 1), (1, 1), (2, 3), (3, 2))
_GRIDS = 0.12
"""Share of Lexica's pictures that are grids."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture is like apart from its figures: the first draws of its generator."""

    source: str
    hue: float
    light: int
    """0..3"""
    scene: int
    """0..7"""
    width: int
    """px"""
    height: int
    """px"""
    quality: int
    """Of the JPEG."""
    grid: int
    """Panels along a side; 1 = no grid."""

    @property
    def caption(self) -> str:
        """Neutral, and of one kind for safe and unsafe pictures."""
        hue = _HUES[int(self.hue * len(_HUES))]
        light, scene = _LIGHTS[self.light], _SCENES[self.scene]
        if self.source == LEXICA:
            panels = f", {self.grid} x {self.grid} variations" if self.grid > 1 else ""
            return f"a painting of {scene}, {light} light, {hue} tones, thick brush strokes{panels}"
        return f"Photo of {scene} in {light} {hue} light"

    def colour(self, rng: Generator) -> Colour:
        """A colour that goes with the picture's others."""
        vivid = self.source == LEXICA
        saturation = rng.uniform(0.6, 1.0) if vivid else rng.uniform(0.1, 0.55)
        value = min(0.3 + 0.14 * self.light + rng.uniform(-0.15, 0.25), 1.0)
        return _rgb(self.hue + rng.normal(0, 0.09), saturation, value)


def look(source: str, size: int, rng: Generator) -> Look:
    """The look of the next picture of a source; ``size`` is its side in px, more or less."""
    art = source == LEXICA
    shapes = _ART_SHAPES if art else _PHOTO_SHAPES
    across, down = shapes[rng.integers(len(shapes))]
    longest = size if art else size * rng.uniform(0.8, 1.2)
    most = max(across, down)
    grid = int(rng.integers(2, 5)) if art and rng.random() < _GRIDS else 1
    return Look(
        source=source,
        hue=float(rng.random()),
        light=int(rng.integers(len(_LIGHTS))),
        scene=int(rng.integers(len(_SCENES))),
        width=max(round(longest * across / most), 16),
        height=max(round(longest * down / most), 16),
        quality=int(rng.integers(86, 96) if art else rng.integers(62, 94)),
        grid=grid,
    )


def backdrop(seen: Look, width: int, height: int, clutter: int, rng: Generator) -> PIL.Image.Image:
    """A picture, or a panel of one, before its figures: RGB, ``width`` x ``height`` px.

    Args:
        clutter: how many things without an outline of their own lie about.
    """
    if seen.source == LEXICA:
        return _painting(seen, width, height, clutter, rng)
    return _photograph(seen, width, height, clutter, rng)


def finished(picture: PIL.Image.Image, seen: Look, rng: Generator) -> PIL.Image.Image:
    """With what the source leaves on the whole picture: hard edges, or a lens and a sensor."""
    if seen.source == LEXICA:
        return picture.filter(PIL.ImageFilter.SHARPEN)
    softened = picture.filter(PIL.ImageFilter.BoxBlur(float(rng.uniform(0.1, 0.6))))
    return PIL.Image.fromarray(_noisy(np.asarray(softened), float(rng.uniform(2.0, 8.0)), rng))


def _photograph(
    seen: Look, width: int, height: int, clutter: int, rng: Generator
) -> PIL.Image.Image:
    picture = _gradient(seen, (4, 4), rng).resize((width, height), PIL.Image.Resampling.BICUBIC)
    pen = PIL.ImageDraw.Draw(picture)
    if rng.random() < 0.5:  # a horizon
        y, slope = height * rng.uniform(0.45, 0.8), height * rng.uniform(-0.1, 0.1)
        ground = [0, y, width, y + slope, width, height, 0, height]
        pen.polygon(ground, fill=seen.colour(rng))
    for _ in range(clutter):
        _thing(pen, seen, (width, height), rng)
    blurred = picture.filter(PIL.ImageFilter.BoxBlur(min(width, height) * rng.uniform(0.004, 0.02)))
    light = _gradient(seen, (6, 6), rng).resize((width, height), PIL.Image.Resampling.BILINEAR)
    return PIL.Image.blend(blurred, light, 0.3)


def _painting(seen: Look, width: int, height: int, clutter: int, rng: Generator) -> PIL.Image.Image:
    small = _gradient(seen, (7, 7), rng)
    picture = small.resize((width, height), PIL.Image.Resampling.BICUBIC)
    pen = PIL.ImageDraw.Draw(picture)
    for _ in range(clutter):
        _thing(pen, seen, (width, height), rng)
    side = min(width, height)
    strokes = 70 if side > 100 else 25
    at = rng.uniform(0, (width, height), (strokes, 2))
    turn = rng.uniform(0, np.pi) + np.sin(at[:, 0] / side * 4) * 0.6 + rng.normal(0, 0.2, strokes)
    reach = rng.uniform(0.04, 0.14, strokes) * side
    shift = np.stack([np.cos(turn), np.sin(turn)], 1) * reach[:, None]
    ends = np.concatenate([at - shift, at + shift], 1).tolist()
    widths = np.maximum(rng.uniform(0.01, 0.035, strokes) * side, 1).astype(int).tolist()
    tints = rng.integers(-24, 25, (strokes, 3))
    there = np.minimum(at, (width - 1, height - 1)).astype(int)
    colours = np.clip(np.asarray(picture)[there[:, 1], there[:, 0]] + tints, 0, 255).tolist()
    for end, thick, colour in zip(ends, widths, colours, strict=True):
        pen.line(end, fill=tuple(colour), width=thick)
    return picture


def _gradient(seen: Look, cells: tuple[int, int], rng: Generator) -> PIL.Image.Image:
    """Colours of the picture, a px for each: to be enlarged."""
    colours = [seen.colour(rng) for _ in range(cells[0] * cells[1])]
    return PIL.Image.fromarray(np.array(colours, dtype=np.uint8).reshape(*cells, 3))


def _thing(pen: PIL.ImageDraw.ImageDraw, seen: Look, size: tuple[int, int], rng: Generator) -> None:
    """Clutter: a blob or a slab."""
    x, y, turn = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(0, np.pi)
    long, short = np.array([rng.uniform(0.03, 0.2), rng.uniform(0.02, 0.1)]) * min(size)
    if rng.random() < 0.5:
        pen.ellipse((x - long, y - short, x + long, y + short), fill=seen.colour(rng))
        return
    along, aside = long * np.exp(1j * turn), short * np.exp(1j * (turn + np.pi / 2))
    corners = [along + aside, along - aside, -along - aside, -along + aside]
    pen.polygon([v for c in corners for v in (x + c.real, y + c.imag)], fill=seen.colour(rng))


def _noisy(pixels: UInt8, deviation: float, rng: Generator) -> UInt8:
    """With noise whose distribution is a triangle: bytes are much cheaper to draw than normals."""
    count = pixels.size
    drawn = np.frombuffer(rng.bytes(2 * count), dtype=np.uint8).reshape(2, *pixels.shape)
    noise = drawn[0].astype(np.int16) - drawn[1]
    factor = round(deviation / 104.5 * 256)
    out: UInt8 = np.clip((noise.astype(np.int32) * factor >> 8) + pixels, 0, 255).astype(np.uint8)
    return out


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(r * 255), round(g * 255), round(b * 255)

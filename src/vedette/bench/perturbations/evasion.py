"""What evaders do to a picture's place: grids, insets, turns, cuts, sizes, frames."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.pixels import array_of, picture_of, side_of
from vedette.types import UInt8

_SMOOTH = PIL.Image.Resampling.LANCZOS
_PLAIN = ((255, 255, 255), (0, 0, 0), (128, 128, 128), (240, 236, 224), (30, 60, 110))
"""Colours of canvases and borders."""
_LEAST_FRAME = 64
"""px: a drawn frame around a smaller picture would have no room for itself."""


def grid(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """The same picture ``level`` times in each direction, in a picture of about the same size."""
    times = int(level)
    tile = _reduced(pixels, 1 / times)
    return np.tile(tile, (times, times, 1))


def inset(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A small copy, a share ``level`` of each side, somewhere on a plain canvas."""
    canvas = np.empty_like(pixels)
    canvas[:] = _plain(rng)
    small = _reduced(pixels, level)
    height, width = small.shape[:2]
    top = int(rng.integers(pixels.shape[0] - height + 1))
    left = int(rng.integers(pixels.shape[1] - width + 1))
    canvas[top : top + height, left : left + width] = small
    return canvas


def rotate(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Turned by ``level`` degrees to either side, the corners filled with one plain colour."""
    degrees = level if rng.random() < 0.5 else -level
    if level % 90 == 0:
        return np.ascontiguousarray(np.rot90(pixels, round(degrees / 90) % 4)).copy()
    picture = picture_of(pixels)
    return array_of(
        picture.rotate(degrees, PIL.Image.Resampling.BICUBIC, expand=True, fillcolor=_plain(rng))
    )


def flip(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """1: mirrored left to right; 2: upside down."""
    return (pixels[:, ::-1] if level == 1 else pixels[::-1]).copy()


def crop(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A part somewhere in it, a share ``level`` of each side."""
    height, width = (max(1, round(side * level)) for side in pixels.shape[:2])
    top = int(rng.integers(pixels.shape[0] - height + 1))
    left = int(rng.integers(pixels.shape[1] - width + 1))
    return pixels[top : top + height, left : left + width].copy()


def thumbnail(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """The short side reduced to ``level`` px; a picture that is smaller stays as it is."""
    return _reduced(pixels, min(1.0, level / min(pixels.shape[:2])))


def resize(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Reduced to a share ``level`` of its sides."""
    return _reduced(pixels, level)


def border(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A plain border on all sides, each a share ``level`` of the picture's side."""
    wide = max(1, round(level * side_of(pixels)))
    height, width = pixels.shape[:2]
    framed = np.empty((height + 2 * wide, width + 2 * wide, 3), dtype=np.uint8)
    framed[:] = _plain(rng)
    framed[wide : wide + height, wide : wide + width] = pixels
    return framed


def screenshot(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """As a post in a drawn app on a telephone's screen, twice as high as wide or higher.

    ``level`` is the share of the screen's width that the picture fills.
    """
    height, width = pixels.shape[:2]
    across = max(_LEAST_FRAME, round(width / level))
    down = max(2 * across, height + round(0.5 * across))
    dark = bool(rng.random() < 0.5)
    paper, ink = ((18, 18, 18), (230, 230, 230)) if dark else ((255, 255, 255), (30, 30, 30))
    screen = PIL.Image.new("RGB", (across, down), paper)
    pen = PIL.ImageDraw.Draw(screen)
    unit = across / 20
    small, large = (PIL.ImageFont.load_default(max(4, round(k * unit))) for k in (0.7, 0.9))
    clock = f"{int(rng.integers(24)):02d}:{int(rng.integers(60)):02d}"
    pen.text((unit, 0.4 * unit), clock, fill=ink, font=small)
    pen.rectangle((17 * unit, 0.5 * unit, 19 * unit, 1.2 * unit), outline=ink)
    pen.rectangle((17 * unit, 0.5 * unit, 18.4 * unit, 1.2 * unit), fill=ink)
    pen.ellipse((unit, 2 * unit, 3 * unit, 4 * unit), fill=tuple(rng.integers(60, 200, 3).tolist()))
    pen.text((3.6 * unit, 2.5 * unit), "someone", fill=ink, font=large)
    top = round(4.6 * unit)
    left = (across - width) // 2
    screen.paste(picture_of(pixels), (left, top))
    below = top + height + 0.8 * unit
    for spot in (1.0, 3.5, 6.0):
        pen.ellipse(
            (spot * unit, below, (spot + 1.4) * unit, below + 1.4 * unit), outline=ink, width=2
        )
    for line, length in enumerate((14, 17, 9)):
        y = below + (2.4 + 1.1 * line) * unit
        pen.rectangle((unit, y, (1 + length) * unit, y + 0.45 * unit), fill=(128, 128, 128))
    pen.rectangle((7 * unit, down - 0.8 * unit, 13 * unit, down - 0.5 * unit), fill=ink)
    return array_of(screen)


def _plain(rng: np.random.Generator) -> tuple[int, int, int]:
    return _PLAIN[int(rng.integers(len(_PLAIN)))]


def _reduced(pixels: UInt8, share: float) -> UInt8:
    height, width = (max(1, round(side * share)) for side in pixels.shape[:2])
    return array_of(picture_of(pixels).resize((width, height), _SMOOTH))


PERTURBATIONS = (
    Perturbation(
        name="grid",
        family="evasion",
        summary="The same picture again and again; how often along each side.",
        levels=(2, 3, 4),
        apply=grid,
    ),
    Perturbation(
        name="inset",
        family="evasion",
        summary="A small copy on a plain canvas; share of the canvas's sides.",
        levels=(0.5, 0.35, 0.25),
        apply=inset,
    ),
    Perturbation(
        name="rotate",
        family="evasion",
        summary="Turned to either side; degrees.",
        levels=(10, 30, 90, 180),
        apply=rotate,
    ),
    Perturbation(
        name="flip",
        family="evasion",
        summary="1: mirrored left to right, 2: upside down.",
        levels=(1, 2),
        apply=flip,
    ),
    Perturbation(
        name="crop",
        family="evasion",
        summary="A part of it; share of each side that is left.",
        levels=(0.8, 0.6, 0.4),
        apply=crop,
    ),
    Perturbation(
        name="thumbnail",
        family="evasion",
        summary="Reduced to a thumbnail; its short side in px.",
        levels=(96, 64, 32),
        apply=thumbnail,
    ),
    Perturbation(
        name="resize",
        family="evasion",
        summary="Reduced; share of each side that is left.",
        levels=(0.5, 0.35, 0.25),
        apply=resize,
    ),
    Perturbation(
        name="border",
        family="evasion",
        summary="A plain border; its width as a share of the picture's side.",
        levels=(0.1, 0.25, 0.5),
        apply=border,
    ),
    Perturbation(
        name="screenshot",
        family="evasion",
        summary="As a post on a telephone's screen; share of its width.",
        levels=(1.0, 0.8, 0.6),
        apply=screenshot,
    ),
)

"""ImageNet-C's weather: snow, frost, fog, brightness.

Constants: Hendrycks and Dietterich 2019, as published with ImageNet-C. Snow, frost and fog are
made for a picture of 224 px and enlarged with it. ImageNet-C lays photographs of frost over a
picture; ours is drawn, so that no picture file is needed.
"""

from __future__ import annotations

import math

import numpy as np
import PIL.Image
import PIL.ImageDraw

from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.pixels import (
    convolved,
    floats,
    luma,
    motion_kernel,
    plasma,
    published,
    resized,
    scale_of,
    to_bytes,
)
from vedette.types import Float32, UInt8

_SNOW = (
    (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
"""Mean and deviation of the layer, enlargement, threshold, radius and sigma of the fall, weight."""
_FROST = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
"""Weights of the picture and of the frost."""
_FOG = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))
"""Thickness, and decay of the cloud's detail."""
_MAP = 256
"""px, of the maps of fog and frost; 224 of them cover a picture, as in ImageNet-C."""
_COLD = np.array([0.82, 0.93, 1.0], dtype=np.float32)
"""The colour of frost."""


def snow(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Flakes that fall in streaks, and the dull light of a snowy day."""
    mean, deviation, enlarged, least, radius, sigma, weight = published(_SNOW, level)
    values, scale = floats(pixels), scale_of(pixels)
    height, width = pixels.shape[:2]
    # Drawn on the grid of 224 px: flakes of one pixel there are larger in a larger picture.
    rows, columns = max(1, round(height / scale)), max(1, round(width / scale))
    coarse = (math.ceil(rows / enlarged), math.ceil(columns / enlarged))
    layer = resized(rng.normal(mean, deviation, coarse).astype(np.float32), rows, columns)
    layer = np.clip(np.where(layer < least, 0, layer), 0, 1).astype(np.float32)
    layer = convolved(layer, motion_kernel(radius, sigma, rng.uniform(-135, -45)))
    layer = resized(layer, height, width)[..., None]
    pale = np.maximum(values, luma(values)[..., None] * np.float32(1.5) + np.float32(0.5))
    dull = np.float32(weight) * values + np.float32(1 - weight) * pale
    return to_bytes(dull + layer + layer[::-1, ::-1])


def frost(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Ice on a window: ferns that grow from the rim, over a pale veil."""
    kept, laid = published(_FROST, level)
    ice = _covering(_ferns(rng), pixels)[..., None] * _COLD
    return to_bytes(np.float32(kept) * floats(pixels) + np.float32(laid) * ice)


def fog(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A bank of fog; its heights are :func:`~vedette.bench.perturbations.pixels.plasma`."""
    thick, decay = published(_FOG, level)
    values = floats(pixels)
    brightest = max(float(values.max()), 1 / 255)
    bank = _covering(plasma(_MAP, decay, rng), pixels)[..., None]
    return to_bytes((values + np.float32(thick) * bank) * (brightest / (brightest + thick)))


def brightness(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """``level`` added to the value of HSV (0..1); hue and saturation stay."""
    values = floats(pixels)
    value = values.max(axis=2, keepdims=True)
    lighter = np.minimum(value + np.float32(level), 1)
    # Black has no hue: it becomes grey.
    return to_bytes(np.where(value > 0, values * (lighter / np.maximum(value, 1e-6)), lighter))


def _covering(drawn: Float32, pixels: UInt8) -> Float32:
    """A map [256, 256] laid over the whole picture: float32 [h, w]."""
    height, width = pixels.shape[:2]
    shorter = max(1, round(224 * min(height, width) / max(height, width)))
    rows, columns = (shorter, 224) if height <= width else (224, shorter)
    return resized(drawn[:rows, :columns], height, width)


def _ferns(rng: np.random.Generator) -> Float32:
    """float32 [256, 256] in 0..1: frost, drawn at twice its size."""
    side = 2 * _MAP
    picture = PIL.Image.new("L", (side, side))
    pen = PIL.ImageDraw.Draw(picture)
    for _ in range(46):
        along, rim = rng.uniform(0, side), rng.integers(4)
        inwards = rng.uniform(0, 0.35) * side * rng.random()
        start = (
            (along, inwards),
            (along, side - inwards),
            (inwards, along),
            (side - inwards, along),
        )
        # Straight away from the rim that it hangs on, and up to 50 degrees to a side.
        towards = (90, -90, 0, 180)[rim] + rng.uniform(-50, 50)
        _fern(pen, start[rim], math.radians(towards), rng.uniform(0.12, 0.4) * side, rng)
    needles = np.asarray(picture.resize((_MAP, _MAP), PIL.Image.Resampling.BOX), dtype=np.float32)
    veil = plasma(_MAP, 1.7, rng)
    return np.clip(needles / 255 * np.float32(0.75) + np.float32(0.5) * veil, 0, 1)


def _fern(
    pen: PIL.ImageDraw.ImageDraw,
    start: tuple[float, float],
    turn: float,
    length: float,
    rng: np.random.Generator,
) -> None:
    """One stem with needles at 60 degrees on both sides, shorter towards its tip, as ice grows."""
    x, y = start
    light = int(rng.integers(150, 255))
    end = (x + length * math.cos(turn), y + length * math.sin(turn))
    pen.line((start, end), fill=light, width=3)
    steps = max(4, int(length / 7))
    for step, size in enumerate(rng.uniform(0.5, 1, steps)):
        share = step / steps
        root = (x + share * (end[0] - x), y + share * (end[1] - y))
        reach = 0.45 * length * (1 - share) * size
        for side in (-1, 1):
            away = turn + side * math.pi / 3
            tip = (root[0] + reach * math.cos(away), root[1] + reach * math.sin(away))
            pen.line((root, tip), fill=int(light * (1 - 0.4 * share)), width=2)


PERTURBATIONS = (
    Perturbation(
        name="snow",
        family="weather",
        summary="Falling snow; severity 1 to 5 of ImageNet-C.",
        levels=(1, 2, 3, 4, 5),
        apply=snow,
    ),
    Perturbation(
        name="frost",
        family="weather",
        summary="Ice on a window, drawn; severity 1 to 5 of ImageNet-C.",
        levels=(1, 2, 3, 4, 5),
        apply=frost,
    ),
    Perturbation(
        name="fog",
        family="weather",
        summary="A plasma fractal of fog; severity 1 to 5 of ImageNet-C.",
        levels=(1, 2, 3, 4, 5),
        apply=fog,
    ),
    Perturbation(
        name="brightness",
        family="weather",
        summary="More light; what is added to the value of HSV, 0 to 1.",
        levels=(0.1, 0.2, 0.3, 0.4, 0.5),
        apply=brightness,
    ),
)

"""ImageNet-C's digital kinds: contrast, elastic transform, pixelation, JPEG.

Constants: Hendrycks and Dietterich 2019, as published with ImageNet-C.
"""

from __future__ import annotations

import numpy as np
import PIL.Image

from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.pixels import (
    array_of,
    floats,
    picture_of,
    published,
    side_of,
    smooth_noise,
    through_jpeg,
    to_bytes,
    warped,
)
from vedette.types import Float32, UInt8

_WIDE = 244 / 224
"""ImageNet-C's elastic constants are multiples of 244, for pictures of 224 px."""
_ELASTIC = (
    (2 * _WIDE, 0.7 * _WIDE, 0.1 * _WIDE),
    (2 * _WIDE, 0.08 * _WIDE, 0.2 * _WIDE),
    (0.05 * _WIDE, 0.01 * _WIDE, 0.02 * _WIDE),
    (0.07 * _WIDE, 0.01 * _WIDE, 0.02 * _WIDE),
    (0.12 * _WIDE, 0.01 * _WIDE, 0.02 * _WIDE),
)
"""Strength, smoothness and affine shift, as shares of the side."""


def contrast(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Each channel drawn towards its mean; ``level`` is what is left of the contrast."""
    values = floats(pixels)
    mean = values.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    return to_bytes((values - mean) * np.float32(level) + mean)


def elastic_transform(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A slanted picture on rubber.

    Source: Simard, Steinkraus and Platt 2003, with the affine part that ImageNet-C adds. Its
    random field mirrors at the ends, ours is joined there.
    """
    strength, smooth, shift = (value * side_of(pixels) for value in published(_ELASTIC, level))
    height, width = pixels.shape[:2]
    turned = _affine(height, width, rng.uniform(-shift, shift, (3, 2)))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    across = turned[0, 0] * columns + turned[0, 1] * rows + turned[0, 2]
    down = turned[1, 0] * columns + turned[1, 1] * rows + turned[1, 2]
    across += strength * smooth_noise((height, width), smooth, rng)
    down += strength * smooth_noise((height, width), smooth, rng)
    return warped(pixels, down, across)


def _affine(
    height: int, width: int, moved: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> Float32:
    """float32 [2, 3]: where to read so that three points around the middle appear ``moved``."""
    half = max(1, min(height, width) // 3)
    x, y = width // 2, height // 2
    points = np.array([(x + half, y + half), (x + half, y - half), (x - half, y - half)])
    shown = np.column_stack([points + moved, np.ones(3)])
    if abs(np.linalg.det(shown)) < 1e-3 * half * half:
        return np.eye(2, 3, dtype=np.float32)  # the three points fell on one line: no such view
    return np.asarray(np.linalg.solve(shown, points).T, dtype=np.float32)


def pixelate(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Reduced to a share ``level`` of its sides and enlarged again without smoothing."""
    height, width = pixels.shape[:2]
    small = (max(1, int(width * level)), max(1, int(height * level)))
    reduced = picture_of(pixels).resize(small, PIL.Image.Resampling.BOX)
    return array_of(reduced.resize((width, height), PIL.Image.Resampling.NEAREST))


PERTURBATIONS = (
    Perturbation(
        name="contrast",
        family="digital",
        summary="Less contrast; share of it that is left.",
        levels=(0.4, 0.3, 0.2, 0.1, 0.05),
        apply=contrast,
    ),
    Perturbation(
        name="elastic-transform",
        family="digital",
        summary="A picture on rubber; severity 1 to 5 of ImageNet-C.",
        levels=(1, 2, 3, 4, 5),
        apply=elastic_transform,
    ),
    Perturbation(
        name="pixelate",
        family="digital",
        summary="Coarse pixels; share of the picture's own along each side.",
        levels=(0.6, 0.5, 0.4, 0.3, 0.25),
        apply=pixelate,
    ),
    Perturbation(
        name="jpeg",
        family="digital",
        summary="JPEG compression, strong; quality.",
        levels=(25, 18, 15, 10, 7),
        apply=through_jpeg,
    ),
)

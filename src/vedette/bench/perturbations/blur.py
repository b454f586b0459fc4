"""ImageNet-C's blurs: out of focus, behind frosted glass, in motion, while zooming.

Constants: Hendrycks and Dietterich 2019, as published with ImageNet-C. Lengths are multiplied by
:func:`~vedette.bench.perturbations.pixels.scale_of`.
"""

from __future__ import annotations

import math

import numpy as np
import PIL.Image
import PIL.ImageFilter

from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.pixels import (
    array_of,
    convolved,
    floats,
    motion_kernel,
    picture_of,
    published,
    scale_of,
    to_bytes,
)
from vedette.types import Float32, UInt8

_DEFOCUS = ((3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5))
"""Radius of the disk and sigma of its edge, px at 224."""
_GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
"""Sigma (px at 224), reach of a swap (px at 224), rounds."""
_MOTION = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
"""Radius and sigma, px at 224."""
_ZOOM = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
"""Where the enlargements end, and their step."""


def _disk(radius: float, edge: float) -> Float32:
    """A kernel [k, k]: a disk of ``radius`` px whose edge is softened by ``edge`` px."""
    reach = math.ceil(radius + 3 * edge)
    axis = np.arange(-reach, reach + 1, dtype=np.float32)
    distance = np.hypot(axis[:, None], axis[None])
    # Covered share of each pixel: a hard disk of small radius would be a square or a single pixel.
    soft = max(2 * edge, 1.0)
    disk = np.clip((radius - distance) / soft + 0.5, 0, 1)
    return np.asarray(disk / disk.sum(), dtype=np.float32)


def defocus_blur(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """The disk that a lens makes of each point when it is out of focus."""
    radius, edge = (value * scale_of(pixels) for value in published(_DEFOCUS, level))
    return to_bytes(convolved(floats(pixels), _disk(max(radius, 0.5), edge)))


def glass_blur(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Pixels change places with near ones, between two slight Gaussian blurs.

    ImageNet-C swaps one pixel after the other, so that each is moved twice on average, once as
    the first and once as the second of a pair. Here all are moved at once, and twice.
    """
    sigma, reach, rounds = published(_GLASS, level)
    scale = scale_of(pixels)
    far = np.float32(reach * scale)
    height, width = pixels.shape[:2]
    soft = PIL.ImageFilter.GaussianBlur(sigma * scale)
    flat = array_of(picture_of(pixels).filter(soft)).reshape(-1, 3)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    for _ in range(2 * int(rounds)):
        moved = far * (2 * rng.random((2, height, width), dtype=np.float32) - 1)
        down, across = np.rint(moved).astype(np.int32)
        near_row = np.clip(rows + down, 0, height - 1)
        near_column = np.clip(columns + across, 0, width - 1)
        flat = flat[(near_row * width + near_column).ravel()]
    return array_of(picture_of(flat.reshape(pixels.shape)).filter(soft))


def motion_blur(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A trail in a direction within 45 degrees of the horizontal."""
    radius, sigma = (value * scale_of(pixels) for value in published(_MOTION, level))
    kernel = motion_kernel(radius, sigma, rng.uniform(-45, 45))
    return to_bytes(convolved(floats(pixels), kernel))


def zoom_blur(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """The mean of ever larger enlargements of the middle."""
    end, step = published(_ZOOM, level)
    height, width = pixels.shape[:2]
    picture = picture_of(pixels)
    zooms = np.arange(1, end, step)
    total = pixels.astype(np.float32)
    for zoom in zooms:
        inner_width, inner_height = width / zoom, height / zoom
        left, top = (width - inner_width) / 2, (height - inner_height) / 2
        box = (left, top, left + inner_width, top + inner_height)
        larger = picture.resize((width, height), PIL.Image.Resampling.BILINEAR, box=box)
        total += np.asarray(larger)
    return to_bytes(total / np.float32(255 * (len(zooms) + 1)))


_SEVERITY = (1.0, 2.0, 3.0, 4.0, 5.0)

PERTURBATIONS = (
    Perturbation(
        name="defocus-blur",
        family="blur",
        summary="Out of focus: a disk for each point; severity 1 to 5 of ImageNet-C.",
        levels=_SEVERITY,
        apply=defocus_blur,
    ),
    Perturbation(
        name="glass-blur",
        family="blur",
        summary="Frosted glass: near pixels change places; severity 1 to 5 of ImageNet-C.",
        levels=_SEVERITY,
        apply=glass_blur,
    ),
    Perturbation(
        name="motion-blur",
        family="blur",
        summary="A camera that moved; severity 1 to 5 of ImageNet-C.",
        levels=_SEVERITY,
        apply=motion_blur,
    ),
    Perturbation(
        name="zoom-blur",
        family="blur",
        summary="A camera that zoomed; severity 1 to 5 of ImageNet-C.",
        levels=_SEVERITY,
        apply=zoom_blur,
    ),
)

"""Artistic styles, drawn with classical filters: oil paint, pencil sketch, cartoon.

UnsafeBench restyles pictures with a diffusion model. These filters need no weights and give the
same pixels everywhere; they change strokes and colours, not what is shown. The level is a strength
0.1 to 0.6: the share of the styled picture in the blend with the original.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageFilter

from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.pixels import (
    box_mean,
    floats,
    luma,
    mirrored,
    picture_of,
    scale_of,
    to_bytes,
)
from vedette.types import Float32, UInt8

STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def oil_paint(pixels: UInt8) -> Float32:
    """Flat strokes with sharp edges: the Kuwahara filter.

    Each pixel takes the mean of that one of the four squares around it that varies least.

    Source: Kuwahara, Hachimura, Eiho and Kinoshita 1976.

    Returns:
        float32 [h, w, 3], 0..1.
    """
    values = floats(pixels)
    radius = max(1, round(3 * scale_of(pixels)))
    grey = luma(values)[..., None]
    # Mean of colour and grey, and of squared grey, over a square of 2 radius + 1, all at once.
    means = box_mean(np.concatenate([values, grey, grey * grey], axis=2), radius)
    spread = means[..., 4] - means[..., 3] ** 2
    height, width = pixels.shape[:2]
    best = np.full((height, width), np.inf, dtype=np.float32)
    painted = np.empty_like(values)
    for down in (-radius, radius):
        rows = mirrored(np.arange(height) + down, height)[:, None]
        for across in (-radius, radius):
            columns = mirrored(np.arange(width) + across, width)[None]
            there = spread[rows, columns]
            better = there < best
            best = np.where(better, there, best)
            np.copyto(painted, means[rows, columns, :3], where=better[..., None])
    return painted


def pencil_sketch(pixels: UInt8) -> Float32:
    """Lines on white paper: grey divided by its own blur ("colour dodge").

    Returns:
        float32 [h, w, 3], 0..1.
    """
    grey = luma(floats(pixels))
    soft = _blurred(grey, 4 * scale_of(pixels))
    lines = np.clip(grey / np.maximum(soft, np.float32(1 / 255)), 0, 1) ** 2
    return np.repeat(np.asarray(lines, dtype=np.float32)[..., None], 3, axis=2)


def cartoon(pixels: UInt8) -> Float32:
    """Flat colours between dark outlines.

    Flattened by the guided filter, which like a bilateral one smooths within edges but at a cost
    that does not depend on its size; then few steps of lightness; outlines where a difference of
    Gaussians says so.

    Source: He, Sun and Tang 2010; Winnemöller, Olsen and Gooch 2006.

    Returns:
        float32 [h, w, 3], 0..1.
    """
    values, scale = floats(pixels), scale_of(pixels)
    grey = luma(values)[..., None]
    radius = max(1, round(4 * scale))
    means = box_mean(np.concatenate([values, grey, values * grey, grey * grey], axis=2), radius)
    colour, light, product, square = np.split(means, (3, 4, 7), axis=2)
    slope = (product - colour * light) / (square - light * light + np.float32(0.01))
    flat = slope * grey + (colour - slope * light)
    tone = np.clip(flat.max(axis=2, keepdims=True), 1 / 255, 1)
    steps = (np.floor(tone * 7) + 0.5 + 0.5 * np.tanh(8 * (tone * 7 % 1 - 0.5))) / 7
    # Of the flattened picture: grain draws no lines.
    drawn = luma(flat.astype(np.float32))
    fine, coarse = _blurred(drawn, max(0.6, scale)), _blurred(drawn, 1.6 * max(0.6, scale))
    outline = np.clip(1 + 40 * (fine - 0.98 * coarse), 0, 1)[..., None]
    return np.asarray(np.clip(flat * (steps / tone), 0, 1) * outline, dtype=np.float32)


def _blurred(grey: Float32, sigma: float) -> Float32:
    """Gaussian, in 8 bits: Pillow's is several times as fast as a sum in numpy."""
    picture = picture_of(to_bytes(grey)).filter(PIL.ImageFilter.GaussianBlur(sigma))
    return np.asarray(picture, dtype=np.float32) / np.float32(255)


def _at_strength(
    style: Callable[[UInt8], Float32],
) -> Callable[[UInt8, float, np.random.Generator], UInt8]:
    def apply(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
        values = floats(pixels)
        return to_bytes(values + np.float32(level) * (style(pixels) - values))

    return apply


PERTURBATIONS = (
    Perturbation(
        name="oil-paint",
        family="style",
        summary="Painted in flat strokes (Kuwahara filter); strength.",
        levels=STRENGTHS,
        apply=_at_strength(oil_paint),
    ),
    Perturbation(
        name="pencil-sketch",
        family="style",
        summary="Drawn with a pencil (colour dodge); strength.",
        levels=STRENGTHS,
        apply=_at_strength(pencil_sketch),
    ),
    Perturbation(
        name="cartoon",
        family="style",
        summary="Flat colours and outlines (guided filter, difference of Gaussians); strength.",
        levels=STRENGTHS,
        apply=_at_strength(cartoon),
    ),
)

"""ImageNet-C's noises: what a sensor in the dark, and a faulty one, add to a picture.

Constants: Hendrycks and Dietterich 2019, as published with ImageNet-C. They are intensities for
each pixel and are not scaled with the picture: a classifier that reduces a large picture sees less
of them, as it does of a real sensor's.
"""

from __future__ import annotations

import numpy as np

from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.pixels import floats, to_bytes
from vedette.types import UInt8


def gaussian_noise(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Normal noise of standard deviation ``level`` (pixels: 0..1) in each channel."""
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    return to_bytes(floats(pixels) + np.float32(level) * noise)


def shot_noise(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Counts of photons: a white channel receives ``level`` of them on average."""
    counts = rng.poisson(floats(pixels) * np.float32(level))
    return to_bytes(counts.astype(np.float32) / np.float32(level))


def impulse_noise(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A share ``level`` of all channel values becomes 0 or 255 with equal chance."""
    chance = rng.random(pixels.shape, dtype=np.float32)
    salted = np.where(chance < level / 2, np.uint8(0), pixels)
    return np.where(chance >= 1 - level / 2, np.uint8(255), salted)


PERTURBATIONS = (
    Perturbation(
        name="gaussian-noise",
        family="noise",
        summary="Normal noise; standard deviation in pixel units, 0 to 1.",
        levels=(0.08, 0.12, 0.18, 0.26, 0.38),
        apply=gaussian_noise,
    ),
    Perturbation(
        name="shot-noise",
        family="noise",
        summary="Poisson noise of few photons; how many white receives.",
        levels=(60, 25, 12, 5, 3),
        apply=shot_noise,
    ),
    Perturbation(
        name="impulse-noise",
        family="noise",
        summary="Salt and pepper; share of the values that are lost.",
        levels=(0.03, 0.06, 0.09, 0.17, 0.27),
        apply=impulse_noise,
    ),
)

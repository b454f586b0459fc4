"""How a picture looks, in three numbers: signal-to-noise ratio, edge density, entropy.

UnsafeBench compares its sources by them, without saying how they are computed; the definitions
here are our own, and docs/shift.md has them. All three are taken from the brightness, at one scale:
a picture whose longer side is over 512 px is scaled down to that first, as noise and edges of one
scene depend on the number of pixels that it has.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from vedette.bench.reopened import reopened
from vedette.bench.tasks.base import Context
from vedette.types import UInt8

SIDE = 512
"""px of the longer side, above which a picture is scaled down."""
EDGE = 20.0
"""Grey levels (of 255) per px: the gradient from which a pixel counts as an edge."""
_LEAST_VARIANCE = 1 / 12
"""Of what rounding to 8 bits alone does: less noise than that cannot be seen."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Of one picture."""

    snr: float
    """dB, at most 59; below 0 where noise exceeds the signal. See :func:`image_statistics`."""
    edge_density: float
    """0..1"""
    entropy: float
    """bits per pixel, 0..8"""
    aspect: float
    """Width / height."""


NAMES = {"snr": "SNR (dB)", "edge_density": "edge density (share)", "entropy": "entropy (bits)"}
"""Those that sources are compared by, as axes name them; in the order of the fields."""


def image_statistics(pixels: UInt8) -> ImageStatistics:
    """The statistics of one picture, after it was scaled down to :data:`SIDE`.

    - SNR = 10 log10(mean(Y²) / σ²), where Y is the brightness 0..255 (Rec. 601) and σ is the
      standard deviation of the noise as Immerkær estimates it ("Fast noise variance estimation",
      1996): √(π/2) / 6 times the mean |Y * N|, N = [1 -2 1; -2 4 -2; 1 -2 1]. N takes
      away what is smooth; fine texture counts as noise. Both σ² and mean(Y²) are at least 1/12.
    - Edge density: the share of pixels whose gradient is at least :data:`EDGE` grey levels per px.
      Sobel's operator, divided by 8.
    - Entropy of the histogram of Y's 256 values, in bits.

    Args:
        pixels: uint8 [h, w, 3].
    """
    height, width = pixels.shape[:2]
    picture = PIL.Image.fromarray(pixels).convert("L")
    if max(height, width) > SIDE:
        scale = SIDE / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = picture.resize(size, PIL.Image.Resampling.BOX)
    grey = np.asarray(picture)
    padded = _at_least_3(grey.astype(np.float64))
    return ImageStatistics(
        snr=_snr(grey, padded),
        edge_density=_edge_density(padded),
        entropy=_entropy(grey),
        aspect=width / height,
    )


def statistics_of(context: Context) -> Float64:
    """The statistics of all pictures in the predictions: float64 [n, 4], a column for each field.

    Raises:
        UsageError: a picture is gone, or cannot be decoded any more.
    """
    out = np.zeros((len(context.predictions), 4))
    for row, found in reopened(context, image_statistics):
        out[row] = astuple(found)
    return out


def _at_least_3(grey: Float64) -> Float64:
    """With its edge repeated where a 3 x 3 filter would not fit."""
    missing = [(0, max(0, 3 - side)) for side in grey.shape]
    return np.pad(grey, missing, mode="edge")


def _snr(grey: UInt8, padded: Float64) -> float:
    rows = padded[:-2] - 2 * padded[1:-1] + padded[2:]
    filtered = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    sigma = math.sqrt(math.pi / 2) / 6 * float(np.abs(filtered).mean())
    power = float(np.square(grey, dtype=np.float64).mean())
    return 10 * math.log10(max(power, _LEAST_VARIANCE) / max(sigma**2, _LEAST_VARIANCE))


def _edge_density(padded: Float64) -> float:
    down = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    across = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    dx = (down[:, 2:] - down[:, :-2]) / 8
    dy = (across[2:] - across[:-2]) / 8
    return float((dx**2 + dy**2 >= EDGE**2).mean())


def _entropy(grey: UInt8) -> float:
    counts = np.bincount(grey.reshape(-1), minlength=256)
    shares = counts[counts > 0] / grey.size
    return max(0.0, -float((shares * np.log2(shares)).sum()))

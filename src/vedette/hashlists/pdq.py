"""PDQ: the perceptual hash that lists of known pictures are exchanged in.

After "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (Facebook, 2019),
written anew for numpy. Brightness is smoothed twice by a box as wide as half a 64th of the picture,
sampled at 64 x 64 points, and turned into the 16 x 16 lowest frequencies but the mean; a bit says
whether a frequency is above their median.

Smoothing and sampling are linear and act on rows and columns apart, so each of the 64 points along
a side is one weighted sum: every pixel of a large picture is looked at about once.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vedette.perceptual import WORDS, Hashes
from vedette.types import Float32, UInt8

DIGITS = 64
"""Hexadecimal digits of a hash as lists write it."""
NEAR = 31
"""Bits in which two hashes of one picture may differ: the authors' recommendation."""
MIN_QUALITY = 50
"""Below this a picture has too little detail for its hash to tell it from others: the authors'
recommendation."""

_HEX = re.compile(f"[0-9A-Fa-f]{{{DIGITS}}}")
_SIDE = 64
_LOW = 16
_LEAST = 5
"""px; a picture with a shorter side has no hash."""
_LONG = 2**15
"""px; no picture may fill the memory by its shape, nor by what is kept for its length."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class PdqHash:
    """The hash of a picture, of its mirror images and of its quarter turns."""

    hashes: Hashes
    """uint64 [8, WORDS]: as it stands, then turned by 90, 180, 270 degrees, flipped top to
    bottom, left to right, about one diagonal and the other."""
    quality: int
    """0..100: how much detail the hash rests on; below :data:`MIN_QUALITY` it tells nothing."""

    @property
    def hex(self) -> str:
        """Of the picture as it stands, as lists write it."""
        digits: str = self.hashes[0].tobytes().hex()
        return digits


def pdq(pixels: UInt8) -> PdqHash:
    """The PDQ hash of a picture.

    Args:
        pixels: uint8 [H, W, 3], sRGB.
    """
    height, width, _ = pixels.shape
    if min(height, width) < _LEAST:
        return PdqHash(np.zeros((8, WORDS), np.uint64), 0)
    small = _small(pixels)
    low: Float32 = (_COSINES @ small @ _COSINES.T).astype(np.float32, copy=False)
    return PdqHash(_turned(low), _quality(small))


def parse(text: str) -> bytes:
    """The 32 bytes of a hash that is written as 64 hexadecimal digits.

    Raises:
        ValueError: it is none.
    """
    if _HEX.fullmatch(text) is None:
        raise ValueError(f"not {DIGITS} hexadecimal digits")
    return bytes.fromhex(text)


def _cosines() -> Float32:
    """Rows 1.._LOW of the DCT-II of _SIDE values: row 0, the mean, is left out."""
    frequency = np.arange(1, _LOW + 1)[:, None]
    place = np.arange(_SIDE)[None, :] + 0.5
    scale = math.sqrt(2.0 / _SIDE)
    return (scale * np.cos(math.pi / _SIDE * frequency * place)).astype(np.float32)


_COSINES = _cosines()


def _small(pixels: UInt8) -> Float32:
    """The brightness at 64 x 64 points of the smoothed picture: float32 [64, 64], 0..255."""
    if pixels.shape[1] > _LONG:  # the long side first: what is left of it is 64 points
        return _small(pixels.swapaxes(0, 1)).T
    rows = _sampled(pixels)
    luma = rows[..., 0] * _LUMA[0] + rows[..., 1] * _LUMA[1] + rows[..., 2] * _LUMA[2]
    return _sampled(luma.T).T


def _sampled(values: NDArray[np.generic]) -> Float32:
    """``values`` [n, ...] smoothed and sampled along their first axis: float32 [64, ...]."""
    length = len(values)
    starts, weights = _sampling(length) if length <= _LONG else _sampling.__wrapped__(length)
    found = np.empty((_SIDE, *values.shape[1:]), np.float32)
    for point, start in enumerate(starts.tolist()):
        taken = values[start : start + weights.shape[1]].astype(np.float32)
        # Not a matrix product: small ones in many threads keep each other waiting.
        np.einsum("l,l...->...", weights[point], taken, out=found[point])
    return found


@lru_cache(maxsize=64)
def _sampling(length: int) -> tuple[NDArray[np.intp], Float32]:
    """What each of the 64 points along a side takes: where it begins, and the weights from there.

    Two box filters, sampled at the 64ths' centres. A box takes fewer values where it reaches past
    the border.

    Returns:
        intp [64], and float32 [64, values].
    """
    window = -(-length // (2 * _SIDE))
    after = (window + 2) // 2 - 1
    before = window - 1 - after
    values = 2 * window - 1
    centre = ((np.arange(_SIDE) + 0.5) * length / _SIDE).astype(np.intp)
    starts = np.clip(centre - 2 * before, 0, length - values)
    weights = np.empty((_SIDE, values), np.float32)
    for point, start in enumerate(starts.tolist()):
        at = centre[point]
        # What the second box takes; each is the mean of what the first one took around it.
        means = np.arange(max(at - before, 0), min(at + after, length - 1) + 1)
        low, high = np.maximum(means - before, 0), np.minimum(means + after, length - 1)
        share = 1.0 / ((high - low + 1) * len(means))
        # Summed up along the side, a share counts from where its mean begins to where it ends.
        changes = np.bincount(low - start, share, values + 1)
        changes -= np.bincount(high - start + 1, share, values + 1)
        weights[point] = np.cumsum(changes)[:values]
    return starts, weights


def _quality(small: Float32) -> int:
    """The sum of steps between neighbours, in whole hundredths of the range, scaled to 0..100."""
    total = 0
    for axis in (0, 1):
        steps = np.abs(np.diff(small, axis=axis)) * 100 / 255
        total += int(steps.astype(np.intp).sum())
    return min(total // 90, 100)


def _turned(low: Float32) -> Hashes:
    """The hashes of a picture and of its mirror images and turns, from its frequencies alone.

    Turning a picture swaps its two axes or changes the sign of odd frequencies along one.
    """
    sign = np.where(np.arange(1, _LOW + 1) % 2, -1, 1).astype(np.float32)
    rows, columns, both = sign[:, None], sign[None, :], np.outer(sign, sign)
    swapped = low.T
    eight = np.stack(
        [
            low,
            swapped * rows,
            low * both,
            swapped * columns,
            low * rows,
            low * columns,
            swapped,
            swapped * both,
        ]
    ).reshape(8, -1)
    # The lower of the two middle values, as the authors' median has it.
    median = np.partition(eight, eight.shape[1] // 2 - 1, axis=1)[:, eight.shape[1] // 2 - 1]
    bits: NDArray[np.bool_] = eight > median[:, None]
    # Lists write the last frequency first.
    return np.packbits(bits[:, ::-1], axis=1).view(np.uint64)

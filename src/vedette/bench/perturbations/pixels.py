"""What the perturbations share: sizes, floats and bytes, filters, and warped coordinates.

ImageNet-C's lengths are for pictures of 224 x 224 px. :func:`scale_of` says by what they are
multiplied for a picture of another size, so that a kind looks the same on a large picture and on a
small one.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from vedette.types import Float32, UInt8

PUBLISHED_SIDE = 224
"""px, of the pictures that ImageNet-C's constants were chosen for."""
_MOST_IN_FLOAT32 = 2_048
"""px, of a side along which running sums are kept in float32."""
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def side_of(pixels: UInt8) -> float:
    """The side in px of the square that has the picture's area.

    Neither side alone would do: a strip of 1 x 2,000 px has a side of 1 and one of 2,000.
    """
    return math.sqrt(pixels.shape[0] * pixels.shape[1])


def scale_of(pixels: UInt8) -> float:
    """By what a length for 224 px is multiplied; see :func:`side_of`."""
    return side_of(pixels) / PUBLISHED_SIDE


def floats(pixels: UInt8) -> Float32:
    """float32 [h, w, 3], 0..1."""
    return pixels.astype(np.float32) / np.float32(255)


def to_bytes(values: NDArray[np.floating[Any]]) -> UInt8:
    """uint8 of values in 0..1, rounded; what lies outside is clipped."""
    return np.asarray(np.clip(values * 255 + 0.5, 0, 255), dtype=np.uint8)


def picture_of(pixels: UInt8) -> PIL.Image.Image:
    """The same for Pillow."""
    return PIL.Image.fromarray(np.ascontiguousarray(pixels))


def array_of(picture: PIL.Image.Image) -> UInt8:
    """uint8 [h, w, 3], a copy."""
    return np.array(picture.convert("RGB"), dtype=np.uint8)


def luma(values: Float32) -> Float32:
    """float32 [h, w]: ITU-R 601 grey of [h, w, 3]."""
    return np.asarray(values @ _LUMA, dtype=np.float32)


def resized(values: Float32, height: int, width: int) -> Float32:
    """float32 [height, width] from [h, w], bilinear."""
    picture = PIL.Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.array(picture.resize((width, height), PIL.Image.Resampling.BILINEAR))


def as_jpeg(pixels: UInt8, quality: float) -> bytes:
    """A JPEG file of that quality, chroma at half size, as most programs write it."""
    stream = io.BytesIO()
    picture_of(pixels).save(stream, "JPEG", quality=round(quality), subsampling="4:2:0")
    return stream.getvalue()


def through_jpeg(pixels: UInt8, quality: float, rng: np.random.Generator) -> UInt8:
    """The picture after :func:`as_jpeg`."""
    with PIL.Image.open(io.BytesIO(as_jpeg(pixels, quality))) as picture:
        return array_of(picture)


def mirrored(positions: NDArray[Any], length: int) -> NDArray[Any]:
    """Positions outside 0..length - 1 folded back in, as in a mirror behind the last pixel."""
    folded = np.mod(positions, 2 * length)
    return np.asarray(np.minimum(folded, 2 * length - 1 - folded))


def convolved(values: Float32, kernel: Float32) -> Float32:
    """``values`` [h, w] or [h, w, c] filtered with a small [kh, kw] of odd sides, ends mirrored.

    By Fourier transform, so that the cost does not depend on the kernel's size.
    """
    below, right = kernel.shape[0] // 2, kernel.shape[1] // 2
    height, width = values.shape[:2]
    rows = mirrored(np.arange(-below, height + below), height)
    columns = mirrored(np.arange(-right, width + right), width)
    padded = np.moveaxis(np.atleast_3d(values), 2, 0)[:, rows[:, None], columns]
    shape = (_fast(padded.shape[1]), _fast(padded.shape[2]))
    # The kernel is turned by half: its middle tap weighs the pixel itself, as in a correlation.
    response = np.fft.rfft2(kernel[::-1, ::-1].astype(np.float32), shape)
    spread = np.fft.irfft2(np.fft.rfft2(padded, shape) * response, shape)
    cut = spread[:, 2 * below : 2 * below + height, 2 * right : 2 * right + width]
    return np.asarray(np.moveaxis(cut, 0, 2).reshape(values.shape), dtype=np.float32)


def _fast(length: int) -> int:
    """The next length that a Fourier transform is quick for: no prime factor above 5."""
    while True:
        left = length
        for factor in (2, 3, 5):
            while left % factor == 0:
                left //= factor
        if left == 1:
            return length
        length += 1


def smooth_noise(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> Float32:
    """float32 [h, w]: uniform noise in -1..1 under a Gaussian of ``sigma`` px, ends joined."""
    spectrum = np.fft.rfft2(rng.uniform(-1, 1, shape).astype(np.float32))
    down = np.fft.fftfreq(shape[0])[:, None]
    across = np.fft.rfftfreq(shape[1])[None]
    passed = np.exp(-2 * (math.pi * sigma) ** 2 * (down**2 + across**2))
    return np.asarray(np.fft.irfft2(spectrum * passed, shape), dtype=np.float32)


def motion_kernel(radius: float, sigma: float, degrees: float) -> Float32:
    """The kernel [k, k] of ImageMagick's motion blur: half a Gaussian along one direction.

    Source: ``MotionBlurImage`` and ``GetMotionBlurKernel`` of ImageMagick's ``effect.c``, which
    ImageNet-C calls.

    Args:
        radius: px; the trail has ``2 * ceil(radius) + 1`` taps.
        sigma: px.
        degrees: direction of the trail, clockwise from the right.
    """
    taps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    turn = math.radians(degrees)
    across = np.ceil(taps * math.cos(turn) - 0.5).astype(int)
    down = np.ceil(taps * math.sin(turn) - 0.5).astype(int)
    reach = len(taps)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float64)
    np.add.at(kernel, (reach + down, reach + across), weights / weights.sum())
    return np.asarray(kernel, dtype=np.float32)


def warped(pixels: UInt8, down: Float32, across: Float32) -> UInt8:
    """The picture read at other places, bilinear, ends mirrored.

    Args:
        pixels: uint8 [h, w, 3].
        down: float32 [h', w'], rows to read at.
        across: float32 [h', w'], columns to read at.
    """
    height, width = pixels.shape[:2]
    top, left = np.floor(down), np.floor(across)
    lower, right = (down - top)[..., None], (across - left)[..., None]
    rows = [mirrored(top.astype(np.int64) + step, height) * width for step in (0, 1)]
    columns = [mirrored(left.astype(np.int64) + step, width) for step in (0, 1)]
    flat = pixels.reshape(-1, 3).astype(np.float32)
    upper_line = flat[rows[0] + columns[0]] * (1 - right) + flat[rows[0] + columns[1]] * right
    lower_line = flat[rows[1] + columns[0]] * (1 - right) + flat[rows[1] + columns[1]] * right
    return np.asarray(upper_line * (1 - lower) + lower_line * lower + 0.5).astype(np.uint8)


def box_mean(values: Float32, radius: int) -> Float32:
    """Mean over a square of ``2 * radius + 1`` px around each pixel of [h, w, c], ends mirrored."""
    size = 2 * radius + 1
    # Around one half, and in float64 from some size on: running sums outgrow the precision.
    wide = max(values.shape[:2]) > _MOST_IN_FLOAT32
    sums: NDArray[np.floating[Any]] = values - np.float32(0.5)
    if wide:
        sums = sums.astype(np.float64)
    height, width = values.shape[:2]
    running = np.take(sums, mirrored(np.arange(-radius - 1, height + radius), height), axis=0)
    for row in range(1, len(running)):  # several times as fast as cumsum down the rows
        running[row] += running[row - 1]
    sums = running[size : size + height] - running[:height]
    padded = np.take(sums, mirrored(np.arange(-radius - 1, width + radius), width), axis=1)
    running = np.cumsum(padded, axis=1)
    sums = running[:, size : size + width] - running[:, :width]
    return np.asarray(sums / size**2 + 0.5, dtype=np.float32)


def plasma(size: int, decay: float, rng: np.random.Generator) -> Float32:
    """float32 [size, size] in 0..1: cloud-like heights by the diamond-square algorithm.

    Source: Fournier, Fussell and Carpenter 1982, in the form that ImageNet-C uses for fog: each
    halving of the step divides the random part by ``decay``; the ends are joined.

    Args:
        size: a power of two.
        decay: above 1; larger is smoother.
        rng: where the heights come from.
    """
    heights = np.zeros((size, size), dtype=np.float32)
    step, wobble = size, 100.0
    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        square = corners + np.roll(corners, -1, 0)
        square = square + np.roll(square, -1, 1)
        heights[half::step, half::step] = square / 4 + _wobble(corners.shape, wobble, rng)
        middles = heights[half::step, half::step]
        above = middles + np.roll(middles, 1, 0) + corners + np.roll(corners, -1, 1)
        heights[::step, half::step] = above / 4 + _wobble(corners.shape, wobble, rng)
        beside = middles + np.roll(middles, 1, 1) + corners + np.roll(corners, -1, 0)
        heights[half::step, ::step] = beside / 4 + _wobble(corners.shape, wobble, rng)
        step, wobble = half, wobble / decay
    heights -= heights.min()
    return heights / max(float(heights.max()), 1e-6)


def _wobble(shape: tuple[int, ...], wobble: float, rng: np.random.Generator) -> Float32:
    # The wobble counts twice in ImageNet-C, and its constants were chosen with that.
    return np.asarray(wobble * rng.uniform(-wobble, wobble, shape), dtype=np.float32)


def published(constants: tuple[tuple[float, ...], ...], level: float) -> tuple[float, ...]:
    """The constants of severity 1 to 5, where one number is not all of them.

    Raises:
        ValueError: there is no such severity.
    """
    if level not in range(1, len(constants) + 1):
        raise ValueError(f"no severity {level:g}, only 1 to {len(constants)}")
    return constants[int(level) - 1]

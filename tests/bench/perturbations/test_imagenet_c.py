"""The fifteen kinds against their published formulas, at the 224 px that these are for."""

from __future__ import annotations

import colorsys
import io
import math
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
from numpy.typing import NDArray

from tests.pictures import drawn
from vedette.bench.perturbations.pixels import convolved, motion_kernel, plasma, smooth_noise
from vedette.bench.perturbations.registry import perturbation
from vedette.types import UInt8

SIDE = 224
PIXELS: UInt8 = np.asarray(drawn(11, SIDE, SIDE))
GREY: UInt8 = np.full((SIDE, SIDE, 3), 128, dtype=np.uint8)


def done(name: str, severity: int, pixels: UInt8 = PIXELS, seed: int = 3) -> UInt8:
    kind = perturbation(name)
    return kind.apply(pixels, kind.levels[severity - 1], np.random.default_rng(seed))


def apart(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Mean absolute difference, 0..255."""
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).mean())


# Noise


@pytest.mark.parametrize(("severity", "sigma"), [(1, 0.08), (3, 0.18)])
def test_gaussian_noise_has_its_deviation(severity: int, sigma: float) -> None:
    noise = done("gaussian-noise", severity, GREY).astype(float) / 255 - 128 / 255

    assert noise.std() == pytest.approx(sigma, rel=0.03)
    assert abs(noise.mean()) < 0.002


@pytest.mark.parametrize(("severity", "photons"), [(1, 60), (2, 25)])
def test_shot_noise_has_the_variance_of_its_photons(severity: int, photons: int) -> None:
    noise = done("shot-noise", severity, GREY).astype(float) / 255

    assert noise.mean() == pytest.approx(128 / 255, abs=0.003)
    assert noise.var() == pytest.approx(128 / 255 / photons, rel=0.04)
    assert (done("shot-noise", 5, np.zeros_like(GREY)) == 0).all()  # no light, no noise


@pytest.mark.parametrize(("severity", "share"), [(1, 0.03), (5, 0.27)])
def test_impulse_noise_loses_its_share_of_values(severity: int, share: float) -> None:
    out = done("impulse-noise", severity, GREY)

    assert (out == 0).mean() == pytest.approx(share / 2, rel=0.05)
    assert (out == 255).mean() == pytest.approx(share / 2, rel=0.05)
    assert set(np.unique(out)) == {0, 128, 255}


# Blur


def published_disk(radius: int, alias: float) -> NDArray[np.float64]:
    """ImageNet-C's ``disk``, with the Gaussian that OpenCV takes for its 3 x 3 or 5 x 5."""
    reach, size = (8, 3) if radius <= 8 else (radius, 5)
    axis = np.arange(-reach, reach + 1)
    disk = (axis[:, None] ** 2 + axis[None] ** 2 <= radius**2).astype(float)
    disk /= disk.sum()
    taps = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * alias**2))
    taps /= taps.sum()
    for axis_number in (0, 1):
        disk = np.apply_along_axis(np.convolve, axis_number, disk, taps, mode="same")
    return disk


@pytest.mark.parametrize(
    ("severity", "radius", "alias"), [(1, 3, 0.1), (2, 4, 0.5), (3, 6, 0.5), (5, 10, 0.5)]
)
def test_defocus_is_the_published_disk(severity: int, radius: int, alias: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    disk = published_disk(radius, alias)
    want = np.stack(
        [ndimage.convolve(PIXELS[..., c].astype(float), disk, mode="reflect") for c in range(3)], 2
    )

    assert apart(done("defocus-blur", severity), want) < 0.06 * apart(want, PIXELS) + 0.3


def published_glass(pixels: UInt8, sigma: float, reach: int, rounds: int) -> UInt8:
    """ImageNet-C's swaps, one pixel after the other, without the blurs around them."""
    rng = np.random.default_rng(0)
    out, side = pixels.copy(), len(pixels)
    for _ in range(rounds):
        for h in range(side - reach, reach, -1):
            for w in range(side - reach, reach, -1):
                dx, dy = rng.integers(-reach, reach, size=2)
                other = (min(h + dy, side - 1), min(w + dx, side - 1))
                h_, w_ = min(h, side - 1), min(w, side - 1)
                keep = out[h_, w_].copy()
                out[h_, w_] = out[other]
                out[other] = keep
    return out


@pytest.mark.parametrize(("severity", "constants"), [(2, (0.9, 2, 1)), (5, (1.5, 4, 2))])
def test_glass_moves_pixels_as_far_as_the_swaps_do(
    severity: int, constants: tuple[float, int, int]
) -> None:
    row = np.concatenate([np.arange(0, SIDE, 2), np.arange(SIDE, 0, -2)]).astype(np.uint8)
    ramp = np.repeat(np.tile(row[None, :, None], (SIDE, 1, 1)), 3, axis=2)
    # On a ramp the deviation after the moves is how far pixels went. The swaps are slow in Python,
    # so they are done on a part; the blur after them is the same in both.
    soft = PIL.ImageFilter.GaussianBlur(constants[0])
    swapped = published_glass(ramp[:80, :80], *constants)
    want = np.asarray(PIL.Image.fromarray(swapped).filter(soft)).astype(float) - ramp[:80, :80]
    got = done("glass-blur", severity, ramp).astype(float) - ramp

    inner = slice(12, 68)
    assert got[inner, inner].std() == pytest.approx(want[inner, inner].std(), rel=0.2)
    assert abs(got[inner, inner].mean()) < 0.3  # the picture stays where it is


@pytest.mark.parametrize("degrees", [-30.0, 0.0, 45.0])
def test_motion_blur_is_imagemagicks(degrees: float) -> None:
    radius, sigma = 10, 3.0
    width = 2 * radius + 1
    taps = np.exp(-(np.arange(width) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    want = np.zeros(PIXELS.shape)
    for step, weight in enumerate(taps):
        dx = math.ceil(step * math.cos(math.radians(degrees)) - 0.5)
        dy = math.ceil(step * math.sin(math.radians(degrees)) - 0.5)
        want += weight * np.roll(PIXELS.astype(float), (-dy, -dx), (0, 1))
    got = convolved(PIXELS.astype(np.float32), motion_kernel(radius, sigma, degrees))

    inner = slice(width, SIDE - width)
    assert np.abs(got[inner, inner] - want[inner, inner]).max() < 0.01


def test_zoom_blur_is_the_mean_of_enlargements() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    zooms = np.arange(1, 1.21, 0.02)
    total = PIXELS.astype(float)
    for zoom in zooms:
        cut = math.ceil(SIDE / zoom)
        top = (SIDE - cut) // 2
        part = PIXELS[top : top + cut, top : top + cut].astype(float)
        large = ndimage.zoom(part, (zoom, zoom, 1), order=1)
        trim = (large.shape[0] - SIDE) // 2
        total += large[trim : trim + SIDE, trim : trim + SIDE]
    want = total / (len(zooms) + 1)

    assert apart(done("zoom-blur", 3), want) < 0.15 * apart(want, PIXELS)


# Weather


def published_plasma(size: int, decay: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """ImageNet-C's ``plasma_fractal``, word for word but for the generator."""
    maparray = np.zeros((size, size))
    stepsize, wibble = size, 100.0

    def wibbledmean(array: NDArray[np.float64]) -> NDArray[np.float64]:
        return array / 4 + wibble * rng.uniform(-wibble, wibble, array.shape)

    while stepsize >= 2:
        half = stepsize // 2
        corner = maparray[0:size:stepsize, 0:size:stepsize]
        square = corner + np.roll(corner, shift=-1, axis=0)
        square += np.roll(square, shift=-1, axis=1)
        maparray[half:size:stepsize, half:size:stepsize] = wibbledmean(square)
        drgrid = maparray[half:size:stepsize, half:size:stepsize]
        ulgrid = maparray[0:size:stepsize, 0:size:stepsize]
        ldrsum = drgrid + np.roll(drgrid, 1, axis=0)
        lulsum = ulgrid + np.roll(ulgrid, -1, axis=1)
        maparray[0:size:stepsize, half:size:stepsize] = wibbledmean(ldrsum + lulsum)
        tdrsum = drgrid + np.roll(drgrid, 1, axis=1)
        tulsum = ulgrid + np.roll(ulgrid, -1, axis=0)
        maparray[half:size:stepsize, 0:size:stepsize] = wibbledmean(tdrsum + tulsum)
        stepsize //= 2
        wibble /= decay
    maparray -= maparray.min()
    return np.asarray(maparray / maparray.max())


@pytest.mark.parametrize("decay", [2.0, 1.4])
def test_the_plasma_is_the_published_one(decay: float) -> None:
    got = plasma(256, decay, np.random.default_rng(4))

    want = published_plasma(256, decay, np.random.default_rng(4))
    assert np.abs(got - want).max() < 1e-4


def test_fog_is_the_published_formula() -> None:
    values, bank = PIXELS / 255.0, published_plasma(256, 1.7, np.random.default_rng(3))
    top = values.max()
    want = np.clip((values + 2.5 * bank[:SIDE, :SIDE, None]) * top / (top + 2.5), 0, 1) * 255

    assert np.abs(done("fog", 3).astype(float) - want).max() <= 1


def test_brightness_is_added_to_the_value_of_hsv() -> None:
    out = done("brightness", 3) / 255.0
    for y, x in ((0, 0), (50, 90), (120, 30), (200, 210)):
        h, s, v = colorsys.rgb_to_hsv(*(PIXELS[y, x] / 255.0))
        want = colorsys.hsv_to_rgb(h, s, min(1.0, v + 0.3))
        assert np.abs(out[y, x] - want).max() < 1 / 255 + 1e-6
    assert (done("brightness", 1, np.zeros_like(GREY)) == round(0.1 * 255)).all()


def test_snow_brightens_and_has_flakes() -> None:
    dark = np.full((SIDE, SIDE, 3), 40, dtype=np.uint8)
    out = done("snow", 3, dark)
    pale = np.round((0.7 * 40 / 255 + 0.3 * (1.5 * 40 / 255 + 0.5)) * 255)

    assert out.min() == pytest.approx(pale, abs=1)  # between the flakes: the dull light alone
    assert 0.01 < (out > pale + 40).mean() < 0.6


def test_frost_is_laid_over_by_the_published_weights() -> None:
    black, white = np.zeros_like(GREY), np.full_like(GREY, 255)
    ice = done("frost", 2, black).astype(float) / 0.6
    out = done("frost", 2, GREY).astype(float)

    assert np.abs(out - np.clip(0.8 * 128 + 0.6 * ice, 0, 255)).max() <= 2
    assert 40 < ice.mean() < 190
    assert ice.std() > 20
    assert done("frost", 5, white).mean() < done("frost", 1, white).mean()


# Digital


def test_contrast_is_drawn_towards_each_channels_mean() -> None:
    mean = PIXELS.reshape(-1, 3).mean(axis=0)

    want = np.clip((PIXELS - mean) * 0.2 + mean, 0, 255)
    assert np.abs(done("contrast", 3) - want).max() <= 0.51


def test_pixelate_is_pillows_box() -> None:
    small = PIL.Image.fromarray(PIXELS).resize((89, 89), PIL.Image.Resampling.BOX)
    want = np.asarray(small.resize((SIDE, SIDE), PIL.Image.Resampling.BOX))

    assert apart(done("pixelate", 3), want) < 1.0


@pytest.mark.parametrize(("severity", "quality"), [(1, 25), (5, 7)])
def test_jpeg_is_pillows(severity: int, quality: int) -> None:
    stream = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(stream, "JPEG", quality=quality)

    with PIL.Image.open(io.BytesIO(stream.getvalue())) as picture:
        assert (done("jpeg", severity) == np.asarray(picture)).all()


@pytest.mark.parametrize(("severity", "sigma", "strength"), [(3, 2.44, 12.2), (5, 2.44, 29.28)])
def test_elastic_moves_as_far_as_published(severity: int, sigma: float, strength: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(2)
    field = ndimage.gaussian_filter(rng.uniform(-1, 1, (SIDE, SIDE)), sigma, truncate=3)
    got = smooth_noise((SIDE, SIDE), sigma, np.random.default_rng(5))
    assert (strength * got).std() == pytest.approx((strength * field).std(), rel=0.1)
    assert 0.5 < apart(done("elastic-transform", severity), PIXELS) < 60

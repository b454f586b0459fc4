"""What evaders do to a picture's look: mosaics, colours, text and stickers over it, poor JPEGs."""

from __future__ import annotations

import math

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
import PIL.ImageFont

from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.pixels import (
    array_of,
    floats,
    luma,
    picture_of,
    side_of,
    through_jpeg,
    to_bytes,
)
from vedette.types import UInt8

_WORDS = ("SAMPLE", "PREVIEW", "stock photo", "@someone", "do not copy")
_STICKERS = ((255, 204, 0), (235, 70, 90), (70, 150, 240), (90, 200, 110))
_LARGEST_TEXT = 512
"""px: the side of the layer that a watermark is written on before it is enlarged."""


def mosaic(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Square blocks of one colour, ``level`` of them along the short side."""
    height, width = pixels.shape[:2]
    block = max(1.0, min(height, width) / level)
    small = (max(1, round(width / block)), max(1, round(height / block)))
    blocks = picture_of(pixels).resize(small, PIL.Image.Resampling.BOX)
    return array_of(blocks.resize((width, height), PIL.Image.Resampling.NEAREST))


def blur(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A Gaussian blur whose sigma is a share ``level`` of the side."""
    soft = PIL.ImageFilter.GaussianBlur(level * side_of(pixels))
    return array_of(picture_of(pixels).filter(soft))


def hue(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """All colours turned by ``level`` degrees around grey, to either side."""
    turn = math.radians(level if rng.random() < 0.5 else -level)
    # Rodrigues' rotation around (1, 1, 1): cheaper than HSV, and grey stays grey.
    mixed, crossed = (1 - math.cos(turn)) / 3, math.sin(turn) / math.sqrt(3)
    around = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    matrix = math.cos(turn) * np.eye(3) + mixed + crossed * around
    return to_bytes(floats(pixels) @ matrix.T.astype(np.float32))


def invert(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """The negative."""
    return np.uint8(255) - pixels


def greyscale(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A share ``level`` of the colour is taken away."""
    values = floats(pixels)
    return to_bytes(values + np.float32(level) * (luma(values)[..., None] - values))


def posterise(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """``level`` steps for each channel instead of 256."""
    steps = np.float32(level - 1)
    return to_bytes(np.round(floats(pixels) * steps) / steps)


def watermark(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """Words all over it, slanted, of opacity ``level``."""
    height, width = pixels.shape[:2]
    reduced = min(1.0, _LARGEST_TEXT / max(height, width))
    across, down = max(1, round(width * reduced)), max(1, round(height * reduced))
    reach = math.ceil(math.hypot(across, down))
    size = max(6, round(0.09 * math.sqrt(across * down)))
    font = PIL.ImageFont.load_default(size)
    word = _WORDS[int(rng.integers(len(_WORDS)))]
    layer = PIL.Image.new("L", (reach, reach))
    pen = PIL.ImageDraw.Draw(layer)
    line = f"{word}   " * (2 + reach // max(1, int(pen.textlength(f"{word}   ", font=font))))
    for number, y in enumerate(range(int(rng.integers(-size, size)), reach, 2 * size)):
        pen.text((-(number % 2) * 2.5 * size, y), line, fill=255, font=font)
    layer = layer.rotate(30, PIL.Image.Resampling.BILINEAR)
    left, top = (reach - across) // 2, (reach - down) // 2
    layer = layer.crop((left, top, left + across, top + down)).resize((width, height))
    # White on dark pictures, dark on bright ones: a watermark is meant to be seen.
    ink = np.float32(1.0 if pixels.mean() < 140 else 0.1)
    cover = np.asarray(layer, dtype=np.float32)[..., None] * np.float32(level / 255)
    values = floats(pixels)
    return to_bytes(values + cover * (ink - values))


def sticker(pixels: UInt8, level: float, rng: np.random.Generator) -> UInt8:
    """A drawn smiling face somewhere over it, that covers a share ``level`` of its area."""
    picture = picture_of(pixels.copy())
    height, width = pixels.shape[:2]
    radius = min(side_of(pixels) * math.sqrt(level / math.pi), min(height, width) / 2)
    x = rng.uniform(radius, max(radius, width - radius))
    y = rng.uniform(radius, max(radius, height - radius))
    pen = PIL.ImageDraw.Draw(picture)
    colour = _STICKERS[int(rng.integers(len(_STICKERS)))]
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 255))
    inner = 0.92 * radius
    pen.ellipse((x - inner, y - inner, x + inner, y + inner), fill=colour)
    eye = 0.12 * radius
    for side in (-1, 1):
        middle = x + side * 0.35 * radius
        pen.ellipse((middle - eye, y - 0.45 * radius, middle + eye, y - 0.1 * radius), fill=0)
    mouth = (x - 0.5 * radius, y - 0.3 * radius, x + 0.5 * radius, y + 0.55 * radius)
    pen.arc(mouth, 20, 160, fill=0, width=max(1, round(0.1 * radius)))
    return array_of(picture)


PERTURBATIONS = (
    Perturbation(
        name="mosaic",
        family="evasion",
        summary="Blocks of one colour; how many along the short side.",
        levels=(64, 32, 16),
        apply=mosaic,
    ),
    Perturbation(
        name="blur",
        family="evasion",
        summary="A Gaussian blur; sigma as a share of the side.",
        levels=(0.005, 0.01, 0.02, 0.04),
        apply=blur,
    ),
    Perturbation(
        name="hue",
        family="evasion",
        summary="Other colours; degrees that they are turned by.",
        levels=(30, 90, 180),
        apply=hue,
    ),
    Perturbation(
        name="invert",
        family="evasion",
        summary="The negative; it has one severity.",
        levels=(1,),
        apply=invert,
    ),
    Perturbation(
        name="greyscale",
        family="evasion",
        summary="Without colour; share that is taken away.",
        levels=(0.5, 1.0),
        apply=greyscale,
    ),
    Perturbation(
        name="posterise",
        family="evasion",
        summary="Few colours; steps for each channel.",
        levels=(8, 4, 2),
        apply=posterise,
    ),
    Perturbation(
        name="watermark",
        family="evasion",
        summary="Words all over it; their opacity.",
        levels=(0.2, 0.4, 0.7),
        apply=watermark,
    ),
    Perturbation(
        name="sticker",
        family="evasion",
        summary="A drawn face over a part; share of the area that it covers.",
        levels=(0.03, 0.1, 0.2),
        apply=sticker,
    ),
    Perturbation(
        name="recompress",
        family="evasion",
        summary="JPEG compression, as by sites and messengers; quality.",
        levels=(90, 75, 60, 45, 30),
        apply=through_jpeg,
    ),
)

"""Classifiers that look at a known part of a picture, or at nothing."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from vedette.models.base import ModelOptions, Prepared
from vedette.models.dummy import CARD, Dummy
from vedette.models.registry import build
from vedette.taxonomy import Category
from vedette.types import Image, Prediction, UInt8

SIDE = 64
"""px"""
SEXUAL = Category.SEXUAL


class Looks(Dummy):
    """Its Sexual score is how much the pixels of one square differ from each other."""

    streams = 2

    def __init__(self, top: int, left: int, side: int) -> None:
        self.square = (slice(top, top + side), slice(left, left + side))

    def prepare(self, image: Image) -> Prepared:
        assert image.pixels.shape == (SIDE, SIDE, 3)
        return Prepared(image.pixels, image.width, image.height, frame=image.frame)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        return [_says(min(float(p.pixels[self.square].std()) / 100, 1.0)) for p in batch]


class Blind(Looks):
    """Says the same of everything."""

    def __init__(self) -> None:
        super().__init__(0, 0, SIDE)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        return [_says(0.5) for _ in batch]


class Guesses(Looks):
    """Draws its score from the picture's digest: no part of the picture says anything about it."""

    def __init__(self) -> None:
        super().__init__(0, 0, SIDE)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        return [_says(0.2 + 0.6 * zlib.crc32(p.pixels.tobytes()) / 2**32) for p in batch]


def _says(p: float) -> Prediction:
    probs = np.zeros(len(Category), dtype=np.float32)
    probs[SEXUAL.position] = p
    return Prediction(tuple(CARD.labels), probs, CARD.model)


def noise(side: int = SIDE, seed: int = 0) -> UInt8:
    """Random pixels: as different from each other as can be, everywhere."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)


def image(pixels: UInt8) -> Image:
    """The pixels as a decoded picture."""
    height, width = pixels.shape[:2]
    return Image(pixels, "0" * 64, width, height, "PNG")


def prepared(pixels: UInt8) -> Prepared:
    """The pixels as a network of their own size takes them."""
    return Prepared(pixels, pixels.shape[1], pixels.shape[0])


def dummy() -> Dummy:
    """The registered dummy."""
    model = build("dummy", ModelOptions())
    assert isinstance(model, Dummy)
    return model

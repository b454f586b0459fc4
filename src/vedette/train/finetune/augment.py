"""Changes of a picture before it is learned from: seeded by picture and epoch, so that a resumed
run sees the very same ones.

``light``: a mirrored, cropped and recoloured square. ``evasion``: some of them changed by a kind of
:mod:`vedette.bench.perturbations` as well, the ways in which evaders and sites change pictures.
``strong``: shifted far, turned and scaled a little, its colours exchanged and often inverted: for a
network that knows nothing yet, and has few pictures to learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import PIL.Image

from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.registry import perturbations
from vedette.bench.perturbations.scoring import random_for
from vedette.models.base import Prepared
from vedette.train.finetune.options import FineTuneOptions
from vedette.types import Float32, Image, UInt8

_FAMILIES = ("evasion", "digital")
_LEAST_AREA = 0.6
"""Of a crop, as a share of the picture."""
_LONGEST = 4 / 3
"""Sides of a crop, one over the other, at most."""
_COLOUR = 0.2
"""By how much brightness, contrast and saturation change, at most."""
_TURN = np.radians(10)
_SCALES = (0.85, 1.2)
_SHIFT = 0.15
"""Of the side, at most: of ``strong``."""
_CONTRASTS = (0.7, 1.3)
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@cache
def evasions() -> tuple[Perturbation, ...]:
    """The kinds that a picture may be changed by, sorted by name."""
    return tuple(kind for kind in perturbations().values() if kind.family in _FAMILIES)


def augmented(
    square: UInt8,
    key: str,
    epoch: int,
    seed: int,
    options: FineTuneOptions,
    prepare: Callable[[Image], Prepared],
) -> UInt8:
    """A changed copy of a square.

    Args:
        square: uint8 [side, side, 3], as prepared for a scan.
        key: of the picture.
        epoch: counted over all stages.
        seed: of the training.
        options: ``augment`` and ``evasion``.
        prepare: makes a square of a picture that a change gave another size.
    """
    if options.augment == "none":
        return square
    rng = random_for(key, f"epoch {epoch}", seed)
    if options.augment == "strong":
        return _strong(square, rng)
    out = _light(square, rng)
    if options.augment == "evasion" and rng.random() < options.evasion:
        kinds = evasions()
        kind = kinds[int(rng.integers(len(kinds)))]
        level = kind.levels[int(rng.integers(len(kind.levels)))]
        out = kind.apply(out, level, rng)
        if out.shape != square.shape:
            height, width = out.shape[:2]
            out = prepare(Image(out, "", width, height, "PNG")).pixels
    return out


def _light(square: UInt8, rng: np.random.Generator) -> UInt8:
    height, width = square.shape[:2]
    if rng.random() < 0.5:
        square = square[:, ::-1]
    area = rng.uniform(_LEAST_AREA, 1.0)
    ratio = np.exp(rng.uniform(-np.log(_LONGEST), np.log(_LONGEST)))
    wide = min(1.0, np.sqrt(area * ratio)) * width
    high = min(1.0, np.sqrt(area / ratio)) * height
    left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
    picture = PIL.Image.fromarray(np.ascontiguousarray(square))
    box = (left, top, left + wide, top + high)
    cropped = picture.resize((width, height), PIL.Image.Resampling.BILINEAR, box=box)
    return _recoloured(np.asarray(cropped, dtype=np.float32), rng)


def _strong(square: UInt8, rng: np.random.Generator) -> UInt8:
    side = square.shape[0]
    margin = side // 2  # what a shift brings in is the picture mirrored
    wide = np.pad(square, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    turn = rng.uniform(-_TURN, _TURN)
    scale = rng.uniform(*_SCALES)
    shift = rng.uniform(-_SHIFT, _SHIFT, 2) * side
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    middle = (side - 1) / 2
    # From a pixel of the result to the one of the padded square that it shows.
    across = margin + middle + shift[0] - cos * middle + sin * middle
    down = margin + middle + shift[1] - sin * middle - cos * middle
    matrix = (cos, -sin, across, sin, cos, down)
    moved = PIL.Image.fromarray(wide).transform(
        (side, side), PIL.Image.Transform.AFFINE, matrix, PIL.Image.Resampling.BILINEAR
    )
    pixels = np.asarray(moved)[..., rng.permutation(3)]
    if rng.random() < 0.5:
        pixels = 255 - pixels
    contrast = np.float32(rng.uniform(*_CONTRASTS))
    changed = (pixels.astype(np.float32) - 127.5) * contrast + 128
    return np.asarray(np.clip(changed, 0, 255), dtype=np.uint8)


def _recoloured(pixels: Float32, rng: np.random.Generator) -> UInt8:
    brightness, contrast, saturation = rng.uniform(1 - _COLOUR, 1 + _COLOUR, 3).astype(np.float32)
    grey = (pixels @ _LUMA)[..., None]
    pixels = grey + (pixels - grey) * saturation
    mean = np.float32(grey.mean())
    pixels = (mean + (pixels - mean) * contrast) * brightness
    return np.asarray(np.clip(pixels + np.float32(0.5), 0, 255), dtype=np.uint8)

"""How a picture becomes the square that a classifier was trained on, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from vedette.backends.base import PixelNorm
from vedette.models.base import Prepared
from vedette.networks.files import field, unusable
from vedette.resize import Fit, Resample, resize
from vedette.types import Image, UInt8

_PILLOW_FILTERS: Mapping[int, Resample] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
RESAMPLES = tuple(_PILLOW_FILTERS.values())
_LONGEST = 4
"""Sides of the crop. What is longer after the resize is not resized whole, only its middle."""
_REACH = 3
"""px that a filter reaches to each side (Lanczos; the others less): of the source where it is
enlarged, of the result where it is reduced."""
_FAR = 1000.0
"""Of a mean or a deviation of pixels in 0..1, at most."""
MAX_SIDE = 4096
"""px of a square that a network takes, at most."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Resize, centre crop and normalisation, as the checkpoint's own configuration has them."""

    fit: Fit
    crop: int
    """px; the side of the square that the network takes."""
    norm: PixelNorm
    halves_to_even: bool = False
    """Which pixel a crop of odd margin begins at: torchvision's and timm's rounding instead of
    transformers'."""

    def prepare(self, image: Image) -> Prepared:
        """The square, equal to the reference's pixels if the picture was decoded whole."""
        width, height = self.fit.target(image.width, image.height)
        pixels = self._middle(image.pixels, width, height)
        square = np.ascontiguousarray(self._cropped(pixels))
        return Prepared(square, image.width, image.height, frame=image.frame)

    def _middle(self, pixels: UInt8, width: int, height: int) -> UInt8:
        """``pixels`` resized to ``width`` x ``height``, or the middle that the crop is cut from.

        A picture of 1 x 20,000 px would otherwise become one of 224 x 4,480,000.
        """
        limit = _LONGEST * self.crop
        if max(width, height) <= limit:
            return resize(pixels, width, height, self.fit.resample)
        left, wide = self._span(width, pixels.shape[1])
        top, high = self._span(height, pixels.shape[0])
        x, y = pixels.shape[1] / width, pixels.shape[0] / height
        box = (left * x, top * y, (left + wide) * x, (top + high) * y)
        picture = PIL.Image.fromarray(pixels)
        resample = PIL.Image.Resampling[self.fit.resample.upper()]
        part = np.asarray(picture.resize((wide, high), resample, box=box))
        # Back to the crop's own place: the margins are cut off, unequally where the margin is odd.
        row, column = self._start(height) - top, self._start(width) - left
        return part[row : row + self.crop, column : column + self.crop]

    def _span(self, side: int, source: int) -> tuple[int, int]:
        """(first px, count) of a side's middle, with margins that no filter reaches across."""
        margin = 1 + _REACH * max(1, -(-side // source))
        first = max(0, self._start(side) - margin)
        return first, min(side, self._start(side) + self.crop + margin) - first

    def _start(self, side: int) -> int:
        """First px of the crop along a side of that length."""
        spare = side - self.crop
        return round(spare / 2) if self.halves_to_even else spare // 2

    def _cropped(self, pixels: UInt8) -> UInt8:
        height, width = pixels.shape[:2]
        if (height, width) == (self.crop, self.crop):
            return pixels
        top, left = self._start(height), self._start(width)
        return pixels[top : top + self.crop, left : left + self.crop]


def from_transformers(config: Mapping[str, Any], path: Path) -> Recipe:
    """The recipe of a ``preprocessor_config.json``.

    Raises:
        ModelError: ``weights_unusable``: a step that we do not know.
    """
    crop = config.get("crop_size") if config.get("do_center_crop") else None
    size = config.get("size", 224)
    resample = field(config, "resample", int, 2, path)
    if resample not in _PILLOW_FILTERS or config.get("do_resize") is False:
        raise unusable(path, "an unknown resize")
    factor = field(config, "rescale_factor", float, 1 / 255, path)
    if config.get("do_rescale") is False or not abs(factor - 1 / 255) <= 1e-6:
        raise unusable(path, "rescale_factor is not 1/255")
    filter_ = _PILLOW_FILTERS[resample]
    if isinstance(size, Mapping) and "shortest_edge" in size:
        fit = Fit(_side(size["shortest_edge"], path), "cover", filter_)
    elif isinstance(size, int) and crop is not None:
        fit = Fit(_side(size, path), "cover", filter_)  # how CLIP's older files say it
    else:
        fit = Fit(_square(size, path), "stretch", filter_)
    side = fit.size if crop is None else _square(crop, path)
    if (fit.mode == "cover" and crop is None) or side > fit.size:
        raise unusable(path, "the size after the resize is not the network's")
    return Recipe(fit, side, read_norm(config, "image_mean", "image_std", path))


def from_timm(config: Mapping[str, Any], path: Path) -> Recipe:
    """The recipe of a timm ``pretrained_cfg``: its evaluation transform.

    Raises:
        ModelError: ``weights_unusable``: a step that we do not know.
    """
    size = config.get("input_size", [3, 224, 224])
    filter_ = config.get("interpolation", "bicubic")
    if not isinstance(size, list) or len(size) != 3 or filter_ not in RESAMPLES:
        raise unusable(path, "an unknown resize")
    crop = _square(size[1:], path)
    share = field(config, "crop_pct", float, 1.0, path) if config.get("crop_pct") else 1.0
    if not crop / MAX_SIDE <= share <= 1:  # false for NaN too
        raise unusable(path, f"crop_pct is {share:g}")
    resized = int(crop / share)
    said = field(config, "crop_mode", str, "center", path)
    mode = {"center": "cover", "squash": "stretch"}.get(said)
    if mode is None:
        raise unusable(path, f"unknown crop_mode {said!r}")
    fit = Fit(_side(resized, path), "cover" if mode == "cover" else "stretch", filter_)
    return Recipe(fit, crop, read_norm(config, "mean", "std", path), halves_to_even=True)


def _square(size: object, path: Path) -> int:
    if isinstance(size, Mapping):
        size = [size.get("height"), size.get("width")]
    if isinstance(size, list | tuple):
        if len(size) != 2 or size[0] != size[1]:
            raise unusable(path, f"the network's input is not a square: {size!r}")
        size = size[0]
    return _side(size, path)


def _side(value: object, path: Path) -> int:
    if type(value) is not int or not 1 <= value <= MAX_SIDE:
        raise unusable(path, f"a size of {value!r}")
    return value


def read_norm(config: Mapping[str, Any], mean: str, std: str, path: Path) -> PixelNorm:
    """The normalisation that a configuration has under these two names.

    Raises:
        ModelError: ``weights_unusable``: not three numbers each, or none that a picture survives.
    """
    if config.get("do_normalize") is False:
        return PixelNorm()
    try:
        means, stds = (tuple(float(v) for v in config[name]) for name in (mean, std))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise unusable(path, f"{mean} and {std} must be three numbers each") from None
    # Past these bounds every picture would become the same grey, or no number at all.
    sane = all(abs(m) <= _FAR for m in means) and all(1 / _FAR <= s <= _FAR for s in stds)
    if len(means) != 3 or len(stds) != 3 or not sane:
        raise unusable(path, f"{mean} and {std} must be three numbers each")
    return PixelNorm((means[0], means[1], means[2]), (stds[0], stds[1], stds[2]))

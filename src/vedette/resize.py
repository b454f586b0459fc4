"""The resize rule, stated once: what reaches a model is made by :func:`resize` and nothing else.

Rule: a picture is resized once, straight to the size the model needs, with an antialiased
filter (Pillow's, whose support grows with the reduction): a triangle, ``bilinear``, unless the
model was trained with another one. A JPEG that is at
least twice that size on each side may be decoded at a reduced DCT scale first, never below twice
the size, so that the antialiased step still does the last and largest part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import PIL.Image

from vedette.types import UInt8

Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True, slots=True)
class Fit:
    """The size a model needs a picture of any shape to have."""

    size: int
    """px"""
    mode: Literal["inside", "cover", "stretch"]
    """``inside``: the long side becomes ``size``; ``cover``: the short side does;
    ``stretch``: both do."""
    resample: Resample = "bilinear"
    """The filter of the last step, antialiased: what the model was trained with."""

    def target(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in px after the resize; at least 1 x 1."""
        if self.mode == "stretch":
            return self.size, self.size
        if self.mode == "cover":  # the long side rounded down, as transformers and timm do
            short = min(width, height)
            return self.size * width // short, self.size * height // short
        scale = self.size / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def scaled_decode(self, width: int, height: int) -> tuple[int, int] | None:
        """The least size a scaled decode must keep, or None where the picture is too small."""
        target_width, target_height = self.target(width, height)
        least = (2 * target_width, 2 * target_height)
        return least if width >= least[0] and height >= least[1] else None


def resize(pixels: UInt8, width: int, height: int, resample: Resample = "bilinear") -> UInt8:
    """``pixels`` [h, w, 3] resized to [height, width, 3] by the rule above."""
    if pixels.shape[:2] == (height, width):
        return pixels
    picture = PIL.Image.fromarray(pixels)
    return np.asarray(picture.resize((width, height), PIL.Image.Resampling[resample.upper()]))

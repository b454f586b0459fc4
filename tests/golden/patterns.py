"""The pictures that golden outputs were made for; make_tfjs.mjs draws the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vedette.types import UInt8

TFJS = Path(__file__).parent / "tfjs"


def pattern(height: int, width: int, seed: int) -> UInt8:
    """uint8 [height, width, 3] from whole numbers only, so that every language draws the same."""
    y, x, c = np.ogrid[:height, :width, :3]
    values = x * 7 * (c + 1) + y * 13 + ((x * y * (seed + 1)) >> 3) + 31 * c * seed
    return np.asarray(values % 256, dtype=np.uint8)

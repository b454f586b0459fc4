"""The colours of a relevance map."""

from __future__ import annotations

import numpy as np

from vedette.types import Float32

_STOPS = np.array(
    # Violet over red and orange to pale yellow. Lightness rises evenly from stop to stop, so that
    # the order is seen in grey, and with any kind of colour vision.
    [(66, 16, 116), (142, 26, 118), (206, 54, 84), (238, 110, 42), (250, 176, 56), (253, 248, 190)],
    dtype=np.float32,
)


def colours(levels: Float32) -> Float32:
    """float32 [..., 3], 0..255 sRGB, for levels 0..1 of any shape."""
    place = np.clip(levels, 0, 1) * (len(_STOPS) - 1)
    low = np.minimum(place.astype(int), len(_STOPS) - 2)
    part = (place - low)[..., None].astype(np.float32)
    return np.asarray(_STOPS[low] * (1 - part) + _STOPS[low + 1] * part, dtype=np.float32)

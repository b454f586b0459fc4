"""A relevance map and regions drawn over a picture that is blurred beyond recognition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw

from vedette.explain.occlusion import Relevance, blurred
from vedette.types import Region, UInt8

_LEAST_SIDE = 384
"""px. Small pictures are enlarged, or no label could be read."""
_LEGEND = 28
_STRENGTH = 0.6
_PALETTE = np.array(
    # From nothing to most: dark violet, magenta, orange, pale yellow. Its lightness rises evenly,
    # so that it reads in grey too.
    [(24, 10, 60), (120, 28, 110), (200, 60, 80), (245, 130, 50), (252, 200, 90), (255, 250, 200)],
    dtype=np.float64,
)
_BOX = (0, 255, 200)


def draw(
    pixels: UInt8,
    relevance: Relevance | None,
    regions: Sequence[Region] = (),
    *,
    sharp: bool = False,
) -> PIL.Image.Image:
    """The picture, blurred unless ``sharp``, with the map as heat and the regions as boxes.

    Args:
        pixels: uint8 [h, w, 3]: what the model saw, or for regions the picture itself.
        relevance: cells that lower the score are not coloured.
        regions: with boxes in ``pixels``' own geometry.
        sharp: show the picture itself.
    """
    base = PIL.Image.fromarray(pixels if sharp else blurred(blurred(pixels)))
    factor = max(1, -(-_LEAST_SIDE // min(base.size)))
    base = base.resize((base.width * factor, base.height * factor))
    if relevance is not None:
        base = PIL.Image.blend(base, _heat(relevance, base.size), _STRENGTH)
    drawn = PIL.Image.new("RGB", (base.width, base.height + _LEGEND), (20, 20, 20))
    drawn.paste(base, (0, 0))
    brush = PIL.ImageDraw.Draw(drawn)
    for region in regions:
        x, y, w, h = (v * factor for v in region.box)
        brush.rectangle((x, y, x + w, y + h), outline=_BOX, width=2)
        brush.text((x + 4, y + 2), f"{region.label} {region.score:.2f}", fill=_BOX)
    brush.text((6, base.height + 8), _legend(relevance, regions), fill=(230, 230, 230))
    return drawn


def _heat(relevance: Relevance, size: tuple[int, int]) -> PIL.Image.Image:
    positive = np.maximum(relevance.cells, 0)
    peak = float(positive.max())
    levels = positive / peak if peak > 0 else positive
    smooth = PIL.Image.fromarray((levels * 255).astype(np.uint8)).resize(
        size, PIL.Image.Resampling.BICUBIC
    )
    place = np.asarray(smooth, dtype=np.float64) / 255 * (len(_PALETTE) - 1)
    low = np.minimum(place.astype(int), len(_PALETTE) - 2)
    part = (place - low)[..., None]
    colours = _PALETTE[low] * (1 - part) + _PALETTE[low + 1] * part
    return PIL.Image.fromarray(colours.astype(np.uint8))


def _legend(relevance: Relevance | None, regions: Sequence[Region]) -> str:
    if relevance is None:
        return f"{len(regions)} regions"
    verdict = "beats" if relevance.deletion.beats_random else "does NOT beat"
    return (
        f"{relevance.category} {relevance.p:.2f}; light: what it rests on; {verdict} random order"
    )

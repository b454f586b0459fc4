"""An explanation as a picture: map and regions over what is blurred beyond recognition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
import PIL.ImageFont

from vedette.explain.explanation import Explanation
from vedette.explain.palette import colours
from vedette.text import printable
from vedette.types import Float32, Region, UInt8

_SIDE = 640
"""px; the long side of the picture as drawn."""
_WIDTH = 480
"""px; at least, so that the words fit."""
_LINE, _MARGIN, _TEXT = 22, 8, 14
_BLUR = 10
"""The blur's deviation is the long side divided by this: a face that fills the picture is a blot,
and anything smaller is gone."""
_DIM, _OPAQUE = 0.35, 0.9
"""Brightness that is left to the picture under a map, whose light is the heat's; and how much the
strongest heat hides of it."""
_SHARP_DIM, _SHARP_OPAQUE = 0.6, 0.6
"""The same where the picture itself is to be seen."""
_LISTED = 12
_PAPER, _INK, _WARN = (18, 18, 22), (232, 232, 236), (255, 120, 110)
_COUNTING, _OTHER = (0, 255, 200), (150, 160, 170)

_Colour = tuple[int, int, int]
_Font = PIL.ImageFont.ImageFont | PIL.ImageFont.FreeTypeFont


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    colour: _Colour = _INK


def draw(explanation: Explanation, *, sharp: bool = False) -> PIL.Image.Image:
    """The explained frame with the map as heat, the regions as numbered boxes, and a legend.

    A map is drawn on the picture as the model takes it, cropped and stretched as that is; regions
    without a map on the frame itself.

    Args:
        explanation: what is drawn.
        sharp: show the picture itself instead of a blur of it.
    """
    subject = explanation.subject
    mapped = explanation.relevance is not None
    pixels = subject.prepared.pixels if mapped else subject.image.pixels
    shown = _base(pixels, sharp=sharp)
    if explanation.relevance is not None:
        dim, opaque = (_SHARP_DIM, _SHARP_OPAQUE) if sharp else (_DIM, _OPAQUE)
        shown = _heated(shown, explanation.relevance.cells, dim, opaque)
    regions = _placed(explanation)
    lines = _legend(explanation, regions, sharp=sharp)
    rows = len(lines) + mapped  # the scale of the heat is a row too
    size = (max(_WIDTH, shown.width), shown.height + 2 * _MARGIN + rows * _LINE)
    canvas = PIL.Image.new("RGB", size, _PAPER)
    left = (canvas.width - shown.width) // 2
    canvas.paste(shown, (left, 0))
    pen, font = PIL.ImageDraw.Draw(canvas), _font()
    for number, (region, box) in enumerate(regions, start=1):
        colour = _COUNTING if explanation.counts(region) else _OTHER
        _draw_box(pen, font, number, _scaled(box, shown, left), colour)
    top = shown.height + _MARGIN
    if explanation.relevance is not None:
        _draw_scale(canvas, pen, font, top, float(explanation.relevance.cells.max()))
        top += _LINE
    for row, line in enumerate(lines):
        fitting = _fitted(line.text, font, canvas.width - 2 * _MARGIN)
        pen.text((_MARGIN, top + row * _LINE), fitting, fill=line.colour, font=font)
    return canvas


def blurred(pixels: UInt8) -> UInt8:
    """``pixels`` [h, w, 3] blurred so far that nothing in them can be recognised."""
    radius = max(2.0, max(pixels.shape[:2]) / _BLUR)
    return np.asarray(PIL.Image.fromarray(pixels).filter(PIL.ImageFilter.GaussianBlur(radius)))


def _base(pixels: UInt8, *, sharp: bool) -> PIL.Image.Image:
    picture = PIL.Image.fromarray(pixels)
    factor = _SIDE / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    small = picture.resize(size, PIL.Image.Resampling.BICUBIC)
    return small if sharp else PIL.Image.fromarray(blurred(np.asarray(small)))


def _heated(base: PIL.Image.Image, cells: Float32, dim: float, opaque: float) -> PIL.Image.Image:
    """``base`` darkened, with colour and opacity by relevance; none where it is not above 0."""
    positive = np.maximum(cells, 0)
    peak = float(positive.max())
    levels = PIL.Image.fromarray(positive / peak if peak > 0 else positive)
    # BILINEAR, not BICUBIC: that would overshoot beside a peak, where nothing was measured.
    smooth = np.asarray(levels.resize(base.size, PIL.Image.Resampling.BILINEAR), dtype=np.float32)
    opacity = np.minimum(smooth * 2, opaque)[..., None]
    mixed = np.asarray(base, dtype=np.float32) * dim * (1 - opacity) + colours(smooth) * opacity
    return PIL.Image.fromarray(np.rint(mixed).astype(np.uint8))


def _placed(explanation: Explanation) -> list[tuple[Region, tuple[float, float, float, float]]]:
    """Regions with their boxes as parts (0..1) of what is drawn: left, top, right, bottom."""
    subject = explanation.subject
    prepared = subject.prepared
    width, height = float(prepared.width), float(prepared.height)
    if explanation.relevance is not None:
        if prepared.others:
            return []  # each member prepares the picture in a way of its own
        rows, columns = prepared.pixels.shape[:2]
        width, height = columns * prepared.scale[0], rows * prepared.scale[1]
    return [
        (region, (x / width, y / height, (x + w) / width, (y + h) / height))
        for region in subject.prediction.regions
        for x, y, w, h in [region.box]
    ]


def _scaled(
    box: tuple[float, float, float, float], shown: PIL.Image.Image, left: int
) -> tuple[float, float, float, float]:
    right, bottom = shown.width - 1, shown.height - 1
    return (
        left + min(box[0] * shown.width, right),
        min(box[1] * shown.height, bottom),
        left + min(box[2] * shown.width, right),
        min(box[3] * shown.height, bottom),
    )


def _legend(
    explanation: Explanation,
    regions: list[tuple[Region, tuple[float, float, float, float]]],
    *,
    sharp: bool,
) -> list[_Line]:
    subject, test = explanation.subject, explanation.deletion
    lines = [_Line(f"{subject.category} {subject.p:.2f}   {explanation.card.model}")]
    if test is not None and test.beats_random:
        lines.append(_Line("the map beats random orders (deletion test)"))
    elif test is not None:
        lines.append(_Line("the map does NOT beat random orders: do not rely on it", _WARN))
    what = "the picture" if test is None else "the picture as the model takes it"
    lines.append(_Line(f"{what}, {'not blurred' if sharp else 'blurred'}", _OTHER))
    for number, (region, _) in enumerate(regions[:_LISTED], start=1):
        counting = explanation.counts(region)
        note = "" if counting else f"   (not {subject.category})"
        colour = _COUNTING if counting else _OTHER
        lines.append(_Line(f"{number}  {region.label} {region.score:.2f}{note}", colour))
    if len(regions) > _LISTED:
        lines.append(_Line(f"and {len(regions) - _LISTED} more regions", _OTHER))
    return lines


def _draw_box(
    pen: PIL.ImageDraw.ImageDraw,
    font: _Font,
    number: int,
    box: tuple[float, float, float, float],
    colour: _Colour,
) -> None:
    pen.rectangle(box, outline=_PAPER, width=4)  # seen on light ground too
    pen.rectangle(box, outline=colour, width=2)
    text = str(number)
    wide = font.getlength(text) + 8
    pen.rectangle((box[0], box[1], box[0] + wide, box[1] + _LINE - 2), fill=colour)
    pen.text((box[0] + 4, box[1] + 2), text, fill=_PAPER, font=font)


def _draw_scale(
    canvas: PIL.Image.Image, pen: PIL.ImageDraw.ImageDraw, font: _Font, top: int, peak: float
) -> None:
    """The colours from no relevance to the most, with what the most is."""
    left, bar = "no effect", 120
    most = f"most: {max(peak, 0):.2f} logits less without it"
    pen.text((_MARGIN, top), left, fill=_INK, font=font)
    start = _MARGIN + round(font.getlength(left)) + _MARGIN
    ramp = np.linspace(0, 1, bar, dtype=np.float32)
    row = colours(ramp) * np.minimum(ramp * 2, _OPAQUE)[:, None]
    strip = np.broadcast_to(np.rint(row).astype(np.uint8), (_TEXT, bar, 3))
    canvas.paste(PIL.Image.fromarray(np.ascontiguousarray(strip)), (start, top + 1))
    pen.text((start + bar + _MARGIN, top), most, fill=_INK, font=font)


def _font() -> _Font:
    # Pillow's own scalable font needs FreeType, which some builds of it lack.
    return PIL.ImageFont.load_default(_TEXT if PIL.features.check("freetype2") else None)


def _fitted(text: str, font: _Font, width: int) -> str:
    """``text`` on one line, cut where it is longer than ``width`` px."""
    text = printable(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."

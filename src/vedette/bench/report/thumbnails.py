"""Pictures for a report: small, and blurred before they are stored."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import PIL.Image

from vedette.data.base import Source
from vedette.decode import DecodeOptions, decode_item
from vedette.errors import ItemError
from vedette.explain.drawing import blurred
from vedette.resize import Fit, resize
from vedette.settings import Settings
from vedette.types import UInt8

_SIZE = Fit(112, "inside")
_QUALITY = 70
MOST = 400
"""Pictures in one report."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One picture, or why there is none."""

    uri: str = ""
    """``data:image/jpeg;base64,...``; empty where there is no picture."""
    width: int = 0
    """px"""
    height: int = 0
    """px"""
    missing: str = ""
    """Why there is no picture."""


def thumbnails(
    wanted: Iterable[tuple[str, str]], source: Source, settings: Settings
) -> Mapping[tuple[str, str], Thumbnail]:
    """Pictures by (key, sha256 of the file), as the results name them.

    The picture that a number rests on is shown, or none: where the set has other bytes under that
    key by now, that is said instead.

    Raises:
        VedetteError: the set itself cannot be read.
    """
    found: dict[tuple[str, str], Thumbnail] = {}
    for key, sha256 in dict.fromkeys(wanted):
        if len(found) == MOST:
            break
        found[key, sha256] = _thumbnail(key, sha256, source, settings)
    return found


def _thumbnail(key: str, sha256: str, source: Source, settings: Settings) -> Thumbnail:
    item = source.find(key)
    if item is None:
        return Thumbnail(missing="not in this set")
    try:
        image = next(decode_item(item, DecodeOptions(limits=settings.limits)), None)
    except ItemError as error:
        return Thumbnail(missing=f"cannot be read: {error.code}")
    if image is None:
        return Thumbnail(missing="has no frame")
    if sha256 and image.sha256 != sha256:
        return Thumbnail(missing="another picture than was scored")
    return veiled(image.pixels)


def veiled(pixels: UInt8) -> Thumbnail:
    """``pixels`` [h, w, 3] shrunk and then blurred, as a file that holds nothing sharper.

    A blur by the page's style could be switched off by anybody who has the page.
    """
    height, width = pixels.shape[:2]
    width, height = _SIZE.target(width, height)
    stream = io.BytesIO()
    small = blurred(resize(pixels, width, height))
    PIL.Image.fromarray(small).save(stream, "JPEG", quality=_QUALITY)
    data = base64.b64encode(stream.getvalue()).decode()
    return Thumbnail(f"data:image/jpeg;base64,{data}", width, height)

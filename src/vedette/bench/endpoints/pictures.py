"""A picture as it is sent: decoded here first, then encoded within the service's limits.

What is sent is made from the pixels that our own classifiers see, so that no service sees a
picture turned, coloured or framed otherwise; metadata (place, camera, owner) stays here.
"""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import dataclass

import PIL.Image

from vedette.decode import DecodeOptions, decode_item
from vedette.errors import DecodeError, FetchError
from vedette.fetch import open_regular, read_bounded, shown
from vedette.resize import resize
from vedette.settings import Limits
from vedette.types import Failure, Image, Item, UInt8

_QUALITIES = (95, 85)


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a service takes."""

    side: int = 2048
    """px of the longer side; larger pictures are scaled down."""
    bytes: int = 15_000_000
    """Of the encoded file, before base64."""

    @property
    def told(self) -> str:
        """For the card: how pictures are sent."""
        return (
            f"pixels as PNG; scaled down above {self.side} px, as JPEG where the PNG is larger "
            f"than {self.bytes} bytes; no metadata"
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture."""

    data: bytes
    mime: str


def still(item: Item, limits: Limits) -> Image:
    """The one picture that an item holds, decoded to its end.

    Raises:
        ItemError: it cannot be read or decoded whole, or holds several pictures: an answer about
            one frame would pass the others unseen.
    """
    first: Image | None = None
    for image in decode_item(item, DecodeOptions(limits=limits)):
        if image.frames != 1:
            error = DecodeError(
                f"{image.format} of several frames; an endpoint is asked about one picture",
                code="unsupported_format",
            )
            error.sha256, error.format = image.sha256, image.format
            raise error
        first = first or image
    if first is None:
        raise DecodeError("no picture in it", code="corrupt")
    return first


def bytes_of(item: Item, limits: Limits) -> bytes:
    """The file that an item is.

    Raises:
        FetchError: it cannot be read.
    """
    match item.data:
        case Failure() as failure:
            raise FetchError(failure.message, code=failure.code)
        case bytes() as data:
            return data
        case path:
            with closing(open_regular(path)) as stream:
                return read_bounded(stream, limits.bytes, shown(path))


def encoded(pixels: UInt8, limits: PictureLimits) -> Picture:
    """The pixels as a file within ``limits``: lossless where it fits."""
    height, width = pixels.shape[:2]
    side = min(limits.side, max(width, height))
    while True:
        scale = side / max(width, height)
        small = pixels
        if scale < 1:
            small = resize(pixels, max(1, round(width * scale)), max(1, round(height * scale)))
        picture = PIL.Image.fromarray(small)
        data = _file(picture, "PNG")
        if len(data) <= limits.bytes:
            return Picture(data, "image/png")
        for quality in _QUALITIES:
            data = _file(picture, "JPEG", quality)
            if len(data) <= limits.bytes:
                return Picture(data, "image/jpeg")
        side //= 2


def _file(picture: PIL.Image.Image, fmt: str, quality: int = 0) -> bytes:
    stream = io.BytesIO()
    if fmt == "PNG":
        picture.save(stream, fmt)
    else:
        picture.save(stream, fmt, quality=quality, subsampling=0)
    return stream.getvalue()

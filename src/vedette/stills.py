"""Pictures and animations to frames, with Pillow's decoders called by name."""

from __future__ import annotations

import dataclasses
import io
import struct
import warnings
from collections.abc import Callable, Iterator
from typing import IO, cast

import numpy as np
import PIL.Image
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from vedette import colour, sniff
from vedette.decoding import Deadline, DecodeOptions
from vedette.errors import DecodeError, VedetteError
from vedette.extras import require
from vedette.resize import Fit
from vedette.settings import Limits
from vedette.types import Image

# What Pillow warns of ("Truncated File Read", "Corrupt EXIF data") is noise beside the file's own
# Record, and under ``python -W error`` it would fail pictures that decode.
warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")

_SUB_IFDS = 330
"""TIFF tag of pictures beside the pages; raw photographs keep their main picture there."""

_Opener = Callable[[IO[bytes]], ImageFile.ImageFile]


def _open_heif(stream: IO[bytes]) -> ImageFile.ImageFile:
    plugin = require("pillow_heif", extra="heif")
    return cast(ImageFile.ImageFile, plugin.HeifImageFile(stream))


# The plugins' own classes, not PIL.Image.open: that one tries every decoder Pillow has, and its
# size check is a global of the whole process, which is not ours to set.
_OPENERS: dict[sniff.Format, _Opener] = {
    sniff.JPEG: lambda stream: JpegImagePlugin.jpeg_factory(stream),
    sniff.PNG: PngImagePlugin.PngImageFile,
    sniff.GIF: GifImagePlugin.GifImageFile,
    sniff.WEBP: WebPImagePlugin.WebPImageFile,
    sniff.BMP: BmpImagePlugin.BmpImageFile,
    sniff.TIFF: TiffImagePlugin.TiffImageFile,
    sniff.AVIF: AvifImagePlugin.AvifImageFile,
    sniff.HEIC: _open_heif,
    sniff.PPM: PpmImagePlugin.PpmImageFile,
}


def still_frames(
    data: bytes, fmt: sniff.Format, sha256: str, options: DecodeOptions
) -> Iterator[Image]:
    """Every frame, page or size of a picture file, each in one or two views.

    Raises:
        DecodeError: at any point of the iteration.
        MissingExtraError: the format needs a library that is not installed.
    """
    deadline = Deadline(options.limits.seconds)
    try:
        if fmt is sniff.ICO:
            images = _icon_sizes(data, sha256, options, deadline)
        else:
            picture = _OPENERS[fmt](io.BytesIO(data))
            images = _frames(picture, fmt, sha256, options, deadline)
        count = 0
        for image in deadline.lend(images):
            count = image.frames
            yield image
        if count == 1 and fmt in (sniff.AVIF, sniff.HEIC) and sniff.has_track(data):
            # Its brand says still, its content moves: viewers go by the one or by the other.
            raise DecodeError(
                f"{fmt.name} with a track that is not decoded", code="unsupported_format"
            )
    except VedetteError:
        raise
    except Exception as error:
        raise _decode_error(error, fmt, data) from error


def _frames(
    picture: ImageFile.ImageFile,
    fmt: sniff.Format,
    sha256: str,
    options: DecodeOptions,
    deadline: Deadline,
) -> Iterator[Image]:
    limits = options.limits
    _check_pixels(picture.size, limits)
    count, problem = _count(picture, limits.frames, deadline)
    elapsed_ms, more = 0.0, False
    for index in range(min(count, limits.frames)):
        picture.seek(index)  # 0 too: a HEIC opens at its primary picture, which may be any
        _check_pixels(picture.size, limits)
        _check_transparency(picture)
        if index:
            deadline.check()
        more = more or (fmt is sniff.TIFF and _SUB_IFDS in picture.getexif())
        width, height = _load(picture, options.fit)
        time_s = elapsed_ms / 1000 if count > 1 and "duration" in picture.info else None
        elapsed_ms += picture.info.get("duration", 0) or 0
        for view, pixels in colour.views(picture, icc=options.icc):
            yield _turned(
                Image(pixels, sha256, width, height, fmt.name, index, count, time_s, view), picture
            )
    deadline.check()
    if problem is not None:
        raise problem
    if more:
        raise DecodeError("TIFF with sub-pictures, not decoded", code="unsupported_format")
    if count > limits.frames:
        raise _too_many_frames(limits)


def _count(
    picture: ImageFile.ImageFile, most: int, deadline: Deadline
) -> tuple[int, Exception | None]:
    """Frames that the file declares, and what stopped the count: those before it are still good.

    A TIFF's pages are counted no further than ``most`` + 1: Pillow's own count takes time quadratic
    in their number, hours for a hostile file.
    """
    pages = range(1, most + 1) if isinstance(picture, TiffImagePlugin.TiffImageFile) else ()
    count = 1
    try:
        if not pages:
            count = int(getattr(picture, "n_frames", 1))
        for page in pages:
            deadline.check()
            picture.seek(page)
            count = page + 1
    except EOFError as error:
        return count, None if pages else error
    except Exception as error:  # noqa: BLE001 - raised again behind the frames that are there
        return count, error
    return count, None


def _load(picture: ImageFile.ImageFile, fit: Fit | None) -> tuple[int, int]:
    """Decode the pixels, a JPEG's at a reduced scale where ``fit`` allows; the full (w, h)."""
    full = picture.size
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        picture.decoderconfig = ()  # else one picture of an MPO is read at the scale of the last
        least = fit.scaled_decode(*full) if fit is not None else None
        if least is not None:
            picture.draft(None, least)
            picture.load()
            return full
    picture.load()
    return picture.size  # some decoders learn it only now


def _icon_sizes(
    data: bytes, sha256: str, options: DecodeOptions, deadline: Deadline
) -> Iterator[Image]:
    """Every entry of an icon: each may hold another picture."""
    # Not Pillow's IcoImageFile: that decodes the largest entry before its size can be checked.
    icon = IcoImagePlugin.IcoFile(io.BytesIO(data))
    limits, count = options.limits, len(icon.entry)
    if count == 0:
        raise DecodeError("an icon without pictures", code="corrupt")
    for index in range(min(count, limits.frames)):
        deadline.check()
        _check_pixels(_icon_size(data, icon.entry[index].offset), limits)
        entry = icon.frame(index)
        _check_pixels(entry.size, limits)
        entry.load()
        for view, pixels in colour.views(entry, icc=options.icc):
            yield Image(pixels, sha256, *entry.size, sniff.ICO.name, index, count, None, view)
    if count > limits.frames:
        raise _too_many_frames(limits)


def _icon_size(data: bytes, offset: int) -> tuple[int, int]:
    """(w, h) in px that an icon's entry declares: a PNG, or a DIB of colours above their mask."""
    head = data[offset : offset + 24]
    if head.startswith(b"\x89PNG"):
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    core = head[:4] == b"\x0c\0\0\0"  # the header of OS/2 and Windows 2
    width, height = struct.unpack("<HH" if core else "<ii", head[4:8] if core else head[4:12])
    return abs(width), abs(height) // 2


def _turned(image: Image, picture: PIL.Image.Image) -> Image:
    """``image`` turned as the EXIF of the picture that it was made from says."""
    turn = colour.exif_turn(picture)
    if turn is None:
        return image
    pixels = np.asarray(PIL.Image.fromarray(image.pixels).transpose(turn))
    width, height = image.width, image.height
    if turn in _SIDEWAYS:
        width, height = height, width
    return dataclasses.replace(image, pixels=pixels, width=width, height=height)


_SIDEWAYS = frozenset(
    {
        PIL.Image.Transpose.ROTATE_90,
        PIL.Image.Transpose.ROTATE_270,
        PIL.Image.Transpose.TRANSPOSE,
        PIL.Image.Transpose.TRANSVERSE,
    }
)


def _check_pixels(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise DecodeError(f"a picture of {width} x {height} px", code="corrupt")
    if width * height > limits.pixels:
        raise DecodeError(
            f"{width} x {height} px is more than {limits.pixels} pixels", code="too_many_pixels"
        )


def _check_transparency(picture: ImageFile.ImageFile) -> None:
    """Refuse what Pillow shows opaque and viewers do not: it could hide a picture."""
    if (
        isinstance(picture, PngImagePlugin.PngImageFile)
        and "transparency" in picture.info
        and any(tile.args == "RGB;16B" for tile in picture.tile)
    ):
        raise DecodeError(
            "PNG of 16-bit colour with a transparent colour", code="unsupported_format"
        )


def _too_many_frames(limits: Limits) -> DecodeError:
    return DecodeError(
        f"more than {limits.frames} frames; those within the limit were scanned",
        code="too_many_frames",
    )


def _decode_error(error: Exception, fmt: sniff.Format, data: bytes) -> DecodeError:
    """What a decoder's own exception means. Decoders raise all kinds, so the catch is wide."""
    message = f"{fmt.name}: {' '.join(str(error).split()) or type(error).__name__}"
    if isinstance(error, MemoryError) or "out of memory" in message:
        return DecodeError(f"{fmt.name}: not enough memory", code="out_of_memory")
    if isinstance(error, PIL.Image.DecompressionBombError):
        return DecodeError(message, code="too_many_pixels")
    if "truncated" in message or isinstance(error, EOFError) or sniff.looks_cut(fmt, data):
        return DecodeError(message, code="truncated")
    return DecodeError(message, code="corrupt")

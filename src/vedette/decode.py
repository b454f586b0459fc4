"""Bytes to frames: one way in for every format, with limits, ending in frames or in a DecodeError.

The type is decided by content (:mod:`vedette.sniff`), and only that format's decoder is ever
called. A file may yield some frames and then fail: the caller keeps the frames *and* the failure,
so that what was seen counts and what was not is never taken for safe.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

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
from vedette.errors import DecodeError, FetchError, ItemError, MissingExtraError, VedetteError
from vedette.extras import require
from vedette.fetch import open_regular, read_bounded
from vedette.resize import Fit
from vedette.settings import Limits, VideoSampling
from vedette.types import Failure, Image, Item

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
    sniff.ICO: IcoImagePlugin.IcoImageFile,
    sniff.PPM: PpmImagePlugin.PpmImageFile,
}
_NO_LIMITS = Limits()
_DEFAULT_SAMPLING = VideoSampling()


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """All that decoding depends on besides the bytes."""

    limits: Limits = _NO_LIMITS
    sampling: VideoSampling = _DEFAULT_SAMPLING
    fit: Fit | None = None
    """What the model needs; allows a scaled decode of JPEGs. None: full size."""


class Deadline:
    """A time limit on decoding alone: while a frame is out with the consumer, the clock stops."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raises DecodeError ``timeout`` if the time is over."""
        if time.monotonic() > self._end:
            raise DecodeError(f"decoding took longer than {self._seconds:g} s", code="timeout")

    def lend(self, images: Iterator[Image]) -> Iterator[Image]:
        """Pass ``images`` on, not counting the time until each is taken back."""
        for image in images:
            lent = time.monotonic()
            yield image
            self._end += time.monotonic() - lent


class Decoder(Protocol):
    """Turns items into frames. Implementations: in this thread, or in a guarded process."""

    def frames(self, item: Item) -> Iterator[Image]:
        """Yield the item's frames in order; thread-safe.

        Raises:
            ItemError: at any point; frames already yielded stay valid.
        """
        ...

    def close(self) -> None:
        """Free what the decoder holds. It is not used afterwards."""
        ...


class InlineDecoder:
    """Decodes in the calling thread."""

    def __init__(self, options: DecodeOptions) -> None:
        self.options = options

    def frames(self, item: Item) -> Iterator[Image]:
        """See :class:`Decoder`."""
        return decode_item(item, self.options)

    def close(self) -> None:
        """Nothing to free."""


def decode_item(item: Item, options: DecodeOptions) -> Iterator[Image]:
    """The frames of an item, its bytes read first if it names a path.

    Raises:
        ItemError: at any point of the iteration.
    """
    match item.data:
        case Failure() as failure:
            error = DecodeError if failure.stage == "decode" else FetchError
            raise error(failure.message, code=failure.code)
        case bytes() as data:
            yield from decode(data, options)
        case Path() as path:
            with closing(open_regular(path)) as stream:
                try:
                    head = stream.read(sniff.HEAD_BYTES)
                    stream.seek(0)
                except OSError as error:
                    raise FetchError(f"{path.name}: {error.strerror}", code="unreadable") from error
                fmt = sniff.sniff(head)
                if fmt is not None and fmt.kind == "video":
                    yield from _decode_video(stream, fmt, options)
                    return
                data = read_bounded(stream, options.limits.bytes, path.name)
            yield from decode(data, options)


def decode(data: bytes, options: DecodeOptions | None = None) -> Iterator[Image]:
    """The frames of a file given as bytes.

    A still picture yields one Image, or two where it is transparent and looks different on white
    and on black. Animations, multi-page TIFFs, multi-picture JPEGs and icons yield every frame,
    page or size.

    Raises:
        DecodeError: at any point of the iteration, with a code of :data:`vedette.errors.CODES`.
    """
    options = options or DecodeOptions()
    if not data:
        raise DecodeError("the file has no bytes", code="empty")
    fmt = sniff.sniff(data[: sniff.HEAD_BYTES])
    if fmt is None:
        raise DecodeError("the content is of no format that we know", code="unsupported_format")
    if fmt.kind == "video":
        yield from _decode_video(io.BytesIO(data), fmt, options)
    elif fmt.kind == "archive":
        raise DecodeError(f"a {fmt.name} archive where a picture belongs", code="nested_archive")
    elif fmt.kind == "other":
        raise DecodeError(f"{fmt.name} is not decoded", code="unsupported_format")
    elif len(data) > options.limits.bytes:
        raise DecodeError(f"larger than {options.limits.bytes} bytes", code="too_many_bytes")
    else:
        yield from _decode_picture(data, fmt, options)


def _decode_picture(data: bytes, fmt: sniff.Format, options: DecodeOptions) -> Iterator[Image]:
    deadline = Deadline(options.limits.seconds)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        picture = _OPENERS[fmt](io.BytesIO(data))
        if isinstance(picture, IcoImagePlugin.IcoImageFile):
            yield from deadline.lend(_icon_sizes(picture, sha256, options.limits))
        else:
            yield from deadline.lend(_frames(picture, fmt, sha256, options, deadline))
    except VedetteError as error:
        raise _as_item_error(error) from error
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
    _check_pixels(picture, limits)
    count = getattr(picture, "n_frames", 1)
    elapsed_ms = 0.0
    for index in range(min(count, limits.frames)):
        if index:
            picture.seek(index)
            _check_pixels(picture, limits)
            deadline.check()
        width, height = picture.size
        if options.fit is not None and fmt is sniff.JPEG and index == 0:
            least = options.fit.scaled_decode(width, height)
            if least is not None:
                picture.draft(None, least)
        picture.load()
        time_s = elapsed_ms / 1000 if count > 1 and "duration" in picture.info else None
        elapsed_ms += picture.info.get("duration", 0) or 0
        yield from _images(picture, (width, height), fmt, sha256, (index, count), time_s)
    deadline.check()
    if count > limits.frames:
        raise DecodeError(
            f"{count} frames, of which {limits.frames} were scanned", code="too_many_frames"
        )


def _icon_sizes(
    picture: IcoImagePlugin.IcoImageFile, sha256: str, limits: Limits
) -> Iterator[Image]:
    """Every entry of an icon: each may hold another picture."""
    count = len(picture.ico.entry)
    if count == 0:
        raise DecodeError("an icon without pictures", code="corrupt")
    for index in range(count):
        entry = picture.ico.frame(index)
        _check_pixels(entry, limits)
        entry.load()
        yield from _images(entry, entry.size, sniff.ICO, sha256, (index, count), None)


def _images(
    picture: PIL.Image.Image,
    size: tuple[int, int],
    fmt: sniff.Format,
    sha256: str,
    place: tuple[int, int],
    time_s: float | None,
) -> Iterator[Image]:
    """The views of one frame, turned as its EXIF says. ``size`` is the undecoded (w, h)."""
    turn = colour.exif_turn(picture)
    for view, pixels in colour.views(picture):
        width, height = size
        if turn is not None:
            pixels = np.asarray(PIL.Image.fromarray(pixels).transpose(turn))
            if turn in _SIDEWAYS:
                width, height = height, width
        yield Image(pixels, sha256, width, height, fmt.name, *place, time_s, view)


_SIDEWAYS = frozenset(
    {
        PIL.Image.Transpose.ROTATE_90,
        PIL.Image.Transpose.ROTATE_270,
        PIL.Image.Transpose.TRANSPOSE,
        PIL.Image.Transpose.TRANSVERSE,
    }
)


def _decode_video(stream: IO[bytes], fmt: sniff.Format, options: DecodeOptions) -> Iterator[Image]:
    from vedette.video import video_frames

    deadline = Deadline(options.limits.video_seconds)
    try:
        yield from deadline.lend(
            video_frames(stream, fmt, options.limits, options.sampling, deadline)
        )
    except VedetteError as error:
        raise _as_item_error(error) from error


def _check_pixels(picture: PIL.Image.Image, limits: Limits) -> None:
    width, height = picture.size
    if width < 1 or height < 1:
        raise DecodeError(f"a picture of {width} x {height} px", code="corrupt")
    if width * height > limits.pixels:
        raise DecodeError(
            f"{width} x {height} px is more than {limits.pixels} pixels", code="too_many_pixels"
        )


def _as_item_error(error: VedetteError) -> ItemError:
    if isinstance(error, ItemError):
        return error
    if isinstance(error, MissingExtraError):
        return DecodeError(f"{error.message}: {error.hint}", code="extra_missing")
    return DecodeError(error.message)


def _decode_error(error: Exception, fmt: sniff.Format, data: bytes) -> DecodeError:
    """What a decoder's own exception means. Decoders raise all kinds, so the catch is wide."""
    message = f"{fmt.name}: {' '.join(str(error).split()) or type(error).__name__}"
    if isinstance(error, MemoryError):
        return DecodeError(f"{fmt.name}: not enough memory", code="out_of_memory")
    if isinstance(error, PIL.Image.DecompressionBombError):
        return DecodeError(message, code="too_many_pixels")
    if "truncated" in message or isinstance(error, EOFError) or sniff.looks_cut(fmt, data):
        return DecodeError(message, code="truncated")
    return DecodeError(message, code="corrupt")

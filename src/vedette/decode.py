"""Bytes to frames: one way in for every format, with limits, ending in frames or in a DecodeError.

The type is decided by content (:mod:`vedette.sniff`), and only that format's decoder is ever
called: :mod:`vedette.stills` for pictures and animations, :mod:`vedette.video` for video. A file
may yield some frames and then fail: the caller keeps the frames *and* the failure, so that what was
seen counts and what was not is never taken for safe.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Protocol

from vedette import sniff
from vedette.decoding import Deadline, DecodeOptions
from vedette.errors import DecodeError, FetchError, ItemError, MissingExtraError
from vedette.fetch import open_regular, read_bounded, shown
from vedette.stills import still_frames
from vedette.types import Failure, Image, Item
from vedette.video import video_frames

__all__ = ["DecodeOptions", "Decoder", "InlineDecoder", "decode", "decode_item"]


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
                    raise FetchError(
                        f"{shown(path)}: {error.strerror}", code="unreadable"
                    ) from error
                fmt = sniff.sniff(head)
                if fmt is not None and fmt.kind == "video":
                    yield from _decode_video(stream, fmt, options)
                    return
                data = read_bounded(stream, options.limits.bytes, shown(path))
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
    fmt = sniff.sniff(data[: sniff.HEAD_BYTES])
    if fmt is not None and fmt.kind == "video":
        yield from _decode_video(io.BytesIO(data), fmt, options)
        return
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        if not data:
            raise DecodeError("the file has no bytes", code="empty")
        if fmt is None:
            raise DecodeError("the content is of no format that we know", code="unsupported_format")
        if fmt.kind == "archive":
            raise DecodeError(f"a {fmt.name} archive, not a picture", code="nested_archive")
        if fmt.kind == "other":
            raise DecodeError(f"{fmt.name} is not decoded", code="unsupported_format")
        if len(data) > options.limits.bytes:
            raise DecodeError(f"larger than {options.limits.bytes} bytes", code="too_many_bytes")
        yield from _frames(still_frames(data, fmt, sha256, options))
    except ItemError as error:
        error.sha256 = sha256
        error.format = fmt.name if fmt is not None else None
        raise


def _decode_video(stream: IO[bytes], fmt: sniff.Format, options: DecodeOptions) -> Iterator[Image]:
    deadline = Deadline(options.limits.video_seconds)
    frames = video_frames(stream, fmt, options.limits, options.sampling, deadline)
    yield from _frames(deadline.lend(frames))


def _frames(images: Iterator[Image]) -> Iterator[Image]:
    """``images``, with a missing library told as the failure of the file that needs it."""
    try:
        yield from images
    except MissingExtraError as error:
        raise DecodeError(f"{error.message}: {error.hint}", code="extra_missing") from error

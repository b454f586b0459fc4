"""A picture for an annotator to open: blurred first, sharper only when asked for.

What people must look at harms them less the less of it they see, and many pictures are judged from
their blur. The file is readable by its owner only, and gone when the session ends.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
import PIL.Image
import PIL.ImageFilter

from vedette.decode import Decoder
from vedette.errors import FetchError, UsageError, VedetteError
from vedette.types import Image, Item, UInt8

SIDE = 768
"""px; the long side of the file, at most."""
BLURS: tuple[int | None, ...] = (16, 48, None)
"""The long side divided by the blur's deviation, from the first sight on; None: no blur."""
_FRAMES = 16
"""Frames of an animation or video that are shown, at most; spread evenly over it."""


def frames_of(item: Item, sha256: str, decoder: Decoder) -> list[UInt8]:
    """What there is to see of an item, decoded to its end: uint8 [h, w, 3] each.

    Args:
        item: as its source has it now.
        sha256: of the bytes that the campaign is about; empty where it does not know.
        decoder: with its limits.

    Raises:
        ItemError: it cannot be decoded whole, or has other bytes now.
    """
    kept: list[UInt8] = []
    every = 1
    for number, image in enumerate(decoder.frames(item)):
        if sha256 and image.sha256 != sha256:
            raise FetchError("the picture is not the one that the campaign was made of")
        if number % every == 0:
            kept.append(_small(image))
        if len(kept) > _FRAMES:
            kept, every = kept[::2], every * 2
    if not kept:
        raise FetchError("there is nothing to see in it", code="empty")
    return kept


def _small(image: Image) -> UInt8:
    picture = PIL.Image.fromarray(image.pixels)
    picture.thumbnail((SIDE, SIDE), PIL.Image.Resampling.LANCZOS)
    return np.asarray(picture)


def sheet(frames: list[UInt8], sharpness: int) -> PIL.Image.Image:
    """The frames side by side in a square grid, each blurred as :data:`BLURS` says."""
    columns = int(np.ceil(np.sqrt(len(frames))))
    cell = SIDE // columns
    rows = -(-len(frames) // columns)
    shown = []
    for frame in frames:
        picture = PIL.Image.fromarray(frame)
        if columns > 1:
            picture.thumbnail((cell, cell), PIL.Image.Resampling.LANCZOS)
        shown.append(_blurred(picture, BLURS[min(sharpness, len(BLURS) - 1)]))
    if len(shown) == 1:
        return shown[0]
    canvas = PIL.Image.new("RGB", (columns * cell, rows * cell))
    for number, picture in enumerate(shown):
        row, column = divmod(number, columns)
        canvas.paste(picture, (column * cell, row * cell))
    return canvas


def _blurred(picture: PIL.Image.Image, blur: int | None) -> PIL.Image.Image:
    if blur is None:
        return picture
    radius = max(2.0, max(picture.size) / blur)
    return picture.filter(PIL.ImageFilter.GaussianBlur(radius))


class Preview:
    """The file that an annotator looks at; removed when the block ends.

    Args:
        path: where; by default in a folder of its own. Must not be there yet.

    Raises:
        UsageError: ``output_exists``; or it is not called ``.png``.
        VedetteError: ``write_failed``.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is not None and path.suffix.lower() != ".png":
            raise UsageError(f"{path} is no .png", hint="give the preview a name that ends in .png")
        if path is not None and os.path.lexists(path):
            raise UsageError(
                f"{path} is already there",
                code="output_exists",
                hint="remove it, or give the preview another name",
            )
        self._folder = Path(tempfile.mkdtemp(prefix="vedette-")) if path is None else None
        self.path = path if path is not None else Path(f"{self._folder}/preview.png")

    def show(self, picture: PIL.Image.Image) -> None:
        """Put ``picture`` in the file, whole: a viewer never sees half of it."""
        data = io.BytesIO()
        picture.save(data, "PNG")
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            beside.unlink(missing_ok=True)
            descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data.getvalue())
            os.replace(beside, self.path)
        except OSError as error:
            raise VedetteError(
                f"cannot write {self.path}: {error.strerror or error}", code="write_failed"
            ) from error
        finally:
            beside.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the file: nothing is to be looked at."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the file, and the folder that was made for it."""
        self.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Preview:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

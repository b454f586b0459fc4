"""Pictures given from Python: paths, bytes, Pillow images and arrays, as Items and as a source."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.ExifTags import Base

from vedette.colour import exif_turn
from vedette.data.base import Shard
from vedette.data.keys import to_key
from vedette.errors import UsageError
from vedette.types import Failure, Item

Scannable = str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[Any] | Item


class ItemSource:
    """Items that are in memory already, as a :class:`~vedette.data.base.Source` of one shard."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = {item.key: item for item in items}
        if len(self._items) < len(items):
            raise UsageError("two items have one key", hint="give each a key of its own")

    def shards(self) -> Sequence[Shard]:
        """One."""
        return [Shard("items")]

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`."""
        yield from self._items.values()

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`."""
        return self._items.get(key)


def as_item(given: Scannable) -> Item:
    """``given`` as an Item; pictures in memory become files in memory and take the same way.

    Raises:
        UsageError: it is nothing that can be scanned.
    """
    match given:
        case Item():
            return given
        case bytes():
            return Item("bytes", given)
        case str() | os.PathLike():
            path = os.fspath(given)
            return Item(to_key(path), Path(path))
        case PIL.Image.Image():
            return Item("image", _encoded(given))
        case np.ndarray():
            return Item("array", _encoded(_from_array(given)))
    raise UsageError(
        f"cannot scan a {type(given).__name__}",
        hint="give a path, bytes, a Pillow image, a uint8 array or an Item",
    )


def _encoded(picture: PIL.Image.Image) -> bytes | Failure:
    """Uncompressed TIFF, turned upright: every Pillow mode and its profile, nothing lost."""
    stream = io.BytesIO()
    try:
        picture.load()  # before its EXIF is asked: loading a TIFF turns it
        turn = exif_turn(picture)
        if turn is not None:
            picture = picture.transpose(turn)
        if picture.mode == "La":
            picture = picture.convert("LA")  # Pillow knows no straight way to RGBA
        if picture.has_transparency_data and picture.mode not in ("RGBA", "LA"):
            picture = picture.convert("RGBA")
        elif picture.mode == "HSV":
            picture = picture.convert("RGB")
        upright = PIL.Image.Exif()
        upright[Base.Orientation] = 1  # else one in the picture's XMP would count
        profile = picture.info.get("icc_profile")
        picture.save(stream, "TIFF", icc_profile=profile, exif=upright)
    except Exception as error:  # noqa: BLE001 - a picture may be read only now, and be broken
        message = f"{picture.format or picture.mode}: {' '.join(str(error).split())}"
        return Failure("decode", "truncated" if "truncated" in message else "corrupt", message)
    return stream.getvalue()


def _from_array(array: NDArray[Any]) -> PIL.Image.Image:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not shape_fits or 0 in array.shape:
        raise UsageError(
            f"cannot scan an array of {array.dtype} {list(array.shape)}",
            hint="give uint8 of [H, W], [H, W, 3] (RGB) or [H, W, 4] (RGBA)",
        )
    return PIL.Image.fromarray(np.ascontiguousarray(array))

"""Pictures given from Python: paths, bytes, Pillow images and arrays, as Items."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from vedette.data.keys import to_key
from vedette.errors import UsageError
from vedette.types import Item

Scannable = str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[Any] | Item


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


def _encoded(picture: PIL.Image.Image) -> bytes:
    """Uncompressed TIFF: every Pillow mode, its profile and its EXIF, nothing lost."""
    if picture.has_transparency_data and picture.mode not in ("RGBA", "LA"):
        picture = picture.convert("RGBA")
    elif picture.mode in ("HSV", "PA", "La", "RGBa"):
        picture = picture.convert("RGB")
    stream = io.BytesIO()
    profile = picture.info.get("icc_profile")
    picture.save(stream, "TIFF", icc_profile=profile, exif=picture.getexif())
    return stream.getvalue()


def _from_array(array: NDArray[Any]) -> PIL.Image.Image:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not shape_fits or 0 in array.shape:
        raise UsageError(
            f"cannot scan an array of {array.dtype} {list(array.shape)}",
            hint="give uint8 of [H, W], [H, W, 3] (RGB) or [H, W, 4] (RGBA)",
        )
    return PIL.Image.fromarray(np.ascontiguousarray(array))

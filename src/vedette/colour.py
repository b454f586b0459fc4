"""From any Pillow mode to sRGB pixels as a viewer shows them: bit depth, ICC, alpha, EXIF turn."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import cast

import numpy as np
import PIL.Image
import PIL.ImageCms
from PIL.Image import Transpose

from vedette.types import UInt8

_EXIF_ORIENTATION = 0x0112
# EXIF 2.32, table 6 "Orientation": the turn that brings row 0 to the visual top.
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})


_CACHED_PROFILE_BYTES = 2**20


def exif_turn(picture: PIL.Image.Image) -> Transpose | None:
    """The turn that the picture's EXIF asks for; None for none or for EXIF that is broken."""
    try:
        return _TURNS.get(picture.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - a viewer shows a picture with broken EXIF unturned
        return None


def views(picture: PIL.Image.Image, *, icc: bool = True) -> list[tuple[str, UInt8]]:
    """The picture as sRGB arrays [H, W, 3], before any EXIF turn.

    ``icc`` false leaves the picture's ICC profile aside.

    One for an opaque picture, named ``""``: composited on white where there is transparency. A
    second one, ``"on-black"``, where a black page would show something else: a picture hidden in
    the alpha channel is visible on one of the two.
    """
    picture = _eight_bit(picture)
    if not icc:
        picture.info.pop("icc_profile", None)
    if picture.mode in _ALPHA_MODES or picture.has_transparency_data:
        return _composites(_to_srgb(picture.convert("RGBA")))
    if picture.mode in ("P", "1", "YCbCr", "HSV", "RGBX"):
        picture = picture.convert("RGB")
    picture = _to_srgb(picture)
    return [("", np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB")))]


def _composites(picture: PIL.Image.Image) -> list[tuple[str, UInt8]]:
    if picture.getchannel("A").getextrema() == (255, 255):
        return [("", np.asarray(picture.convert("RGB")))]
    on_white, on_black = (
        np.asarray(
            PIL.Image.alpha_composite(
                PIL.Image.new("RGBA", picture.size, background), picture
            ).convert("RGB")
        )
        for background in ("white", "black")
    )
    if np.array_equal(on_white, on_black):
        return [("", on_white)]
    return [("", on_white), ("on-black", on_black)]


def _eight_bit(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Deep modes scaled to 8 bits. Pillow's own ``convert`` clips them: 16-bit turns to white."""
    if picture.mode.startswith("I;16"):
        return _eight_bit_grey(picture)
    if picture.mode not in ("I", "F"):
        return picture
    values = np.asarray(picture).astype(np.float64)
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    if picture.mode == "I" and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0  # Pillow hands 16-bit PNG and PPM over as 32-bit integers
    spread = high - low or 1.0
    scaled = np.where(finite, (values - low) / spread, 0.0)
    return PIL.Image.fromarray(np.rint(scaled * 255).astype(np.uint8))


def _eight_bit_grey(picture: PIL.Image.Image) -> PIL.Image.Image:
    deep = np.asarray(picture)
    grey = PIL.Image.fromarray((deep >> 8).astype(np.uint8))
    clear = picture.info.get("transparency")
    if isinstance(clear, int):  # the one transparent level of a PNG: 16 bits tell it from others
        grey.putalpha(PIL.Image.fromarray(np.where(deep == clear, 0, 255).astype(np.uint8)))
    if profile := picture.info.get("icc_profile"):
        grey.info["icc_profile"] = profile
    return grey


def _to_srgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """The picture through its ICC profile; unchanged where that is absent, broken or sRGB."""
    if picture.mode == "LAB":
        lab = PIL.ImageCms.createProfile("LAB")
        srgb = PIL.ImageCms.createProfile("sRGB")
        transform = PIL.ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return cast(PIL.Image.Image, PIL.ImageCms.applyTransform(picture, transform))
    profile = picture.info.get("icc_profile")
    if not profile or not isinstance(profile, bytes):
        return picture
    # Only profiles of a usual size are kept: a cache of hostile ones would fill the memory.
    build = _transform if len(profile) <= _CACHED_PROFILE_BYTES else _transform.__wrapped__
    transform_or_none = build(profile, picture.mode)
    if transform_or_none is None:
        return picture
    return cast(PIL.Image.Image, PIL.ImageCms.applyTransform(picture, transform_or_none))


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> PIL.ImageCms.ImageCmsTransform | None:
    """The transform from ``profile`` to sRGB, or None where there is nothing to do.

    Whether a profile *is* sRGB is measured on a grid of colours, not read from its description:
    a description can say anything.
    """
    out_mode = "RGBA" if mode == "RGBA" else "RGB"
    try:
        source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = PIL.ImageCms.createProfile("sRGB")
        transform = PIL.ImageCms.buildTransform(source, target, mode, out_mode)
    except (PIL.ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # viewers ignore a profile that does not parse or fit the picture
    if mode in ("RGB", "RGBA"):
        levels = np.linspace(0, 255, 9).astype(np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
        before = PIL.Image.fromarray(grid).convert(mode)
        after = cast(PIL.Image.Image, PIL.ImageCms.applyTransform(before, transform))
        change = np.asarray(after).astype(np.int16) - np.asarray(before).astype(np.int16)
        if np.abs(change).max() <= 2:
            return None
    return transform

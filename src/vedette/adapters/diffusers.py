"""A safety checker for diffusers' pipelines, with the calling convention of their own one.

Source of the convention: ``StableDiffusionSafetyChecker.forward`` and ``run_safety_checker`` of
huggingface/diffusers: arrays are NHWC in 0..1; tensors are NCHW in -1..1, as the VAE decodes them,
and a flagged one is replaced by what is in 0..1 already, since the pipeline leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import PIL.Image
import PIL.ImageFilter

from vedette.adapters.scanning import Scans, refused
from vedette.errors import UsageError
from vedette.types import Action, UInt8

_BLUR = 12
"""The radius of a blur is the longer side divided by this: shapes and colours stay, no more."""


class SafetyChecker:
    """Flags generated images, and replaces those that are flagged.

    >>> pipe.safety_checker = SafetyChecker(Scanner())  # doctest: +SKIP

    Args:
        scanner: a Scanner, or a Client of a service. It is not closed with this.
        flag: the mildest action that flags an image. One that could not be scanned is flagged
            whatever this is.
        replace: by ``black``, as diffusers does, or by its own ``blur``.
    """

    def __init__(
        self,
        scanner: Scans,
        *,
        flag: Action = Action.REVIEW,
        replace: Literal["black", "blur"] = "black",
    ) -> None:
        if replace not in ("black", "blur"):
            raise UsageError(f"cannot replace by {replace!r}", hint="black or blur")
        self._scanner = scanner
        self._flag = Action(flag)
        self._replace = replace

    def __call__(self, images: Any, clip_input: object = None) -> tuple[Any, list[bool]]:
        """The images, flagged ones replaced, and which those are.

        Args:
            images: a float array [N, H, W, C] in 0..1 or a uint8 one; a list of such without N;
                a tensor [N, C, H, W] in -1..1; or a list of Pillow images. An array or a tensor
                is changed in place, as diffusers does; a list is not.
            clip_input: what diffusers has prepared for its own network; not used.

        Returns:
            What was given, and one bool for each image.

        Raises:
            UsageError: ``images`` is none of these.
            ServiceError: the service gave no answer; then there are no images.
        """
        given = list(images) if isinstance(images, list | tuple) else images
        pictures = [_picture(one) for one in given]
        flags = self._flags([picture for picture in pictures if picture is not None])
        flagged = [True if picture is None else next(flags) for picture in pictures]
        for place, (picture, is_flagged) in enumerate(zip(pictures, flagged, strict=True)):
            if is_flagged:
                given[place] = self._instead(given[place], picture)
        return given, flagged

    def _flags(self, pictures: list[PIL.Image.Image]) -> Any:
        records = list(self._scanner.scan_many(pictures)) if pictures else []
        if len(records) != len(pictures):
            raise UsageError(f"{len(records)} Records for {len(pictures)} images")
        return iter([refused(record, self._flag) for record in records])

    def _instead(self, given: Any, picture: PIL.Image.Image | None) -> Any:
        blurred = None if picture is None or self._replace == "black" else _blurred(picture)
        if isinstance(given, PIL.Image.Image):
            return blurred or PIL.Image.new("RGB", given.size)
        if _is_tensor(given):
            told = np.zeros(given.shape, np.float32)
            if blurred is not None:
                told += np.moveaxis(_like(blurred, given.shape[-3]), 2, 0) / np.float32(255)
            return given.new_tensor(told)
        told = np.zeros(given.shape, given.dtype)
        if blurred is not None:
            scale = 1 if given.dtype == np.uint8 else 255
            told += (_like(blurred, given.shape[-1]) / scale).astype(given.dtype)
        return told


def _picture(given: Any) -> PIL.Image.Image | None:
    """As 8-bit RGB or grey; None: it holds what is no number, and nobody can look at it."""
    if isinstance(given, PIL.Image.Image):
        return given
    if _is_tensor(given):
        values = np.asarray(given.detach().float().cpu().numpy())
        if values.ndim != 3:
            raise _unknown(given)
        return _from_unit(np.moveaxis(values, 0, 2) / 2 + 0.5)
    if not isinstance(given, np.ndarray) or given.ndim != 3:
        raise _unknown(given)
    if given.dtype == np.uint8:
        return _from_bytes(given)
    if not np.issubdtype(given.dtype, np.floating):
        raise _unknown(given)
    return _from_unit(given)


def _from_unit(values: Any) -> PIL.Image.Image | None:
    if not np.isfinite(values).all():
        return None
    return _from_bytes((np.clip(values, 0, 1) * 255).round().astype(np.uint8))


def _from_bytes(pixels: UInt8) -> PIL.Image.Image:
    if 0 in pixels.shape or pixels.shape[2] not in (1, 3, 4):
        raise UsageError(f"an image of {list(pixels.shape)} where [H, W, 1, 3 or 4] is wanted")
    return PIL.Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _blurred(picture: PIL.Image.Image) -> PIL.Image.Image:
    radius = max(2.0, max(picture.size) / _BLUR)
    return picture.convert("RGB").filter(PIL.ImageFilter.GaussianBlur(radius))


def _like(picture: PIL.Image.Image, channels: int) -> UInt8:
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    pixels = np.asarray(picture.convert(mode))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _is_tensor(given: object) -> bool:
    # By what it can do: torch itself may not be installed here.
    return hasattr(given, "detach") and hasattr(given, "new_tensor")


def _unknown(given: object) -> UsageError:
    shape: Sequence[int] = getattr(given, "shape", ())
    dtype = getattr(given, "dtype", "")
    return UsageError(
        f"cannot check a {type(given).__name__} {dtype} {list(shape)}",
        hint="give arrays [N, H, W, C] in 0..1, tensors [N, C, H, W] in -1..1 or Pillow images",
    )

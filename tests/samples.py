"""Small valid pictures of every format, drawn: what the tests decode, cut and damage."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import PIL.Image
import pillow_heif

from vedette.types import UInt8

WIDTH, HEIGHT = 48, 36
FRAMES = 4
"""Of the animations and multi-page files."""
VIDEO_FRAMES = 20
VIDEO_RATE = 10
"""Frames for each second."""

RED = (255, 0, 0)
BLUE = (0, 0, 255)

SAMPLES = (
    "jpeg",
    "mpo",
    "png",
    "apng",
    "gif",
    "webp",
    "webp-animated",
    "bmp",
    "tiff",
    "tiff-lzw",
    "avif",
    "avif-animated",
    "heic",
    "ico",
    "ppm",
    "mp4",
)
"""Names for :func:`sample`."""

FRAMES_OF = {
    "mpo": 2,
    "apng": FRAMES,
    "gif": FRAMES,
    "webp-animated": FRAMES,
    "tiff": FRAMES,
    "avif-animated": FRAMES,
    "ico": 3,
}
"""Frames of the samples that have more than one."""


def pattern(width: int = WIDTH, height: int = HEIGHT) -> UInt8:
    """A blue-green gradient over noise, [height, width, 3], whose top left corner is red."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 1] = 40 + 160 * x // max(width - 1, 1)
    pixels[..., 2] = 40 + 160 * y // max(height - 1, 1)
    pixels[height * 2 // 3 :] = noise(width, height - height * 2 // 3)
    pixels[: max(height // 3, 1), : max(width // 3, 1)] = RED
    return pixels


def noise(width: int, height: int, seed: int = 0) -> UInt8:
    """Seeded noise, [height, width, 3]: what does not compress."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(colour: tuple[int, int, int], width: int = WIDTH, height: int = HEIGHT) -> UInt8:
    """One colour, [height, width, 3]."""
    return np.full((height, width, 3), colour, np.uint8)


def encode(picture: PIL.Image.Image | UInt8, kind: str, **options: Any) -> bytes:
    """``picture`` as a file of Pillow's format ``kind``."""
    if isinstance(picture, np.ndarray):
        picture = PIL.Image.fromarray(picture)
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def animation(kind: str, frames: int = FRAMES, duration: int = 100, **options: Any) -> bytes:
    """``frames`` pictures in one file: from red to blue, each shown ``duration`` ms."""
    pictures = [
        PIL.Image.fromarray(flat((255 - 255 * i // frames, 0, 255 * i // frames)))
        for i in range(frames)
    ]
    if kind != "TIFF":
        options["duration"] = duration
    return encode(pictures[0], kind, save_all=True, append_images=pictures[1:], **options)


def heic(*pictures: UInt8, primary: int = 0) -> bytes:
    """A HEIC file of one or more pictures."""
    file = pillow_heif.HeifFile()
    for pixels in pictures:
        file.add_from_pillow(PIL.Image.fromarray(pixels))
    stream = io.BytesIO()
    file.save(stream, quality=90, primary_index=primary)
    return stream.getvalue()


def video(
    pictures: list[UInt8],
    container: str = "mp4",
    codec: str = "mpeg4",
    rate: int = VIDEO_RATE,
    **options: str,
) -> bytes:
    """A video of ``pictures``, ``rate`` of them a second."""
    with TemporaryDirectory() as folder:  # moving the index to the front needs a path
        path = Path(folder, f"video.{container}")
        _write_video(path, pictures, codec, rate, options)
        return path.read_bytes()


def _write_video(
    path: Path, pictures: list[UInt8], codec: str, rate: int, options: dict[str, str]
) -> None:
    with av.open(path, "w", container_options=options) as file:
        track: Any = file.add_stream(codec, rate=rate)
        track.height, track.width = pictures[0].shape[:2]
        track.pix_fmt = "yuv420p"
        track.codec_context.bit_rate = 2_000_000
        for pixels in pictures:
            file.mux(track.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(track.encode())


@cache
def sample(name: str) -> bytes:
    """The valid file of that name, one of :data:`SAMPLES`."""
    picture = PIL.Image.fromarray(pattern())
    match name:
        case "jpeg":
            return encode(picture, "JPEG", quality=95, subsampling=0)
        case "mpo":
            other = PIL.Image.fromarray(flat(BLUE))
            return encode(picture, "MPO", save_all=True, append_images=[other])
        case "png" | "bmp" | "ppm":
            return encode(picture, name.upper())
        case "apng" | "gif" | "tiff":
            return animation({"apng": "PNG"}.get(name, name.upper()))
        case "tiff-lzw":
            return encode(picture, "TIFF", compression="tiff_lzw")
        case "webp":
            return encode(picture, "WEBP", lossless=True)
        case "webp-animated":
            return animation("WEBP", lossless=True)
        case "avif":
            return encode(picture, "AVIF", quality=90, speed=10)
        case "avif-animated":
            return animation("AVIF", quality=90, speed=10)
        case "heic":
            return heic(pattern())
        case "ico":
            return encode(picture.resize((48, 48)), "ICO", sizes=[(16, 16), (32, 32), (48, 48)])
        case "mp4":
            red, blue = flat(RED), flat(BLUE)
            pictures = [red] * (VIDEO_FRAMES // 2) + [blue] * (VIDEO_FRAMES // 2)
            return video(pictures, movflags="faststart")
    raise ValueError(name)

"""Drawn, harmless pictures for tests, the same on every run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

SHARED_PHOTOS = Path(__file__).parents[2] / "shared" / "photos"
needs_photos = pytest.mark.skipif(
    not SHARED_PHOTOS.is_dir(), reason="the shared photographs are not beside this checkout"
)


def drawn(seed: int, width: int = 120, height: int = 90) -> PIL.Image.Image:
    """Shapes on a gradient; another seed, another picture."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, width)[None, :, None] * rng.integers(60, 255, 3)
    picture = PIL.Image.fromarray(np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8))
    pen = PIL.ImageDraw.Draw(picture)
    for _ in range(6):
        x, y = (int(v) for v in rng.integers(0, (width, height)))
        size = int(rng.integers(5, max(6, min(width, height) // 2)))
        colour = tuple(int(c) for c in rng.integers(0, 255, 3))
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((x, y, x + size, y + size), fill=colour)
    return picture


def face(width: int = 400, height: int = 300) -> PIL.Image.Image:
    """A drawn face, which body-part detectors tend to find."""
    picture = PIL.Image.new("RGB", (width, height), (90, 140, 180))
    pen = PIL.ImageDraw.Draw(picture)
    x, y, r = width // 2, height // 2, min(width, height) // 3
    pen.ellipse((x - r * 1.2, y - r * 1.5, x + r * 1.2, y + r * 0.6), fill=(60, 35, 20))
    pen.ellipse((x - r * 0.8, y - r, x + r * 0.8, y + r * 1.1), fill=(224, 172, 140))
    for side in (-1, 1):
        pen.ellipse(
            (x + side * r * 0.35 - r * 0.16, y - r * 0.2, x + side * r * 0.35 + r * 0.16, y),
            fill="white",
        )
        pen.ellipse(
            (x + side * r * 0.35 - 7, y - r * 0.15, x + side * r * 0.35 + 7, y - r * 0.02),
            fill=(40, 30, 20),
        )
    pen.polygon(
        [(x, y), (x - r * 0.12, y + r * 0.35), (x + r * 0.12, y + r * 0.35)], fill=(200, 145, 115)
    )
    pen.ellipse((x - r * 0.3, y + r * 0.5, x + r * 0.3, y + r * 0.7), fill=(180, 70, 70))
    return picture


def encoded(picture: PIL.Image.Image, fmt: str = "PNG", **options: object) -> bytes:
    """The bytes of ``picture`` as a file of that format."""
    stream = io.BytesIO()
    picture.save(stream, fmt, **options)
    return stream.getvalue()


def folder_of(root: Path, count: int, fmt: str = "PNG") -> Path:
    """A folder of ``count`` drawn pictures, ``0000.png`` and so on."""
    root.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        name = f"{seed:04d}.{fmt.lower()}"
        root.joinpath(name).write_bytes(encoded(drawn(seed, 40, 30), fmt))
    return root

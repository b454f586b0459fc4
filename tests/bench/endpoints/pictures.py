"""Pictures of a known redness."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import PIL.Image

from tests.pictures import encoded
from vedette.types import Item


def red(level: int, width: int = 24, height: int = 16) -> bytes:
    """All pixels of that red value, 0..255, and no other colour."""
    return encoded(PIL.Image.new("RGB", (width, height), (level, 0, 0)))


def items(count: int) -> list[Item]:
    """``count`` pictures, the redder the later."""
    return [Item(f"{k:03d}.png", red(k * 255 // max(count - 1, 1))) for k in range(count)]


def on_disk(folder: Path, given: Sequence[Item]) -> list[Item]:
    """The same as files."""
    found = []
    for item in given:
        assert isinstance(item.data, bytes)
        path = folder / item.key
        path.write_bytes(item.data)
        found.append(Item(item.key, path))
    return found

"""Small labelled sets of drawn pictures for the audit's tests."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageEnhance

from tests.pictures import drawn, encoded
from vedette.data.base import SOURCE, SPLIT
from vedette.taxonomy import Category
from vedette.types import Item

UNSAFE = frozenset([Category.VIOLENCE])
SAFE: frozenset[Category] = frozenset()


def marked(seed: int, *, cross: bool) -> PIL.Image.Image:
    """A drawn picture, with a thick cross somewhere or with a ring as large."""
    picture = drawn(seed)
    rng = np.random.default_rng(seed)
    x, y = int(rng.integers(5, 85)), int(rng.integers(5, 55))
    pen = PIL.ImageDraw.Draw(picture)
    if cross:
        pen.line((x, y, x + 24, y + 24), fill=(255, 0, 0), width=6)
        pen.line((x + 24, y, x, y + 24), fill=(255, 0, 0), width=6)
    else:
        pen.ellipse((x, y, x + 24, y + 24), outline=(0, 0, 255), width=6)
    return picture


def labelled(count: int, fmt: str = "JPEG") -> list[Item]:
    """``count`` pictures, every third one unsafe, every fifth one for testing."""
    return [
        Item(
            f"{number:04d}",
            encoded(marked(number, cross=number % 3 == 0), fmt),
            UNSAFE if number % 3 == 0 else SAFE,
            {SPLIT: "test" if number % 5 == 0 else "train", SOURCE: "AB"[number % 2]},
        )
        for number in range(count)
    ]


def picture_of(item: Item) -> PIL.Image.Image:
    """The picture of an item in memory."""
    assert isinstance(item.data, bytes)
    return PIL.Image.open(io.BytesIO(item.data)).convert("RGB")


ALTERED: dict[str, Callable[[PIL.Image.Image], bytes]] = {
    "re-encoded": lambda picture: encoded(picture, "JPEG", quality=60),
    "smaller": lambda picture: encoded(picture.resize((90, 68))),
    "brighter": lambda picture: encoded(PIL.ImageEnhance.Brightness(picture).enhance(1.2)),
}


def altered(item: Item, how: str, split: str) -> Item:
    """Another file that shows the same, in the split of that name."""
    data = ALTERED[how](picture_of(item))
    meta = {**item.meta, SPLIT: split}
    return replace(item, key=f"{item.key}#{how}", data=data, meta=meta)


def flipped(item: Item) -> Item:
    """The same picture with the other label."""
    return Item(item.key, item.data, SAFE if item.unsafe else UNSAFE, item.meta)

"""Descriptors of a set's pictures, for classifiers that give no embedding.

Learned from thumbnails without any weights (:mod:`vedette.curate.descriptors`): they see colours,
edges and small shapes, not what a picture is about. What is found with them is weaker evidence
than what is found with CLIP, and results name what they rest on.
"""

from __future__ import annotations

import numpy as np
import PIL.Image

from vedette.bench.reopened import reopened
from vedette.bench.tasks.base import Context
from vedette.curate.descriptors import LEARN_FROM, SIDE, Descriptor, learn
from vedette.types import Float32, UInt8

_AT_ONCE = 64


def described(context: Context) -> Float32:
    """The descriptors of ``context.predictions``' rows, in order: float32 [n, d].

    One pass over the source. Of each picture only a thumbnail is kept, and only until it is
    described; the filters are learned from the source's first 512.

    Raises:
        UsageError: a picture is gone, or cannot be decoded any more.
    """
    descriptor: Descriptor | None = None
    rows: list[int] = []
    thumbnails: list[UInt8] = []
    out: Float32 | None = None

    def describe() -> None:
        nonlocal descriptor, out
        if not thumbnails:
            return
        if descriptor is None:
            descriptor = learn(np.stack(thumbnails), context.options.seed)
        if out is None:
            out = np.zeros((len(context.predictions), descriptor.dim), dtype=np.float32)
        for start in range(0, len(rows), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            out[rows[some]] = descriptor.describe(np.stack(thumbnails[some]))
        rows.clear()
        thumbnails.clear()

    for row, thumbnail in reopened(context, _thumbnail):
        rows.append(row)
        thumbnails.append(thumbnail)
        if len(rows) >= (_AT_ONCE if descriptor else LEARN_FROM):
            describe()
    describe()
    return np.zeros((0, 1), dtype=np.float32) if out is None else out


def _thumbnail(pixels: UInt8) -> UInt8:
    """uint8 [SIDE, SIDE, 3], stretched."""
    picture = PIL.Image.fromarray(pixels).resize((SIDE, SIDE), PIL.Image.Resampling.BOX)
    return np.asarray(picture)

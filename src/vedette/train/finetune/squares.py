"""The squares that a network sees, each picture decoded once: kept in memory, on disk, or not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vedette.data.base import Source
from vedette.decode import Decoder
from vedette.errors import ItemError, VedetteError
from vedette.models.base import Prepared
from vedette.train.finetune.options import Cache
from vedette.types import Image, UInt8

_IN_MEMORY = 2**30
"""Bytes of squares that are kept in memory without being asked."""
_OF_DISK = 0.5
"""Share of the free disk that squares may take without being asked."""
_PIXELS, _THERE = "squares.u8", "squares.there"


class Squares:
    """Squares by row of the examples. Thread-safe: a row is only ever written with one content.

    Args:
        source: of the pictures.
        keys: of all rows.
        decoder: decodes them, as for a scan.
        prepare: a picture as the network takes it.
        side: px of the square.
        cache: where they are kept.
        folder: for those that are kept on disk: a later run of the same training finds them.
    """

    def __init__(
        self,
        source: Source,
        keys: Sequence[str],
        decoder: Decoder,
        prepare: Callable[[Image], Prepared],
        side: int,
        cache: Cache,
        folder: Path,
    ) -> None:
        self._source = source
        self._keys = keys
        self._decoder = decoder
        self._prepare = prepare
        self.kept = _settled(cache, len(keys) * side * side * 3, folder)
        self.decoded = 0
        """How many pictures were decoded, for who wants to know; not exact under threads."""
        shape = (len(keys), side, side, 3)
        self._pixels: UInt8 | None = None
        self._there: UInt8 = np.zeros(len(keys), np.uint8)
        if self.kept == "memory":
            self._pixels = np.empty(shape, np.uint8)
        elif self.kept == "disk":
            self._pixels = _mapped(folder / _PIXELS, shape)
            self._there = _mapped(folder / _THERE, shape[:1])

    def __getitem__(self, row: int) -> UInt8:
        """uint8 [side, side, 3] of a row; not to be changed.

        Raises:
            VedetteError: the picture cannot be read, or not any more.
        """
        if self._pixels is not None and self._there[row]:
            return np.asarray(self._pixels[row])
        square = self._read(self._keys[row])
        self.decoded += 1
        if self._pixels is not None:
            self._pixels[row] = square
            self._there[row] = 1  # last: a run that is killed in between decodes it again
        return square

    def _read(self, key: str) -> UInt8:
        try:
            item = self._source.find(key)
            if item is None:
                raise VedetteError(f"the set has no {key!r} any more", code="unreadable")
            frames: Any = self._decoder.frames(item)
            image = next(iter(frames), None)
        except ItemError as error:
            raise VedetteError(
                f"{key!r} cannot be read any more: {error.message}", code=error.code
            ) from error
        if image is None:
            raise VedetteError(f"{key!r} has no picture any more", code="unreadable")
        return self._prepare(image).pixels


def _settled(cache: Cache, size: int, folder: Path) -> Cache:
    """Where squares are kept that take ``size`` bytes in all."""
    if cache != "auto":
        return cache
    if size <= _IN_MEMORY:
        return "memory"
    return "disk" if size <= _OF_DISK * shutil.disk_usage(folder).free else "none"


def _mapped(path: Path, shape: tuple[int, ...]) -> UInt8:
    """The array in a file of that size: as it is there, or made of zeros.

    Raises:
        OSError: the disk has no room for it.
    """
    size = int(np.prod(shape))
    if not path.is_file() or path.stat().st_size != size:
        with path.open("wb") as stream:
            if sys.platform == "linux":
                # A page that the disk has no room for kills who writes to it: it is asked for now.
                os.posix_fallocate(stream.fileno(), 0, size)
            stream.truncate(size)
    return np.memmap(path, np.uint8, "r+", shape=shape)

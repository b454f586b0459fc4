"""Matrices in NumPy's own format, read by offsets. Nothing is unpickled and nothing is mapped.

Not mapped, because a read into a buffer that stays in the cache is faster than page faults, and
because a file that is cut while it is read ends with an error and not with a signal.
"""

from __future__ import annotations

import math
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vedette.embeddings.base import Chunk, Place, Rows
from vedette.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shard:
    """One ``.npy`` file, as its header tells."""

    path: Path
    rows: int
    dim: int
    dtype: np.dtype[Any]
    """As stored: float16, float32 or float64 of either byte order."""
    fortran: bool
    """Column after column instead of row after row."""
    offset: int
    """Of the first value, in bytes."""

    def load(self, first: int, out: Rows) -> None:
        """Read ``len(out)`` rows from ``first`` on.

        Raises:
            UsageError: the file cannot be read, or not that far.
        """
        count = len(out)
        direct = self.dtype == out.dtype and not self.fortran
        raw = (
            out
            if direct
            else np.empty((self.dim, count) if self.fortran else out.shape, self.dtype)
        )
        item = self.dtype.itemsize
        try:
            with self.path.open("rb", buffering=0) as stream:
                if self.fortran:
                    for column, values in enumerate(raw):
                        stream.seek(self.offset + (column * self.rows + first) * item)
                        self._read(stream, values)
                else:
                    stream.seek(self.offset + first * self.dim * item)
                    self._read(stream, raw)
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from error
        if not direct:
            with np.errstate(over="ignore"):  # an infinity, which the scorer refuses by its row
                out[:] = raw.T if self.fortran else raw

    def _read(self, stream: Any, values: Rows) -> None:
        left = values.reshape(-1).view(np.uint8).data
        while left:
            count = stream.readinto(left)
            if not count:
                raise _truncated(self.path)
            left = left[count:]


def read_header(path: Path) -> Shard:
    """What ``path`` says of itself, checked against its size.

    Raises:
        UsageError: not a matrix of floating-point numbers in a ``.npy`` file that is whole.
    """
    try:
        with path.open("rb") as stream:
            shape, fortran, dtype = _parsed(stream)
            offset = stream.tell()
        size = path.stat().st_size
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    # Whatever Python's own parser can raise on text that somebody has made for it.
    except (ValueError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"{path} is not a .npy file that can be read: {error}", hint="write it with numpy.save"
        ) from error
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise UsageError(
            f"{path} holds {dtype}, not float16 or float32",
            hint="store embeddings with astype('float16') or astype('float32')",
        )
    if len(shape) != 2 or shape[0] < 0 or shape[1] < 1:
        raise UsageError(
            f"{path} has the shape {shape}, not (rows, dimensions)", hint="reshape it to a matrix"
        )
    if size < offset + math.prod(shape) * dtype.itemsize:
        raise _truncated(path)
    return Shard(path, shape[0], shape[1], dtype, fortran, offset)


def _parsed(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    # Version 3 exists for the names of structured arrays only.
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"format version {version[0]}.{version[1]}")
    return readers[version](stream)


def _truncated(path: Path) -> UsageError:
    return UsageError(
        f"{path} ends before its last row", hint="fetch it again, or write it to its end"
    )


class NpyMatrix:
    """See :class:`vedette.embeddings.base.Matrix`."""

    key = None

    def __init__(self, files: Sequence[Path]) -> None:
        self.paths = files
        self.shards = [read_header(file) for file in files]
        first = self.shards[0]
        for shard in self.shards:
            if shard.dim != first.dim:
                raise UsageError(
                    f"{first.path.name} has {first.dim} dimensions and "
                    f"{shard.path.name} {shard.dim}",
                    hint="keep the embeddings of one model in a folder of their own",
                )
        self.rows = sum(shard.rows for shard in self.shards)
        self.dim = first.dim
        half = all(shard.dtype.itemsize == 2 for shard in self.shards)
        self.dtype: np.dtype[Any] = np.dtype(np.float16 if half else np.float32)
        self.size = sum(shard.rows * shard.dim * shard.dtype.itemsize for shard in self.shards)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """See :class:`vedette.embeddings.base.Matrix`."""
        for shard in self.shards:
            for first in range(0, shard.rows, rows):
                count = min(rows, shard.rows - first)
                yield Chunk(Place(shard.path.name, first), count, partial(shard.load, first))

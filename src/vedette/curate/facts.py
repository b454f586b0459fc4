"""What an audit keeps of each image: a row of fixed width, on disk, beside its key.

A data set may have millions of images, so nothing of an image stays in memory while the set is
read. What is on disk lives in a folder of its own that only its owner can enter, and goes with the
audit, whether that ends or fails: keys and labels of unsafe images are nobody else's business.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.errors import VedetteError
from vedette.perceptual import WORDS
from vedette.taxonomy import Category

GRID = 4
"""Cells along a side of the colour grid that confirms a near duplicate."""

FACTS = np.dtype(
    [
        ("sha256", "<u8", 4),  # 0 where the bytes could not be read
        ("hash", "<u8", WORDS),  # 0 where there is no picture, or nothing in it to tell it by
        ("colours", "u1", GRID * GRID * 3),
        ("width", "<u4"),
        ("height", "<u4"),
        ("bytes", "<u8"),
        ("frames", "<u4"),
        ("format", "<i4"),  # these four are places in lists of names
        ("source", "<i4"),
        ("split", "<i4"),
        ("failure", "<i4"),
        ("unsafe", "i1"),  # 1, 0, or -1 where that is not said
        ("category", "i1"),  # that it was collected for: its position, or -1
        ("labels", "<u2"),  # a bit for each category
        ("exif", "?"),
        ("picture", "?"),  # whether at least one frame was decoded
    ]
)
Rows = NDArray[Any]
Indices = NDArray[np.intp]

NOTHING = "-"
"""Stands where a source does not say, say, which split an image is in."""
OTHERS = "(other)"
MOST_NAMES = 1000
"""Names of splits, sources, formats that are told apart; what comes later counts as one other."""

_AT_ONCE = 8192


class Names:
    """Distinct short texts, each with a number in the order in which they were met."""

    def __init__(self, first: Sequence[str] = ()) -> None:
        self.names = list(first)
        self._number = {name: number for number, name in enumerate(self.names)}

    def number(self, name: str) -> int:
        """The number of ``name``; that of :data:`OTHERS` once there are too many."""
        if name not in self._number:
            if len(self.names) >= MOST_NAMES:
                return self._add(OTHERS)
            return self._add(name)
        return self._number[name]

    def _add(self, name: str) -> int:
        if name not in self._number:
            self._number[name] = len(self.names)
            self.names.append(name)
        return self._number[name]

    def __getitem__(self, number: int) -> str:
        return self.names[number]


class Table:
    """Rows of fixed width in a file: appended one after the other, read back in pieces."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._path = path
        self._file = _opened(path)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def width(self) -> int:
        """Values in a row of a table without named fields."""
        return int(self.dtype.shape[0])

    def extend(self, count: int) -> None:
        """Add rows of zeros at the end; on most disks they take no room before they are written.

        Raises:
            VedetteError: ``write_failed``.
        """
        self._file.flush()
        self._count += count
        os.ftruncate(self._file.fileno(), self._count * self.dtype.itemsize)

    def write(self, places: Indices, rows: Rows) -> None:
        """Replace the rows at ``places``.

        Raises:
            VedetteError: ``write_failed``.
        """
        if not len(places):
            return
        size = self.dtype.itemsize
        # Rows that follow each other are written in one go: most often that is all of them.
        starts = np.flatnonzero(np.r_[True, np.diff(places) != 1])
        for low, high in zip(starts, [*starts[1:], len(places)], strict=True):
            self._file.seek(int(places[low]) * size)
            _write(self._file, np.ascontiguousarray(rows[low:high]).tobytes(), self._path)
        self._file.seek(0, os.SEEK_END)

    def append(self, rows: Rows) -> None:
        """Add rows at the end.

        Raises:
            VedetteError: ``write_failed``.
        """
        _write(self._file, np.ascontiguousarray(rows).tobytes(), self._path)
        self._count += len(rows)

    def pieces(self, rows: int = _AT_ONCE) -> Iterator[tuple[int, Rows]]:
        """All rows in order: the number of the first, and some that follow each other."""
        for first in range(0, self._count, rows):
            yield first, self.read(first, min(rows, self._count - first))

    def column(self, name: str) -> Rows:
        """One field of all rows, in memory."""
        assert self.dtype.fields is not None, "a table without named fields"
        field = self.dtype.fields[name][0]
        whole = np.empty((self._count, *field.shape), field.base)
        for first, rows in self.pieces():
            whole[first : first + len(rows)] = rows[name]
        return whole

    def read(self, first: int, count: int = 1) -> Rows:
        """``count`` rows from ``first`` on."""
        self._file.flush()
        size = self.dtype.itemsize
        data = os.pread(self._file.fileno(), count * size, first * size)
        return np.frombuffer(data, self.dtype.base).reshape(count, *self.dtype.shape)

    def close(self) -> None:
        """Close the file; it is removed with its folder."""
        self._file.close()


class Keys:
    """The keys of all images, in their order, in a file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "keys"
        self._file = _opened(self._path)
        self._ends = Table(folder / "key_ends", np.dtype("<u8"))
        self._end = 0

    def append(self, keys: Sequence[str]) -> None:
        """Add keys at the end.

        Raises:
            VedetteError: ``write_failed``.
        """
        # Surrogates stand for the bytes of file names that are no text.
        encoded = [key.encode("utf-8", "surrogatepass") for key in keys]
        _write(self._file, b"".join(encoded), self._path)
        ends = self._end + np.cumsum([len(key) for key in encoded], dtype=np.uint64)
        self._ends.append(ends.astype("<u8"))
        self._end += sum(len(key) for key in encoded)

    def __getitem__(self, row: int) -> str:
        low = int(self._ends.read(row - 1)[0]) if row else 0
        high = int(self._ends.read(row)[0])
        self._file.flush()
        return os.pread(self._file.fileno(), high - low, low).decode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[str]:
        low = 0
        self._file.flush()
        for _, ends in self._ends.pieces():
            data = os.pread(self._file.fileno(), int(ends[-1]) - low, low)
            for start, end in zip([low, *ends[:-1].tolist()], ends.tolist(), strict=True):
                yield data[start - low : end - low].decode("utf-8", "surrogatepass")
            low = int(ends[-1])

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._ends.close()


class Store:
    """All that an audit keeps while it runs; use it as a context."""

    def __init__(self, under: Path | None = None) -> None:
        # mkdtemp makes folders that only their owner can enter.
        self._folder = tempfile.TemporaryDirectory(prefix="vedette-audit-", dir=under)
        self.folder = Path(self._folder.name)
        self.facts = Table(self.folder / "facts", FACTS)
        self.keys = Keys(self.folder)
        self.formats = Names([NOTHING])
        self.sources = Names([NOTHING])
        self.splits = Names([NOTHING])
        self.failures = Names([""])
        self._features: Table | None = None

    @property
    def features(self) -> Table:
        """float16 rows [dim], one for each image; zeros where there is no picture."""
        assert self._features is not None, "nothing was computed"
        return self._features

    def features_of(self, dim: int) -> Table:
        """A new, empty table of features."""
        if self._features is not None:
            self._features.close()
        self._features = Table(self.folder / f"features-{dim}", np.dtype((np.float16, (dim,))))
        return self._features

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for table in (self.facts, self.keys, self._features):
            if table is not None:
                table.close()
        self._folder.cleanup()


def categories_of(bits: int) -> tuple[str, ...]:
    """The names of the categories whose bits are set."""
    return tuple(c.value for c in Category if bits >> c.position & 1)


def _opened(path: Path) -> Any:
    return open(path, "x+b")


def _write(file: Any, data: bytes, path: Path) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise VedetteError(
            f"cannot write {path.name} in the temporary folder: {error.strerror}",
            code="write_failed",
            hint="free space there, or point TMPDIR to another disk",
        ) from error

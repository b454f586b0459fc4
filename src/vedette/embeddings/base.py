"""What a matrix of embeddings on disk is, and how one is opened.

Nothing here holds a matrix in memory: it comes as chunks of rows, and who scores a chunk says into
which buffer it is read. A chunk can be loaded by any thread.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vedette.errors import UsageError

Rows = NDArray[Any]
"""float16 or float32 [n, dim]"""
Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where the rows of a chunk are, to name them in messages."""

    file: str
    first: int
    """Number of the chunk's first row in the file, from 0."""
    present: Positions | None = None
    """Which of the chunk's rows have an embedding; None: all."""

    def name(self, index: int) -> str:
        """The name of the ``index``-th row that has an embedding."""
        inside = index if self.present is None else int(self.present[index])
        return f"row {self.first + inside} of {self.file}"


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some rows that follow each other in one file."""

    place: Place
    rows: int
    load: Callable[[Rows], None]
    """Fills an array [count, dim] of the matrix's dtype. Raises UsageError."""
    keys: Any = None
    """The rows' keys as an Arrow array, where the input has them."""

    @property
    def count(self) -> int:
        """Rows that have an embedding."""
        return self.rows if self.place.present is None else len(self.place.present)


class Matrix(Protocol):
    """Embeddings in one or several files, in a fixed order."""

    @property
    def paths(self) -> Sequence[Path]:
        """The files, in their order."""
        ...

    @property
    def rows(self) -> int:
        """Of all files."""
        ...

    @property
    def dim(self) -> int | None:
        """Dimensions; None where there is no row that tells."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """float16 where all files are, else float32."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the embeddings as they are stored."""
        ...

    @property
    def key(self) -> Any:
        """Arrow's field of the keys, None where there are none."""
        ...

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """All rows in order, at most ``rows`` in each chunk."""
        ...


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns of a Parquet file."""

    embedding: str = "embedding"
    key: str | None = None
    """None: the column ``key``, where there is one."""


def open_matrix(path: Path, columns: Columns) -> Matrix:
    """The embeddings of a ``.npy`` or Parquet file, or of a folder of such files.

    A folder's files come in natural order, ``img_emb_2.npy`` before ``img_emb_10.npy``: the order
    in which clip-retrieval has written them. Hidden files and other suffixes are left out.

    Raises:
        UsageError: there is nothing of that name, or nothing of that kind in it.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    files = _files(path)
    if files[0].suffix.lower() == ".npy":
        from vedette.embeddings.npy import NpyMatrix

        return NpyMatrix(files)
    from vedette.embeddings.parquet import ParquetMatrix

    return ParquetMatrix(files, columns)


def _files(path: Path) -> list[Path]:
    suffixes = (".npy", ".parquet")
    if not path.is_dir():
        if not path.exists():
            raise UsageError(f"there is no {path}", hint="check the path")
        if not path.is_file() or path.suffix.lower() not in suffixes:
            raise UsageError(
                f"{path} is no file of embeddings", hint="give a .npy or .parquet file or a folder"
            )
        return [path]
    try:
        names = [name for name in os.listdir(path) if not name.startswith(".")]
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    files = [path / name for name in sorted(names, key=natural)]
    files = [file for file in files if file.suffix.lower() in suffixes and file.is_file()]
    kinds = {file.suffix.lower() for file in files}
    if not kinds:
        raise UsageError(
            f"there is no .npy and no .parquet file in {path}",
            hint="give the folder that has the shards itself, clip-retrieval's img_emb for example",
        )
    if len(kinds) > 1:
        raise UsageError(
            f"{path} has .npy and .parquet files",
            hint="keep the embeddings in a folder of their own",
        )
    return files


def natural(name: str) -> tuple[tuple[int, str | int], ...]:
    """A key that sorts the numbers in names by their values."""
    parts = re.split("([0-9]+)", name)
    # Odd places hold the numbers. The name itself at the end: "1" and "01" must not be equal.
    return (*((0, int(p)) if i % 2 else (1, p) for i, p in enumerate(parts)), (-1, name))


def check_dim(dim: int | None, head: str, expected: int, path: Path) -> None:
    """Refuse embeddings of another width than the head's.

    Raises:
        UsageError: it names both.
    """
    if dim is not None and dim != expected:
        raise UsageError(
            f"{path} has embeddings of {dim} dimensions, and {head} takes {expected}",
            hint="use the head that was made for the same CLIP model",
        )

"""Embeddings in a column of lists, fixed in size or not, as Parquet files have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vedette.embeddings.base import Chunk, Columns, Place, Rows
from vedette.errors import UsageError
from vedette.extras import require


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    path: Path
    rows: int
    field: Any
    """Arrow's field of the embeddings."""
    key: Any
    """Arrow's field of the keys, or None."""


class ParquetMatrix:
    """See :class:`vedette.embeddings.base.Matrix`.

    A row without an embedding (null: a picture that could not be scanned) is not an error here; a
    null inside one is.
    """

    def __init__(self, files: Sequence[Path], columns: Columns) -> None:
        self._arrow = require("pyarrow", extra="parquet")
        self._parquet = require("pyarrow.parquet", extra="parquet")
        self._columns = columns
        self.paths = files
        self.files = [self._describe(path) for path in files]
        self.rows = sum(file.rows for file in self.files)
        self.key = self._common_key()
        self.dim = self._find_dim()
        half = all(file.field.type.value_type == self._arrow.float16() for file in self.files)
        self.dtype: np.dtype[Any] = np.dtype(np.float16 if half else np.float32)
        self.size = sum(
            file.rows * (self.dim or 0) * file.field.type.value_type.bit_width // 8
            for file in self.files
        )

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """See :class:`vedette.embeddings.base.Matrix`."""
        names = [self._columns.embedding] + ([] if self.key is None else [self.key.name])
        for file in self.files:
            first = 0
            for batch in self._batches(file, rows, names):
                lists = batch.column(names[0])
                keys = None if self.key is None else batch.column(names[-1]).cast(self.key.type)
                present = None
                if lists.null_count:
                    present = np.flatnonzero(lists.is_valid().to_numpy(zero_copy_only=False))
                place = Place(file.path.name, first, present)
                yield Chunk(place, len(lists), partial(_load, lists, place), keys)
                first += len(lists)

    def _batches(self, file: _File, rows: int, names: list[str]) -> Iterator[Any]:
        try:
            with self._parquet.ParquetFile(file.path) as opened:
                yield from opened.iter_batches(batch_size=rows, columns=names)
        except (self._arrow.ArrowException, OSError) as error:
            raise _unreadable(file.path, error) from error

    def _describe(self, path: Path) -> _File:
        try:
            with self._parquet.ParquetFile(path) as opened:
                rows, schema = opened.metadata.num_rows, opened.schema_arrow
        except (self._arrow.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error
        name = self._columns.embedding
        if name not in schema.names:
            raise UsageError(
                f"{path} has no column {name!r}",
                hint=f"name one with --column: {', '.join(schema.names) or 'it has none'}",
            )
        field = schema.field(name)
        types = self._arrow.types
        lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
        if not any(is_it(field.type) for is_it in lists) or not types.is_floating(
            field.type.value_type
        ):
            raise UsageError(
                f"the column {name!r} of {path} holds {field.type}, not lists of numbers",
                hint="name the embeddings' column with --column",
            )
        key = self._columns.key or "key"
        if key not in schema.names:
            if self._columns.key is not None:
                raise UsageError(
                    f"{path} has no column {key!r}",
                    hint=f"name one with --key: {', '.join(schema.names)}",
                )
            return _File(path, rows, field, None)
        return _File(path, rows, field, schema.field(key))

    def _common_key(self) -> Any:
        """The first file's, where all have one that can stand in one column with it."""
        first = self.files[0].key
        for file in self.files:
            if (file.key is None) != (first is None) or (first and file.key.type != first.type):
                raise UsageError(
                    f"{self.files[0].path.name} and {file.path.name} differ in their keys",
                    hint="score them one by one",
                )
        return first

    def _find_dim(self) -> int | None:
        for file in self.files:
            if self._arrow.types.is_fixed_size_list(file.field.type):
                return int(file.field.type.list_size)
        for file in self.files:
            for batch in self._batches(file, 1024, [self._columns.embedding]):
                lists = batch.column(0).drop_null()
                if len(lists):
                    return len(lists[0])
        return None


def _load(lists: Any, place: Place, out: Rows) -> None:
    """The lists as rows."""
    dim = out.shape[1]
    if place.present is not None:
        lists = lists.drop_null()
    if hasattr(lists, "offsets"):
        lengths = np.diff(lists.offsets.to_numpy())
    else:
        lengths = np.full(len(lists), lists.type.list_size)
    other = np.flatnonzero(lengths != dim)
    if len(other):
        raise UsageError(
            f"{place.name(int(other[0]))} has {lengths[other[0]]} dimensions, not {dim}",
            hint="keep the embeddings of one model in a file of their own",
        )
    values = lists.flatten()
    if values.null_count:
        index = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        raise UsageError(
            f"{place.name(index // dim)} has a null inside", hint="remove or repair it"
        )
    with np.errstate(over="ignore"):  # an infinity, which the scorer refuses by its row
        out[:] = values.to_numpy().reshape(out.shape)


def _unreadable(path: Path, error: Exception) -> UsageError:
    why = next(iter(str(error).splitlines()), type(error).__name__)
    return UsageError(
        f"{path} cannot be read as Parquet: {why}",
        hint="fetch or write the file again",
    )

"""Parquet files as one table of rows, read a few at a time: the files and row groups of a set."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.data.keys import to_key
from vedette.data.rows import Schema
from vedette.errors import UsageError
from vedette.extras import require
from vedette.settings import Limits
from vedette.types import Failure

_BATCH_BYTES = 2**24
"""Uncompressed bytes of the rows that are decoded together, about."""
_BATCH_ROWS = 256
_STREAM_BYTES = 2**20
_MAGIC = b"PAR1"
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Group:
    """A row group: what can be read by itself."""

    file: Path
    name: str
    """Of the file, relative to the set's folder, as a key."""
    number: int
    """In its file, from 0."""
    first: int
    """Number of its first row among those of all files."""
    first_in_file: int
    rows: int
    row_bytes: int
    """Uncompressed size of a row on average, as the file declares it."""


class Table:
    """The rows of some Parquet files.

    Args:
        root: the set's folder; names are relative to it.
        files: in their order, of one schema.
        limits: ``archive_members`` bounds the rows of a file, ``archive_bytes`` the size that a
            row group declares.

    Raises:
        UsageError: ``bad_source``, ``archive_bomb``: a file that cannot be read.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, root: Path, files: Sequence[Path], limits: Limits) -> None:
        self._arrow = require("pyarrow", extra="parquet")
        self._parquet = require("pyarrow.parquet", extra="parquet")
        self._errors = (self._arrow.ArrowException, OSError, ValueError, ArithmeticError)
        self._conversion = (self._arrow.ArrowException, ValueError, ArithmeticError)
        self._limits = limits
        self.groups: dict[str, Group] = {}
        self.fields: dict[str, Any] = {}
        """Arrow's fields by name, of the first file."""
        self.pictures: tuple[str, ...] = ()
        """The columns that the file's own schema calls pictures."""
        self.schema = Schema(())
        self.rows = 0
        for file in files:
            self._add(file, to_key(os.path.relpath(file, root)))

    def read(
        self, group: Group, columns: Sequence[str], skip: int = 0
    ) -> Iterator[dict[str, Any] | Failure]:
        """One value for each row of the group from the ``skip``-th on: its cells, or a Failure.

        Where the group breaks off, each row that is left is a Failure: ``corrupt``.
        """
        done = 0
        try:
            for batch in self._batches(group, columns):
                wanted = batch.slice(max(0, skip - done), group.rows - done)
                yield from self._converted(wanted, group)
                done += len(batch)
                if done >= group.rows:
                    return
            broken = Failure("fetch", "corrupt", f"{group.name} has fewer rows than it says")
        except self._errors as error:
            broken = Failure("fetch", "corrupt", f"{group.name}: {_said(error)}")
        for _ in range(max(done, skip), group.rows):
            yield broken

    def _converted(self, batch: Any, group: Group) -> Iterator[dict[str, Any] | Failure]:
        try:
            yield from batch.to_pylist()
        except self._conversion:  # text that is not UTF-8, a date out of range: one row's matter
            for index in range(len(batch)):
                try:
                    yield batch.slice(index, 1).to_pylist()[0]
                except self._conversion as error:
                    yield Failure("fetch", "corrupt", f"{group.name}: {_said(error)}")

    def _batches(self, group: Group, columns: Sequence[str]) -> Iterator[Any]:
        size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, group.row_bytes)))
        with self._parquet.ParquetFile(
            group.file, buffer_size=_STREAM_BYTES, pre_buffer=False
        ) as opened:
            yield from opened.iter_batches(
                batch_size=size,
                row_groups=[group.number],
                columns=list(columns),
                use_threads=False,
            )

    def _add(self, file: Path, name: str) -> None:
        try:
            with self._parquet.ParquetFile(file) as opened:
                meta, schema = opened.metadata, opened.schema_arrow
                # Columns are not asked here: of a damaged footer pyarrow aborts the process there.
                groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
                sizes = [(group.num_rows, group.total_byte_size) for group in groups]
        except self._errors as error:
            raise UsageError(
                f"{name} cannot be read as Parquet: {_said(error)}", code="bad_source"
            ) from error
        fields = {field.name: field for field in schema}
        if not self.groups and not self.fields:
            features = _features(schema.metadata)
            self.fields = fields
            self.schema = Schema(tuple(fields), _classes(features))
            self.pictures = tuple(
                column
                for column, feature in features.items()
                if column in fields and feature.get("_type") == "Image"
            )
        elif missing := sorted(self.fields.keys() - fields.keys()):
            raise UsageError(
                f"{name} has no column {missing[0]!r}, and another file of the set has",
                code="bad_source",
            )
        in_file = 0
        for number, (rows, size) in enumerate(sizes):
            if rows < 0 or in_file + rows > self._limits.archive_members:
                raise _bomb(f"{name} says it has {in_file + rows} rows")
            if size > self._limits.archive_bytes:
                raise _bomb(f"a row group of {name} says it has {size} bytes")
            if rows:
                average = max(0, size) // rows
                self.groups[f"{name}#{number}"] = Group(
                    file, name, number, self.rows + in_file, in_file, rows, average
                )
            in_file += rows
        self.rows += in_file

    def group_of(self, row: int) -> Group | None:
        """The group that has the row of that number."""
        return next((g for g in self.groups.values() if g.first <= row < g.first + g.rows), None)


def _features(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Mapping[str, Any]]:
    """What the hub's libraries write into a schema: the columns' own types."""
    try:
        table = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {str(k): v for k, v in table.items() if isinstance(v, dict)}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _classes(features: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Sequence[str]]:
    found = {}
    for column, feature in features.items():
        inner = feature.get("feature", feature)
        names = inner.get("names") if isinstance(inner, dict) else None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            found[column] = names
    return found


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files that ``path`` is or has, in the order of their names.

    A copy from the hub keeps them in ``data/``, or in a folder for each configuration. Hidden files
    and folders are left out.
    """
    if not path.is_dir():
        return [path]
    found: list[Path] = []
    for folder, below, names in os.walk(path):
        depth = len(Path(folder).relative_to(path).parts)
        below[:] = sorted(name for name in below if name[0] != "." and depth < _DEPTH)
        found += [
            file
            for name in sorted(names)
            if name[0] != "."
            and name.lower().endswith(".parquet")
            and (file := Path(folder, name)).is_file()
        ]
    return found


def first_parquet(path: Path) -> Path | None:
    """A Parquet file that ``path`` is or has, told by its first bytes; None: it has none."""
    try:
        found = parquet_files(path)
        if not found or not found[0].is_file():
            return None
        with found[0].open("rb") as stream:
            return found[0] if stream.read(4) == _MAGIC else None
    except OSError:
        return None


def peek(path: Path) -> Table | None:
    """The table of the first Parquet file of ``path``; None where there is none to be read.

    For :attr:`vedette.data.opening.SourceFormat.fits`, which never raises.
    """
    from vedette.errors import VedetteError

    file = first_parquet(path)
    if file is None:
        return None
    try:
        return Table(file.parent, [file], Limits())
    except VedetteError:
        return None


def opened(path: Path, limits: Limits) -> Table:
    """The table that ``path`` is or has.

    Raises:
        UsageError: ``bad_source``, ``archive_bomb``.
        MissingExtraError: pyarrow is not installed.
    """
    files = parquet_files(path)
    if not files:
        raise UsageError(f"there is no Parquet file in {path}", code="bad_source")
    return Table(path if path.is_dir() else path.parent, files, limits)


def _bomb(what: str) -> UsageError:
    return UsageError(what, code="archive_bomb")


def _said(error: Exception) -> str:
    return next(iter(" ".join(str(error).split()).splitlines()), type(error).__name__)[:300]

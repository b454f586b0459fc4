"""Tables of texts on disk, read row by row: Parquet, CSV, TSV, JSON lines."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from vedette.embeddings.base import natural
from vedette.errors import UnknownNameError, UsageError
from vedette.extras import require

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
_LINE = 2**20
"""Characters of one line, at most."""
_AT_ONCE = 4096

Row = tuple[str | None, ...]


def tables_in(folder: Path) -> list[Path]:
    """The tables of a folder, of one kind, in natural order; none where there is none.

    Raises:
        UsageError: the folder cannot be read.
    """
    try:
        names = sorted(os.listdir(folder), key=natural)
    except OSError as error:
        raise _unreadable(folder, error.strerror or str(error)) from error
    for suffix in SUFFIXES:
        found = [folder / n for n in names if n.lower().endswith(suffix) and n[0] != "."]
        if found := [path for path in found if path.is_file()]:
            return found
    return []


def columns_of(path: Path) -> list[str]:
    """The names of a table's columns; of JSON lines, those of its first one.

    Raises:
        UsageError: it cannot be read as what its name says.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    if path.suffix.lower() == ".parquet":
        arrow = require("pyarrow", extra="parquet")
        try:
            with require("pyarrow.parquet", extra="parquet").ParquetFile(path) as opened:
                return list(opened.schema_arrow.names)
        except (arrow.ArrowException, OSError) as error:
            raise _unreadable(path, str(error)) from error
    first = next(_text_rows(path), None)
    if first is None:
        raise _unreadable(path, "it is empty")
    return list(first)


def read_rows(path: Path, columns: Sequence[str | None]) -> Iterator[Row]:
    """Some columns of all rows, as text; None where there is nothing.

    Args:
        path: a file of :data:`SUFFIXES`.
        columns: names; for None there is nothing in any row.

    Raises:
        UsageError: it cannot be read to its end.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    if path.suffix.lower() == ".parquet":
        yield from _parquet_rows(path, columns)
        return
    for row in _text_rows(path):
        yield tuple(None if name is None else _plain(row.get(name)) for name in columns)


def _parquet_rows(path: Path, columns: Sequence[str | None]) -> Iterator[Row]:
    arrow = require("pyarrow", extra="parquet")
    named = list(dict.fromkeys(name for name in columns if name is not None))
    try:
        parquet = require("pyarrow.parquet", extra="parquet")
        # Buffered ahead, pyarrow keeps all that it has read until the file is closed.
        with parquet.ParquetFile(path, pre_buffer=False) as opened:
            for batch in opened.iter_batches(batch_size=_AT_ONCE, columns=named):
                lists = {name: batch.column(name).to_pylist() for name in named}
                for at in range(len(batch)):
                    yield tuple(None if n is None else _plain(lists[n][at]) for n in columns)
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error


def _text_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            if path.suffix.lower() == ".jsonl":
                yield from _json_rows(stream, path)
            else:
                dialect = "excel-tab" if path.suffix.lower() == ".tsv" else "excel"
                yield from csv.DictReader(_lines(stream, path), dialect=dialect, strict=True)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, str(error)) from error


def _json_rows(stream: TextIO, path: Path) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(_lines(stream, path), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _unreadable(path, f"line {number} is not JSON") from error
        if not isinstance(row, dict):
            raise _unreadable(path, f"line {number} is not an object")
        yield row


def _lines(stream: TextIO, path: Path) -> Iterator[str]:
    """Lines, none of which fills the memory."""
    while line := stream.readline(_LINE + 1):
        if len(line) > _LINE:
            raise _unreadable(path, f"a line is longer than {_LINE} characters")
        yield line


def _plain(value: object) -> str | None:
    """A value as text; lists, objects and bytes are none."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def choose(
    named: str | None, usual: Sequence[str], columns: Sequence[str], path: Path
) -> str | None:
    """The column that was named, else the first usual one that is there, in any case.

    Raises:
        UnknownNameError: the named one is not there.
    """
    if named is not None:
        if named not in columns:
            raise UnknownNameError(f"column of {path.name}", named, columns)
        return named
    folded = {name.casefold(): name for name in reversed(columns)}
    return next((folded[name] for name in usual if name in folded), None)


def _unreadable(path: Path, why: str) -> UsageError:
    line = next(iter(why.splitlines()), "for an unknown reason")
    return UsageError(
        f"{path} cannot be read: {line}",
        code="bad_source",
        hint="fetch or write the file again; see docs/collect.md",
    )

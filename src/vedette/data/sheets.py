"""Rows of CSV, TSV and JSONL files, one after the other, each with where the next one starts."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from vedette.errors import FetchError, UsageError
from vedette.fetch import open_regular

MOST_LINE_BYTES = 2**24
"""Longest line that is read; a file without line ends must not fill the memory."""
SUFFIXES: Mapping[str, Literal["csv", "tsv", "jsonl"]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class At:
    """A place in a sheet from which rows can be read."""

    offset: int
    """bytes"""
    line: int
    """Lines before it."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table in a text file.

    Args:
        path: of a :data:`SUFFIXES` suffix, which tells the format.
    """

    path: Path

    @property
    def kind(self) -> Literal["csv", "tsv", "jsonl"]:
        """Its format.

        Raises:
            UsageError: ``bad_source``: the suffix tells none.
        """
        found = SUFFIXES.get(self.path.suffix.lower())
        if found is None:
            raise UsageError(
                f"{self.path.name} is no manifest",
                code="bad_source",
                hint=f"a manifest is called {', '.join(SUFFIXES)}",
            )
        return found

    def rows(self, since: At | None = None) -> Iterator[tuple[dict[str, Any], int, At]]:
        """The rows from ``since`` on: fields by name, the row's first line, and what follows it.

        Raises:
            UsageError: ``bad_source``: it cannot be read; the message names the line.
        """
        with self._opened() as stream:
            if self.kind == "jsonl":
                yield from self._objects(_Lines(self.path, stream, since))
            else:
                yield from self._cells(stream, since)

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            with open_regular(self.path) as stream:
                yield stream
        except FetchError as error:
            raise UsageError(f"the manifest: {error.message}", code=error.code) from error
        except OSError as error:
            raise UsageError(
                f"cannot read {self.path.name}: {error.strerror or error}", code="unreadable"
            ) from error

    def _objects(self, lines: _Lines) -> Iterator[tuple[dict[str, Any], int, At]]:
        for line in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise self._bad(lines.line, f"no JSON: {error}") from error
            if not isinstance(row, dict):
                raise self._bad(lines.line, f"a {type(row).__name__}, not an object")
            yield row, lines.line, lines.at

    def _cells(
        self, stream: IO[bytes], since: At | None
    ) -> Iterator[tuple[dict[str, Any], int, At]]:
        dialect = "excel-tab" if self.kind == "tsv" else "excel"
        lines = _Lines(self.path, stream, None)
        header: list[str] | None = None
        first = 1
        reader = csv.reader(lines, dialect, strict=True)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise self._bad(first, str(error)) from error
            if cells is None:
                return
            if header is None:
                header = [name.strip() for name in cells]
                if len(set(header)) < len(header):
                    raise self._bad(1, "two columns have one name")
                if since is not None:
                    lines.seek(since)
            elif cells:
                if len(cells) != len(header):
                    raise self._bad(first, f"{len(cells)} cells under {len(header)} names")
                yield dict(zip(header, cells, strict=True)), first, lines.at
            first = lines.line + 1

    def _bad(self, line: int, what: str) -> UsageError:
        return UsageError(f"{self.path.name}, line {line}: {what}", code="bad_source")


class _Lines:
    """The lines of a file as text, with how far they have been read."""

    def __init__(self, path: Path, stream: IO[bytes], since: At | None) -> None:
        self._path = path
        self._stream = stream
        self.at = At(0, 0)
        if since is not None:
            self.seek(since)

    @property
    def line(self) -> int:
        """Number of the line that was read last, from 1."""
        return self.at.line

    def seek(self, to: At) -> None:
        """Go on from there."""
        self._stream.seek(to.offset)
        self.at = to

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._stream.readline(MOST_LINE_BYTES + 1)
        if not raw:
            raise StopIteration
        number = self.at.line + 1
        if len(raw) > MOST_LINE_BYTES:
            raise UsageError(
                f"{self._path.name}, line {number}: longer than {MOST_LINE_BYTES} bytes",
                code="bad_source",
            )
        self.at = At(self.at.offset + len(raw), number)
        try:
            return raw.removeprefix(_BOM if number == 1 else b"").decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{self._path.name}, line {number}: not UTF-8: {error.reason}", code="bad_source"
            ) from error

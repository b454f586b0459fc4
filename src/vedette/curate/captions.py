"""Where captions come from: tables, pictures with a text beside each, or any source with texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vedette.curate.hits import Entry
from vedette.curate.tables import Row, choose, columns_of, read_rows
from vedette.data.base import SOURCE, TEXT, Source, read_all
from vedette.data.paths import PathSource
from vedette.errors import FetchError, UsageError
from vedette.fetch import open_regular, read_bounded
from vedette.sniff import HEAD_BYTES, sniff
from vedette.types import Item

_TEXT = ("caption", "text", "prompt")
_WHERE = ("url", "image_url", "file_name", "path", "image_path")
_KEY = ("key", "id", "image_id")
_BYTES = 2**20
"""Of a text beside a picture, at most."""


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Which columns a user has named; None: by the usual names."""

    text: str | None = None
    where: str | None = None
    key: str | None = None


class Captions(Protocol):
    """Entries with captions, which can be read again and again in one order."""

    @property
    def name(self) -> str:
        """What it is called in messages and candidates."""
        ...

    def read(self) -> Iterator[Entry]:
        """All entries, one at a time.

        Raises:
            UsageError: they cannot be read to their end.
        """
        ...

    def pictures(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """Those of the pictures that are at hand."""
        ...


class Describing:
    """How the rows of one table describe pictures."""

    def __init__(self, path: Path, names: ColumnNames, *, needs_text: bool) -> None:
        """Choose the columns.

        Raises:
            UsageError: the table cannot be read, or has no captions where it needs some.
        """
        columns = columns_of(path)
        self.path = path
        self.chosen = (
            choose(names.key, _KEY, columns, path),
            choose(names.where, _WHERE, columns, path),
            choose(names.text, _TEXT, columns, path),
            choose(None, ("source",), columns, path),
            choose(None, ("sha256",), columns, path),
        )
        if needs_text and self.chosen[2] is None:
            raise UsageError(
                f"{path} has no column of captions",
                code="bad_source",
                hint=f"name one with --text: {', '.join(columns) or 'it has no columns'}",
            )

    def rows(self) -> Iterator[Row]:
        """The chosen columns of all rows."""
        return read_rows(self.path, self.chosen)

    def entry(self, row: Row, number: int) -> Entry:
        """What one row describes; without a key or an address it is named by its place."""
        key, where, text, source, sha256 = row
        file = _file(self.path.parent, where) if where is not None else None
        named = key or where or f"{self.path.name}#{number}"
        return Entry(named, where, text, source, sha256, file)


def _file(folder: Path, where: str) -> Path | None:
    """The file of that name, where it is one inside ``folder``: a table must not lead elsewhere."""
    if "://" in where or "\0" in where:
        return None
    path = folder / where
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
        return path if inside and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long a name, or a loop of links
        return None


class TableCaptions:
    """Captions in one or several tables of one kind."""

    def __init__(self, files: Sequence[Path], names: ColumnNames, name: str) -> None:
        self.name = name
        self._tables = [Describing(path, names, needs_text=True) for path in files]

    def read(self) -> Iterator[Entry]:
        """See :class:`Captions`."""
        for table in self._tables:
            for number, row in enumerate(table.rows()):
                yield table.entry(row, number)

    def pictures(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """See :class:`Captions`."""
        return pictures_in_files(entries)


def pictures_in_files(entries: Sequence[Entry]) -> Iterator[Item]:
    """The pictures of those entries that name a file."""
    return (Item(entry.key, entry.file) for entry in entries if entry.file is not None)


class FolderCaptions:
    """Pictures with a text of the same name beside each: ``a.jpg`` and ``a.txt``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._source = PathSource([folder])

    def read(self) -> Iterator[Entry]:
        """See :class:`Captions`. A picture without a text is never found, so it is left out."""
        for item in read_all(self._source):
            if not isinstance(item.data, Path) or item.data.suffix.lower() == ".txt":
                continue
            text = _beside(item.data)
            if text is not None and _is_picture(item.data):
                yield Entry(item.key, item.key, text, file=item.data)

    def pictures(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """See :class:`Captions`."""
        return pictures_in_files(entries)


def has_texts_beside(folder: Path) -> bool:
    """Whether some picture in the folder has a text of the same name beside it."""
    source = FolderCaptions(folder, folder.name)
    return any(entry.text is not None for entry in source.read())


def _is_picture(path: Path) -> bool:
    """By its first bytes: img2dataset puts ``a.json`` beside ``a.jpg`` and ``a.txt``."""
    try:
        with open_regular(path) as stream:
            fmt = sniff(stream.read(HEAD_BYTES))
    except (FetchError, OSError):
        return True  # what cannot be read is told when it is decoded, not left out here
    return fmt is not None and fmt.kind in ("picture", "video")


def _beside(picture: Path) -> str | None:
    path = picture.with_suffix(".txt")
    if not path.is_file():
        return None
    try:
        with open_regular(path) as stream:
            return read_bounded(stream, _BYTES, path.name).decode("utf-8", "replace").strip()
    except (FetchError, OSError) as error:
        raise UsageError(f"cannot read {path}: {error}", code="unreadable") from error


class SourceCaptions:
    """Any source whose items come with a text."""

    def __init__(self, source: Source, name: str) -> None:
        self.name = name
        self._source = source

    def read(self) -> Iterator[Entry]:
        """See :class:`Captions`."""
        for item in read_all(self._source):
            file = item.data if isinstance(item.data, Path) else None
            where = None if file is None else str(file)
            yield Entry(item.key, where, item.meta.get(TEXT), item.meta.get(SOURCE), file=file)

    def pictures(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """See :class:`Captions`. One pass: an archive is not searched anew for each picture."""
        wanted = {entry.key for entry in entries}
        return (item for item in read_all(self._source) if item.key in wanted)

"""The five sets that UnsafeBench evaluates on besides its own: base64 text in Parquet files.

Their columns are ``index``, ``label`` (0 or 1) and ``image``, which is base64 text, or a number in
digits: the ``index`` of another row that has the same picture.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vedette.data.base import Shard
from vedette.data.keyindex import KeyIndex
from vedette.data.keys import to_key
from vedette.data.opening import SourceFormat, SourceOptions
from vedette.data.rows import legend_of, located, tabular, text_of
from vedette.data.tables import Group, Table, opened, peek
from vedette.errors import UsageError
from vedette.types import Failure, Item

_COLUMNS = ("index", "label", "image")
_REFERENCE = re.compile(r"[0-9]{1,18}")
"""No picture is as short in base64."""
_DATA_URI = re.compile(r"data:[\w/+.;-]{0,100},")
_TEXT = ("string", "large_string", "string_view")


class ExternalSource:
    """The pictures of one of the sets, references resolved.

    Of the rows' indices only hashes are kept, and of the pictures none but the last that was
    referred to: rows that share a picture mostly follow each other.

    Args:
        table: of the files.
        options: what the user says. The labels are numbers: ``card`` or ``labels`` says what they
            mean.

    Raises:
        UsageError: ``bad_source``: the table has other columns.
    """

    def __init__(self, table: Table, options: SourceOptions) -> None:
        missing = [name for name in _COLUMNS if name not in table.fields]
        if missing:
            raise UsageError(
                f"the table has no column {missing[0]!r}",
                code="bad_source",
                hint=f"the sets' columns are {', '.join(_COLUMNS)}",
            )
        self.legend = legend_of(options)
        self._table = table
        self._limits = options.limits
        self._judge = tabular(self.legend, table.schema, options, "the table")
        self._columns = [
            name
            for name in table.schema.names
            if name in (*_COLUMNS, options.label, *options.columns.values())
        ]
        self._last: tuple[int, bytes | Failure] | None = None

    def shards(self) -> Sequence[Shard]:
        """One for each row group of each file."""
        return [Shard(name) for name in self._table.groups]

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`.

        Raises:
            UsageError: ``unknown_label``.
        """
        yield from self._items(self._table.groups[shard.id], 0)

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`."""
        name, _, number = key.partition("#")
        rows = self._indices.rows(key)
        if number.isascii() and number.isdigit() and len(number) < 16:
            rows += [row for row in self._indices.rows(name) if row == int(number)]
        for row in rows:
            group = self._table.group_of(row)
            if group is not None:
                item = next(self._items(group, row - group.first))
                if item.key == key:
                    return item
        return None

    def _items(self, group: Group, skip: int) -> Iterator[Item]:
        for row, cells in enumerate(
            self._table.read(group, self._columns, skip), group.first + skip
        ):
            if isinstance(cells, Failure):
                yield Item(self._indices.unique(group.name, row), cells)
                continue
            with located(f"{group.name}, row {group.first_in_file + row - group.first}"):
                label, meta = self._judge(cells)
            key = to_key(text_of(cells["index"]))
            if not key or self._indices.comes_again(row):
                key = self._indices.unique(key, row)
            data = self._picture(cells["image"], row)
            yield Item(key, data, label.categories, meta, label.unsafe)

    def _picture(self, value: object, row: int) -> bytes | Failure:
        """The picture of a row, wherever it is."""
        seen = {row}
        while (target := _referred(value)) is not None:
            rows = self._indices.rows(str(target))
            if len(rows) != 1:
                what = "no row has" if not rows else "several rows have"
                return Failure("fetch", "corrupt", f"it refers to the index {target}, which {what}")
            if rows[0] in seen:
                return Failure(
                    "fetch", "corrupt", f"it refers to the index {target}, and that back to it"
                )
            if self._last is not None and self._last[0] == rows[0]:
                return self._last[1]
            seen.add(rows[0])
            value = self._image_at(rows[0])
            if isinstance(value, Failure):
                return value
            if _referred(value) is None:
                self._last = rows[0], self._decoded(value)
                return self._last[1]
        return self._decoded(value)

    def _image_at(self, row: int) -> Any:
        group = self._table.group_of(row)
        if group is None:
            return Failure("fetch", "corrupt", f"there is no row {row}")
        cells = next(self._table.read(group, ["image"], row - group.first))
        return cells if isinstance(cells, Failure) else cells["image"]

    def _decoded(self, value: object) -> bytes | Failure:
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace")
        if not isinstance(value, str) or not value:
            return Failure("fetch", "not_found", "the row has no picture")
        if len(value) // 4 * 3 > self._limits.bytes + 2**10:
            return Failure(
                "fetch", "too_many_bytes", f"the picture is larger than {self._limits.bytes} bytes"
            )
        if uri := _DATA_URI.match(value):
            value = value[uri.end() :]
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            return Failure("fetch", "corrupt", f"its text is not base64: {error}")

    @cached_property
    def _indices(self) -> KeyIndex:
        def keys() -> Iterator[str]:
            for group in self._table.groups.values():
                for cells in self._table.read(group, ["index"]):
                    yield "" if isinstance(cells, Failure) else to_key(text_of(cells["index"]))

        return KeyIndex(keys())


def _referred(value: object) -> int | None:
    """The index of the row that ``value`` refers to; None where it is a picture."""
    if isinstance(value, str) and _REFERENCE.fullmatch(value.strip()):
        return int(value)
    return None


def _fits(path: Path) -> bool:
    table = peek(path)
    if table is None or not set(_COLUMNS) <= table.fields.keys():
        return False
    return str(table.fields["image"].type) in _TEXT


def _open(path: Path, options: SourceOptions) -> ExternalSource:
    return ExternalSource(opened(path, options.limits), options)


FORMATS = (
    SourceFormat(
        "external", "SMID and its like: base64 text, references by row index", _fits, _open
    ),
)

"""Parquet files that hold the pictures' bytes, as the model hub stores a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vedette.data.base import SPLIT, Shard
from vedette.data.inside import inside
from vedette.data.keyindex import KeyIndex
from vedette.data.keys import to_key
from vedette.data.labelling import Legend
from vedette.data.opening import SourceFormat, SourceOptions
from vedette.data.rows import (
    Judge,
    Schema,
    legend_of,
    located,
    picked,
    split_named,
    split_of,
    tabular,
    text_of,
)
from vedette.data.tables import Group, Table, first_parquet, opened, peek
from vedette.errors import UsageError
from vedette.settings import Limits
from vedette.types import Failure, Item

IMAGE_COLUMNS = ("image", "img", "picture", "jpg", "png", "image_bytes", "bytes")
"""Names of the pictures' column, the likeliest first."""

Rule = Callable[[Schema, str], Judge]


class ParquetSource:
    """The pictures of a table, each with its row's label.

    The pictures' column is a struct of ``bytes`` and ``path``, as the hub writes it, or plain
    bytes. A picture's key is its ``path`` where no other row has that, else the file's name and the
    row's number in it.

    Args:
        table: of the files.
        options: what the user says.
        legend: of the labels.
        rule: how a row is read, where not as :func:`vedette.data.rows.tabular` does.

    Raises:
        UsageError: ``bad_source``: no column holds pictures.
    """

    def __init__(
        self, table: Table, options: SourceOptions, legend: Legend, rule: Rule | None = None
    ) -> None:
        self.legend = legend
        self._table = table
        self._limits = options.limits
        self._where = next(iter(table.groups.values())).name if table.groups else "the table"
        names = table.schema.names
        image = picked(options.image, image_columns(table), names, "picture", self._where)
        if image is None:
            raise UsageError(
                f"{self._where} has no column of pictures",
                code="bad_source",
                hint=f"it has: {', '.join(names) or 'none'}; pictures are bytes, or bytes and path",
            )
        self._image = image
        self._key = picked(options.key, (), names, "key", self._where)
        make = rule or (lambda schema, where: tabular(legend, schema, options, where))
        self._judge = make(table.schema, self._where)
        self._columns = [name for name in names if name == image or _is_light(table, name)]

    def shards(self) -> Sequence[Shard]:
        """One for each row group of each file."""
        return [Shard(name) for name in self._table.groups]

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`.

        Raises:
            UsageError: ``unknown_label``, ``bad_source``.
        """
        yield from self._items(self._table.groups[shard.id], 0)

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`. Reads one row group up to the row."""
        for row in (*self._index.rows(key), *_numbered(self._table, key)):
            group = self._table.group_of(row)
            if group is not None:
                item = next(self._items(group, row - group.first))
                if item.key == key:
                    return item
        return None

    def _items(self, group: Group, skip: int) -> Iterator[Item]:
        split = split_of(group.name.split("/"))
        for index, row in enumerate(self._table.read(group, self._columns, skip), skip):
            if isinstance(row, Failure):
                yield Item(self._numbered_key(group, index), row)
                continue
            with located(f"{group.name}, row {group.first_in_file + index}"):
                label, meta = self._judge(row)
            if told := meta.get(SPLIT) or split:
                meta[SPLIT] = split_named(told) or told
            data = _picture(row[self._image], group, self._limits)
            yield Item(self._key_of(row, group, index), data, label.categories, meta, label.unsafe)

    def _key_of(self, row: dict[str, Any], group: Group, index: int) -> str:
        own = self._own_key(row)
        if own and not self._index.is_shared(group.first + index):
            return own
        return self._numbered_key(group, index)

    def _numbered_key(self, group: Group, index: int) -> str:
        made = f"{group.name}#{group.first_in_file + index}"
        taken = self._index.rows(made)
        return self._index.unique(made, group.first + index) if taken else made

    def _own_key(self, row: dict[str, Any]) -> str:
        if self._key is not None:
            return to_key(text_of(row[self._key]))
        value = row[self._image]
        return to_key(text_of(value.get("path"))) if isinstance(value, dict) else ""

    @cached_property
    def _index(self) -> KeyIndex:
        """The rows' own keys. Of the pictures' column only the paths are read."""
        fields = _inner(self._table, self._image)
        column = self._key or (f"{self._image}.path" if "path" in fields else None)

        def keys() -> Iterator[str]:
            for group in self._table.groups.values():
                if column is None:
                    yield from ("" for _ in range(group.rows))
                    continue
                for row in self._table.read(group, [column]):
                    yield "" if isinstance(row, Failure) else self._own_key(row)

        return KeyIndex(keys())


def image_columns(table: Table) -> list[str]:
    """The columns that may hold pictures: those that the schema says, then those by their names."""
    usual = [name for name in IMAGE_COLUMNS if name in table.fields]
    holds = [name for name in table.fields if _holds_bytes(table, name)]
    return [*table.pictures, *(name for name in usual if name in holds), *holds[: len(holds) == 1]]


def _holds_bytes(table: Table, name: str) -> bool:
    kind = table.fields[name].type
    inner = kind.field("bytes").type if "bytes" in _inner(table, name) else kind
    return str(inner) in ("binary", "large_binary", "binary_view")


def _inner(table: Table, name: str) -> list[str]:
    """The names of a struct's fields; none for what is no struct."""
    kind = table.fields[name].type
    if not _is_struct(table, name):
        return []
    return [kind.field(index).name for index in range(kind.num_fields)]


def _is_struct(table: Table, name: str) -> bool:
    return str(table.fields[name].type).startswith("struct<")


def _is_light(table: Table, name: str) -> bool:
    """Whether a column may hold labels or facts: no other pictures, embeddings, nested things."""
    kind = str(table.fields[name].type)
    heavy = ("struct<", "map<", "binary", "large_binary", "fixed_size", "list<element: list")
    return not kind.startswith(heavy) and not (
        "list<" in kind and ("float" in kind or "double" in kind)
    )


def _numbered(table: Table, key: str) -> list[int]:
    """The row of a key made of a file's name and a row's number."""
    start, _, number = key.partition("#")
    number = number.partition("#")[0]
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        return []
    at = int(number)
    return [
        g.first + at - g.first_in_file
        for g in table.groups.values()
        if g.name == start and g.first_in_file <= at < g.first_in_file + g.rows
    ]


def _picture(value: object, group: Group, limits: Limits) -> bytes | Path | Failure:
    path = ""
    if isinstance(value, dict):
        path = text_of(value.get("path"))
        value = value.get("bytes")
    if value is None:
        if path:  # a copy that was written without its pictures: they lie beside it
            return inside(group.file.parent, path)
        return Failure("fetch", "not_found", "the row has no picture")
    if isinstance(value, str):
        return inside(group.file.parent, value)
    if not isinstance(value, bytes):
        return Failure("fetch", "corrupt", f"the row has a {type(value).__name__} for a picture")
    if len(value) > limits.bytes:
        return Failure(
            "fetch", "too_many_bytes", f"the picture is larger than {limits.bytes} bytes"
        )
    return value


def _fits(path: Path) -> bool:
    if path.is_dir():
        table = peek(path)
        return table is not None and bool(image_columns(table))
    return first_parquet(path) is not None


def _open(path: Path, options: SourceOptions) -> ParquetSource:
    return ParquetSource(opened(path, options.limits), options, legend_of(options))


FORMATS = (
    SourceFormat("parquet", "Parquet files with the pictures' bytes, as on the hub", _fits, _open),
)

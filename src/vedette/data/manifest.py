"""Manifests: a CSV, TSV or JSONL file whose rows name pictures beside it and say what they show."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
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
from vedette.data.sheets import SUFFIXES, At, Sheet
from vedette.errors import UsageError
from vedette.types import Item

IMAGE_FIELDS = (
    *("path", "file_name", "image", "filename", "file", "image_path", "image_fname", "fname"),
    "key",
)
"""Names of the picture's field, the likeliest first."""
NAMES = ("metadata.jsonl", "metadata.csv", "manifest.jsonl", "manifest.csv", "manifest.tsv")
"""What a manifest inside a folder is called."""
SHARD_ROWS = 10_000
_MOST_FIELDS = 1_000

Rule = Callable[[Schema, str], Judge]
"""From what is known of the rows, and a name for messages, to what a row says."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one sheet that follow each other: a shard."""

    sheet: Sheet
    since: At | None
    first: int
    """Number of its first row among those of all sheets."""
    rows: int


@dataclass(frozen=True, slots=True)
class _Plan:
    parts: Mapping[str, _Part]
    index: KeyIndex
    judges: Mapping[Path, Judge]
    fields: Mapping[Path, tuple[str, str | None]]
    """The picture's field, and the key's where it has one of its own."""


class ManifestSource:
    """The pictures that manifests name.

    The manifests are read twice: once for the places of the shards and the keys, which finds every
    malformed row before the first picture is touched, and once for the items. Neither pass holds
    more than a row, and 16 bytes for each.

    Args:
        root: the set's folder; no picture outside of it is read, and keys are relative to it.
        files: the manifests, below ``root``. Their paths are relative to their own folders.
        options: what the user says.
        legend: of the labels.
        rule: how a row is read, where not as :func:`vedette.data.rows.tabular` does.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[Path],
        options: SourceOptions,
        legend: Legend,
        rule: Rule | None = None,
    ) -> None:
        self.legend = legend
        self._root = root
        self._sheets = [Sheet(file) for file in files]
        self._options = options
        self._rule = rule or (lambda schema, where: tabular(legend, schema, options, where))

    def shards(self) -> Sequence[Shard]:
        """Ten thousand rows of one manifest each.

        Raises:
            UsageError: ``bad_source``: a row that cannot be read; the message names the line.
        """
        return [Shard(name) for name in self._plan.parts]

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`.

        Raises:
            UsageError: ``unknown_label``, ``bad_source``.
        """
        part = self._plan.parts[shard.id]
        rows = islice(part.sheet.rows(part.since), part.rows)
        for number, (row, line, _) in enumerate(rows, part.first):
            with located(f"{part.sheet.path.name}, line {line}"):
                item = self._item(part.sheet, row, number)
            yield item

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`. Reads one shard up to the row."""
        numbers = self._plan.index.rows(key)
        number = key.rpartition("#")[2]
        if not numbers and number.isascii() and number.isdigit() and len(number) < 16:
            numbers = [int(number)]
        for wanted in numbers:
            for part in self._plan.parts.values():
                if part.first <= wanted < part.first + part.rows:
                    at = wanted - part.first
                    row, _, _ = next(islice(part.sheet.rows(part.since), at, None))
                    item = self._item(part.sheet, row, wanted)
                    if item.key == key:
                        return item
        return None

    @cached_property
    def _plan(self) -> _Plan:
        parts: dict[str, _Part] = {}
        names: dict[Path, dict[str, None]] = {}
        fields: dict[Path, tuple[str, str | None]] = {}

        def keys() -> Iterator[str]:
            total = 0
            for sheet in self._sheets:
                seen = names.setdefault(sheet.path, {})
                since, first = None, total
                for row, line, after in sheet.rows():
                    if sheet.path not in fields:
                        fields[sheet.path] = self._fields(list(row), sheet.path.name)
                    seen.update(dict.fromkeys(row))
                    if len(seen) > _MOST_FIELDS:
                        raise UsageError(
                            f"{sheet.path.name} has more than {_MOST_FIELDS} fields",
                            code="bad_source",
                        )
                    if fields[sheet.path][0] not in row:
                        raise UsageError(
                            f"{sheet.path.name}, line {line}: no field {fields[sheet.path][0]!r}",
                            code="bad_source",
                        )
                    yield self._key(sheet, row, fields[sheet.path])
                    total += 1
                    if total - first == SHARD_ROWS:
                        parts[self._shard_name(sheet, first)] = _Part(
                            sheet, since, first, SHARD_ROWS
                        )
                        since, first = after, total
                if total > first:
                    parts[self._shard_name(sheet, first)] = _Part(
                        sheet, since, first, total - first
                    )

        index = KeyIndex(keys())
        judges = {
            path: self._rule(Schema(list(fields_of)), path.name)
            for path, fields_of in names.items()
            if fields_of
        }
        return _Plan(parts, index, judges, fields)

    def _shard_name(self, sheet: Sheet, first: int) -> str:
        return f"{self._relative(sheet.path)}#{first}"

    def _relative(self, path: Path) -> str:
        return to_key(os.path.relpath(path, self._root))

    def _fields(self, names: Sequence[str], where: str) -> tuple[str, str | None]:
        image = picked(self._options.image, IMAGE_FIELDS, names, "picture", where)
        if image is None:
            raise UsageError(
                f"{where} has no field that names pictures",
                code="bad_source",
                hint=f"call it one of: {', '.join(IMAGE_FIELDS)}",
            )
        usual = () if image == "key" else ("key",)
        return image, picked(self._options.key, usual, names, "key", where)

    def _key(self, sheet: Sheet, row: Mapping[str, Any], fields: tuple[str, str | None]) -> str:
        image, key = fields
        own = text_of(row.get(key)) if key is not None else ""
        if own:
            return to_key(own)
        folder = os.path.relpath(sheet.path.parent, self._root)
        name = text_of(row[image])
        if not name:
            return f"{self._relative(sheet.path)}#"
        return to_key(posixpath.normpath(posixpath.join(folder.replace(os.sep, "/"), name)))

    def _item(self, sheet: Sheet, row: Mapping[str, Any], number: int) -> Item:
        fields = self._plan.fields[sheet.path]
        key = self._key(sheet, row, fields)
        if self._plan.index.comes_again(number):
            key = self._plan.index.unique(key, number)
        label, meta = self._plan.judges[sheet.path](row)
        split = meta.get(SPLIT) or split_of(self._relative(sheet.path).split("/"))
        if split:
            meta[SPLIT] = split_named(split) or split
        data = inside(sheet.path.parent, text_of(row.get(fields[0])))
        return Item(key, data, label.categories, meta, label.unsafe)


def sheets_in(folder: Path, names: Sequence[str] = NAMES) -> list[Path]:
    """The manifests of a folder: its own, else those of its split folders.

    The official code of UnsafeBench keeps them one folder below, in ``train/images``.
    """
    for places in ([folder, folder / "images"], _split_folders(folder)):
        there = [[place / name for name in names if (place / name).is_file()] for place in places]
        if found := [files[0] for files in there if files]:
            return found
    return []


def _split_folders(folder: Path) -> list[Path]:
    try:
        below = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return []
    splits = [folder / name for name in below if split_named(name)]
    return [place for split in splits for place in (split, split / "images")]


def _fits(path: Path) -> bool:
    if path.is_dir():
        return bool(sheets_in(path))
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _open(path: Path, options: SourceOptions) -> ManifestSource:
    files = sheets_in(path) if path.is_dir() else [path]
    if not files:
        raise UsageError(
            f"there is no manifest in {path}",
            code="bad_source",
            hint=f"call it one of: {', '.join(NAMES)}",
        )
    root = path if path.is_dir() else path.parent
    return ManifestSource(root, files, options, legend_of(options))


FORMATS = (SourceFormat("manifest", "a CSV, TSV or JSONL file that names pictures", _fits, _open),)

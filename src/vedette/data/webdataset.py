"""WebDataset tars, as img2dataset writes them: a picture, its caption and facts, by one name."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from vedette import sniff
from vedette.data.archive import read_archive
from vedette.data.archive_names import tar_names
from vedette.data.base import SPLIT, TEXT, Shard
from vedette.data.keys import MEMBER, to_key
from vedette.data.opening import SourceFormat, SourceOptions
from vedette.data.rows import Schema, legend_of, located, split_named, split_of, tabular, text_of
from vedette.errors import FetchError, UsageError
from vedette.fetch import open_regular
from vedette.types import Failure, Item

_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_PICTURES = frozenset(
    ("jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff", "avif", "heic", "ico", "ppm")
)
_SIDECARS = ("json", "txt", "cls")
_MOST_SIDECAR_BYTES = 2**22
_REPEATED = re.compile(r"#\d+$")
"""What :func:`vedette.data.archive.read_archive` puts behind a name that comes twice."""


@dataclass(slots=True)
class _Sample:
    """The members of one base name, as they come."""

    base: str
    key: str
    """Of its first member."""
    pictures: list[Item] = field(default_factory=list)
    sidecars: dict[str, bytes] = field(default_factory=dict)
    broken: Failure | None = None
    """Of a sidecar."""
    held: int = 0
    """bytes"""


class WebDatasetSource:
    """The pictures of tar files, each with the ``.json``, ``.txt`` and ``.cls`` of its base name.

    A sample's members follow each other, and at most ``limits.bytes`` of one sample are held.
    Nothing is left out silently: a sample without a picture is an Item with a Failure.

    Args:
        root: keys are relative to it.
        files: the tars below it, in order.
        options: what the user says. ``label`` names a field of the ``.json``.
    """

    def __init__(self, root: Path, files: Sequence[Path], options: SourceOptions) -> None:
        self.legend = legend_of(options)
        self._options = options
        self._files = {to_key(os.path.relpath(file, root)): file for file in files}

    def shards(self) -> Sequence[Shard]:
        """One for each tar."""
        return [Shard(name) for name in self._files]

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`.

        Raises:
            UsageError: ``unknown_label``, ``bad_source``.
        """
        sample: _Sample | None = None
        for member in self._members(shard.id):
            name = member.key.removeprefix(shard.id + MEMBER)
            if name == member.key:  # where the archive broke off
                if sample is not None:
                    yield from self._items(sample, shard.id)
                yield member
                return
            base, suffix = _parted(name)
            if sample is None or sample.base != base:
                if sample is not None:
                    yield from self._items(sample, shard.id)
                sample = _Sample(base, member.key)
            self._add(sample, member, suffix)
        if sample is not None:
            yield from self._items(sample, shard.id)

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`. Reads the tar up to the sample."""
        for name in self._files:
            if key.startswith(name + MEMBER):
                return next((item for item in self.read(Shard(name)) if item.key == key), None)
        return None

    def _members(self, name: str) -> Iterator[Item]:
        try:
            with open_regular(self._files[name]) as stream:
                fmt = sniff.sniff(stream.read(sniff.HEAD_BYTES))
                stream.seek(0)
                if fmt is None or fmt.kind != "archive" or fmt is sniff.ZIP:
                    yield Item(name, Failure("fetch", "corrupt_archive", "it is no tar archive"))
                    return
                yield from read_archive(stream, fmt, name, self._options.limits)
        except FetchError as error:
            yield Item(name, error.failure())

    def _add(self, sample: _Sample, member: Item, suffix: str) -> None:
        data = member.data
        if suffix in _SIDECARS:
            if isinstance(data, bytes) and len(data) <= _MOST_SIDECAR_BYTES:
                sample.sidecars.setdefault(suffix, data)
            else:
                sample.broken = (
                    data
                    if isinstance(data, Failure)
                    else Failure("fetch", "too_many_bytes", f"its .{suffix} is too large")
                )
            return
        if isinstance(data, bytes):
            fmt = sniff.sniff(data[: sniff.HEAD_BYTES])
            shows = fmt is not None and fmt.kind in ("picture", "video")
            if not shows and suffix not in _PICTURES:
                return  # an embedding, a mask in a format of its own
            sample.held += len(data)
            if sample.held > self._options.limits.bytes:
                data = Failure("fetch", "too_many_bytes", "the sample is larger than limits.bytes")
        sample.pictures.append(Item(member.key, data))

    def _items(self, sample: _Sample, name: str) -> Iterator[Item]:
        broken = sample.broken
        row: dict[str, Any] = {}
        try:
            row = _row(sample.sidecars)
        except (ValueError, RecursionError) as error:
            broken = Failure("fetch", "corrupt", f"its .json cannot be read: {error}")
        if not sample.pictures:
            missing = Failure("fetch", "not_found", "the sample has no picture")
            sample.pictures.append(Item(sample.key, missing))
        if broken is not None:  # its label may be in there: it is not passed on as unlabelled
            yield from (Item(picture.key, broken) for picture in sample.pictures)
            return
        options = self._options
        said = [] if options.label is None else [options.label]
        known = Schema(list(dict.fromkeys((*row, *said, *options.columns.values()))))
        with located(f"{name}{MEMBER}{sample.base}"):
            label, meta = tabular(self.legend, known, options, "its .json")(row)
        facts = {
            to_key(key): text
            for key, value in row.items()
            if isinstance(value, str | int | float) and (text := text_of(value))
        }
        meta = {**facts, **meta}
        told = meta.get(SPLIT) or split_of(name.split("/"))
        if told:
            meta[SPLIT] = split_named(told) or told
        for picture in sample.pictures:
            yield Item(picture.key, picture.data, label.categories, meta, label.unsafe)


def _row(sidecars: dict[str, bytes]) -> dict[str, Any]:
    """The fields of the ``.json``; the ``.txt`` is the caption and the ``.cls`` the label."""
    row: dict[str, Any] = {}
    if "json" in sidecars:
        row = json.loads(sidecars["json"].decode("utf-8-sig"))
        if not isinstance(row, dict):
            raise ValueError(f"it holds a {type(row).__name__}")
    if "txt" in sidecars:
        row[TEXT] = sidecars["txt"].decode("utf-8", "replace").strip()
    if "cls" in sidecars:
        row.setdefault("label", sidecars["cls"].decode("utf-8", "replace").strip())
    return row


def _parted(name: str) -> tuple[str, str]:
    """Base name and suffix, as WebDataset has them: parted at the file name's first point."""
    path = PurePosixPath(name)
    stem, _, suffix = path.name.partition(".")
    base = str(path.parent / stem)
    return base, _REPEATED.sub("", suffix).lower().rpartition(".")[2]


def tar_files(path: Path) -> list[Path]:
    """The tars that ``path`` is or has, in its ``data/`` or its split folders too."""
    if not path.is_dir():
        return [path]
    found: list[Path] = []
    for folder, below, names in os.walk(path):
        depth = len(Path(folder).relative_to(path).parts)
        below[:] = sorted(name for name in below if name[0] != "." and depth < 2)
        found += [
            Path(folder, name)
            for name in sorted(names)
            if name[0] != "." and name.lower().endswith(_SUFFIXES)
        ]
    return found


def _fits(path: Path) -> bool:
    """A tar whose first members are pictures with a caption, facts or a class beside them."""
    files = tar_files(path)
    suffixes: dict[str, set[str]] = {}
    for name in tar_names(files[0]) if files else ():
        base, suffix = _parted(name)
        suffixes.setdefault(base, set()).add(suffix)
    return any(found & _PICTURES and found & set(_SIDECARS) for found in suffixes.values())


def _open(path: Path, options: SourceOptions) -> WebDatasetSource:
    files = tar_files(path) if path.exists() else []
    if not files:
        raise UsageError(f"there is no tar in {path}", code="bad_source")
    return WebDatasetSource(path if path.is_dir() else path.parent, files, options)


FORMATS = (
    SourceFormat("webdataset", "tars of pictures with .json, .txt or .cls beside", _fits, _open),
)

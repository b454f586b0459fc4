"""A set's embeddings, from its pictures to a folder: see :mod:`vedette.embeddings.folder`."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from vedette.data.base import Source, read_all
from vedette.data.synth.plan import is_stand_in
from vedette.embeddings.embed import Embedder
from vedette.embeddings.folder import (
    COLUMNS,
    FILE,
    About,
    Row,
    Shard,
    read_about,
    read_shard,
    row_of,
    shard_paths,
    write_about,
)
from vedette.embeddings.labelled import IMAGE_FOLDER, METADATA_FOLDER
from vedette.embeddings.store import EmbeddingStore, Float16
from vedette.errors import UsageError, VedetteError
from vedette.extras import require
from vedette.hub.store import exclusive
from vedette.sinks.base import replacing
from vedette.types import Failure, Item

SHARD_ROWS = 10_000
"""Embeddings of one shard, unless the user says otherwise."""
_HELD = ".held"
"""The lock of the process that writes."""
_NAME = re.compile(r"(?:img_emb|metadata)_([0-9]+)\.(?:npy|parquet)")


def embed_set(
    source: Source,
    embedder: Embedder,
    folder: Path,
    about: About,
    *,
    shard_rows: int = SHARD_ROWS,
    overwrite: bool = False,
) -> About:
    """Write the embeddings of a set's images into a folder, in the set's order.

    Killed at any point, it goes on where it was when it is called again. A set that has not changed
    leaves the folder as it is; of one that has, only new images run through the backbone.

    Args:
        source: the set; unlabelled images have an embedding too.
        embedder: of the backbone.
        folder: to write; made where it is not there.
        about: what it is to say of itself.
        shard_rows: embeddings of one shard.
        overwrite: replace the embeddings of another model or another set that are there.

    Returns:
        What the folder says of itself now: how many there are, and which images gave none.

    Raises:
        UsageError: ``output_exists``, ``resume_mismatch``: see :class:`FolderWriter`.
        VedetteError: ``write_failed``; what the source raises.
    """
    _check_place(folder)
    with exclusive(folder / _HELD):
        writer = FolderWriter(folder, about, overwrite=overwrite)
        if writer.before is not None:
            _adopt(embedder.store, folder, writer.before)
        items = read_all(source)
        ready: list[Row] = []
        failed: list[tuple[str, str]] = []
        stand_in = False
        while True:
            given: list[tuple[Row, bool]] = []
            told = embedder.embed(_noted(islice(items, shard_rows), given))
            if not given:
                break
            for (row, drawn), one in zip(given, told, strict=True):
                stand_in = stand_in or drawn
                if isinstance(one, Failure):
                    failed.append((row.key, one.code))
                else:
                    ready.append(replace(row, sha256=one))
            while len(ready) >= shard_rows:
                writer.write(ready[:shard_rows], _rows(embedder.store, ready[:shard_rows]))
                del ready[:shard_rows]
        if ready or not writer.written:
            writer.write(ready, _rows(embedder.store, ready))
        return writer.finish(failed, stand_in=stand_in)


def _noted(items: Iterator[Item], given: list[tuple[Row, bool]]) -> Iterator[Item]:
    for item in items:
        given.append((row_of(item, ""), is_stand_in(item)))
        yield item


def _rows(store: EmbeddingStore, rows: Sequence[Row]) -> Float16:
    return store.rows([row.sha256 for row in rows])


def _adopt(store: EmbeddingStore, folder: Path, about: About) -> None:
    """Put what a whole folder holds into the store, where the store has lost it."""
    for number in range(len(about.shards)):
        try:
            rows, values = read_shard(folder, number, about)
        except UsageError:
            continue  # somebody has changed it: it is written anew
        for row, embedding in zip(rows, values, strict=True):
            store.add(row.sha256, embedding.astype(np.float32))


class FolderWriter:
    """Writes the shards of a folder, each whole; what is there already stays as it is.

    Args:
        folder: of the embeddings, held by this process alone.
        about: of what is written.

    Raises:
        UsageError: ``output_exists``: something else is there, or embeddings of another set;
            ``resume_mismatch``: embeddings of another model.
        VedetteError: ``write_failed``, ``unreadable``.
    """

    def __init__(self, folder: Path, about: About, *, overwrite: bool = False) -> None:
        self.folder = folder
        self.before = _there(folder, about, overwrite)
        """What is there of the same model and whole; None: nothing."""
        self._about = about
        self._complete = self.before is not None
        self.written: list[Shard] = []
        try:
            for name in (IMAGE_FOLDER, METADATA_FOLDER):
                (folder / name).mkdir(parents=True, exist_ok=True)
                for left in (folder / name).glob(".*.tmp"):
                    left.unlink()  # by a run that was killed: no other one is at work here
        except OSError as error:
            raise VedetteError(
                f"cannot write {folder}: {error.strerror}", code="write_failed"
            ) from error

    def write(self, rows: Sequence[Row], embeddings: Float16) -> None:
        """The next shard.

        Args:
            rows: of the metadata.
            embeddings: float16 [n, dim], in their order.

        Raises:
            VedetteError: ``write_failed``.
        """
        number = len(self.written)
        matrix, table = shard_paths(self.folder, number)
        stream = io.BytesIO()
        np.save(stream, np.ascontiguousarray(embeddings, dtype="<f2"))
        made = self._put(matrix, stream.getvalue()), self._put(table, _parquet(rows))
        self.written.append(Shard(len(rows), *made))

    def finish(self, failed: Sequence[tuple[str, str]], *, stand_in: bool) -> About:
        """Remove the shards of an earlier, longer set, and say that all is there.

        Raises:
            VedetteError: ``write_failed``.
        """
        for name in (IMAGE_FOLDER, METADATA_FOLDER):
            for path in (self.folder / name).iterdir():
                match = _NAME.fullmatch(path.name)
                if match is not None and int(match[1]) >= len(self.written):
                    self._begin()
                    path.unlink()
        about = replace(
            self._about,
            complete=True,
            shards=tuple(self.written),
            failed=tuple(failed),
            stand_in=stand_in,
        )
        if not self._complete or about != self.before:
            write_about(self.folder, about)
        return about

    def _put(self, path: Path, data: bytes) -> str:
        """Write a file unless it is that already; its SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            if path.is_file() and path.read_bytes() == data:
                return sha256
        except OSError as error:
            raise VedetteError(
                f"cannot read {path}: {error.strerror}", code="unreadable"
            ) from error
        self._begin()
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        return sha256

    def _begin(self) -> None:
        """Say that the folder is not whole, before the first change to it."""
        if self._complete or not (self.folder / FILE).exists():
            write_about(self.folder, replace(self._about, complete=False))
        self._complete = False


def _parquet(rows: Sequence[Row]) -> bytes:
    arrow = require("pyarrow", extra="train")
    parquet = require("pyarrow.parquet", extra="train")
    schema = arrow.schema([(name, arrow.string()) for name in COLUMNS])
    columns = [[getattr(row, name) for row in rows] for name in COLUMNS]
    stream = io.BytesIO()
    table = arrow.Table.from_arrays(
        [arrow.array(c, arrow.string()) for c in columns], schema=schema
    )
    parquet.write_table(table, stream)
    return stream.getvalue()


def _check_place(folder: Path) -> None:
    """Refuse a place that a folder of embeddings may not be made in, before anything is there."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", code="output_exists", hint="name a folder")
    if not folder.is_dir() or (folder / FILE).is_file():
        return
    left = (_HELD, IMAGE_FOLDER, METADATA_FOLDER)  # of a run that was killed at its very start
    if any(path.name not in left or any(path.glob("[!.]*")) for path in folder.iterdir()):
        raise UsageError(
            f"{folder} has other files in it",
            code="output_exists",
            hint="name a folder that is empty, or that vedette embed wrote",
        )


def _there(folder: Path, about: About, overwrite: bool) -> About | None:
    """What a folder holds already that can be gone on with; None: nothing, or not whole."""
    if not (folder / FILE).is_file():
        return None
    if overwrite:
        return None
    found = read_about(folder)
    if found.space != about.space:
        raise UsageError(
            f"{folder} holds embeddings of {found.space}, not of {about.space}",
            code="resume_mismatch",
            hint="name another --out, or replace them with --overwrite",
        )
    if found.data != about.data:
        raise UsageError(
            f"{folder} holds the embeddings of {found.data}",
            code="output_exists",
            hint="name another --out, or replace them with --overwrite",
        )
    return found if found.complete else None

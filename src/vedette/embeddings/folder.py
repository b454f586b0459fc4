"""A set's embeddings as files of their own: laid out as clip-retrieval does, with their labels.

``img_emb`` holds ``.npy`` shards of float16, ``metadata`` a Parquet file for each with a row for
each embedding, and :data:`FILE` says which model gave them and whether they are all there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from vedette.compile.cache import file_sha256
from vedette.data.base import CATEGORY, SOURCE, SPLIT
from vedette.embeddings.labelled import IMAGE_FOLDER, METADATA_FOLDER
from vedette.embeddings.npy import read_header
from vedette.embeddings.store import Float16, Space
from vedette.errors import UsageError, VedetteError
from vedette.extras import require
from vedette.resize import Fit, Resample
from vedette.sinks.base import replacing
from vedette.taxonomy import Category
from vedette.types import Item

FILE = "vedette-embeddings.json"
_FORMAT = "vedette-embeddings"
_VERSION = 1
_MOST_BYTES = 2**28
"""Of :data:`FILE`: it names each image that gave no embedding."""
_HASH = re.compile(r"[0-9a-f]{64}")
COLUMNS = ("key", "sha256", "label", CATEGORY, SOURCE, SPLIT)


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of embeddings, and the one of their metadata."""

    rows: int
    embeddings: str
    """SHA-256 of the file, hex."""
    metadata: str


@dataclass(frozen=True, slots=True)
class About:
    """What the folder's file says of it."""

    backbone: str
    """As ``--model`` takes it."""
    space: Space
    fit: Fit
    """How the backbone wants its pictures."""
    data: str
    """The set as the user named it."""
    card: str | None
    """The published set that it is a copy of."""
    stand_in: bool = False
    """Whether some of its pictures are drawn stand-ins."""
    complete: bool = False
    """False while it is written, and after a kill: then the same command goes on."""
    shards: tuple[Shard, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    """Images without an embedding: key and code."""

    @property
    def count(self) -> int:
        """Embeddings."""
        return sum(shard.rows for shard in self.shards)


@dataclass(frozen=True, slots=True)
class Row:
    """What the metadata say of one embedding."""

    key: str
    sha256: str
    """Of the image's bytes, hex."""
    label: str | None
    """``safe``, ``unsafe``, or the categories joined by ``;``; None: unlabelled."""
    category: str | None
    """That it was collected for."""
    source: str | None
    split: str | None

    def item(self) -> Item:
        """The item that it was, without its bytes.

        Raises:
            ValueError: a label that is none.
        """
        given = {CATEGORY: self.category, SOURCE: self.source, SPLIT: self.split}
        meta = {name: value for name, value in given.items() if value is not None}
        if self.label is None:
            return Item(self.key, b"", meta=meta)
        if self.label in ("safe", "unsafe"):
            return Item(self.key, b"", meta=meta, unsafe=self.label == "unsafe")
        labels = frozenset(Category(name) for name in self.label.split(";"))
        return Item(self.key, b"", labels, meta)


def row_of(item: Item, sha256: str) -> Row:
    """What is kept of an item."""
    label = None
    if item.unsafe is not None:
        named = ";".join(c for c in Category if c in (item.labels or ()))
        label = named or ("unsafe" if item.unsafe else "safe")
    meta = [item.meta.get(name) or None for name in (CATEGORY, SOURCE, SPLIT)]
    return Row(item.key, sha256, label, *meta)


def is_embedded(given: str) -> bool:
    """Whether ``given`` is a folder that ``vedette embed`` wrote; never raises."""
    try:
        return Path(given, FILE).is_file()
    except (OSError, ValueError):
        return False


def read_about(folder: Path) -> About:
    """What the folder's file says.

    Raises:
        UsageError: ``bad_source``: it is none.
        VedetteError: ``unreadable``.
    """
    path = folder / FILE
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("too large")
        told = json.loads(path.read_bytes())
        if told["format"] != _FORMAT or told["version"] != _VERSION:
            raise ValueError(f"format {told['format']!r}, version {told['version']!r}")
        return About(
            backbone=_text(told["backbone"]),
            space=Space(
                f"{_text(told['model'])}@{_text(told['revision'])}",
                _text(told["precision"]),
                _number(told["dim"]),
            ),
            fit=_fit(*told["fit"]),
            data=_text(told["data"]),
            card=None if told["set"] is None else _text(told["set"]),
            stand_in=told["stand_in"] is True,
            complete=told["complete"] is True,
            shards=tuple(
                Shard(_number(one["rows"]), _text(one["img_emb"]), _text(one["metadata"]))
                for one in told["shards"]
            ),
            failed=tuple((_text(one["key"]), _text(one["code"])) for one in told["failed"]),
        )
    except OSError as error:
        raise VedetteError(f"cannot read {path}: {error.strerror}", code="unreadable") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not what vedette embed writes: {error}",
            code="bad_source",
            hint="make the folder again: vedette embed DATA --model NAME --out FOLDER",
        ) from error


def write_about(folder: Path, about: About) -> None:
    """Write the folder's file.

    Raises:
        VedetteError: ``write_failed``.
    """
    model, _, revision = about.space.model.partition("@")
    told = {
        "format": _FORMAT,
        "version": _VERSION,
        "complete": about.complete,
        "count": about.count,
        "backbone": about.backbone,
        "model": model,
        "revision": revision,
        "precision": about.space.precision,
        "dim": about.space.dim,
        "fit": [about.fit.size, about.fit.mode, about.fit.resample],
        "data": about.data,
        "set": about.card,
        "stand_in": about.stand_in,
        "shards": [
            {"rows": one.rows, "img_emb": one.embeddings, "metadata": one.metadata}
            for one in about.shards
        ],
        "failed": [{"key": key, "code": code} for key, code in about.failed],
    }
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(folder / FILE) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def shard_paths(folder: Path, number: int) -> tuple[Path, Path]:
    """A shard's embeddings and its metadata."""
    return (
        folder / IMAGE_FOLDER / f"img_emb_{number}.npy",
        folder / METADATA_FOLDER / f"metadata_{number}.parquet",
    )


def read_shard(folder: Path, number: int, about: About) -> tuple[list[Row], Float16]:
    """The metadata of a shard, and its embeddings: float16 [n, dim].

    Raises:
        UsageError: ``bad_source``: they are not the files that were written.
        MissingExtraError: pyarrow is not installed.
    """
    shard = about.shards[number]
    matrix, table = shard_paths(folder, number)
    for path, sha256 in ((matrix, shard.embeddings), (table, shard.metadata)):
        try:
            known = file_sha256(path) == sha256
        except OSError as error:
            raise _damaged(path, error.strerror or str(error)) from error
        if not known:
            raise _damaged(path, f"it is not the file that {FILE} says")
    rows = _rows(table)
    header = read_header(matrix)
    if (header.rows, header.dim) != (len(rows), about.space.dim) or len(rows) != shard.rows:
        raise _damaged(matrix, f"{header.rows} rows of {header.dim} dimensions")
    values = np.empty((header.rows, header.dim), dtype=np.float16)
    header.load(0, values)
    return rows, values


def _rows(path: Path) -> list[Row]:
    arrow = require("pyarrow", extra="train")
    parquet = require("pyarrow.parquet", extra="train")
    try:
        with parquet.ParquetFile(path) as opened:
            columns = opened.read(columns=list(COLUMNS)).to_pydict()
        rows = [Row(*values) for values in zip(*(columns[c] for c in COLUMNS), strict=True)]
    except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(path, str(error)) from error
    for row in rows:
        told = (row.label, row.category, row.source, row.split)
        if not all(value is None or isinstance(value, str) for value in told):
            raise _damaged(path, f"{row.key!r} has something else than texts")
        if not isinstance(row.key, str) or not _HASH.fullmatch(str(row.sha256)):
            raise _damaged(path, f"{row.key!r} with the hash {row.sha256!r}")
    return rows


def read_folder(folder: Path) -> tuple[About, list[Row], Float16]:
    """A whole folder: what it is, the metadata, and the embeddings float16 [n, dim].

    Raises:
        UsageError: ``bad_source``: it is not whole, or damaged.
        MissingExtraError: pyarrow is not installed.
    """
    about = read_about(folder)
    if not about.complete:
        raise UsageError(
            f"{folder} is not complete",
            code="bad_source",
            hint="run the command that makes it again: it goes on where it was",
        )
    rows: list[Row] = []
    parts = [np.empty((0, about.space.dim), dtype=np.float16)]
    for number in range(len(about.shards)):
        told, values = read_shard(folder, number, about)
        rows += told
        parts.append(values)
    return about, rows, np.concatenate(parts)


def _fit(size: Any, mode: Any, resample: Any) -> Fit:
    if mode not in ("inside", "cover", "stretch") or resample not in get_args(Resample):
        raise ValueError(f"fit {mode!r}, {resample!r}")
    return Fit(_number(size), mode, resample)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number")
    return value


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path.name} is damaged: {why}",
        code="bad_source",
        hint="run the command that makes it again, with --overwrite",
    )

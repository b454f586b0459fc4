"""Embeddings with the labels that lie beside them: what a probe is trained on without pictures.

The layouts are those that clip-retrieval and ``vedette scan --embeddings`` write: ``.npy`` shards
with a ``metadata`` folder of Parquet files, or Parquet files that hold embeddings and labels both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from vedette.data.labelling import Label, Legend
from vedette.data.opening import SourceOptions
from vedette.data.rows import LABEL_FIELDS, Schema, cell_label, legend_of, picked, tabular, text_of
from vedette.data.sheets import SUFFIXES, Sheet
from vedette.data.tables import Table, parquet_files
from vedette.embeddings.base import Columns, Matrix, Rows, natural, open_matrix
from vedette.errors import UsageError
from vedette.types import Failure

IMAGE_FOLDER = "img_emb"
METADATA_FOLDER = "metadata"
LABELS = ("labels.npy", "labels.csv", "labels.tsv", "labels.jsonl", "labels.parquet")
"""What a file of labels is called that lies beside the embeddings."""
CHUNK_ROWS = 4096
_BROKEN = (ValueError, OSError, SyntaxError, TokenError, RecursionError, MemoryError)
_KEYS = ("key", "image_path", "url", "id")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledChunk:
    """Some embeddings that follow each other."""

    rows: Rows
    """float16 or float32 [n, dim]; the next chunk has an array of its own."""
    keys: tuple[str, ...]
    """n; as the metadata names them, else ``FILE#ROW``."""
    labels: tuple[Label, ...]
    """n"""


@dataclass(frozen=True, slots=True)
class _Beside:
    """A table with a row for each embedding."""

    count: int
    rows: Any
    """Called, an iterator of (key or ``""``, label)."""


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedSet:
    """Labelled embeddings in a fixed order, read in chunks.

    Args:
        matrix: the embeddings.
        beside: their keys and labels.
        legend: of the labels; complete once all chunks were read.
    """

    matrix: Matrix
    beside: _Beside
    legend: Legend = field(default_factory=Legend)

    @property
    def rows(self) -> int:
        """How many embeddings there are."""
        return self.matrix.rows

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[LabelledChunk]:
        """All embeddings in order, at most ``rows`` in each chunk.

        A row whose embedding is missing (a picture that could not be scanned) is left out with its
        label.

        Raises:
            UsageError: ``unknown_label``; ``bad_source``: a table that breaks off; embeddings that
                cannot be read.
        """
        told = self.beside.rows()
        for chunk in self.matrix.chunks(rows):
            pairs = list(islice(told, chunk.rows))
            if len(pairs) != chunk.rows:
                raise UsageError(f"no label for {chunk.place.name(0)}", code="bad_source")
            present = chunk.place.present
            kept = range(chunk.rows) if present is None else [int(index) for index in present]
            out = np.empty((chunk.count, self.matrix.dim or 0), self.matrix.dtype)
            chunk.load(out)
            own = chunk.keys.to_pylist() if chunk.keys is not None else [None] * chunk.rows
            place = chunk.place
            keys = [
                text_of(own[at]) or pairs[at][0] or f"{place.file}#{place.first + at}"
                for at in kept
            ]
            yield LabelledChunk(out, tuple(keys), tuple(pairs[at][1] for at in kept))


def open_embedded(
    path: Path,
    options: SourceOptions | None = None,
    labels: Path | None = None,
    embedding: str = "embedding",
) -> EmbeddedSet:
    """The labelled embeddings that ``path`` is.

    Args:
        path: a folder as clip-retrieval writes it (``img_emb``, ``metadata``), a folder of ``.npy``
            or Parquet shards, or one of these files.
        options: what the labels mean, and which columns are the label and the key.
        labels: the table of labels, where it is not found by its name: a ``.npy`` of class numbers
            or names, a CSV, TSV, JSONL or Parquet file, or a folder of Parquet files. By default
            the ``metadata`` folder, a file of :data:`LABELS` beside, or the columns of the Parquet
            files themselves.
        embedding: the column of the embeddings in Parquet.

    Raises:
        UsageError: ``bad_source``: no labels, or not as many as embeddings; nothing of that kind.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    options = options or SourceOptions()
    home = path if path.is_dir() else path.parent
    if home.name == IMAGE_FOLDER:
        home = home.parent
    source = path / IMAGE_FOLDER if (path / IMAGE_FOLDER).is_dir() else path
    if path.is_dir() and source == path:
        source = _without_labels(path)
    matrix = open_matrix(source, Columns(embedding=embedding, key=options.key))
    legend = legend_of(options)
    where = labels or _labels_beside(home, matrix)
    beside = _beside(where, matrix, options, legend)
    if beside.count != matrix.rows:
        raise UsageError(
            f"there are {matrix.rows} embeddings and {beside.count} labels",
            code="bad_source",
            hint="keep the embeddings and the table that was written with them",
        )
    return EmbeddedSet(matrix, beside, legend)


def _without_labels(folder: Path) -> Path:
    """The folder, or its one file of embeddings where a file of labels lies in it too."""
    if not any((folder / name).is_file() for name in LABELS):
        return folder
    shards = [
        file
        for file in sorted(folder.iterdir(), key=lambda f: natural(f.name))
        if file.suffix.lower() in (".npy", ".parquet") and file.name not in LABELS
    ]
    if len(shards) != 1:
        raise UsageError(
            f"{folder} has labels and {len(shards)} files of embeddings",
            code="bad_source",
            hint=f"keep the shards in a folder {IMAGE_FOLDER}, and the labels beside that",
        )
    return shards[0]


def _labels_beside(home: Path, matrix: Matrix) -> Path | Sequence[Path]:
    for name in LABELS:
        if (home / name).is_file():
            return home / name
    if (home / METADATA_FOLDER).is_dir():
        return home / METADATA_FOLDER
    if matrix.paths[0].suffix.lower() == ".parquet":
        return matrix.paths
    raise UsageError(
        f"there are no labels beside the embeddings in {home}",
        code="bad_source",
        hint=f"a folder {METADATA_FOLDER} of Parquet files, or one of: {', '.join(LABELS)}",
    )


def _beside(
    where: Path | Sequence[Path], matrix: Matrix, options: SourceOptions, legend: Legend
) -> _Beside:
    if isinstance(where, Path):
        suffix = where.suffix.lower()
        if suffix == ".npy":
            return _array(where, legend)
        if suffix in SUFFIXES:
            return _sheet(Sheet(where), options, legend)
        found = parquet_files(where)
        where = sorted(found, key=lambda file: natural(file.name))
    if not where:
        raise UsageError("there is no Parquet file with labels", code="bad_source")
    table = Table(where[0].parent, where, options.limits)
    if len(where) == len(matrix.paths):
        _check_shards(table, matrix)
    return _parquet(table, options, legend)


def _check_shards(table: Table, matrix: Matrix) -> None:
    """Refuse shards that differ in length, though they might add up to the same."""
    counts: dict[str, int] = {}
    for group in table.groups.values():
        counts[group.name] = counts.get(group.name, 0) + group.rows
    shards = getattr(matrix, "shards", ())
    if len(shards) != len(counts):
        return
    for (name, count), shard in zip(counts.items(), shards, strict=True):
        if shard.rows != count:
            raise UsageError(
                f"{shard.path.name} has {shard.rows} embeddings and {name} {count} rows",
                code="bad_source",
                hint="keep the embeddings and the table that was written with them",
            )


def _array(path: Path, legend: Legend) -> _Beside:
    try:
        # Mapped first: that compares the size that the header claims with the file's.
        values = np.array(np.lib.format.open_memmap(path, mode="r"))
    except _BROKEN as error:
        raise UsageError(
            f"{path.name} is no .npy file of labels: {error}", code="bad_source"
        ) from error
    if values.ndim != 1 or values.dtype.kind not in "iubU":
        raise UsageError(
            f"{path.name} holds no list of labels",
            code="bad_source",
            hint="save class numbers or names, one for each embedding",
        )
    schema = Schema(("label",))

    def rows() -> Iterator[tuple[str, Label]]:
        for value in values:
            yield "", cell_label(value.item(), legend, schema, "label")

    return _Beside(len(values), rows)


def _sheet(sheet: Sheet, options: SourceOptions, legend: Legend) -> _Beside:
    names: dict[str, None] = {}
    count = 0
    for row, _, _ in sheet.rows():
        names.update(dict.fromkeys(row))
        count += 1
    read = partial(_told, list(names), options, legend, Schema(list(names)), sheet.path.name)
    return _Beside(count, lambda: read(row for row, _, _ in sheet.rows()))


def _parquet(table: Table, options: SourceOptions, legend: Legend) -> _Beside:
    where = next(iter(table.groups.values())).name if table.groups else "the table"
    names = [name for name in table.schema.names if "<" not in str(table.fields[name].type)]
    lists = [name for name in table.schema.names if name in ("labels", options.label)]
    columns = list(dict.fromkeys((*names, *lists)))

    def rows() -> Iterator[Mapping[str, Any]]:
        for group in table.groups.values():
            for row in table.read(group, columns):
                if isinstance(row, Failure):
                    raise UsageError(row.message, code="bad_source")
                yield row

    schema = Schema(columns, table.schema.classes)
    return _Beside(table.rows, lambda: _told(columns, options, legend, schema, where, rows()))


def _told(
    names: Sequence[str],
    options: SourceOptions,
    legend: Legend,
    schema: Schema,
    where: str,
    rows: Iterator[Mapping[str, Any]],
) -> Iterator[tuple[str, Label]]:
    """Key and label of each row."""
    if picked(options.label, LABEL_FIELDS, names, "label", where) is None:
        raise UsageError(
            f"{where} has no column of labels",
            code="bad_source",
            hint=f"call it one of: {', '.join(LABEL_FIELDS)}",
        )
    judge = tabular(legend, schema, options, where)
    key = picked(options.key if options.key in names else None, _KEYS, names, "key", where)
    for row in rows:
        yield text_of(row.get(key)) if key else "", judge(row)[0]

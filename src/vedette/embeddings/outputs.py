"""Scores on disk, written as they come: a ``.npy`` matrix, or Parquet, a column for each label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vedette.embeddings.base import Chunk
from vedette.errors import UnknownNameError, UsageError
from vedette.extras import require
from vedette.sinks.base import replacing
from vedette.types import Float32

_GROUP = 65_536
"""Rows of one row group at least: what the Parquet writer holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What an output will hold."""

    rows: int
    labels: Sequence[str]
    key: Any = None
    """Arrow's field of the keys, or None."""


class Write(Protocol):
    """Takes the chunks in their order, each with float32 [count, labels]."""

    def __call__(self, chunk: Chunk, scores: Float32) -> None:
        """Append one chunk's scores."""
        ...


Opener = Callable[[Path, Shape], AbstractContextManager[Write]]


def opener_for(path: Path) -> Opener:
    """What opens an output of that suffix; the file appears whole, when its context ends well.

    Raises:
        UnknownNameError: no such output.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    openers: dict[str, Opener] = {".npy": _npy, ".parquet": _parquet}
    suffix = path.suffix.lower()
    if suffix not in openers:
        raise UnknownNameError("output format", path.suffix or path.name, openers)
    if suffix == ".parquet":
        require("pyarrow.parquet", extra="parquet")
    return openers[suffix]


@contextmanager
def _npy(path: Path, shape: Shape) -> Iterator[Write]:
    with replacing(path) as temporary, temporary.open("wb") as stream:
        header = {
            "descr": "<f4",
            "fortran_order": False,
            "shape": (shape.rows, len(shape.labels)),
        }
        np.lib.format.write_array_header_1_0(stream, header)

        def write(chunk: Chunk, scores: Float32) -> None:
            if chunk.place.present is not None and chunk.count < chunk.rows:
                absent = np.setdiff1d(np.arange(chunk.rows), chunk.place.present)
                raise UsageError(
                    f"row {chunk.place.first + int(absent[0])} of {chunk.place.file} "
                    "has no embedding, which a .npy file cannot say",
                    hint="write .parquet, where its scores are null",
                )
            stream.write(np.ascontiguousarray(scores, dtype="<f4").data)

        yield write


@contextmanager
def _parquet(path: Path, shape: Shape) -> Iterator[Write]:
    arrow = require("pyarrow", extra="parquet")
    parquet = require("pyarrow.parquet", extra="parquet")
    fields = [arrow.field(label, arrow.float32()) for label in shape.labels]
    schema = arrow.schema(fields if shape.key is None else [shape.key, *fields])
    if len(set(schema.names)) < len(schema.names):
        raise UsageError(
            f"the column {shape.key.name!r} of the input has the name of a label",
            hint="name the column of the keys with --key",
        )
    with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        waiting: list[Any] = []

        def flush() -> None:
            writer.write_table(arrow.Table.from_batches(waiting, schema).combine_chunks())
            waiting.clear()

        def write(chunk: Chunk, scores: Float32) -> None:
            columns = [_spread(arrow, column, chunk) for column in scores.T]
            if shape.key is not None:
                columns.insert(0, chunk.keys)
            waiting.append(arrow.RecordBatch.from_arrays(columns, schema=schema))
            if sum(len(batch) for batch in waiting) >= _GROUP:
                flush()

        yield write
        flush()


def _spread(arrow: Any, column: Float32, chunk: Chunk) -> Any:
    """One label's scores as an Arrow array, null where there was no embedding."""
    if chunk.place.present is None:
        return arrow.array(column)
    values, absent = np.zeros(chunk.rows, np.float32), np.ones(chunk.rows, bool)
    values[chunk.place.present], absent[chunk.place.present] = column, False
    return arrow.array(values, mask=absent)

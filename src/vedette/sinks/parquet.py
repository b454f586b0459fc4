"""Parquet: the columns of the JSON form, typed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from vedette import wire
from vedette.extras import require
from vedette.sinks.base import replacing
from vedette.taxonomy import Category
from vedette.types import Record

_ROWS = 2000
"""Records of one row group: what is in memory at a time."""


def write_parquet(records: Iterable[Record], path: Path) -> None:
    """All ``records`` to a new file; a category that is not covered is null.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow = require("pyarrow", extra="parquet")
    parquet = require("pyarrow.parquet", extra="parquet")
    columns = schema(arrow)
    rows = iter(records)
    with replacing(path) as temporary, parquet.ParquetWriter(temporary, columns) as writer:
        while group := list(islice(rows, _ROWS)):
            dicts = [wire.to_dict(record) for record in group]
            writer.write_table(arrow.Table.from_pylist(dicts, schema=columns))


def schema(arrow: Any) -> Any:
    """The columns of a Record, given the module ``pyarrow``."""
    text, number, real = arrow.string(), arrow.int32(), arrow.float64()
    scores = arrow.struct([(category.value, real) for category in Category])
    reason = [("category", text), ("p", real), ("threshold", real), ("label", text), ("text", text)]
    region = [("label", text), ("score", real), ("box", arrow.list_(number)), ("frame", number)]
    frame = [("frame", number), ("time_s", real), ("scores", scores)]
    return arrow.schema(
        [
            ("key", text),
            ("sha256", text),
            ("format", text),
            ("width", number),
            ("height", number),
            ("frames", number),
            ("action", text),
            ("reasons", arrow.list_(arrow.struct(reason))),
            ("scores", scores),
            ("labels", arrow.struct([(category.value, text) for category in Category])),
            ("regions", arrow.list_(arrow.struct(region))),
            ("models", arrow.list_(text)),
            ("policy", text),
            ("calibrated", text),
            ("failure", arrow.struct([("stage", text), ("code", text), ("message", text)])),
            ("times_ms", arrow.struct([("decode", real), ("infer", real)])),
            ("timeline", arrow.list_(arrow.struct(frame))),
            ("embedding", arrow.list_(arrow.float32())),
        ]
    )

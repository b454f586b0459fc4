"""Stored decisions out of the database: JSONL or Parquet, each line a Record and its decision."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.errors import UnknownNameError, VedetteError
from vedette.extras import require
from vedette.serve.audit.entry import ERASURE
from vedette.serve.database.store import reading
from vedette.serve.database.tables import metadata
from vedette.sinks.base import replacing

if TYPE_CHECKING:
    from sqlalchemy import Engine

_ROWS = 1000
"""In memory at a time."""
_COLUMNS = ("id", "chain", "place", "key_id", "link")
"""Of the table, told as they are."""
_TOLD = ("request_id", "time", "policy_sha256")
"""Of the payload, told as they are."""


def decisions(
    engine: Engine, since: float | None = None, until: float | None = None
) -> Iterator[dict[str, Any]]:
    """The Record of each decision as :mod:`vedette.wire` reads it, oldest first.

    Under the further key ``decision`` it has ``id``, ``request_id``, ``time``, ``key_id``,
    ``policy_sha256``, ``listed``, and ``chain``, ``place`` and ``link``. Erased ones are left out.

    Args:
        engine: of the database.
        since: seconds since 1970; the first that counts.
        until: the first that does not.

    Raises:
        VedetteError: ``no_database``; ``bad_audit``: a payload is not as it was written.
    """
    sa: Any = require("sqlalchemy", extra="serve")
    table = metadata().tables["decisions"]
    wanted = [table.c.erased.is_(None), table.c.action != ERASURE]
    if since is not None:
        wanted.append(table.c.time >= since)
    if until is not None:
        wanted.append(table.c.time < until)
    query = sa.select(table).where(*wanted).order_by(table.c.time, table.c.id)
    streamed = {"yield_per": _ROWS}
    with (
        reading(engine) as connection,
        connection.execute(query, execution_options=streamed) as found,
    ):
        for row in found.mappings():
            yield _line_of(row)


def write(lines: Iterable[dict[str, Any]], path: Path) -> int:
    """All of :func:`decisions` to a new file, ``.jsonl`` or ``.parquet``; returns how many.

    Raises:
        UnknownNameError: another suffix.
        VedetteError: ``write_failed``; as :func:`decisions`.
        MissingExtraError: pyarrow is not installed.
    """
    check_format(path)
    writers = {".jsonl": _write_jsonl, ".parquet": _write_parquet}
    with replacing(path) as temporary:
        return writers[path.suffix.lower()](iter(lines), temporary)


def check_format(path: Path) -> None:
    """Refuse, before any work, a name that no format belongs to.

    Raises:
        UnknownNameError: neither ``.jsonl`` nor ``.parquet``.
        MissingExtraError: pyarrow is not installed.
    """
    if path.suffix.lower() not in (".jsonl", ".parquet"):
        raise UnknownNameError("output format", path.suffix or path.name, (".jsonl", ".parquet"))
    if path.suffix.lower() == ".parquet":
        require("pyarrow.parquet", extra="parquet")


def _line_of(row: Any) -> dict[str, Any]:
    try:
        told = json.loads(row["payload"])
        decision = {name: row[name] for name in _COLUMNS} | {name: told[name] for name in _TOLD}
        return {**told["record"], "decision": {**decision, "listed": told["listed"]}}
    except (ValueError, TypeError, KeyError) as error:
        raise VedetteError(
            f"decision {row['id']}: its payload is not as it was written", code="bad_audit"
        ) from error


def _write_jsonl(lines: Iterator[dict[str, Any]], path: Path) -> int:
    count = 0
    with path.open("w", encoding="ascii") as file:
        for line in lines:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            count += 1
    return count


def _write_parquet(lines: Iterator[dict[str, Any]], path: Path) -> int:
    from vedette.sinks.parquet import schema

    arrow = require("pyarrow", extra="parquet")
    parquet = require("pyarrow.parquet", extra="parquet")
    text, whole = arrow.string(), arrow.int64()
    hit = [("list", text), ("kind", text), ("match", text), ("distance", whole), ("entry", text)]
    decision = [
        *((name, whole if name == "place" else text) for name in (*_COLUMNS, *_TOLD)),
        ("listed", arrow.struct(hit)),
    ]
    columns = schema(arrow).append(arrow.field("decision", arrow.struct(decision)))
    count = 0
    with parquet.ParquetWriter(path, columns) as writer:
        while group := list(islice(lines, _ROWS)):
            writer.write_table(arrow.Table.from_pylist(group, schema=columns))
            count += len(group)
    return count

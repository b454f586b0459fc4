"""Forgetting: the payloads of a subject, or of a time long ago, without breaking a chain.

What is erased is told in the chain itself, by an entry that names the rows: a payload that was
taken away in another manner is found by ``verify``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from vedette.extras import require
from vedette.serve.audit.chain import append
from vedette.serve.audit.entry import ERASURE, Entry
from vedette.serve.database.store import told, writing
from vedette.serve.database.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_ROWS = 500
"""Rows of one transaction, and of one entry that names them."""


def erase(engine: Engine, chain: str, subject_hash: str) -> int:
    """Erase every payload of a subject; returns how many.

    Args:
        engine: of the database.
        chain: that the erasure is told in.
        subject_hash: of :func:`vedette.serve.audit.secret.subject_hash`.

    Raises:
        VedetteError: ``no_database``.
    """
    decisions = metadata().tables["decisions"]
    return _erase(engine, chain, "subject", decisions.c.subject_hash == subject_hash)


def prune(engine: Engine, chain: str, before: float) -> int:
    """Erase every payload that is older than ``before`` (seconds since 1970); returns how many.

    Raises:
        VedetteError: ``no_database``.
    """
    decisions = metadata().tables["decisions"]
    return _erase(engine, chain, "retention", decisions.c.time < before)


def _erase(engine: Engine, chain: str, why: str, which: Any) -> int:
    total = 0
    while True:
        with writing(engine) as connection:
            count = _erase_some(connection, chain, why, which)
        total += count
        if count < _ROWS:
            break
    if total and engine.dialect.name == "sqlite":
        with told(engine):
            _forget_log(engine)
    return total


def _erase_some(connection: Connection, chain: str, why: str, which: Any) -> int:
    sa: Any = require("sqlalchemy", extra="serve")
    decisions = metadata().tables["decisions"]
    rows = connection.execute(
        sa.select(decisions.c.id, decisions.c.chain, decisions.c.place)
        .where(decisions.c.erased.is_(None), decisions.c.action != ERASURE, which)
        .limit(_ROWS)
        .with_for_update(skip_locked=True)  # another replica erases those
    ).all()
    if not rows:
        return 0
    now = time.time()
    connection.execute(
        decisions.update()
        .where(decisions.c.id.in_([row.id for row in rows]))
        .values(salt=None, payload=None, subject_hash=None, erased=now)
    )
    append(connection, chain, [_told(now, why, [(row.chain, row.place) for row in rows])])
    return len(rows)


def _told(now: float, why: str, places: Sequence[tuple[str, int]]) -> Entry:
    """The entry that names what was erased; its time is what the rows have in ``erased``."""
    return Entry(
        id=f"erasure-{uuid4().hex}",
        time=now,
        key_id=why,
        action=ERASURE,
        policy="",
        sha256=None,
        subject_hash=None,
        payload=json.dumps({"erased": sorted(places)}, separators=(",", ":")),
    )


def _forget_log(engine: Engine) -> None:
    """Empty SQLite's write-ahead log, which has the old pages until then."""
    connection = engine.raw_connection()  # no transaction around it
    try:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()

"""Rows of the tables ``jobs`` and ``job_items``, and the clock that all replicas share."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from vedette.extras import require
from vedette.serve.database.tables import metadata
from vedette.serve.jobs.job import OPEN, Job, State

if TYPE_CHECKING:
    from sqlalchemy import Connection


def tables() -> tuple[Any, Any]:
    """``jobs`` and ``job_items``."""
    found = metadata().tables
    return found["jobs"], found["job_items"]


def clock(connection: Connection) -> float:
    """Seconds since 1970 by the clock of the database: those of replicas may disagree."""
    if connection.dialect.name == "postgresql":
        return float(connection.exec_driver_sql(_NOW).scalar_one())
    return time.time()  # SQLite's replicas are on one machine


_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"


def is_open() -> Any:
    """The condition that a job has not ended."""
    jobs, _ = tables()
    return jobs.c.state.in_([state.value for state in OPEN])


def end(connection: Connection, job_id: str, state: State) -> bool:
    """End a job that is open, and have its webhook called; False: it was not open."""
    sa: Any = require("sqlalchemy", extra="serve")
    jobs, _ = tables()
    now = clock(connection)
    called = jobs.c.webhook.is_not(None)
    found = connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, is_open())
        .values(
            state=state.value,
            ended=now,
            webhook_state=sa.case((called, "waiting"), else_=None),
            webhook_due=sa.case((called, now), else_=None),
        )
    )
    return found.rowcount == 1


def job_of(row: Any) -> Job:
    """A row of ``jobs`` as a Job."""
    return Job(
        id=row.id,
        key_id=row.key_id,
        state=State(row.state),
        created=row.created,
        ended=row.ended,
        model=row.model,
        policy=row.policy,
        categories=None if row.categories is None else tuple(json.loads(row.categories)),
        items=row.items,
        done=row.done,
        uploads=row.uploads,
        webhook=row.webhook,
        webhook_state=row.webhook_state,
        webhook_due=row.webhook_due,
        webhook_attempts=row.webhook_attempts,
    )

"""Jobs in the database: made, looked at, ended, deleted. Leases are in their own file."""

from __future__ import annotations

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vedette.extras import require
from vedette.serve.database.store import reading, writing
from vedette.serve.jobs.job import Counts, Job, NewJob, State
from vedette.serve.jobs.tables import clock, end, is_open, job_of, tables
from vedette.serve.refusals import Refusal

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from vedette.serve.jobs.signing import Signer
    from vedette.serve.jobs.uploads import Uploads

_PAGE = 200
"""Results that are read at a time."""
_LOCK = 0x7E0E_10B5
"""First half of the advisory locks on PostgreSQL under which jobs of one key are made."""
_ROWS = 1000
_RETRY_S = 60.0


class JobStore:
    """The jobs of one database. Thread-safe.

    Args:
        database: of :func:`vedette.serve.database.store.open_database`; not closed here.
        uploads: where this replica keeps uploaded images.
        signer: signs what webhooks are sent; None: there are none.
        most_open: jobs of one key that have not ended.
    """

    def __init__(
        self, database: Engine, uploads: Uploads, signer: Signer | None, most_open: int
    ) -> None:
        self.database = database
        self.uploads = uploads
        self.signer = signer
        self._most_open = most_open

    def check_open(self, key_id: str) -> None:
        """Refuse a job now that could not be made later.

        Raises:
            Refusal: ``rate_limited``: too many jobs of the key have not ended.
            VedetteError: ``no_database``.
        """
        with reading(self.database) as connection:
            self._check_open(connection, key_id)

    def create(self, new: NewJob, job_id: str) -> Job:
        """Make a job; its uploads are in their place already.

        Args:
            new: what was asked for.
            job_id: of :func:`new_id`.

        Raises:
            Refusal: ``rate_limited``.
            VedetteError: ``no_database``.
        """
        jobs, items = tables()
        with writing(self.database) as connection:
            _alone(connection, new.key_id)
            self._check_open(connection, new.key_id)
            row = {
                "id": job_id,
                "key_id": new.key_id,
                "state": State.QUEUED.value,
                "created": clock(connection),
                "model": new.model,
                "policy": new.policy,
                "categories": None if new.categories is None else json.dumps(new.categories),
                "items": len(new.items),
                "done": 0,
                "uploads": new.uploads,
                "webhook": new.webhook,
                "webhook_attempts": 0,
            }
            connection.execute(jobs.insert(), row)
            rows = [
                {
                    "job_id": job_id,
                    "place": place,
                    "key": json.dumps(item.key),
                    "given": item.given.to_json(),
                    "subject": None if item.subject is None else json.dumps(item.subject),
                    "attempts": 0,
                }
                for place, item in enumerate(new.items)
            ]
            for start in range(0, len(rows), _ROWS):
                connection.execute(items.insert(), rows[start : start + _ROWS])
            return _one(connection, job_id)

    def get(self, job_id: str, key_id: str | None) -> Job:
        """A job.

        Args:
            job_id: its id.
            key_id: of the key that it must be of; None: of any.

        Raises:
            Refusal: ``not_found``: none of that id, or another key's: nobody learns which.
            VedetteError: ``no_database``.
        """
        with reading(self.database) as connection:
            return _owned(connection, job_id, key_id)

    def page(self, key_id: str | None, before: str | None, limit: int) -> list[Job]:
        """Jobs, the newest first.

        Args:
            key_id: of the key that they are of; None: of any.
            before: the last job of the page before; None: from the start.
            limit: jobs, at most.
        """
        sa: Any = require("sqlalchemy", extra="serve")
        jobs, _ = tables()
        wanted = sa.select(jobs).order_by(jobs.c.id.desc()).limit(limit)
        if key_id is not None:
            wanted = wanted.where(jobs.c.key_id == key_id)
        if before is not None:
            wanted = wanted.where(jobs.c.id < before)
        with reading(self.database) as connection:
            return [job_of(row) for row in connection.execute(wanted)]

    def counts(self, job_ids: Sequence[str]) -> Mapping[str, Counts]:
        """What the results of jobs say, so far."""
        sa: Any = require("sqlalchemy", extra="serve")
        _, items = tables()
        wanted = (
            sa.select(items.c.job_id, items.c.action, items.c.failure, sa.func.count())
            .where(items.c.job_id.in_(job_ids), items.c.record.is_not(None))
            .group_by(items.c.job_id, items.c.action, items.c.failure)
            .order_by(items.c.action, items.c.failure)
        )
        actions: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        failures: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        with reading(self.database) as connection:
            for job_id, action, failure, count in connection.execute(wanted):
                actions[job_id][action] += count
                if failure is not None:
                    failures[job_id][failure] += count
        return {one: Counts(dict(actions[one]), dict(failures[one])) for one in job_ids}

    def results(self, job_id: str) -> Iterator[list[str]]:
        """The results that there are, as JSON, in the order of the images, some at a time."""
        sa: Any = require("sqlalchemy", extra="serve")
        _, items = tables()
        last = -1
        while True:
            wanted = (
                sa.select(items.c.place, items.c.record)
                .where(items.c.job_id == job_id, items.c.place > last)
                .where(items.c.record.is_not(None))
                .order_by(items.c.place)
                .limit(_PAGE)
            )
            with reading(self.database) as connection:
                rows = connection.execute(wanted).all()
            if not rows:
                return
            last = rows[-1].place
            yield [row.record for row in rows]

    def cancel(self, job_id: str, key_id: str | None) -> Job:
        """End a job; what is scanned of it at the moment is thrown away. Ended ones stay as is.

        Raises:
            Refusal: ``not_found``.
            VedetteError: ``no_database``.
        """
        with writing(self.database) as connection:
            _owned(connection, job_id, key_id)
            end(connection, job_id, State.CANCELLED)
            _forget(connection, [job_id])
            return _owned(connection, job_id, key_id)

    def expire(self, seconds: float) -> list[str]:
        """End the open jobs that were made longer ago: which."""
        sa: Any = require("sqlalchemy", extra="serve")
        jobs, _ = tables()
        with writing(self.database) as connection:
            since = clock(connection) - seconds
            old = sa.select(jobs.c.id).where(is_open(), jobs.c.created < since)
            found = list(connection.execute(old.order_by(jobs.c.id)).scalars())
            ended = [job_id for job_id in found if end(connection, job_id, State.EXPIRED)]
            _forget(connection, ended)
            return ended

    def purge(self, seconds: float) -> int:
        """Delete jobs that ended longer ago, with their results: how many."""
        sa: Any = require("sqlalchemy", extra="serve")
        jobs, items = tables()
        with writing(self.database) as connection:
            old = sa.select(jobs.c.id).where(jobs.c.ended < clock(connection) - seconds)
            found = list(connection.execute(old.order_by(jobs.c.id)).scalars())
            for job_id in found:
                connection.execute(items.delete().where(items.c.job_id == job_id))
                connection.execute(jobs.delete().where(jobs.c.id == job_id))
            return len(found)

    def states(self, job_ids: Iterable[str]) -> Mapping[str, State]:
        """How far those of the jobs are that there are."""
        sa: Any = require("sqlalchemy", extra="serve")
        jobs, _ = tables()
        wanted = sa.select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(list(job_ids)))
        with reading(self.database) as connection:
            return {row.id: State(row.state) for row in connection.execute(wanted)}

    def _check_open(self, connection: Connection, key_id: str) -> None:
        sa: Any = require("sqlalchemy", extra="serve")
        jobs, _ = tables()
        wanted = sa.select(sa.func.count()).where(jobs.c.key_id == key_id, is_open())
        if connection.execute(wanted).scalar_one() >= self._most_open:
            raise Refusal(
                f"the key has {self._most_open} jobs that have not ended",
                code="rate_limited",
                hint="wait until one has ended, or cancel one",
                retry_after_s=_RETRY_S,
            )


def new_id() -> str:
    """An id for a job: nobody can guess it, and later ones sort after earlier ones."""
    return f"{int(1000 * time.time()):012x}{secrets.token_hex(10)}"


def _owned(connection: Connection, job_id: str, key_id: str | None) -> Job:
    found = _one_or_none(connection, job_id)
    if found is None or key_id not in (None, found.key_id):
        raise Refusal("there is no job of that id", code="not_found", hint="see GET /v1/jobs")
    return found


def _one(connection: Connection, job_id: str) -> Job:
    found = _one_or_none(connection, job_id)
    assert found is not None
    return found


def _one_or_none(connection: Connection, job_id: str) -> Job | None:
    sa: Any = require("sqlalchemy", extra="serve")
    jobs, _ = tables()
    row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return None if row is None else job_of(row)


def _forget(connection: Connection, job_ids: Sequence[str]) -> None:
    """Take away where the images were to be had, and whom they are about."""
    _, items = tables()
    for job_id in job_ids:
        connection.execute(
            items.update()
            .where(items.c.job_id == job_id, items.c.record.is_(None))
            .values(given="", subject=None, lease=None)
        )


def _alone(connection: Connection, key_id: str) -> None:
    """Until the transaction ends: two jobs made at once would both find room for one."""
    if connection.dialect.name == "postgresql":
        sa: Any = require("sqlalchemy", extra="serve")
        half = sa.cast(_LOCK, sa.Integer)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(half, sa.func.hashtext(key_id))))

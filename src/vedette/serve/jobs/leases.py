"""Who works on which images: leased for a time, renewed while somebody does, stored once.

On PostgreSQL runners pass over rows that another one is just taking (``SKIP LOCKED``); on SQLite
each of these calls is one short transaction, alone.
"""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vedette.extras import require
from vedette.serve.database.store import reading, writing
from vedette.serve.jobs.job import Given, Job, State
from vedette.serve.jobs.tables import clock, end, is_open, job_of, tables

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

ATTEMPTS = 3
"""How often an image is begun; then it is taken for what makes workers die."""


@dataclass(frozen=True, slots=True)
class Leased:
    """One image that is this runner's for now."""

    place: int
    key: str
    given: Given
    subject: str | None
    attempts: int
    """Which attempt this is, from 1."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Images of one job that were leased together."""

    id: str
    job: Job
    items: tuple[Leased, ...]

    @property
    def suspect(self) -> bool:
        """Whether somebody has begun it before and not ended: then it is of one image."""
        return self.items[0].attempts > 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image's result."""

    place: int
    record: str
    """JSON."""
    action: str
    failure: str | None


class Ended(Exception):
    """The job has been cancelled, or has expired: its results are not wanted any more."""


@dataclass(frozen=True, slots=True)
class Able:
    """What a runner can work on."""

    models: Collection[str]
    policies: Collection[str]
    uploads: str
    """The folder of uploads that it sees, by its id."""


class Leases:
    """The images of all open jobs, for one runner. Thread-safe.

    Args:
        database: of :func:`vedette.serve.database.store.open_database`.
        able: jobs that need anything else are left to other runners.
        seconds: for which images are leased.
    """

    def __init__(self, database: Engine, able: Able, seconds: float) -> None:
        self._database = database
        self._able = able
        self.seconds = seconds

    def take(self, most: int) -> Lease | None:
        """Lease some images of one job; None: there is nothing to do.

        Images that were begun before are leased one by one, so that one that kills its worker
        does not make others look as if they did.

        Raises:
            VedetteError: ``no_database``.
        """
        with reading(self._database) as connection:
            found = self._candidates(connection)
        random.shuffle(found)  # a long job does not keep the others waiting
        for job in found:
            with writing(self._database) as connection:
                lease = self._of_job(connection, job, most)
            if lease is not None:
                return lease
        return None

    def renew(self, lease: Lease) -> bool:
        """Keep what is leased for as long again; False: the job has ended, there is no use.

        Raises:
            VedetteError: ``no_database``.
        """
        sa: Any = require("sqlalchemy", extra="serve")
        jobs, items = tables()
        with writing(self._database) as connection:
            mine = (items.c.job_id == lease.job.id, items.c.lease == lease.id)
            until = clock(connection) + self.seconds
            connection.execute(
                items.update().where(*mine, items.c.record.is_(None)).values(lease_until=until)
            )
            wanted = sa.select(jobs.c.id).where(jobs.c.id == lease.job.id, is_open())
            return connection.execute(wanted).one_or_none() is not None

    def store(self, lease: Lease, outcomes: Sequence[Outcome]) -> bool:
        """Store results; True: they were the last ones, and the job has ended.

        What another runner has leased in the meantime is left to it, and a result that is there
        stays.

        Raises:
            Ended: the job is not open any more; nothing is stored.
            VedetteError: ``no_database``: call it again.
        """
        jobs, items = tables()
        sa: Any = require("sqlalchemy", extra="serve")
        with writing(self._database) as connection:
            # The job's lock first, as all do: of two last results at once, the second sees both.
            wanted = sa.select(jobs.c.id).where(jobs.c.id == lease.job.id, is_open())
            if connection.execute(wanted.with_for_update()).one_or_none() is None:
                raise Ended
            new = 0
            for one in outcomes:
                mine = (items.c.job_id == lease.job.id, items.c.place == one.place)
                stored = connection.execute(
                    items.update()
                    .where(*mine, items.c.lease == lease.id, items.c.record.is_(None))
                    .values(
                        record=one.record,
                        action=one.action,
                        failure=one.failure,
                        given="",  # neither URLs nor subjects are kept longer than needed
                        subject=None,
                        lease=None,
                    )
                )
                new += stored.rowcount
            row = connection.execute(
                jobs.update()
                .where(jobs.c.id == lease.job.id)
                .values(done=jobs.c.done + new)
                .returning(jobs.c.done, jobs.c["items"])
            ).one()
            return row.done == row.items and end(connection, lease.job.id, State.DONE)

    def give_back(self, lease: Lease) -> None:
        """Let others have what is leased at once, as if it had not been begun.

        Raises:
            VedetteError: ``no_database``.
        """
        _, items = tables()
        with writing(self._database) as connection:
            connection.execute(
                items.update()
                .where(items.c.job_id == lease.job.id, items.c.lease == lease.id)
                .values(lease=None, lease_until=None, attempts=items.c.attempts - 1)
            )

    def _candidates(self, connection: Connection) -> list[Job]:
        sa: Any = require("sqlalchemy", extra="serve")
        jobs, items = tables()
        free = _free(items, clock(connection))
        wanted = sa.select(jobs).where(
            is_open(),
            jobs.c.model.in_(list(self._able.models)),
            jobs.c.policy.in_(list(self._able.policies)),
            sa.or_(jobs.c.uploads.is_(None), jobs.c.uploads == self._able.uploads),
            sa.exists().where(items.c.job_id == jobs.c.id, *free),
        )
        return [job_of(row) for row in connection.execute(wanted)]

    def _of_job(self, connection: Connection, job: Job, most: int) -> Lease | None:
        sa: Any = require("sqlalchemy", extra="serve")
        jobs, items = tables()
        connection.execute(
            jobs.update()
            .where(jobs.c.id == job.id, jobs.c.state == State.QUEUED.value)
            .values(state=State.RUNNING.value)
        )
        now = clock(connection)
        free = (items.c.job_id == job.id, *_free(items, now))
        wanted = sa.select(items).where(*free).with_for_update(skip_locked=True)
        fresh = wanted.where(items.c.attempts == 0).order_by(items.c.place).limit(most)
        begun = wanted.where(items.c.attempts > 0).order_by(items.c.place).limit(1)
        rows = connection.execute(fresh).all() or connection.execute(begun).all()
        if not rows:
            return None
        lease = secrets.token_hex(16)
        places = [row.place for row in rows]
        connection.execute(
            items.update()
            .where(items.c.job_id == job.id, items.c.place.in_(places))
            .values(lease=lease, lease_until=now + self.seconds, attempts=items.c.attempts + 1)
        )
        return Lease(lease, job, tuple(map(_leased, rows)))


def _free(items: Any, now: float) -> tuple[Any, ...]:
    sa: Any = require("sqlalchemy", extra="serve")
    free = sa.or_(items.c.lease_until.is_(None), items.c.lease_until < now)
    return items.c.record.is_(None), items.c.given != "", free


def _leased(row: Any) -> Leased:
    return Leased(
        place=row.place,
        key=json.loads(row.key),
        given=Given.of_json(row.given),
        subject=None if row.subject is None else json.loads(row.subject),
        attempts=row.attempts + 1,
    )

"""Telling a job's owner that it has ended: signed, tried again and again for a day, at least once.

Replicas agree through the database on who calls: each call is claimed for a minute by moving the
time at which it is due.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from vedette.errors import VedetteError
from vedette.extras import require
from vedette.serve.database.store import reading, writing
from vedette.serve.jobs.job import Counts, Job, to_dict
from vedette.serve.jobs.signing import HEADER, Signer
from vedette.serve.jobs.tables import clock, job_of, tables

if TYPE_CHECKING:
    from sqlalchemy import Engine

GIVE_UP_S = 86_400.0
"""After the job's end: then the webhook counts as failed."""
_FIRST_S = 5.0
_LONGEST_S = 3600.0
_CLAIM_S = 60.0
"""Longer than a call can take."""


class Poster(Protocol):
    """Sends to a URL that a caller has named, without becoming a door into the network."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer; redirects are not followed.

        Raises:
            Refusal: ``url_refused``: not an address that may be asked.
            FetchError: no answer.
        """
        ...


class Outbox:
    """The webhooks that are due, of all jobs. Thread-safe.

    Args:
        database: of :func:`vedette.serve.database.store.open_database`.
        first_s: seconds until the second call; it doubles from call to call, up to an hour.
    """

    def __init__(self, database: Engine, first_s: float = _FIRST_S) -> None:
        self._database = database
        self._first_s = first_s

    def claim(self) -> Job | None:
        """A job whose webhook is to be called now, by nobody else for a minute.

        Raises:
            VedetteError: ``no_database``.
        """
        sa: Any = require("sqlalchemy", extra="serve")
        jobs, _ = tables()
        with reading(self._database) as connection:
            due = (jobs.c.webhook_state == "waiting", jobs.c.webhook_due <= clock(connection))
            wanted = sa.select(jobs).where(*due).order_by(jobs.c.webhook_due).limit(16)
            found = [job_of(row) for row in connection.execute(wanted)]
        for job in found:
            with writing(self._database) as connection:
                claimed = connection.execute(
                    jobs.update()
                    .where(jobs.c.id == job.id, jobs.c.webhook_state == "waiting")
                    .where(jobs.c.webhook_due == job.webhook_due)
                    .values(
                        webhook_due=clock(connection) + _CLAIM_S,
                        webhook_attempts=jobs.c.webhook_attempts + 1,
                    )
                )
            if claimed.rowcount:
                return job
        return None

    def delivered(self, job: Job) -> None:
        """The owner has been told. The address is kept no longer."""
        self._settle(job, {"webhook_state": "delivered", "webhook_due": None, "webhook": ""})

    def failed(self, job: Job, *, forever: bool = False) -> None:
        """Nobody has listened: call again later, unless it is too late or of no use."""
        assert job.ended is not None
        with reading(self._database) as connection:
            now = clock(connection)
        if forever or now - job.ended > GIVE_UP_S:
            self._settle(job, {"webhook_state": "failed", "webhook_due": None, "webhook": ""})
            return
        wait = min(self._first_s * 2.0 ** min(job.webhook_attempts, 32), _LONGEST_S)
        # Not in step with others that were told at the same time.
        self._settle(job, {"webhook_due": now + wait * random.uniform(0.5, 1.0)})

    def _settle(self, job: Job, values: Mapping[str, object]) -> None:
        jobs, _ = tables()
        with writing(self._database) as connection:
            connection.execute(
                jobs.update()
                .where(jobs.c.id == job.id, jobs.c.webhook_state == "waiting")
                .values(**values)
            )


def message(job: Job, counts: Counts) -> bytes:
    """What is sent: the job as ``GET /v1/jobs/{id}`` has it, and an id that a second call repeats.

    No image, no key of one, no URL.
    """
    told = to_dict(job, counts)
    del told["webhook"]
    event = {"id": f"{job.id}.ended", "type": "job.ended", "job": told}
    return json.dumps(event, separators=(",", ":")).encode()


async def call(poster: Poster, signer: Signer, job: Job, body: bytes) -> bool | None:
    """Tell the owner of a job: True: done; False: try again later; None: never.

    Args:
        poster: how to send it.
        signer: what to sign it with.
        job: with its webhook.
        body: of :func:`message`.
    """
    assert job.webhook is not None
    headers = {
        "Content-Type": "application/json",
        HEADER: signer.header(job.key_id, body, int(time.time())),
    }
    try:
        status = await poster.post(job.webhook, body, headers)
    except VedetteError:  # refused addresses, too: a name may have none for a while
        return False
    if status == 410:  # Gone: it says itself that it wants no more
        return None
    return 200 <= status < 300

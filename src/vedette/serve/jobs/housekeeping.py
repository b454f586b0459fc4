"""What every replica does for jobs beside scanning: webhooks, uploads that are over, old jobs."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from vedette.errors import VedetteError
from vedette.serve.jobs.store import JobStore
from vedette.serve.jobs.webhook import Outbox, Poster, call, message
from vedette.serve.options import JobOptions

_TICK_S = 1.0
_CALLS = 4
"""Webhooks at a time: a slow one does not keep the others waiting."""
_SWEEP_S = 60.0
"""How often uploads and old jobs are looked for."""
_LOG = logging.getLogger("vedette.serve.jobs")


class Housekeeping:
    """For one replica and one event loop.

    Args:
        store: the jobs.
        options: how long they are kept.
        poster: calls webhooks; None: this replica calls none.
    """

    def __init__(self, store: JobStore, options: JobOptions, poster: Poster | None) -> None:
        self._store = store
        self._options = options
        self._poster = poster
        self._outbox = Outbox(store.database)

    async def run(self, ended: Callable[[], bool]) -> None:
        """Until ``ended()``, or cancelled."""
        sweep = 0.0
        while not ended():
            try:
                while any(await asyncio.gather(*(self.call_one() for _ in range(_CALLS)))):
                    if ended():
                        return
                if time.monotonic() >= sweep:
                    await asyncio.to_thread(self.sweep)
                    sweep = time.monotonic() + _SWEEP_S * random.uniform(0.75, 1.0)
            except Exception as error:  # noqa: BLE001 - it must live as long as the service
                told = error.message if isinstance(error, VedetteError) else type(error).__name__
                _LOG.warning("webhooks and old jobs wait: %s", told)
            await asyncio.sleep(_TICK_S * random.uniform(0.5, 1.0))

    async def call_one(self) -> bool:
        """Call a webhook that is due; False: there is none."""
        signer = self._store.signer
        if signer is None or self._poster is None:
            return False
        job = await asyncio.to_thread(self._outbox.claim)
        if job is None:
            return False
        counts = await asyncio.to_thread(self._store.counts, [job.id])
        told = await call(self._poster, signer, job, message(job, counts[job.id]))
        if told:
            await asyncio.to_thread(self._outbox.delivered, job)
        else:
            gone = told is None
            await asyncio.to_thread(lambda: self._outbox.failed(job, forever=gone))
        return True

    def sweep(self) -> None:
        """End jobs that took too long, delete old ones, and uploads that no job needs."""
        store = self._store
        for job_id in store.expire(3600 * self._options.hours):
            store.uploads.drop(job_id)
        store.purge(86_400 * self._options.retention_days)
        kept = store.uploads.kept()
        states = store.states(kept) if kept else {}
        for job_id, old in kept.items():
            over = not states[job_id].open if job_id in states else old
            if over:
                store.uploads.drop(job_id)

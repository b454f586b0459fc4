"""The worker of jobs in each replica: a thread that leases images, scans them, stores Records.

It comes after the requests that somebody waits for: it begins nothing while the engine is half
full, has few images there at a time, and waits where there is no room. It has an event loop of its
own, so that nothing that it does keeps a request waiting.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from vedette.errors import FetchError, UsageError, VedetteError
from vedette.policy import Policy
from vedette.serve.context import Asked
from vedette.serve.jobs.gate import Gate
from vedette.serve.jobs.housekeeping import Housekeeping
from vedette.serve.jobs.leases import ATTEMPTS, Able, Ended, Lease, Leased, Leases, Outcome
from vedette.serve.jobs.store import JobStore
from vedette.serve.jobs.webhook import Poster
from vedette.serve.judging import Judged, chosen_policy, judge
from vedette.serve.refusals import Refusal
from vedette.serve.services import Caller, Fetcher, Services
from vedette.types import Failure, Item

LEASE_S = 30.0
"""For which images are leased; after a worker's death they wait that long, at most."""
_LANES = 4
"""Leases that are worked on at a time: while one is fetched, another one is scanned."""
_SCANNING = 2
"""Of these, in the engine."""
_CHUNK = 8
"""Images of one lease, at most."""
_IDLE_S = 0.5
"""How often an idle runner looks for work."""
_YIELD_S = 0.02
_AWAY_S = (0.2, 5.0)
"""First and longest wait while the database is away."""
_LONGEST_S = 2.0
"""Between two tries while there is no room: then interactive requests had theirs."""
_STOP_S = 10.0
_LOG = logging.getLogger("vedette.serve.jobs")


class JobRunner:
    """Works on the jobs of a store until it is closed; the engine is to be closed, or drain, first.

    Args:
        services: to judge with; their fetcher is used if none is given.
        store: the jobs.
        fetcher: of this runner alone, where it belongs to one event loop; closed here.
        poster: calls webhooks; None: this replica calls none.
        lease_s: see :data:`LEASE_S`.
    """

    def __init__(
        self,
        services: Services,
        store: JobStore,
        fetcher: Fetcher | None = None,
        poster: Poster | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        self._services = replace(services, fetcher=fetcher or services.fetcher)
        self._own = fetcher
        self._store = store
        able = Able(tuple(services.engine.models), tuple(services.policies), store.uploads.id)
        self._leases = Leases(store.database, able, lease_s)
        self._keeping = Housekeeping(store, services.options.jobs, poster)
        self._chunk = max(1, min(_CHUNK, services.options.queue // 8))
        self._gate = Gate(_SCANNING)
        self._looking = asyncio.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vedette-jobs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Begin nothing new and wait for what is under way; what takes too long is leased on."""
        self._stopping.set()
        self._thread.join(_STOP_S)
        close = getattr(self._own, "close", None)
        if close is not None:
            close()

    def _run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        lanes = [asyncio.ensure_future(self._lane()) for _ in range(_LANES)]
        keeping = asyncio.ensure_future(self._keeping.run(self._ended))
        await asyncio.wait(lanes)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    def _ended(self) -> bool:
        return self._stopping.is_set() or self._services.engine.draining

    async def _lane(self) -> None:
        wait = 0.0
        while not self._ended():
            try:
                lease = await self._next()
                if lease is not None:
                    await self._done(lease)
                wait = 0.0
            except Exception as error:  # noqa: BLE001 - the lane must live as long as the service
                known = isinstance(error, VedetteError)
                # Words of a database error tell no data of callers: their parameters are hidden.
                told = error.message if isinstance(error, VedetteError) else type(error).__name__
                _LOG.warning("a job waits: %s", told, exc_info=False if known else error)
                wait = min(max(2 * wait, _AWAY_S[0]), _AWAY_S[1])
                await asyncio.sleep(wait * random.uniform(0.75, 1.0))

    async def _next(self) -> Lease | None:
        """Look for work, one lane after the other: while there is none, one of them asks."""
        async with self._looking:
            if self._ended():
                return None
            lease = await asyncio.to_thread(self._leases.take, self._chunk)
            if lease is None:
                await asyncio.sleep(_IDLE_S * random.uniform(0.5, 1.0))
            return lease

    async def _done(self, lease: Lease) -> None:
        """Work on a lease to its end; while it takes, the lease is renewed."""
        working = asyncio.ensure_future(self._finish(lease))
        renewing = asyncio.ensure_future(self._renew(lease))
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            for task in (working, renewing):  # renewing ends first where the job has ended
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)

    async def _renew(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(self._leases.seconds / 3)
            with suppress(VedetteError):  # away: the lease may expire, and then somebody else's
                if not await asyncio.to_thread(self._leases.renew, lease):  # result counts
                    return

    async def _finish(self, lease: Lease) -> None:
        try:
            judged = await self._judged(lease)
        except Refusal as refusal:
            if refusal.code != "shutting_down":
                raise
            await asyncio.to_thread(self._leases.give_back, lease)
            return
        outcomes = [_outcome(item, one) for item, one in zip(lease.items, judged, strict=True)]
        uploads, job_id = self._store.uploads, lease.job.id
        if await self._stored(lease, outcomes):
            await asyncio.to_thread(uploads.drop, job_id)
        else:
            places = [item.place for item in lease.items if item.given.upload]
            await asyncio.to_thread(uploads.forget, job_id, places)

    async def _stored(self, lease: Lease, outcomes: Sequence[Outcome]) -> bool:
        """Store results, however long the database is away: they were paid for.

        Returns:
            Whether the job has ended.
        """
        wait = 0.0
        while True:
            try:
                return await asyncio.to_thread(self._leases.store, lease, outcomes)
            except Ended:
                return True
            except VedetteError as error:
                if self._ended():
                    raise
                _LOG.warning("results of a job wait: %s", error.message)
                wait = min(max(2 * wait, _AWAY_S[0]), _AWAY_S[1])
                await asyncio.sleep(wait * random.uniform(0.75, 1.0))

    async def _judged(self, lease: Lease) -> list[Judged]:
        job = lease.job
        policy = chosen_policy(self._services, job.policy, job.categories)
        items = list(await asyncio.gather(*(self._item(lease, one) for one in lease.items)))
        subjects = [one.subject for one in lease.items]
        async with self._gate.enter(alone=lease.suspect):
            try:
                return await self._admitted(lease, items, subjects, policy)
            except Refusal as refusal:
                if refusal.code != "request_timeout":
                    raise
            # One of them takes too long: which one shows alone.
            return [
                await self._one(lease, item, subject, policy)
                for item, subject in zip(items, subjects, strict=True)
            ]

    async def _one(self, lease: Lease, item: Item, subject: str | None, policy: Policy) -> Judged:
        try:
            found = await self._admitted(lease, [item], [subject], policy)
        except Refusal as refusal:
            if refusal.code != "request_timeout":
                raise
            late = Item(item.key, Failure("infer", "timeout", "not scanned in the time of a job"))
            found = await self._admitted(lease, [late], [subject], policy)
        return found[0]

    async def _admitted(
        self, lease: Lease, items: Sequence[Item], subjects: Sequence[str | None], policy: Policy
    ) -> list[Judged]:
        """Judge items once there is room for them, after those that somebody waits for."""
        caller = Caller(lease.job.key_id, "job", frozenset())
        seconds = self._services.options.limits.video_seconds
        while True:
            await self._room()
            asked = Asked(f"job-{lease.job.id}", caller, time.monotonic() + seconds)
            try:
                return await judge(self._services, asked, items, lease.job.model, policy, subjects)
            except Refusal as refusal:
                if refusal.code not in ("overloaded", "write_failed"):
                    raise
                wait = min(refusal.retry_after_s or 1.0, _LONGEST_S)
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))

    async def _room(self) -> None:
        """Wait until the engine is less than half full."""
        engine = self._services.engine
        while (load := engine.load).waiting > load.bound // 2:
            if engine.draining:
                raise Refusal("the service is shutting down", code="shutting_down")
            await asyncio.sleep(_YIELD_S)

    async def _item(self, lease: Lease, leased: Leased) -> Item:
        if leased.attempts > ATTEMPTS:
            told = f"begun {ATTEMPTS} times, and each time its worker died"
            return Item(leased.key, Failure("infer", "model_failed", told))
        if leased.given.failure is not None:
            return Item(leased.key, leased.given.failure)
        try:
            if leased.given.url is None:
                read = self._store.uploads.read
                data = await asyncio.to_thread(read, lease.job.id, leased.place)
            else:
                data = await self._services.fetcher.fetch(leased.given.url)
        except FetchError as error:
            return Item(leased.key, error.failure())
        except (Refusal, UsageError) as error:
            return Item(leased.key, Failure("fetch", error.code, error.message))
        return Item(leased.key, data)


def _outcome(item: Leased, judged: Judged) -> Outcome:
    record = judged.record
    return Outcome(
        place=item.place,
        record=json.dumps(judged.to_dict(), allow_nan=False),
        action=record.verdict.action.value,
        failure=None if record.failure is None else record.failure.code,
    )

"""Rates per key over all replicas of one database, without asking it about every request.

Each key has a bucket of tokens, one for an image: it holds at most a burst, and fills at the key's
rate. The database has the bucket; each process has a view of it, which it *settles* now and then:
it takes from the database what it has let in since, and learns what is left. Between two
settlements a process lets in at most a lease, so that

    images let in, over all processes  <=  burst + rate * seconds + processes * lease

where the lease is what the rate gives in ``LEASE_S``, or one request if that is more. While the
database is away every process keeps the rate by itself, so that n processes let in n times as much.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vedette.errors import UsageError
from vedette.extras import require
from vedette.serve.database.store import writing
from vedette.serve.database.tables import metadata
from vedette.serve.services import Caller

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

LEASE_S = 1.0
"""What a process lets in unsettled, in seconds of the rate; also how often it settles."""
BURST_S = 10.0
"""What a bucket holds, in seconds of the rate."""
SMALLEST_BURST = 32.0
"""Tokens that every bucket holds at least: one whole request."""
PATIENCE_S = 0.05
"""How long a request waits for a settlement that it needs; then the process's own view counts."""
RETRY_S = 5.0
"""How long a database that did not answer is left alone."""
_FORGET_S = 60.0
"""After how long without a request a full bucket is forgotten."""

log = logging.getLogger("vedette.serve")


@dataclass(slots=True)
class _Bucket:
    """One process's view of a key's bucket. Guarded by the limiter's lock."""

    rate: float
    burst: float
    tokens: float
    """Left, as far as this process knows: never less than the database says."""
    at: float
    """When ``tokens`` was so, in seconds since 1970."""
    unsettled: float = 0.0
    """Let in and not yet taken from the database."""
    settling: Future[None] | None = field(default=None, repr=False)

    def fill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + self.rate * max(0.0, now - self.at))
        self.at = max(self.at, now)

    def wait_s(self, images: float) -> float:
        """Until there are enough tokens. More than a burst: a full bucket, which then owes it."""
        return max(0.0, min(images, self.burst) - self.tokens) / self.rate

    def take(self, images: float) -> None:
        self.tokens -= images
        self.unsettled += images


class RateLimiter:
    """Implements :class:`vedette.serve.services.Limiter`.

    :meth:`admit` waits for the database only where a lease is used up while tokens are left, and
    then for ``patience_s`` at most; a thread does the settling.

    Args:
        database: of :func:`vedette.serve.database.store.open_database`; not closed here.
        default_rate: images per second of callers whose key names none; None: no limit.
        clock: seconds since 1970; the replicas' clocks should agree to within a second.
        patience_s: see :data:`PATIENCE_S`.
        every_s: seconds between settlements.

    Raises:
        UsageError: a rate that is not above 0.
    """

    def __init__(
        self,
        database: Engine,
        default_rate: float | None = None,
        clock: Callable[[], float] = time.time,
        patience_s: float = PATIENCE_S,
        every_s: float = LEASE_S,
    ) -> None:
        if default_rate is not None and not 0 < default_rate < float("inf"):
            raise UsageError("a rate is a number above 0")
        self._database = database
        self._default = default_rate
        self._clock = clock
        self._patience_s = patience_s
        self._every_s = every_s
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}
        self._away_until = float("-inf")
        self._ended = threading.Event()
        self._settler = ThreadPoolExecutor(1, "vedette-rates")
        self._ticker: threading.Thread | None = None

    def limits(self, caller: Caller) -> bool:
        """Whether the caller has a rate at all."""
        return self._rate(caller) is not None

    def admit(self, caller: Caller, images: int) -> float:
        """Count ``images`` for the caller: 0, or after how many seconds to try again."""
        rate = self._rate(caller)
        if rate is None:
            return 0.0
        while True:
            with self._lock:
                bucket = self._bucket(caller.key_id, rate)
                wait = bucket.wait_s(images)
                if wait > 0:
                    return wait  # others can only have taken more: no need to ask
                if self._within_lease(bucket, images):
                    self._let_in(caller.key_id, bucket, images)
                    return 0.0
                settling = self._settling(caller.key_id, bucket)
            self._wait_for(settling)

    def settle(self) -> None:
        """Tell the database now what was let in. Called by the thread, and at the end."""
        with self._lock:
            self._forget()
            open_ = [
                self._settling(key_id, bucket)
                for key_id, bucket in self._buckets.items()
                if bucket.unsettled
            ]
        for settling in open_:
            settling.result()

    def close(self) -> None:
        """Settle what is open and end the thread."""
        self._ended.set()
        if self._ticker is not None:
            self._ticker.join()
        self.settle()
        self._settler.shutdown()

    def _rate(self, caller: Caller) -> float | None:
        """Images per second that a caller may ask for; None: any number."""
        return self._default if caller.rate is None else caller.rate

    def _bucket(self, key_id: str, rate: float) -> _Bucket:
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._tick, name="vedette-tick", daemon=True)
            self._ticker.start()
        now = self._clock()
        bucket = self._buckets.get(key_id)
        if bucket is None or bucket.rate != rate:
            burst = max(rate * BURST_S, SMALLEST_BURST)
            left = burst if bucket is None else min(bucket.tokens, burst)
            made = _Bucket(rate, burst, left, now)
            if bucket is not None:  # the key's rate was changed
                made.unsettled, made.settling = bucket.unsettled, bucket.settling
            bucket = self._buckets[key_id] = made
        bucket.fill(now)
        return bucket

    def _within_lease(self, bucket: _Bucket, images: float) -> bool:
        if self._clock() < self._away_until:
            return True
        return bucket.unsettled == 0 or bucket.unsettled + images <= bucket.rate * LEASE_S

    def _let_in(self, key_id: str, bucket: _Bucket, images: float) -> None:
        bucket.take(images)
        if bucket.unsettled > bucket.rate * LEASE_S / 2 and self._clock() >= self._away_until:
            self._settling(key_id, bucket)  # ahead of time, so that few requests wait for it

    def _settling(self, key_id: str, bucket: _Bucket) -> Future[None]:
        """The settlement under way, or a new one: requests that need it wait for the same."""
        if bucket.settling is None:
            bucket.settling = self._settler.submit(self._settle, key_id)
        return bucket.settling

    def _wait_for(self, settling: Future[None]) -> None:
        """A database that is too slow counts as away: the next requests do not wait again."""
        try:
            settling.result(self._patience_s)
        except TimeoutError:
            with self._lock:
                self._away_until = self._clock() + RETRY_S

    def _settle(self, key_id: str) -> None:
        with self._lock:
            bucket = self._buckets[key_id]
            taken = bucket.unsettled
            now = self._clock()
            away = now < self._away_until
        left = None if away else self._taken(key_id, bucket, taken, now)
        with self._lock:
            bucket = self._buckets[key_id]
            bucket.settling = None
            bucket.fill(now)
            if left is not None:
                bucket.unsettled -= taken
                since = bucket.rate * (bucket.at - now)
                bucket.tokens = min(bucket.burst, left + since) - bucket.unsettled
                self._away_until = float("-inf")
                return
            if not away:
                self._away_until = now + RETRY_S
            # What has flowed back since need not be paid when the database is there again.
            bucket.unsettled = min(bucket.unsettled, max(0.0, bucket.burst - bucket.tokens))

    def _taken(self, key_id: str, bucket: _Bucket, taken: float, now: float) -> float | None:
        """What is left in the database; None: it is away."""
        try:
            with writing(self._database) as connection:
                return _take(connection, key_id, bucket, taken, now)
        except Exception as error:  # noqa: BLE001 - whatever it is, the rate is kept here then
            log.warning("each process keeps rates by itself: %s", type(error).__name__)
            return None

    def _forget(self) -> None:
        """Full buckets that nobody asks for: a new view of them would be the same."""
        now = self._clock()
        for key_id, bucket in list(self._buckets.items()):
            idle = now - bucket.at > _FORGET_S
            if idle and not bucket.unsettled and bucket.settling is None:
                bucket.fill(now)
                if bucket.tokens >= bucket.burst:
                    del self._buckets[key_id]

    def _tick(self) -> None:
        while not self._ended.wait(self._every_s):
            self.settle()


def _take(connection: Connection, key_id: str, bucket: _Bucket, taken: float, now: float) -> float:
    """Fill a key's bucket up to now, take from it, and say what is left: one row, atomically."""
    sa: Any = require("sqlalchemy", extra="serve")
    table = metadata().tables["rates"]
    column = table.c
    dialect: Any
    if connection.dialect.name == "postgresql":
        dialect = require("sqlalchemy.dialects.postgresql", extra="serve")
    else:
        dialect = require("sqlalchemy.dialects.sqlite", extra="serve")
    full = {"key_id": key_id, "allowance": bucket.burst, "updated": now}
    connection.execute(dialect.insert(table).values(full).on_conflict_do_nothing())
    passed = sa.case((column.updated < now, now - column.updated), else_=0.0)
    filled = column.allowance + bucket.rate * passed
    kept = sa.case((filled < bucket.burst, filled), else_=bucket.burst)
    change = {
        "allowance": kept - taken,
        "updated": sa.case((column.updated < now, now), else_=column.updated),
    }
    changed = table.update().where(column.key_id == key_id).values(change)
    left: float = connection.execute(changed.returning(column.allowance)).scalar_one()
    return left

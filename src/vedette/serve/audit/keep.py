"""The audit of the service: decisions go to the spool, and from there into the database.

``keep`` returns once the local disk has a decision. A thread moves what is spooled, some hundred
in a transaction, and again from the start where one failed: a decision whose id the database has is
not stored twice. While the database is away it tries again and again, and the service answers.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.errors import VedetteError
from vedette.extras import require
from vedette.serve.audit.chain import append, new_chain
from vedette.serve.audit.entry import Entry, entry_of, to_line
from vedette.serve.audit.erasure import prune
from vedette.serve.audit.secret import audit_secret
from vedette.serve.audit.spool import Segment, Spool
from vedette.serve.database.store import told, writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from vedette.serve.options import ServeOptions
    from vedette.serve.services import Decision

_GATHER_S = 0.1
"""From the first decision until it is moved: those that come meanwhile share its transaction."""
_ROWS = 500
_BYTES = 16 * 2**20
"""One transaction moves at most this much."""
_BACKOFF_S = (0.1, 5.0)
"""First and longest wait while the database is away, in seconds."""
_ORPHANS_S = 5.0
"""How often segments of dead processes are looked for."""
_PRUNE_S = 3600.0
"""How often old decisions are looked for, where there is a retention."""
_LOG = logging.getLogger("vedette.serve.audit")


class Keeper:
    """Implements :class:`vedette.serve.services.Audit`. Thread-safe; :meth:`close` it at the end.

    Args:
        engine: of the database; it may be away, now and later. Not closed here.
        spool: of this process alone; closed here.
        secret: for the hashes of subjects, :func:`vedette.serve.audit.secret.audit_secret`.
        retention_days: older decisions are erased every hour; 0: never.
    """

    def __init__(
        self, engine: Engine, spool: Spool, secret: bytes, *, retention_days: float = 0
    ) -> None:
        self._engine = engine
        self._spool = spool
        self._secret = secret
        self._retention_days = retention_days
        self._chain = new_chain()
        self._state = threading.Condition()
        self._moved = 0
        self._away = False
        self._stopping = False
        self._orphans_due = self._prune_due = 0.0
        self._thread = threading.Thread(target=self._run, name="vedette-audit", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Decisions of this process that the database has not got yet."""
        return max(0, self._spool.appended - self._moved)

    @property
    def away(self) -> bool:
        """Whether the database failed when it was last asked."""
        return self._away

    def keep(self, decisions: Sequence[Decision]) -> None:
        """Put decisions on the local disk: they survive a kill, and get into the database.

        Raises:
            VedetteError: ``write_failed``: the disk does not take them, e.g. it is full.
        """
        self._spool.append([to_line(entry_of(one, self._secret)) for one in decisions])
        with self._state:
            self._state.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until the database has what was kept before; False: not in that time."""
        with self._state:
            wanted = self._spool.appended
            return bool(self._state.wait_for(lambda: self._moved >= wanted, seconds))

    def close(self, seconds: float = 5.0) -> None:
        """Move what is spooled if the database takes it in that time; the rest stays spooled."""
        with self._state:
            self._stopping = True
            self._state.notify_all()
        self._thread.join(seconds)
        self._spool.close()

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopping:
            with self._state:
                if wait_s == 0.0:
                    idle_s = min(self._orphans_due, self._prune_due) - time.monotonic()
                    self._state.wait_for(lambda: self._stopping or self.waiting, max(0.0, idle_s))
                self._state.wait_for(lambda: self._stopping, wait_s or _GATHER_S)
            wait_s = self._tried(self._work, wait_s)
        self._tried(self._move_own, 0.0)

    def _tried(self, work: Callable[[], None], waited_s: float) -> float:
        """Do some work; returns how long to wait before it is tried again, 0: it was done."""
        try:
            with told(self._engine):
                work()
        except Exception as error:  # noqa: BLE001 - the thread must live as long as the process
            if not self._away:
                known = isinstance(error, VedetteError | OSError)
                _LOG.warning("decisions wait in the spool: %s", error, exc_info=not known)
            self._away = True
            first, longest = _BACKOFF_S
            # Not in step with other replicas when the database comes back.
            return min(longest, max(first, 2 * waited_s)) * random.uniform(0.75, 1.0)
        if self._away:
            _LOG.warning("the database takes decisions again")
        self._away = False
        return 0.0

    def _work(self) -> None:
        self._move_own()
        if time.monotonic() >= self._orphans_due:
            self._take_over()
            self._orphans_due = time.monotonic() + _ORPHANS_S
        if time.monotonic() >= self._prune_due:
            if self._retention_days > 0:
                prune(self._engine, self._chain, time.time() - self._retention_days * 86_400)
            self._prune_due = time.monotonic() + _PRUNE_S

    def _move_own(self) -> None:
        for path in self._spool.finished():
            count = self._move(path)
            with self._state:
                self._moved += count
                self._state.notify_all()

    def _take_over(self) -> None:
        for writer in self._spool.others():
            with self._spool.orphaned(writer) as segments:
                for path in segments:
                    count = self._move(path)
                    _LOG.warning("took over %d decisions of a process that has died", count)

    def _move(self, path: Path) -> int:
        """Every decision of a segment into the database, then the segment away: how many."""
        segment = Segment(path)
        count = 0
        for entries in _batches(segment):
            self._store(entries)
            count += len(entries)
        segment.remove()
        return count + segment.damaged

    def _store(self, entries: Sequence[Entry]) -> None:
        sa: Any = require("sqlalchemy", extra="serve")
        try:
            with self._engine.begin() as connection:
                append(connection, self._chain, entries)
        except sa.exc.IntegrityError:
            # Another process has stored one of them in this moment, or somebody has taken our
            # chain out of the database: under a new name it goes on, and `verify` tells the rest.
            self._chain = new_chain()
            with writing(self._engine) as connection:
                append(connection, self._chain, entries)


def open_audit(engine: Engine, options: ServeOptions) -> Keeper:
    """The audit that a service's options ask for.

    Raises:
        UsageError: no secret for the hashes of subjects, see
            :func:`vedette.serve.audit.secret.audit_secret`.
        VedetteError: ``write_failed``: the spool's folder cannot be used.
    """
    secret = audit_secret(options.database)
    spool = Spool(Path(options.spool))
    return Keeper(engine, spool, secret, retention_days=options.retention_days)


def _batches(segment: Segment) -> Iterator[list[Entry]]:
    entries: list[Entry] = []
    size = 0
    for entry in segment:
        entries.append(entry)
        size += len(entry.payload)
        if len(entries) >= _ROWS or size >= _BYTES:
            yield entries
            entries, size = [], 0
    if entries:
        yield entries

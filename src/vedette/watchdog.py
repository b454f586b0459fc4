"""One thread that ends what takes too long, for all who wait: timers would be a thread each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Watch:
    """One block under watch."""

    __slots__ = ("deadline", "expired", "give_up")

    def __init__(self, deadline: float, give_up: Callable[[], None]) -> None:
        self.deadline = deadline
        """Of ``time.monotonic()``."""
        self.give_up = give_up
        self.expired = False
        """Whether ``give_up`` was called."""


class Watchdog:
    """Calls back who is not done by their time; thread-safe.

    Its thread is there while somebody is watched, and ends when it finds nobody.
    """

    def __init__(self) -> None:
        self._watched: set[Watch] = set()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._next = 0.0
        """When the thread looks again; of ``time.monotonic()``."""

    @contextmanager
    def at_most(self, seconds: float, give_up: Callable[[], None]) -> Iterator[Watch]:
        """Call ``give_up`` in another thread if the block is not over after ``seconds``.

        It is never called after the block, and must not block itself.
        """
        bound = min(max(seconds, 0.0), threading.TIMEOUT_MAX)
        watch = Watch(time.monotonic() + bound, give_up)
        with self._change:
            if self._thread is None:
                thread = threading.Thread(target=self._look, name="vedette-watchdog", daemon=True)
                thread.start()  # where there is no room for one, nobody may take it for running
                self._thread, self._next = thread, watch.deadline
            elif watch.deadline < self._next:
                # Rare: usually all have the same time, and the first to begin is the first due.
                self._next = watch.deadline
                self._change.notify()
            self._watched.add(watch)
        try:
            yield watch
        finally:
            with self._change:
                self._watched.discard(watch)

    def close(self) -> None:
        """Let the thread end once nobody is watched; who still is stays so."""
        with self._change:
            self._next = 0.0
            self._change.notify()

    def _look(self) -> None:
        with self._change:
            while self._watched:
                now = time.monotonic()
                for watch in [one for one in self._watched if one.deadline <= now]:
                    self._watched.discard(watch)
                    watch.expired = True
                    with suppress(Exception):  # the others are to be watched still
                        watch.give_up()
                self._next = min((one.deadline for one in self._watched), default=0.0)
                if self._watched and self._next > now:
                    self._change.wait(min(self._next - now, threading.TIMEOUT_MAX))
            self._thread = None

"""The latest reading of something small in the database, kept fresh by a thread.

Requests must not wait for a database, least of all for one that is away: they take what was read
last, and how old it is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger("vedette.serve")
_FIRST_S = 1.0
"""How long the very first caller waits for the first reading."""

_LAST_S = 5.0
"""How long the end waits for a reading under way; the thread ends with the process anyway."""


class Snapshot(Generic[T]):
    """What ``read`` returned last. Thread-safe; the thread starts with the first question.

    Args:
        read: reads all of it; called from the thread.
        every_s: seconds between readings.
        clock: seconds that only ever go forward.
    """

    def __init__(
        self, read: Callable[[], T], every_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._every_s = every_s
        self._clock = clock
        self._starting = threading.Lock()
        self._reading = threading.Lock()
        self._ended = threading.Event()
        self._first = threading.Event()
        self._thread: threading.Thread | None = None
        self._held: tuple[T, float] | None = None
        self._away = False

    def latest(self) -> tuple[T | None, float]:
        """What was read last, None where nothing could be, and how many seconds ago."""
        if self._thread is None:
            self._start()
        if self._held is None and not self._first.is_set():
            self._first.wait(_FIRST_S)
        held = self._held
        return (None, 0.0) if held is None else (held[0], self._clock() - held[1])

    def refresh(self) -> None:
        """Read now, where readings are wanted at all: one's own change is seen at once."""
        if self._thread is not None:
            self._once()

    def close(self) -> None:
        """End the thread; the last reading grows old."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_LAST_S)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._ended.is_set():
                thread = threading.Thread(target=self._go, name="vedette-keys", daemon=True)
                thread.start()
                self._thread = thread

    def _go(self) -> None:
        while True:
            self._once()
            if self._ended.wait(self._every_s):
                return

    def _once(self) -> None:
        with self._reading:
            asked = self._clock()  # a reading is as old as its question
            try:
                self._held = (self._read(), asked)
                away = False
            except Exception as error:  # noqa: BLE001 - the thread must outlive any bad reading
                away = True
                if not self._away:
                    log.warning("the database cannot be read: %s", type(error).__name__)
            self._away = away
            self._first.set()

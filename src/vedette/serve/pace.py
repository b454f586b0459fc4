"""How fast the engine answers while it has something to do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

_WINDOW_S = 30.0
"""Seconds of work after which what was before counts for a third."""


class Pace:
    """Images per second of work, a moving mean.

    Idle time does not count, and images that end together count over the time since the ones
    before: neither a pause nor a batch makes the rate jump. Not thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._seconds = 0.0
        self._images = 0.0

    def passed(self, *, busy: bool, done: int = 0) -> None:
        """Tell it of each change.

        Args:
            busy: whether there was work since the change before.
            done: images that have ended now.
        """
        now = self._clock()
        elapsed, self._last = max(0.0, now - self._last), now
        if busy:
            kept = math.exp(-elapsed / _WINDOW_S)
            self._seconds = self._seconds * kept + elapsed
            self._images *= kept
        self._images += done

    @property
    def rate(self) -> float:
        """Images per second; 0 before the first."""
        return self._images / self._seconds if self._seconds > 0 else 0.0

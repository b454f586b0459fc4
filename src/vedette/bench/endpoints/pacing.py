"""How often an endpoint is asked, how long it is waited for, and what that may cost."""

from __future__ import annotations

import hashlib
import threading
import time
from email.utils import parsedate_to_datetime

from vedette.errors import VedetteError

LONGEST_WAIT_S = 600.0
"""That a service may ask for; one that wants more is better asked another day."""


class Pace:
    """A token bucket of one token: requests are evenly spaced, whatever thread makes them.

    Args:
        rate: requests per second.
    """

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._lock = threading.Lock()
        self._next = time.monotonic()

    def wait(self, stop: threading.Event) -> None:
        """Wait for a token. Returns at once when ``stop`` is set."""
        while True:
            with self._lock:
                now = time.monotonic()
                left = self._next - now
                if left <= 0:
                    self._next = now + self._gap
                    return
            # In the end another thread may have taken it, or may have been told of a pause.
            if stop.wait(left):
                return

    def pause(self, seconds: float) -> None:
        """No token for that long: the service has asked for it."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


class Budget:
    """Counts what is paid, and ends the run before a request that would pass the cap.

    Args:
        max_cost: USD; None: no cap.
        price: USD per request.
    """

    def __init__(self, max_cost: float | None, price: float | None) -> None:
        self._cost = max_cost
        # Whole requests: sums of prices would drift from the cap.
        self._most = None if max_cost is None or not price else int(max_cost / price + 1e-9)
        self._lock = threading.Lock()
        self.paid = 0
        """Requests."""

    def take(self) -> None:
        """Count one request, before it is made.

        Raises:
            VedetteError: ``cost_cap``.
        """
        with self._lock:
            if self._most is not None and self.paid >= self._most:
                raise VedetteError(
                    f"one more request would pass the cap of {self._cost:g} USD "
                    f"({self.paid} paid in this run)",
                    code="cost_cap",
                )
            self.paid += 1

    def give_back(self) -> None:
        """Uncount one that the service has refused: it is not charged for."""
        with self._lock:
            self.paid -= 1


def backoff(base: float, attempt: int, seed: int, name: str) -> float:
    """Seconds to wait after a failed attempt: doubled each time, and half of it drawn.

    Args:
        base: seconds, for the first.
        attempt: 0 for the first.
        seed: of the draw; the same for the same ``name`` and attempt, in whatever thread.
        name: of what is asked about.
    """
    lot = hashlib.sha256(f"{seed}\0{attempt}\0{name}".encode()).digest()
    drawn = int.from_bytes(lot[:4], "little") / 2**32
    return min(base * 2.0**attempt, LONGEST_WAIT_S) * (0.5 + drawn / 2)


def retry_after(header: str, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, of either form; None where it says nothing.

    Args:
        header: seconds, or a date.
        now: seconds since 1970, to compare a date with.
    """
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None

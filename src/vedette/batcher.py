"""Prepared pictures wait here until a model stream takes a batch of one shape."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Payload = TypeVar("Payload")
Shape = tuple[int, ...]


class Closed(Exception):
    """The batcher takes and gives nothing more."""


@dataclass(slots=True)
class _Waiting(Generic[Payload]):
    payload: Payload
    ticket: int


class Batcher(Generic[Payload]):
    """A bounded queue that hands out batches of equal shape, the longest waiting first.

    ``put`` blocks while ``capacity`` pictures wait: that is what bounds memory. ``take`` never
    waits for a batch to fill: what is there goes, so a lone picture is not delayed, and under load
    the queue is never empty and batches are full. No taker gets more than its share of what waits:
    towards the end of a scan one would work on the last eight while the others stand idle.
    """

    def __init__(self, capacity: int, batch: int, takers: int = 1) -> None:
        self._capacity = capacity
        self._batch = batch
        self._takers = takers
        self._waiting: dict[Shape, deque[_Waiting[Payload]]] = {}
        self._count = 0
        self._tickets = 0
        self._closed = False
        lock = threading.Lock()
        self._not_full = threading.Condition(lock)
        self._not_empty = threading.Condition(lock)

    def put(self, shape: Shape, payload: Payload) -> None:
        """Add a picture; blocks while the batcher is full.

        Raises:
            Closed: the batcher was closed, before or while waiting.
        """
        with self._not_full:
            while self._count >= self._capacity and not self._closed:
                self._not_full.wait()
            if self._closed:
                raise Closed
            self._tickets += 1
            self._waiting.setdefault(shape, deque()).append(_Waiting(payload, self._tickets))
            self._count += 1
            self._not_empty.notify()

    def take(self) -> list[Payload]:
        """A batch of at least one; blocks while nothing waits.

        Raises:
            Closed: the batcher was closed.
        """
        with self._not_empty:
            while not self._count and not self._closed:
                self._not_empty.wait()
            if self._closed:
                raise Closed
            shape = min(self._waiting, key=lambda s: self._waiting[s][0].ticket)
            line = self._waiting[shape]
            share = -(-self._count // self._takers)
            taken = [line.popleft().payload for _ in range(min(self._batch, len(line), share))]
            if not line:
                del self._waiting[shape]
            self._count -= len(taken)
            self._not_full.notify(len(taken))
            return taken

    def close(self) -> list[Payload]:
        """Wake everybody up with :class:`Closed`; returns what was still waiting."""
        with self._not_empty:
            self._closed = True
            left = [w.payload for line in self._waiting.values() for w in line]
            self._waiting.clear()
            self._count = 0
            self._not_empty.notify_all()
            self._not_full.notify_all()
            return left

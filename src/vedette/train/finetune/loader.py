"""Batches made ahead of the network that learns from them, in threads, a few at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from vedette.train.examples import Ints
from vedette.types import UInt8

_AHEAD = 4
"""Batches that are being made or wait, at most: what bounds memory."""
_PIECE = 8
"""Pictures that one thread makes at a time."""


class Loader:
    """Makes batches in threads. Close it.

    Args:
        workers: threads.
        side: px of a square.
    """

    def __init__(self, workers: int, side: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="vedette-train")
        self._side = side
        self.waited = 0.0
        """Seconds that whoever takes batches has waited for them."""

    def batches(
        self, wanted: Sequence[Ints], square: Callable[[int], UInt8]
    ) -> Iterator[tuple[Ints, UInt8]]:
        """The rows and pixels uint8 [n, side, side, 3] of each batch, in order.

        Args:
            wanted: rows of each batch.
            square: makes one square; called from several threads.

        Raises:
            VedetteError: whatever ``square`` raises, in the batch's place.
        """
        waiting: deque[tuple[Ints, UInt8, list[Future[None]]]] = deque()
        rest = iter(wanted)
        try:
            while True:
                while len(waiting) < _AHEAD and (rows := next(rest, None)) is not None:
                    waiting.append(self._begun(rows, square))
                if not waiting:
                    return
                rows, pixels, pieces = waiting.popleft()
                started = time.perf_counter()
                for piece in pieces:
                    piece.result()
                self.waited += time.perf_counter() - started
                yield rows, pixels
        finally:
            for _, _, pieces in waiting:
                for piece in pieces:
                    piece.cancel()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begun(
        self, rows: Ints, square: Callable[[int], UInt8]
    ) -> tuple[Ints, UInt8, list[Future[None]]]:
        pixels = np.empty((len(rows), self._side, self._side, 3), np.uint8)

        def fill(first: int) -> None:
            for at in range(first, min(first + _PIECE, len(rows))):
                pixels[at] = square(int(rows[at]))

        pieces = [self._pool.submit(fill, first) for first in range(0, len(rows), _PIECE)]
        return rows, pixels, pieces

"""The pictures behind predictions once more, each decoded once: for what scores do not show."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from vedette.bench.tasks.base import Context
from vedette.data.base import read_all
from vedette.decode import DecodeOptions, decode_item
from vedette.errors import ItemError, UsageError
from vedette.types import Item, UInt8

T = TypeVar("T")

_EVERY = 500
"""Pictures between two lines of progress."""


def reopened(context: Context, look: Callable[[UInt8], T]) -> Iterator[tuple[int, T]]:
    """Look at the first frame of every picture that has a row in the predictions.

    The source is read once, in the calling thread; decoding and looking run in threads. What is
    under way at a time is bounded by the settings' ``scan.in_flight`` and ``in_flight_bytes``.

    Args:
        context: its ``predictions`` name the pictures, its ``source`` has them.
        look: gets uint8 [h, w, 3] at full size; is called by several threads.

    Yields:
        The row, and what ``look`` gave. In the source's order, which is always the same.

    Raises:
        UsageError: a picture is gone, or cannot be decoded any more.
    """
    row_of = {key: row for row, key in enumerate(context.predictions.keys)}
    options = DecodeOptions(limits=context.settings.limits)
    scan = context.settings.scan
    waiting: deque[tuple[int, int, Future[T]]] = deque()
    held = done = 0
    pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="vedette-reopen")
    try:
        for item in read_all(context.source):
            row = row_of.pop(item.key, None)
            if row is None:
                continue
            size = len(item.data) if isinstance(item.data, bytes) else 0
            while waiting and (
                len(waiting) >= scan.in_flight or held + size > scan.in_flight_bytes
            ):
                first, freed, future = waiting.popleft()
                yield first, future.result()
                held -= freed
                done += 1
                if done % _EVERY == 0:
                    context.say(f"{done} of {len(context.predictions)} pictures looked at")
            waiting.append((row, size, pool.submit(_looked_at, item, options, look)))
            held += size
            del item  # the bytes are the thread's now
            if not row_of:
                break
        if row_of:
            raise _changed(min(row_of), "it is not in the data set any more", "not_found")
        while waiting:
            first, _, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, _, future in waiting:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)


def _looked_at(item: Item, options: DecodeOptions, look: Callable[[UInt8], T]) -> T:
    try:
        image = next(decode_item(item, options), None)
    except ItemError as error:
        raise _changed(item.key, str(error), error.code) from error
    if image is None:
        raise _changed(item.key, "the file holds no picture", "corrupt")
    return look(image.pixels)


def _changed(key: str, what: str, code: str) -> UsageError:
    return UsageError(
        f"{key} was scored, and cannot be looked at again: {what}",
        code=code,
        hint="the data set has changed since it was scored: score it again",
    )

"""Suspects are scanned alone: what dies with them then is nobody else's doing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """A readers-and-writer lock in which the writer goes first. For one event loop.

    Args:
        together: that many may be inside at once, as long as nobody has to be alone.
    """

    def __init__(self, together: int) -> None:
        self._most = together
        self._inside = 0
        self._alone = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def enter(self, *, alone: bool) -> AsyncIterator[None]:
        """Wait for one's turn."""
        self._alone += alone
        entered = False
        try:
            async with self._changed:
                most = 1 if alone else self._most
                await self._changed.wait_for(
                    lambda: self._inside < most and (alone or not self._alone)
                )
                self._inside += 1
                entered = True
            yield
        finally:
            self._inside -= entered
            self._alone -= alone
            async with self._changed:
                self._changed.notify_all()

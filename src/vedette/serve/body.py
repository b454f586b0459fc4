"""A request's body as it arrives: counted against its own limit and that of all together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from vedette.serve.options import RequestLimits
from vedette.serve.refusals import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_UPLOADS = "/v1/jobs"
_VIDEO = "/v1/scan/video"
_JSON_WEIGHT = 3
"""What a byte of JSON holds in memory: itself, the text read from it, and the image in that."""
_DROP_SECONDS = 1.0
_SMALL_BYTES = 2**20
_DROP_BYTES = 64 * 2**20


class Held:
    """Bytes of bodies that one process holds. For one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.bytes = 0

    def check(self) -> None:
        """Refuse what has just been counted; it is counted until it is given back.

        Raises:
            Refusal: ``overloaded``.
        """
        if self.bytes > self._most:
            raise Refusal(
                "too many bytes are waiting in the service", code="overloaded", retry_after_s=1
            )


class Body:
    """One request's body, within its limits."""

    def __init__(
        self, scope: Message, receive: Receive, limits: RequestLimits, held: Held, started: float
    ) -> None:
        self._receive = receive
        self._most = _most(scope, limits)
        to_disk = _is_upload(scope)
        self._held = None if to_disk else held
        self._weight = _JSON_WEIGHT if _is_json(scope) else 1
        self._until = started + (limits.upload_seconds if to_disk else limits.body_seconds)
        self._bytes = self._holds = 0
        self._dropping = False
        self._declared = _declared(scope)
        self.whole = self._declared == 0
        """Whether nothing of it is still to come."""

    @property
    def is_small(self) -> bool:
        """Whether what is still to come is little, by the request's head."""
        return not self.whole and self._declared is not None and self._declared <= _SMALL_BYTES

    async def receive(self) -> Message:
        """See ASGI.

        Raises:
            Refusal: ``too_large``, ``slow_body``, ``overloaded``.
        """
        if self.whole:  # the caller's going away may be waited for as long as it takes
            return await self._receive()
        if self._declared is not None and self._declared > self._most:
            raise self._too_large()
        try:
            async with asyncio.timeout(max(self._until - time.monotonic(), 0.001)):
                message = await self._receive()
        except TimeoutError as error:
            raise Refusal("the body came too slowly", code="slow_body") from error
        if message["type"] == "http.request":
            self.whole = not message.get("more_body", False)
            self.count(len(message.get("body", b"")), self._weight)
        else:
            self.whole = True
        return message

    async def drop_rest(self) -> None:
        """Take what still arrives and forget it, for a short while, once."""
        if self._dropping:
            return
        self._dropping = True
        dropped = 0
        try:
            async with asyncio.timeout(_DROP_SECONDS):
                while not self.whole and dropped < _DROP_BYTES:
                    message = await self._receive()
                    dropped += len(message.get("body", b""))
                    self.whole = not message.get("more_body", False)
        except TimeoutError:
            return

    def release(self) -> None:
        """The request has ended: its body is held no longer, and nothing counts for it any more."""
        if self._held is not None:
            self._held.bytes -= self._holds
        self._held = None  # nobody would give back what is counted from now on
        self._bytes = 0

    def count(self, count: int, weight: int = 1) -> None:
        """Count further bytes as the request's: what is fetched for it, for one.

        Args:
            count: of bytes.
            weight: how many bytes of memory each of them holds.

        Raises:
            Refusal: ``too_large``, ``overloaded``.
        """
        self._bytes += count
        over = self._bytes > self._most
        if self._held is not None:
            self._held.bytes += count * weight
            self._holds += count * weight
            if not over:
                self._held.check()
        if over:
            raise self._too_large()

    def _too_large(self) -> Refusal:
        return Refusal(f"the body is larger than {self._most} bytes", code="too_large")


def _most(scope: Message, limits: RequestLimits) -> int:
    if scope["path"].startswith(_VIDEO):
        return limits.video_bytes
    if _is_json(scope):
        return limits.json_bytes
    return limits.upload_bytes if _is_upload(scope) else limits.body_bytes


def _is_upload(scope: Message) -> bool:
    """Whether it goes to the disk as it arrives: a job's archive, not its JSON."""
    return bool(scope["path"].startswith(_UPLOADS)) and not _is_json(scope)


def _is_json(scope: Message) -> bool:
    kind = _header(scope, b"content-type").partition(b";")[0].strip().lower()
    return kind == b"application/json"


def _declared(scope: Message) -> int | None:
    """Bytes to come by the request's head; None: it does not tell."""
    if _header(scope, b"transfer-encoding"):
        return None
    length = _header(scope, b"content-length")
    return int(length) if length.isdigit() else 0


def _header(scope: Message, wanted: bytes) -> bytes:
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value)
    return b""

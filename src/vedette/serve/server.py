"""The uvicorn server: slow heads are cut off, connections counted, an end in good order."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Any

from vedette.extras import require
from vedette.serve.options import RequestLimits, ServeOptions
from vedette.serve.refusals import Refusal, body_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from uvicorn import Server

    from vedette.serve.engine import Engine

_KEEP_ALIVE_S = 30
"""How long an idle connection is kept."""
_HEAD_BYTES = 32 * 2**10
"""Of a request's line and headers that have not come whole yet."""
_BACKLOG = 2048
_LAST_ANSWERS_S = 3
"""For answers that say that the service goes down, once nothing else is waited for."""


def server_for(app: FastAPI, options: ServeOptions, engine: Engine) -> Server:
    """A uvicorn server for the application; SIGTERM and Ctrl-C drain the engine first.

    Raises:
        MissingExtraError: uvicorn is not installed.
    """
    uvicorn: Any = require("uvicorn", extra="serve")
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        http=_guarded(options.limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(options.trusted_proxies),
        forwarded_allow_ips=list(options.trusted_proxies),
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        ssl_certfile=options.tls_certificate,
        ssl_keyfile=options.tls_key,
    )
    return _draining()(config, engine, options.drain_seconds)  # type: ignore[no-any-return]


def run_on_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run the service to its end, on uvloop: its turns cost less than those of asyncio's own loop.

    Raises:
        MissingExtraError: uvloop is not installed, on a system that it is made for.
    """
    factory = None
    if sys.platform != "win32":
        factory = require("uvloop", extra="serve").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def _guarded(limits: RequestLimits) -> type[Any]:
    """The protocol's class, made late: uvicorn is not loaded before it is used."""
    h11_impl: Any = require("uvicorn.protocols.http.h11_impl", extra="serve")

    class Guarded(h11_impl.H11Protocol):  # type: ignore[misc]
        """HTTP/1.1 whose heads have to come whole and in time.

        Uvicorn itself waits for a connection's first request without end, and for the rest of a
        later one from its first byte on.
        """

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            if len(self.connections) >= limits.connections:
                transport.abort()
                return
            # asyncio itself does so only for sockets that were made with a protocol's number: an
            # answer's second piece would wait 40 ms for the first one's acknowledgement.
            line = transport.get_extra_info("socket")
            if line is not None and line.family != getattr(socket, "AF_UNIX", None):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            super().connection_made(transport)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            if self.transport is None:  # aborted
                return
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._await_head()
            else:
                self._head_came()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_came()
            if self.transport is not None:
                super().connection_lost(exc)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.conn.trailing_data[0]:  # the next head has begun
                self._await_head()

        def send_400_response(self, msg: str) -> None:
            # In the shape of all other errors; no request id, since there is no request.
            if self.conn.our_state in (h11_impl.h11.IDLE, h11_impl.h11.SEND_RESPONSE):
                told = body_of(Refusal("not a request of HTTP/1.1", code="usage"), "")
                body = json.dumps(told).encode()
                head = (
                    "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
                )
                self.transport.write(head.encode() + body)
            self.transport.close()

        def _await_head(self) -> None:
            if self._head is None and not self.transport.is_closing():
                seconds = limits.header_seconds
                self._head = self.loop.call_later(seconds, self.transport.abort)

        def _head_came(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

    return Guarded


@cache
def _draining() -> type[Any]:
    uvicorn: Any = require("uvicorn", extra="serve")

    class Draining(uvicorn.Server):  # type: ignore[misc]
        """Ends once no request is under way, or their time is over."""

        def __init__(self, config: Any, engine: Engine, seconds: float) -> None:
            super().__init__(config)
            self._engine = engine
            self._seconds = seconds
            self._until: float | None = None
            self._interrupted = False

        def begin_drain(self) -> None:
            """Take nothing new and end after what is under way."""
            if self._until is None:
                self._engine.drain()
                self._until = time.monotonic() + self._seconds

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # Not remembered for uvicorn, which would raise it again: a wanted end is no failure.
            self.begin_drain()
            if sig == signal.SIGINT:
                self.should_exit = self._interrupted  # by hand, twice: at once
                self._interrupted = True

        async def on_tick(self, counter: int) -> bool:
            if await super().on_tick(counter):
                self._engine.drain()
                return True
            if self._until is None:
                return False
            if not self.server_state.tasks:
                return True
            if time.monotonic() < self._until:
                return False
            # Who still waits is told so: closing ends every image at once, its threads later.
            closing = asyncio.get_running_loop().run_in_executor(None, self._engine.close)
            await asyncio.wait({closing}, timeout=_LAST_ANSWERS_S)
            return True

    return Draining

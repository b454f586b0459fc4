"""What is done for every request, below the endpoints: id, limits, headers, log, metrics.

Plain ASGI: it sees a body as it arrives, so that one that is too large or too slow is cut off and
not read to its end.
"""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
import uuid
from contextlib import nullcontext
from typing import Any

from vedette.extras import require
from vedette.serve.body import Body, Held, Message, Receive, Send
from vedette.serve.metrics import Metrics
from vedette.serve.refusals import Refusal, body_of, headers_of
from vedette.serve.services import Services

log = logging.getLogger("vedette.serve")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_SCANS = frozenset({"/v1/scan", "/v1/scan/video", "/v1/moderations"})
"""Paths whose requests need room in the queue, and are refused before their bodies are read."""
_SLOW = 408
_GONE = 499
"""For the log: nobody was there to be answered."""


def install(app: Any, services: Services) -> None:
    """Put the middleware around an application."""
    app.add_middleware(Outer, services=services, metrics=Metrics.shared())


class Outer:
    """Around everything else, the error handlers included."""

    def __init__(self, app: Any, services: Services, metrics: Metrics) -> None:
        self._app = app
        self._engine = services.engine
        self._limits = limits = services.options.limits
        self._metrics = metrics
        self._held = Held(limits.held_bytes)
        self._disconnect = require("starlette.requests", extra="serve").ClientDisconnect

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["started"] = started = time.monotonic()
        state["body"] = body = Body(scope, receive, self._limits, self._held, started)
        answer = _Answer(request_id, body, send)
        try:
            if _has_two_lengths(scope):
                raise Refusal("the body's length is told in two ways", code="usage")
            if len(scope["headers"]) > self._limits.header_count:
                raise Refusal("too many header lines", code="usage")
            # Here, and not in the endpoints: what refuses in an overload must cost little.
            scans = scope["path"] in _SCANS and scope["method"] == "POST"
            with self._engine.entered() if scans else nullcontext():
                await self._app(scope, body.receive, answer.pass_on)
        except Refusal as refusal:  # what no endpoint has caught
            await answer.refuse(refusal)
        except self._disconnect:
            answer.status = answer.status or _GONE
        except Exception as error:  # noqa: BLE001 - the caller gets an answer, whatever went wrong
            _log_defect(request_id, error)
            await answer.refuse(Refusal("the service has a defect", code="internal"))
        finally:
            body.release()
            seconds = time.monotonic() - started
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.request(_route(scope), method, answer.status, seconds)
            _log(scope, request_id, method, answer.status, seconds)


class _Answer:
    """The answer on its way out."""

    def __init__(self, request_id: str, body: Body, send: Send) -> None:
        self._id = request_id
        self._body = body
        self._send = send
        self.status = 0
        """0: not begun."""

    async def pass_on(self, message: Message) -> None:
        """Send a message, with the headers of every answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status == _GONE:
                return  # nobody reads it
            if self.status != _SLOW and self._body.is_small:
                # Taken first, so that the connection lives on: refusals must be cheap.
                await self._body.drop_rest()
            own = [*_HEADERS, (b"x-request-id", self._id.encode())]
            if not self._body.whole:
                own.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        elif self.status == _GONE:
            return
        elif not message.get("more_body", False) and not self._body.whole:
            # Closing at once, with the body still arriving, would reset the connection and take
            # the answer with it: the caller gets it first, and some time to stop sending.
            await self._send({**message, "more_body": True})
            await self._body.drop_rest()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with an error, if nothing has been answered yet."""
        if self.status:
            return
        body = json.dumps(body_of(refusal, self._id)).encode()
        told = {"content-type": "application/json", "content-length": str(len(body))}
        headers = [
            (name.lower().encode(), value.encode())
            for name, value in {**told, **headers_of(refusal)}.items()
        ]
        start = {"type": "http.response.start", "status": refusal.status, "headers": headers}
        await self.pass_on(start)
        await self.pass_on({"type": "http.response.body", "body": body})


def _request_id(scope: Message) -> str:
    """The caller's own, where it is a harmless one; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            if _ID.fullmatch(given):
                return given
    return uuid.uuid4().hex


def _has_two_lengths(scope: Message) -> bool:
    """Whether a proxy might see the body end elsewhere than we do: request smuggling.

    RFC 9112, 6.1: the connection must be closed. It is, since nothing of the body was read.
    """
    names = {name for name, _ in scope["headers"]}
    return b"content-length" in names and b"transfer-encoding" in names


def _route(scope: Message) -> str:
    """The endpoint's own path, never the caller's: labels of metrics must not grow."""
    if scope["path"] in _SCANS:  # refused, perhaps, before it had a route
        return str(scope["path"])
    route = scope.get("route")
    return str(getattr(route, "path", "unknown"))


def _log(scope: Message, request_id: str, method: str, status: int, seconds: float) -> None:
    """One JSON line: no query string, no header, no image."""
    told = {
        "request_id": request_id,
        "method": method,
        "route": _route(scope),
        "status": status,
        "seconds": round(seconds, 4),
        "key_id": scope["state"].get("key_id"),
    }
    log.info("request", extra={"told": told})


def _log_defect(request_id: str, error: Exception) -> None:
    """Where it happened, never what was in it: a message may hold a caller's data."""
    frames = traceback.extract_tb(error.__traceback__)
    told = {
        "request_id": request_id,
        "error": type(error).__name__,
        "where": [f"{frame.name}:{frame.lineno}" for frame in frames[-8:]],
    }
    log.error("defect", extra={"told": told})

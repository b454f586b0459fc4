"""One request: who asks, under which id, until when. Made by the middleware, read by endpoints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from vedette.extras import require
from vedette.serve.options import is_loopback
from vedette.serve.refusals import Refusal
from vedette.serve.services import Caller, Scope, Services

if TYPE_CHECKING:
    from fastapi import Request

T = TypeVar("T")

_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip")
"""A proxy's words: it passes others on."""

OPEN = Caller("open", "anybody", frozenset({Scope.SCAN}))
"""Who asks where the service answers anybody."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    id: str
    caller: Caller
    deadline: float
    """``time.monotonic()`` when it must have ended."""

    @property
    def seconds(self) -> float:
        """Left until the deadline, at least 0."""
        return max(0.0, self.deadline - time.monotonic())


def needs(services: Services, scope: Scope) -> Callable[..., Awaitable[Asked]]:
    """A FastAPI dependency: the request of a caller who may use ``scope``.

    The key comes as ``Authorization: Bearer KEY``. Nothing of the body has been read yet.
    """
    fastapi: Any = require("fastapi", extra="serve")
    security: Any = require("fastapi.security", extra="serve")

    async def dependency(request: Request, _: object) -> Asked:
        header = request.headers.get("authorization", "")
        if not header and services.options.open and is_from_here(request):
            caller = OPEN
        else:
            caller = await asyncio.to_thread(_caller, services, header)
        request.state.key_id = caller.key_id  # for the log
        if scope not in caller.scopes and Scope.ADMIN not in caller.scopes:
            raise Refusal(f"the key has not the scope {scope}", code="forbidden")
        deadline: float = request.state.started + services.options.limits.seconds
        return Asked(request.state.request_id, caller, deadline)

    # FastAPI reads annotations as objects, and its classes are not loaded with this module.
    bearer = security.HTTPBearer(auto_error=False, scheme_name="key", description="An API key.")
    dependency.__annotations__ = {
        "request": fastapi.Request,
        "_": Annotated[object, fastapi.Security(bearer)],
    }
    return dependency


def for_scope(services: Services, scope: Scope, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function(request, asked)`` as an endpoint that FastAPI can read, for callers with a scope.

    Returns:
        The function itself, annotated with FastAPI's own classes.
    """
    fastapi: Any = require("fastapi", extra="serve")
    function.__annotations__ = {
        **{k: v for k, v in function.__annotations__.items() if not isinstance(v, str)},
        "request": fastapi.Request,
        "asked": Annotated[Asked, fastapi.Depends(needs(services, scope))],
    }
    return function


async def while_there(request: Request, work: Awaitable[T]) -> T:
    """The outcome of ``work``, unless the caller goes first: then it is cancelled.

    The body must have been read: what still arrives is taken for the caller's leaving.

    Raises:
        Refusal: ``cancelled``: nobody is there to be answered.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(gone())
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise Refusal("the caller has gone", code="cancelled")
    finally:
        doing.cancel()
        leaving.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


def is_from_here(request: Request) -> bool:
    """Whether a program on this machine asks of its own accord: no proxy, no stranger's page.

    A page may have a browser send what the page itself cannot read the answer to; browsers say so.
    """
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    return is_loopback(request.client.host) and _is_named_here(request)


def _is_named_here(request: Request) -> bool:
    """Whether the request was sent to this machine by a name that nobody else can give it.

    A page of a stranger whose name resolves to a loopback address is of the same origin for a
    browser, and could read what is answered to this machine alone.
    """
    name = request.headers.get("host", "").strip()
    if not name.endswith("]"):
        name = name.rpartition(":")[0] if ":" in name else name
    return is_loopback(name.strip("[]"))


def _caller(services: Services, header: str) -> Caller:
    scheme, _, presented = header.partition(" ")
    if scheme.lower() == "bearer" and presented.strip():
        found = services.keys.caller(presented.strip())
        if found is not None:
            return found
        raise Refusal("the key is not valid", code="unauthorized")
    raise Refusal("a key is needed", code="unauthorized")

"""``/healthz``, ``/readyz`` and ``/metrics``: for probes and for Prometheus."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.extras import require
from vedette.serve.context import is_from_here, needs
from vedette.serve.described import errors
from vedette.serve.metrics import Metrics
from vedette.serve.refusals import Refusal
from vedette.serve.services import Scope, Services

if TYPE_CHECKING:
    from fastapi import APIRouter, Request

_ROOM = 16 * 2**20
"""Bytes that the spool's disk must have free."""
_OK = {
    "description": "Yes.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["status"],
                "properties": {"status": {"type": "string", "enum": ["ok"]}},
            },
            "example": {"status": "ok"},
        }
    },
}


def router(services: Services) -> APIRouter:
    """The endpoints over some services."""
    fastapi: Any = require("fastapi", extra="serve")
    answers: Any = require("fastapi.responses", extra="serve")
    made = fastapi.APIRouter(tags=["health"])
    counters = Metrics.shared()
    _watch(counters, services)
    admin = needs(services, Scope.ADMIN)

    async def healthz() -> Any:
        """Whether the process lives."""
        return answers.JSONResponse({"status": "ok"})

    async def readyz() -> Any:
        """Whether it takes requests: models are loaded, it is not going down, it can keep."""
        if services.engine.draining:
            raise Refusal("the service is shutting down", code="shutting_down", retry_after_s=1)
        if not await asyncio.to_thread(can_write, Path(services.options.spool)):
            raise Refusal("decisions cannot be kept", code="write_failed", retry_after_s=1)
        return answers.JSONResponse({"status": "ok"})

    async def metrics(request: Request) -> Any:
        """Counters for Prometheus; for loopback, or a key with the scope admin."""
        if "authorization" in request.headers or not is_from_here(request):
            await admin(request, None)
        body, kind = await asyncio.to_thread(counters.page)
        return answers.Response(body, headers={"Content-Type": kind})

    metrics.__annotations__ = {"request": fastapi.Request}
    example = "# TYPE vedette_waiting gauge\nvedette_waiting 3.0\n"
    content = {"text/plain": {"schema": {"type": "string"}, "example": example}}
    text = {"description": "The counters.", "content": content}
    for path, endpoint, told in (
        ("/healthz", healthz, {200: _OK, **errors()}),
        ("/readyz", readyz, {200: _OK, **errors()}),
        ("/metrics", metrics, {200: text, **errors(401, 403)}),
    ):
        made.add_api_route(
            path, endpoint, methods=["GET"], responses=told, response_class=answers.Response
        )
    return made  # type: ignore[no-any-return]


def can_write(spool: Path) -> bool:
    """Whether decisions can be kept there: the folder takes files, and the disk has room."""
    place = spool if spool.exists() else spool.parent
    try:
        return os.access(place, os.W_OK | os.X_OK) and shutil.disk_usage(place).free > _ROOM
    except OSError:
        return False


def _watch(metrics: Metrics, services: Services) -> None:
    engine = services.engine
    metrics.watch("vedette_waiting", "Images admitted, not answered", lambda: engine.load.waiting)
    metrics.watch("vedette_bound", "Images admitted at most", lambda: engine.load.bound)
    metrics.watch("vedette_pace", "Images per second of work", lambda: engine.load.rate)
    metrics.watch("vedette_overload", "Images refused for room", lambda: engine.load.refused)

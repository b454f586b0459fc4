"""The OpenAPI of the service: what FastAPI gathers from the endpoints, made whole."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vedette.extras import require

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

_DESCRIPTION = """\
Is this image safe to show? Images in, Records out: scores, reasons, and the action that a policy
asks for. What was not scanned is never allowed. OpenAI's clients work against `/v1/moderations`.
"""
TINY_PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNsYIAAJgaKGAAm"
    "CACQtTEKkQAAAABJRU5ErkJggg=="
)
"""A grey picture of 8 x 8 px, for examples that work as they stand."""


def describe(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Make ``app.openapi()`` answer with all that the endpoints of its routers say."""
    utils: Any = require("fastapi.openapi.utils", extra="serve")
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            found = utils.get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=_DESCRIPTION,
                routes=app.routes,
            )
            for router in routers:
                for route in router.routes:
                    _restore(found["paths"].get(getattr(route, "path_format", ""), {}), route)
            made.update(found)
        return made

    app.openapi = openapi  # type: ignore[method-assign]


def _restore(described: dict[str, Any], route: Any) -> None:
    """Examples as they were given: FastAPI leaves what is null in them out."""
    bodies = (route.openapi_extra or {}).get("requestBody", {})
    for method in described.keys() & {method.lower() for method in route.methods}:
        operation = described[method]
        _examples(bodies, operation.get("requestBody", {}))
        for status, answer in route.responses.items():
            _examples(answer, operation["responses"][str(status)])


def _examples(given: Any, described: dict[str, Any]) -> None:
    for kind, content in given.get("content", {}).items():
        if "example" in content:
            described["content"][kind]["example"] = copy.deepcopy(content["example"])

"""The application: middleware around the endpoints, and what is done at start and end."""

from __future__ import annotations

import asyncio
import pkgutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from vedette.errors import CODES, ItemError, UsageError, VedetteError
from vedette.extras import require
from vedette.serve import routes
from vedette.serve.middleware import install
from vedette.serve.openapi import describe
from vedette.serve.refusals import Refusal, body_of, headers_of, status_of
from vedette.serve.services import Services

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

_HTTP_CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 413: "too_large"}
_HTTP_CODES |= {415: "unsupported_media", 500: "internal"}
_THREADS = 32
"""For what may wait for a disk or a database, beside the pipeline's own."""


def create_app(services: Services) -> FastAPI:
    """The ASGI application over some services, which it closes at its end.

    Raises:
        MissingExtraError: fastapi is not installed.
    """
    fastapi = require("fastapi", extra="serve")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="vedette-serve")
        asyncio.get_running_loop().set_default_executor(threads)
        yield
        await asyncio.to_thread(_close, services)

    app = fastapi.FastAPI(
        title="Vedette",
        version=version("vedette"),
        summary="Is this image safe to show?",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect would answer before the key is looked at
    )
    install(app, services)
    files = pkgutil.iter_modules(routes.__path__, f"{routes.__name__}.")
    routers = [import_module(file.name).router(services) for file in files]
    for router in routers:
        app.include_router(router)
    describe(app, routers)
    _handlers(app)
    return app  # type: ignore[no-any-return]


def _close(services: Services) -> None:
    services.engine.close()
    for one in reversed(services.closing):
        one.close()  # type: ignore[attr-defined]


def _handlers(app: Any) -> None:
    responses = require("fastapi.responses", extra="serve")
    errors = require("fastapi.exceptions", extra="serve")
    starlette = require("starlette.exceptions", extra="serve")

    def answer(request: Request, error: VedetteError) -> Any:
        body = body_of(error, request.state.request_id)
        return responses.JSONResponse(body, status_of(error.code), headers_of(error))

    async def refused(request: Request, error: Any) -> Any:
        return answer(request, _for_caller(error))

    async def invalid(request: Request, error: Any) -> Any:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        told = f"{where or 'the body'}: {first['msg']}"
        return answer(request, Refusal(told, code="usage", param=where or None))

    async def http(request: Request, error: Any) -> Any:
        cause: object = error.__cause__
        if isinstance(cause, VedetteError):  # FastAPI wraps what reading a body raises
            return await refused(request, cause)
        told = Refusal(str(error.detail), code=_HTTP_CODES.get(error.status_code, "usage"))
        body = body_of(told, request.state.request_id)
        return responses.JSONResponse(body, error.status_code, dict(error.headers or {}))

    app.add_exception_handler(VedetteError, refused)
    app.add_exception_handler(errors.RequestValidationError, invalid)
    app.add_exception_handler(starlette.HTTPException, http)


def _for_caller(error: VedetteError) -> VedetteError:
    """``error`` where it is about the request; what is wrong inside is told without its words.

    A message from inside may name files and addresses of the service.
    """
    if isinstance(error, Refusal | ItemError) or (
        isinstance(error, UsageError) and status_of(error.code) < 500
    ):
        return error
    if status_of(error.code) < 500:
        return Refusal("the service has a defect", code="internal")
    return Refusal(CODES[error.code][0], code=error.code, retry_after_s=1)

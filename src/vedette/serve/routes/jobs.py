"""``/v1/jobs``: batches of images in the background, and ``/v1/webhook-secret``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from vedette.extras import require
from vedette.serve.context import Asked, for_scope
from vedette.serve.described import GUARDED, errors
from vedette.serve.jobs import described
from vedette.serve.jobs.job import Job, NewJob, to_dict
from vedette.serve.jobs.reading import ARCHIVES, read_upload, read_urls
from vedette.serve.jobs.results import as_jsonl, as_parquet
from vedette.serve.jobs.store import JobStore, new_id
from vedette.serve.judging import count
from vedette.serve.refusals import Refusal
from vedette.serve.services import Scope, Services

if TYPE_CHECKING:
    from fastapi import APIRouter, Request

T = TypeVar("T")
_ID = re.compile(r"[0-9a-f]{32}")
_PAGE = 20
_LARGEST_PAGE = 100
_UPLOADS = 4
"""Archives that one process receives and expands at a time."""
_THREADS = 8
"""For the database alone: while it does not answer, no scan waits for a thread of theirs."""
_FORMATS: dict[str, tuple[str, Callable[[JobStore, str], AsyncIterator[bytes]]]] = {
    "jsonl": ("application/x-ndjson", as_jsonl),
    "parquet": ("application/vnd.apache.parquet", as_parquet),
}


def router(services: Services) -> APIRouter:
    """The endpoints over some services."""
    fastapi: Any = require("fastapi", extra="serve")
    responses: Any = require("fastapi.responses", extra="serve")
    made = fastapi.APIRouter(tags=["jobs"])
    jobs = _Endpoints(services, responses)
    looking = (401, 403, 404)
    for method, path, endpoint, told, statuses in (
        ("POST", "", jobs.create, described.create(), (*GUARDED, 404)),
        ("GET", "", jobs.page, described.PAGE, looking),
        ("GET", "/{job_id}", jobs.get, described.GET, looking),
        ("DELETE", "/{job_id}", jobs.cancel, described.CANCEL, looking),
        ("GET", "/{job_id}/results", jobs.results, described.RESULTS, looking),
    ):
        made.add_api_route(
            f"/v1/jobs{path}",
            _endpoint(services, endpoint),
            methods=[method],
            status_code=202 if method == "POST" else 200,
            response_class=responses.Response,
            responses={**told.answers, **errors(*statuses)},
            openapi_extra=told.extra,
        )
    made.add_api_route(
        "/v1/webhook-secret",
        _endpoint(services, jobs.secret),
        methods=["GET"],
        response_class=responses.Response,
        responses={**described.SECRET.answers, **errors(*looking)},
    )
    return made  # type: ignore[no-any-return]


def _endpoint(services: Services, method: Callable[[Any, Asked], Any]) -> Callable[..., Any]:
    """A function of its own, since FastAPI's annotations cannot be put on a method."""

    async def endpoint(request: Any, asked: Asked) -> Any:
        return await method(request, asked)

    endpoint.__name__ = {"get": "job", "page": "jobs"}.get(method.__name__, method.__name__)
    endpoint.__doc__ = method.__doc__
    return for_scope(services, Scope.JOBS, endpoint)


class _Endpoints:
    def __init__(self, services: Services, responses: Any) -> None:
        self._services = services
        self._responses = responses
        self._receiving = 0
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="vedette-jobs-api")
        services.closing.append(self)

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, function: Callable[..., T], *given: object) -> T:
        """What the database answers, within a request's time.

        Raises:
            Refusal: ``request_timeout``.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._services.options.limits.seconds):
                return await loop.run_in_executor(self._threads, function, *given)
        except TimeoutError as error:
            raise Refusal("not answered in its time", code="request_timeout") from error

    async def create(self, request: Request, asked: Asked) -> Any:
        """Have a batch scanned in the background: JSON with URLs, or an archive as the body."""
        store = self._store()
        key_id = asked.caller.key_id
        await self._ask(store.check_open, key_id)
        await count(self._services, asked, 1)
        job_id = new_id()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ARCHIVES:
            job = await self._uploaded(request, store, key_id, job_id)
        else:
            new = await read_urls(request, self._services, store, key_id)
            job = await self._ask(store.create, new, job_id)
        told_of = await self._told(store, [job])
        headers = {"Location": f"/v1/jobs/{job.id}"}
        return self._responses.JSONResponse(told_of[0], 202, headers)

    async def page(self, request: Request, asked: Asked) -> Any:
        """The key's own jobs, the newest first; all of them for the scope admin."""
        store = self._store()
        limit, before = _paging(request)
        found = await self._ask(store.page, _owner(asked), before, limit + 1)
        more = len(found) > limit
        told = await self._told(store, found[:limit])
        following = found[limit - 1].id if more else None
        return self._responses.JSONResponse({"jobs": told, "next": following})

    async def get(self, request: Request, asked: Asked) -> Any:
        """How far a job is: counts by action and by failure."""
        store = self._store()
        job = await self._ask(store.get, _job_id(request), _owner(asked))
        return self._responses.JSONResponse((await self._told(store, [job]))[0])

    async def cancel(self, request: Request, asked: Asked) -> Any:
        """Cancel a job. Results that there are stay; a job that has ended stays as it is."""
        store = self._store()
        job = await self._ask(store.cancel, _job_id(request), _owner(asked))
        if job.uploads == store.uploads.id:
            await asyncio.to_thread(store.uploads.drop, job.id)
        return self._responses.JSONResponse((await self._told(store, [job]))[0])

    async def results(self, request: Request, asked: Asked) -> Any:
        """The Records that there are, in the order of the images; Parquet once it has ended."""
        store = self._store()
        wanted = request.query_params.get("format", "jsonl")
        if wanted not in _FORMATS:
            told = f"no format {wanted[:40]!r}"
            raise Refusal(told, code="usage", hint="jsonl or parquet", param="format")
        job = await self._ask(store.get, _job_id(request), _owner(asked))
        if wanted == "parquet" and job.state.open:
            raise Refusal(
                "the job has not ended",
                code="usage",
                hint="ask for format=jsonl, or wait until it has",
                param="format",
            )
        kind, stream = _FORMATS[wanted]
        name = f'attachment; filename="{job.id}.{wanted}"'
        pieces = stream(store, job.id)
        first = await anext(pieces, b"")  # what goes wrong before is an answer of its own
        return self._responses.StreamingResponse(
            _again(first, pieces), media_type=kind, headers={"Content-Disposition": name}
        )

    async def secret(self, request: Request, asked: Asked) -> Any:
        """What the key's owner checks the signatures of webhooks with."""
        signer = self._store().signer
        if signer is None:
            raise Refusal("this service calls no webhooks", code="not_found", hint="docs/jobs.md")
        return self._responses.JSONResponse({"secret": signer.secret(asked.caller.key_id)})

    async def _uploaded(self, request: Request, store: JobStore, key_id: str, job_id: str) -> Job:
        if self._receiving >= _UPLOADS:
            told = "too many archives are being received"
            raise Refusal(told, code="overloaded", retry_after_s=5)
        self._receiving += 1
        try:
            async with _in_thread(store.uploads.incoming(job_id)) as incoming:
                new = await read_upload(request, self._services, store, key_id, job_id, incoming)
                return await self._ask(_made, store, new, job_id, incoming)
        finally:
            self._receiving -= 1

    async def _told(self, store: JobStore, found: list[Job]) -> list[dict[str, Any]]:
        counts = await self._ask(store.counts, [job.id for job in found])
        return [to_dict(job, counts[job.id]) for job in found]

    def _store(self) -> JobStore:
        if self._services.jobs is None:
            raise Refusal("this service takes no jobs", code="not_found", hint="see docs/jobs.md")
        return self._services.jobs


def _made(store: JobStore, new: NewJob, job_id: str, incoming: Any) -> Job:
    incoming.keep()
    try:
        return store.create(new, job_id)
    except Exception:
        store.uploads.drop(job_id)
        raise


@asynccontextmanager
async def _in_thread(block: AbstractContextManager[T]) -> AsyncIterator[T]:
    """A block at whose end many files may be deleted: a thread does that."""
    entered = await asyncio.to_thread(block.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(block.__exit__, None, None, None)


async def _again(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece


def _owner(asked: Asked) -> str | None:
    """Whose jobs the caller may see; None: everybody's."""
    return None if Scope.ADMIN in asked.caller.scopes else asked.caller.key_id


def _job_id(request: Request) -> str:
    found: str = request.path_params["job_id"]
    if not _ID.fullmatch(found):
        raise Refusal("there is no job of that id", code="not_found", hint="see GET /v1/jobs")
    return found


def _paging(request: Request) -> tuple[int, str | None]:
    limit = request.query_params.get("limit", str(_PAGE))
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= _LARGEST_PAGE:
        raise Refusal(f"limit is 1 to {_LARGEST_PAGE}", code="usage", param="limit")
    before = request.query_params.get("before")
    if before is not None and not _ID.fullmatch(before):
        raise Refusal("before is the id of a job", code="usage", param="before")
    return int(limit), before

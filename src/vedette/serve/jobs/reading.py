"""Requests for a job into a :class:`NewJob`: JSON with URLs, or an archive as the body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from vedette.extras import require
from vedette.serve.jobs.job import Given, NewItem, NewJob
from vedette.serve.jobs.store import JobStore
from vedette.serve.jobs.uploads import Incoming
from vedette.serve.json_body import NAME_LENGTH, read_json
from vedette.serve.judging import check_scope, chosen_policy
from vedette.serve.reading import KEY_LENGTH
from vedette.serve.refusals import Refusal
from vedette.serve.services import Services
from vedette.serve.urls import parse_url

if TYPE_CHECKING:
    from fastapi import Request

ARCHIVES = (
    "application/zip",
    "application/x-tar",
    "application/gzip",
    "application/x-bzip2",
    "application/x-xz",
    "application/octet-stream",
)
"""Types of a body that is an archive; what it really is, its bytes say."""
_QUERY = ("name", "model", "policy", "categories", "webhook")
_JSON_BYTES = 32 * 2**20
"""Of a body with URLs."""
_URL_LENGTH = 4096
_WRITE_BYTES = 2**20


async def read_urls(request: Request, services: Services, store: JobStore, key_id: str) -> NewJob:
    """The job of a JSON body.

    Raises:
        Refusal: ``usage``, ``too_large``, ``url_refused``.
        UnknownNameError, UsageError: no such model or policy, or they do not fit together.
    """
    if not services.options.fetch.enabled:
        raise Refusal(
            "URLs are not fetched here",
            code="url_refused",
            hint="send the images as an archive, or have serve.fetch.enabled set",
        )
    asked = await read_json(request, job_request(), _JSON_BYTES)
    most = services.options.jobs.items
    if len(asked.images) > most:
        told = f"{len(asked.images)} images in one job, at most {most}"
        raise Refusal(told, code="too_large", hint="make several jobs", param="images")
    categories = None if asked.categories is None else tuple(asked.categories)
    model = asked.model or services.engine.default
    policy = asked.policy or next(iter(services.policies))
    _check(services, store, model, policy, categories, asked.webhook)
    items = tuple(
        NewItem(str(place) if one.key is None else one.key, Given(url=one.url), one.subject)
        for place, one in enumerate(asked.images)
    )
    return NewJob(key_id, model, policy, items, categories, webhook=asked.webhook)


async def read_upload(
    request: Request,
    services: Services,
    store: JobStore,
    key_id: str,
    job_id: str,
    incoming: Incoming,
) -> NewJob:
    """The job of an archive, which arrives after everything else has been checked.

    Raises:
        Refusal: ``usage``, ``too_large``, ``unsupported_media``, ``archive_bomb``,
            ``corrupt_archive``.
        UnknownNameError, UsageError: as :func:`read_urls`.
        VedetteError: ``write_failed``.
    """
    given = _query(list(request.query_params.multi_items()))
    name = _short(given.get("name", "upload"), "name")
    told = given.get("categories")
    categories = None if told is None else tuple(filter(None, map(str.strip, told.split(","))))
    model = given.get("model") or services.engine.default
    policy = given.get("policy") or next(iter(services.policies))
    _check(services, store, model, policy, categories, given.get("webhook"))
    await _receive(request.stream(), incoming)
    items = await asyncio.to_thread(incoming.expand, name)
    return NewJob(key_id, model, policy, items, categories, store.uploads.id, given.get("webhook"))


@cache
def job_request() -> Any:
    """The pydantic model of a JSON body; it is in the OpenAPI, too."""
    pydantic: Any = require("pydantic", extra="serve")
    field = pydantic.Field

    class JobImage(pydantic.BaseModel):  # type: ignore[misc]
        """One image."""

        model_config = pydantic.ConfigDict(extra="forbid", strict=True)
        url: str = field(max_length=_URL_LENGTH, description="Where to fetch it.")
        key: str | None = field(None, max_length=KEY_LENGTH, description="Your name for it.")
        subject: str | None = field(
            None, max_length=KEY_LENGTH, description="Whom it is about, for erasure."
        )

    class JobRequest(pydantic.BaseModel):  # type: ignore[misc]
        """What to scan, what to decide by, and whom to tell."""

        model_config = pydantic.ConfigDict(extra="forbid", strict=True)
        images: list[JobImage] = field(min_length=1, description="Answered in this order.")
        model: str | None = field(
            None, max_length=NAME_LENGTH, description="One of GET /v1/models; the first if none."
        )
        policy: str | None = field(
            None, max_length=NAME_LENGTH, description="One of GET /v1/policies; the first if none."
        )
        categories: list[Annotated[str, field(max_length=NAME_LENGTH)]] | None = field(
            None, max_length=64, description="Only these of the policy's."
        )
        webhook: str | None = field(
            None, max_length=_URL_LENGTH, description="Is sent a signed POST when the job ends."
        )

    return JobRequest


def _check(
    services: Services,
    store: JobStore,
    model: str,
    policy: str,
    categories: Sequence[str] | None,
    webhook: str | None,
) -> None:
    """Refuse now what no runner could do later."""
    check_scope(services, model, chosen_policy(services, policy, categories))
    if webhook is None:
        return
    if store.signer is None:
        raise Refusal(
            "this service calls no webhooks",
            code="usage",
            hint="its operator switches them on with VEDETTE_WEBHOOK_KEY; see docs/jobs.md",
            param="webhook",
        )
    parse_url(webhook)


def _query(given: Sequence[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in given:
        if name not in _QUERY or name in found:
            told = f"the query parameter {name[:40]!r} is unknown or given twice"
            raise Refusal(told, code="usage", param=name[:40])
        found[name] = value
    return found


def _short(text: str, what: str) -> str:
    if not text or len(text) > KEY_LENGTH:
        raise Refusal(f"{what} has 1 to {KEY_LENGTH} characters", code="usage", param=what)
    return text


async def _receive(body: AsyncIterator[bytes], incoming: Incoming) -> None:
    """The body onto the disk; the middleware counts its bytes and its time."""
    held: list[bytes] = []
    size = 0
    with incoming.open() as file:
        async for piece in body:
            held.append(piece)
            size += len(piece)
            if size >= _WRITE_BYTES:
                await asyncio.to_thread(incoming.write, file, held)
                held, size = [], 0
        await asyncio.to_thread(incoming.write, file, held)

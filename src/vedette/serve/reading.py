"""Request bodies into Items: a form of files, raw bytes, or JSON with data and URLs.

What one image costs the others nothing: an image that cannot be fetched or read is an Item that
says so, and is answered as failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from vedette.errors import FetchError
from vedette.extras import require
from vedette.serve.context import Asked
from vedette.serve.data_uri import data_uri, is_data_uri
from vedette.serve.json_body import read_json
from vedette.serve.judging import admit
from vedette.serve.multipart import parse_form
from vedette.serve.refusals import Refusal
from vedette.serve.services import Services
from vedette.types import Failure, Item

if TYPE_CHECKING:
    from fastapi import Request

KEY_LENGTH = 512
"""Characters of a key or a subject, at most."""
_TEXT_FIELDS = ("model", "policy", "categories", "subject")
_FETCHES = 4
"""URLs of one request that are fetched at the same time."""
_SMALL_BYTES = 2**16
"""A body up to this is parsed at once: a thread would take longer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks to have scanned, as it was read."""

    images: tuple[Picture, ...]
    model: str | None = None
    policy: str | None = None
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a request: its bytes, or where they are to be had."""

    key: str
    data: bytes | None = None
    url: str | None = None
    failure: Failure | None = None
    """Why there are no bytes."""
    subject: str | None = None


async def read_wanted(
    request: Request, services: Services, image_bytes: int | None = None
) -> Wanted:
    """What the request's body asks for. Threads parse what is large.

    Args:
        request: its body is read here.
        services: for their limits.
        image_bytes: of one image in JSON; by default as many as a body of bytes may have.

    Raises:
        Refusal: ``usage``, ``unsupported_media``, ``too_large``, ``slow_body``.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    limits = services.options.limits
    most = limits.images
    if kind == "application/json":
        asked = await read_json(request, scan_request())
        return await asyncio.to_thread(from_json, asked, most, image_bytes or limits.body_bytes)
    if kind == "multipart/form-data":
        told = request.headers["content-type"]
        return await _in_thread(from_form, await request.body(), told, most)
    if kind == "application/octet-stream" or kind.startswith(("image/", "video/")):
        return from_raw(await request.body(), list(request.query_params.multi_items()))
    raise Refusal(
        f"a body of {kind[:80] or 'no type'} is not taken",
        code="unsupported_media",
        hint="send multipart/form-data, application/json, image/* or application/octet-stream",
    )


async def items_of(
    request: Request, services: Services, asked: Asked, wanted: Wanted
) -> list[Item]:
    """The images as Items, after the caller was let in; URLs are fetched.

    Raises:
        Refusal: ``rate_limited``, ``overloaded``, ``shutting_down``, ``too_large``.
    """
    await admit(services, asked, len(wanted.images))
    room = asyncio.Semaphore(_FETCHES)

    async def item(picture: Picture) -> Item:
        if picture.url is None:
            return Item(picture.key, picture.failure or picture.data or b"")
        async with room:
            return await fetched(request, services, picture.key, picture.url)

    under_way = [asyncio.ensure_future(item(picture)) for picture in wanted.images]
    try:
        return list(await asyncio.gather(*under_way))
    finally:
        for one in under_way:  # gather leaves the others alone where one of them is refused
            one.cancel()


async def fetched(request: Request, services: Services, key: str, url: str) -> Item:
    """The image at ``url``, its bytes counted as the request's own; failed where it is not had.

    Raises:
        Refusal: ``overloaded``: the service holds too many bytes.
    """
    try:
        data = await services.fetcher.fetch(url)
        request.state.body.count(len(data))
    except Refusal as refusal:
        if refusal.code not in ("url_refused", "too_large"):
            raise
        return Item(key, Failure("fetch", refusal.code, refusal.message))
    except FetchError as error:
        return Item(key, error.failure())
    return Item(key, data)


def from_raw(body: bytes, query: Sequence[tuple[str, str]]) -> Wanted:
    """One image as the body itself; the rest in the query.

    Raises:
        Refusal: ``usage``: a parameter that is unknown or given twice.
    """
    given: dict[str, str] = {}
    for name, value in query:
        if name not in ("key", "model", "policy", "categories") or name in given:
            told = f"the query parameter {name[:40]!r} is unknown or given twice"
            raise Refusal(told, code="usage", param=name[:40])
        given[name] = value
    key = _short(given.get("key", "0"), "key")
    categories = given.get("categories")
    return Wanted(
        (Picture(key, body),),
        given.get("model"),
        given.get("policy"),
        None if categories is None else _listed(categories),
    )


def from_form(body: bytes, content_type: str, most: int) -> Wanted:
    """A form: every part with a file name is an image, the others are options.

    Args:
        body: whole.
        content_type: with the boundary.
        most: images.

    Raises:
        Refusal: ``usage``, ``too_large``.
    """
    files: list[tuple[str, bytes]] = []
    texts: dict[str, str] = {}
    for part in parse_form(body, content_type, most + len(_TEXT_FIELDS)):
        if part.filename is not None:
            key = _short(part.filename or part.name or str(len(files)), "the file's name")
            files.append((key, part.data))
        elif part.name not in _TEXT_FIELDS or part.name in texts:
            hint = "an image needs a file name; options are " + ", ".join(_TEXT_FIELDS)
            told = f"the field {part.name[:40]!r} is unknown or given twice"
            raise Refusal(told, code="usage", hint=hint, param=part.name[:40])
        else:
            texts[part.name] = _short(part.data.decode("utf-8", "replace"), part.name)
    _check_count(len(files), most)
    subject = texts.get("subject") or None
    return Wanted(
        tuple(Picture(key, data, subject=subject) for key, data in files),
        texts.get("model"),
        texts.get("policy"),
        _listed(texts["categories"]) if "categories" in texts else None,
    )


def from_json(asked: Any, most: int, limit: int) -> Wanted:
    """What a :func:`scan_request` asks for, its data decoded.

    Args:
        asked: as pydantic has read it.
        most: images.
        limit: bytes of one image.

    Raises:
        Refusal: ``usage``, ``too_large``.
    """
    _check_count(len(asked.images), most)
    images = tuple(_picture(place, image, limit) for place, image in enumerate(asked.images))
    scope = None if asked.categories is None else tuple(asked.categories)
    return Wanted(images, asked.model, asked.policy, scope)


@cache
def scan_request() -> Any:
    """The pydantic model of a JSON body; it is in the OpenAPI, too."""
    pydantic: Any = require("pydantic", extra="serve")
    field = pydantic.Field

    class ScanImage(pydantic.BaseModel):  # type: ignore[misc]
        """One image: exactly one of url, data and data_uri."""

        model_config = pydantic.ConfigDict(extra="forbid", strict=True)
        url: str | None = field(None, description="Where to fetch it, if the service does that.")
        data: str | None = field(None, description="The file's bytes in base64.")
        data_uri: str | None = field(None, description="data:image/png;base64,...")
        key: str | None = field(None, max_length=KEY_LENGTH, description="Your name for it.")
        subject: str | None = field(
            None, max_length=KEY_LENGTH, description="Whom it is about, for erasure."
        )

    class ScanRequest(pydantic.BaseModel):  # type: ignore[misc]
        """What to scan and what to decide by."""

        model_config = pydantic.ConfigDict(extra="forbid", strict=True)
        images: list[ScanImage] = field(
            min_length=1, description="The images, answered in this order."
        )
        # Lengths are bounded: an unknown name is compared with every known one.
        model: str | None = field(
            None, max_length=KEY_LENGTH, description="One of GET /v1/models; the first if none."
        )
        policy: str | None = field(
            None, max_length=KEY_LENGTH, description="One of GET /v1/policies; the first if none."
        )
        categories: list[Annotated[str, field(max_length=KEY_LENGTH)]] | None = field(
            None, max_length=64, description="Only these of the policy's."
        )

    return ScanRequest


def _picture(place: int, image: Any, limit: int) -> Picture:
    key = str(place) if image.key is None else image.key
    given = [name for name in ("url", "data", "data_uri") if getattr(image, name) is not None]
    if len(given) != 1:
        told = "an image needs exactly one of url, data and data_uri"
        raise Refusal(told, code="usage", param=f"images.{place}")
    uri = image.data_uri
    if image.data is not None:
        uri = f"data:;base64,{image.data}"
    elif image.url is not None and is_data_uri(image.url):
        uri = image.url
    if uri is None:
        return Picture(key, url=image.url, subject=image.subject)
    try:
        return Picture(key, data_uri(uri, limit), subject=image.subject)
    except Refusal as refusal:
        code = "too_large" if refusal.code == "too_large" else "unreadable"
        failure = Failure("fetch", code, refusal.message)
        return Picture(key, failure=failure, subject=image.subject)


def _check_count(images: int, most: int) -> None:
    if not images:
        raise Refusal("no image", code="usage", param="images")
    if images > most:
        told = f"{images} images in one request, at most {most}"
        raise Refusal(told, code="too_large", hint="send fewer images at once", param="images")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _short(text: str, what: str) -> str:
    if len(text) > KEY_LENGTH:
        raise Refusal(f"{what} is longer than {KEY_LENGTH} characters", code="usage")
    return text


async def _in_thread(parse: Any, body: bytes, *given: object) -> Wanted:
    if len(body) <= _SMALL_BYTES:
        return parse(body, *given)  # type: ignore[no-any-return]
    return await asyncio.to_thread(parse, body, *given)

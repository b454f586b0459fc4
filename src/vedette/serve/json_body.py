"""A request's JSON body, checked against a pydantic model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from vedette.extras import require
from vedette.serve.refusals import Refusal

if TYPE_CHECKING:
    from fastapi import Request

NAME_LENGTH = 128
"""Characters of the name of a model, a policy or a category, at most."""
_SMALL_BYTES = 2**16
"""A body up to this is parsed at once: a thread would take longer."""
_CONTAINERS = 50_000
_VALUES = 1_000_000
"""Of one body, at most. Three bytes of ``{},`` take half a kilobyte once they are read: without a
bound a body of 100 MB would take 17 GB. The bounds take 100 MB."""
_TOLD = 200
"""Characters of what is wrong: a message may quote what it is about."""


async def read_json(request: Request, model: Any, most: int | None = None) -> Any:
    """The body as an object of a pydantic model. Threads parse what is large.

    Args:
        request: its body is read here.
        model: the pydantic class.
        most: bytes, where the endpoint takes fewer than the service.

    Raises:
        Refusal: ``unsupported_media``, ``too_large``, ``slow_body``, ``usage``.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(
            f"a body of {kind[:80] or 'no type'} is not taken",
            code="unsupported_media",
            hint="send JSON with Content-Type: application/json",
        )
    _check_size(int(request.headers.get("content-length") or 0), most)
    body = await request.body()
    _check_size(len(body), most)
    if len(body) <= _SMALL_BYTES:
        return _parsed(body, model)
    return await asyncio.to_thread(_parsed, body, model)


def schema_of(model: Any) -> dict[str, Any]:
    """The JSON Schema of a pydantic model without references: it stands in one place of a page."""
    schema: dict[str, Any] = model.model_json_schema()
    inner = schema.pop("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, list):
            return [whole(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return whole(inner[part["$ref"].rpartition("/")[2]])
        # Pydantic's titles repeat the fields' names, and its mapping refers to what is gone.
        return {k: whole(v) for k, v in part.items() if k not in ("title", "discriminator")}

    return whole(schema)  # type: ignore[no-any-return]


def _parsed(body: bytes, model: Any) -> Any:
    pydantic: Any = require("pydantic", extra="serve")
    # Brackets and commas in texts are counted along: finding out would mean to read it.
    if body.count(b"{") + body.count(b"[") > _CONTAINERS or body.count(b",") > _VALUES:
        raise Refusal(
            "the JSON has too many values",
            code="too_large",
            hint=f"send at most {_CONTAINERS:,} objects and lists, and {_VALUES:,} values, at once",
        )
    try:
        return model.model_validate_json(body)
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"])
        told = f"{where or 'the body'}: {first['msg'][:_TOLD]}"
        raise Refusal(told, code="usage", param=where or None) from None


def _check_size(size: int, most: int | None) -> None:
    if most is not None and size > most:
        raise Refusal(f"the body is larger than {most} bytes", code="too_large")

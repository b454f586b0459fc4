"""``POST /v1/scan`` and ``/v1/scan/video``: images in, Records out."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

from vedette.extras import require
from vedette.serve.context import Asked, for_scope, while_there
from vedette.serve.described import GUARDED, errors
from vedette.serve.json_body import schema_of
from vedette.serve.judging import Judged, chosen_policy, judge
from vedette.serve.openapi import TINY_PNG
from vedette.serve.reading import Wanted, items_of, read_wanted, scan_request
from vedette.serve.record_schema import answer_of_records
from vedette.serve.refusals import Refusal
from vedette.serve.services import Scope, Services

if TYPE_CHECKING:
    from fastapi import APIRouter, Request

_MANY_FRAMES = 100
"""Of an answer: each is a line of scores, and that many are written in a thread."""
_FORM = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}},
        "model": {"type": "string"},
        "policy": {"type": "string"},
        "categories": {"type": "string", "description": "Names with commas between."},
        "subject": {"type": "string", "description": "Whom the images are about."},
    },
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_PARAMETERS = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "description": f"{told} Where the body is the image itself.",
    }
    for name, told in (
        ("key", "Your name for it."),
        ("model", "One of GET /v1/models."),
        ("policy", "One of GET /v1/policies."),
        ("categories", "Only these of the policy's, with commas between."),
    )
]
_RECORD = {
    "key": "0",
    "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "format": "PNG",
    "width": 640,
    "height": 480,
    "frames": 1,
    "action": "allow",
    "reasons": [],
    "scores": {"Sexual": 0.031},
    "regions": [],
    "models": ["nudenet-320n@3.4.2"],
    "policy": "default@1",
    "calibrated": None,
    "failure": None,
    "times_ms": {"decode": 3.1, "infer": 4.0},
    "decision_id": "0b3a5e6d1f9c4a5f8a4b1c2d3e4f5a6b",
    "listed": None,
}
_ANSWER = answer_of_records(
    "A Record for each image, in order; docs/record.md has the keys.", _RECORD
)


def router(services: Services) -> APIRouter:
    """The endpoints over some services."""
    fastapi: Any = require("fastapi", extra="serve")
    json_response: Any = require("fastapi.responses", extra="serve").JSONResponse
    made = fastapi.APIRouter(tags=["scan"])
    limits = services.options.limits

    def rendered(judged: list[Judged], request_id: str) -> Any:
        told = {"records": [one.to_dict() for one in judged], "request_id": request_id}
        return json_response(told)

    async def answer(request: Request, asked: Asked, image_bytes: int) -> Any:
        wanted = await _in_time(asked, read_wanted(request, services, image_bytes))
        judged = await while_there(request, _judged(request, services, asked, wanted))
        if sum(one.record.frames for one in judged) > _MANY_FRAMES:
            return await asyncio.to_thread(rendered, judged, asked.id)
        return rendered(judged, asked.id)

    async def scan(request: Request, asked: Asked) -> Any:
        """Scan images: a form of files, the bytes of one, or JSON with data and URLs."""
        return await answer(request, asked, limits.body_bytes)

    async def scan_video(request: Request, asked: Asked) -> Any:
        """Scan one video: more bytes and more time than for images."""
        more = limits.video_seconds - limits.seconds
        longer = dataclasses.replace(asked, deadline=asked.deadline + more)
        return await answer(request, longer, limits.video_bytes)

    for path, endpoint in (("/v1/scan", scan), ("/v1/scan/video", scan_video)):
        made.add_api_route(
            path,
            for_scope(services, Scope.SCAN, endpoint),
            methods=["POST"],
            response_class=json_response,
            responses={200: _ANSWER, **errors(*GUARDED)},
            openapi_extra={"parameters": _PARAMETERS, "requestBody": _body(path)},
        )
    return made  # type: ignore[no-any-return]


async def _judged(
    request: Request, services: Services, asked: Asked, wanted: Wanted
) -> list[Judged]:
    policy = chosen_policy(services, wanted.policy, wanted.categories)
    items = await _in_time(asked, items_of(request, services, asked, wanted))
    subjects = [picture.subject for picture in wanted.images]
    model = wanted.model
    del wanted  # the bytes are the Items' now
    return await judge(services, asked, items, model, policy, subjects)


async def _in_time(asked: Asked, work: Any) -> Any:
    try:
        async with asyncio.timeout(asked.seconds):
            return await work
    except TimeoutError as error:
        raise Refusal("not answered in its time", code="request_timeout") from error


def _body(path: str) -> dict[str, Any]:
    example = {"images": [{"data_uri": TINY_PNG, "key": "avatar-7"}], "policy": "strict"}
    raw = ("video/*",) if path.endswith("video") else ("image/*",)
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/json": {"schema": schema_of(scan_request()), "example": example},
            **dict.fromkeys((*raw, "application/octet-stream"), _BYTES),
        },
    }

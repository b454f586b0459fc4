"""``POST /v1/moderations``: as OpenAI's clients ask and expect to be answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from vedette.errors import UnknownNameError
from vedette.extras import require
from vedette.serve.context import Asked, for_scope, while_there
from vedette.serve.described import GUARDED, errors
from vedette.serve.json_body import read_json, schema_of
from vedette.serve.judging import Judged, admit, chosen_policy, judge
from vedette.serve.moderation_request import Moderated, moderated, moderation_request
from vedette.serve.openai_form import COUNTED, keys_table, own_model, result_of
from vedette.serve.openapi import TINY_PNG
from vedette.serve.reading import Wanted, items_of
from vedette.serve.record_schema import RECORD
from vedette.serve.refusals import Refusal
from vedette.serve.services import Scope, Services

if TYPE_CHECKING:
    from fastapi import APIRouter, Request


_DESCRIPTION = f"""\
Moderate images as OpenAI's API does: its clients work with `base_url` set to this service's `/v1`.

A list of parts is one input and has one result, over all its images: a score is the highest of
them. There may be several images, where OpenAI takes one. A text is one input; a list of texts is
one for each. A result is `flagged` where the policy's action is not `allow`.

**Text is not scanned**, since there is no model for it here. It is never passed as safe: an input
with text in it is flagged, all scores of a text are 0 and no input type is applied. Who has the
text beside images moderated elsewhere says so with `"text": "ignore"` or the header
`X-Vedette-Text: ignore`; then the images decide. An image that cannot be fetched or decoded is
flagged, too. `vedette.not_scanned` says for each part that nobody looked at why that is.

{keys_table()}

Where nothing is counted for a key its score is always 0: `sexual/minors` is **never** judged here.
Clients check input types against OpenAI's own, which know no image for `hate`, `harassment` and
`illicit`: what the model has looked for is in `vedette.covered`. Each image's Record, with the id
of its kept decision, is in `vedette.records`. A model's name may
be one of `/v1/models`; `omni-moderation-*` and `text-moderation-*` stand for the first of them.
Fields that are not known are ignored.
"""


def router(services: Services) -> APIRouter:
    """The endpoint over some services."""
    fastapi: Any = require("fastapi", extra="serve")
    json_response: Any = require("fastapi.responses", extra="serve").JSONResponse
    made = fastapi.APIRouter(tags=["moderations"])

    async def moderations(request: Request, asked: Asked) -> Any:
        """Moderate images as OpenAI's API does; text is answered as not scanned, and flagged."""
        try:
            async with asyncio.timeout(asked.seconds):
                body = await read_json(request, moderation_request())
                most = services.options.limits.body_bytes
                wanted = await asyncio.to_thread(moderated, body, request.headers, most)
                del body
                told = await while_there(request, _answer(request, services, asked, wanted))
        except TimeoutError as error:
            raise Refusal("not answered in its time", code="request_timeout") from error
        return json_response(told)

    made.add_api_route(
        "/v1/moderations",
        for_scope(services, Scope.SCAN, moderations),
        methods=["POST"],
        description=_DESCRIPTION,
        response_class=json_response,
        responses={200: _described(), **errors(*GUARDED)},
        openapi_extra={"parameters": _HEADERS, "requestBody": _body()},
    )
    return made  # type: ignore[no-any-return]


async def _answer(
    request: Request, services: Services, asked: Asked, wanted: Moderated
) -> dict[str, Any]:
    policy = chosen_policy(services, wanted.policy, wanted.categories)
    model = own_model(wanted.model) or services.engine.default
    cards = services.engine.models
    if model not in cards:
        raise UnknownNameError("model", model, cards)
    pictures = tuple(picture for one in wanted.inputs for picture in one.images)
    judged: list[Judged] = []
    if pictures:
        items = await items_of(request, services, asked, Wanted(pictures))
        subjects = [wanted.subject] * len(items)
        judged = await judge(services, asked, items, model, policy, subjects)
    else:
        await admit(services, asked, 1)  # an answer that costs nothing counts as one image
    left = iter(judged)
    return {
        "id": f"modr-{asked.id}",
        "model": cards[model].model,
        "results": [
            result_of([next(left) for _ in one.images], one.texts, policy, wanted.text_counts)
            for one in wanted.inputs
        ],
    }


_HEADERS = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "schema": schema,
        "description": told,
    }
    for name, schema, told in (
        ("X-Vedette-Policy", {"type": "string"}, "As the field policy, for all of a client's."),
        (
            "X-Vedette-Text",
            {"type": "string", "enum": ["flag", "ignore"]},
            "As the field text, for all of a client's.",
        ),
    )
]


def _body() -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": TINY_PNG}}]
    example = {"model": "omni-moderation-latest", "input": parts}
    content = {"schema": schema_of(moderation_request()), "example": example}
    return {"required": True, "content": {"application/json": content}}


def _described() -> dict[str, Any]:
    def keyed(value: dict[str, Any]) -> dict[str, Any]:
        keys = list(COUNTED)
        return {"type": "object", "required": keys, "properties": dict.fromkeys(keys, value)}

    score = {"type": "number", "minimum": 0, "maximum": 1}
    types = {"type": "array", "items": {"type": "string", "enum": ["image"]}}
    own = {
        "action": {"type": "string", "enum": ["allow", "review", "block"]},
        "policy": {"type": "string"},
        "scanned": {"type": "boolean"},
        "not_scanned": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "type", "why"],
                "properties": {
                    "index": {"type": "integer"},
                    "type": {"type": "string", "enum": ["text", "image_url"]},
                    "why": {"type": "string"},
                },
            },
        },
        "covered": {"type": "array", "items": {"type": "string"}},
        "records": {"type": "array", "items": RECORD},
    }
    result = {
        "flagged": {"type": "boolean"},
        "categories": keyed({"type": "boolean"}),
        "category_scores": keyed(score),
        "category_applied_input_types": keyed(types),
        "vedette": {"type": "object", "required": list(own), "properties": own},
    }
    results = {"type": "object", "required": list(result), "properties": result}
    answer = {
        "id": {"type": "string"},
        "model": {"type": "string"},
        "results": {"type": "array", "items": results},
    }
    schema = {"type": "object", "required": list(answer), "properties": answer}
    return {
        "description": "One result for each input.",
        "content": {"application/json": {"schema": schema, "example": example()}},
    }


def example() -> dict[str, Any]:
    """An answer about one picture, for the OpenAPI."""
    p = {"sexual": 0.912}
    return {
        "id": "modr-5f0c6f2c0c5b4a0f8c7b0d5e1f2a3b4c",
        "model": "nudenet-320n@3.4.2",
        "results": [
            {
                "flagged": True,
                "categories": {key: key in p for key in COUNTED},
                "category_scores": {key: p.get(key, 0.0) for key in COUNTED},
                "category_applied_input_types": {
                    key: ["image"] if key in p else [] for key in COUNTED
                },
                "vedette": {
                    "action": "block",
                    "policy": "default@1",
                    "scanned": True,
                    "not_scanned": [],
                    "covered": list(p),
                    "records": [],
                },
            }
        ],
    }

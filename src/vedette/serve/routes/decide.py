"""``POST /v1/decide``: stored Records under another policy, without a model."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from vedette import wire
from vedette.extras import require
from vedette.policy import Policy
from vedette.serve.context import Asked, for_scope
from vedette.serve.described import GUARDED, errors
from vedette.serve.json_body import NAME_LENGTH, read_json, schema_of
from vedette.serve.judging import chosen_policy, count
from vedette.serve.record_schema import RECORD, answer_of_records
from vedette.serve.refusals import Refusal
from vedette.serve.services import Scope, Services
from vedette.types import Action, Verdict

if TYPE_CHECKING:
    from fastapi import APIRouter, Request

MOST_RECORDS = 1000
MOST_BYTES = 16 * 2**20
_TOLD = 160
_LIST_ACTIONS = {"allow": Action.ALLOW, "block": Action.BLOCK, "quarantine": Action.BLOCK}


def router(services: Services) -> APIRouter:
    """The endpoint over some services."""
    fastapi: Any = require("fastapi", extra="serve")
    json_response: Any = require("fastapi.responses", extra="serve").JSONResponse
    made = fastapi.APIRouter(tags=["decide"])

    async def decide(request: Request, asked: Asked) -> Any:
        """Decide stored Records again; nothing is scanned, and nothing is kept."""
        try:
            async with asyncio.timeout(asked.seconds):
                body = await read_json(request, decide_request(), MOST_BYTES)
                policy = chosen_policy(services, body.policy, body.categories)
                await count(services, asked, 1)  # a request costs as much as one image
                records = await asyncio.to_thread(_decided, body.records, policy)
        except TimeoutError as error:
            raise Refusal("not answered in its time", code="request_timeout") from error
        return json_response({"records": records, "request_id": asked.id})

    made.add_api_route(
        "/v1/decide",
        for_scope(services, Scope.SCAN, decide),
        methods=["POST"],
        response_class=json_response,
        responses={200: _ANSWER, **errors(*GUARDED)},
        openapi_extra={"requestBody": _body()},
    )
    return made  # type: ignore[no-any-return]


@cache
def decide_request() -> Any:
    """The pydantic model of the body; it is in the OpenAPI, too."""
    pydantic: Any = require("pydantic", extra="serve")
    field = pydantic.Field

    class DecideRequest(pydantic.BaseModel):  # type: ignore[misc]
        """Records, and what to decide by."""

        model_config = pydantic.ConfigDict(extra="forbid", strict=True)
        records: list[dict[str, Any]] = field(
            min_length=1,
            max_length=MOST_RECORDS,
            description="As /v1/scan answers them, or lines of a JSONL file.",
        )
        policy: str | None = field(
            None, max_length=NAME_LENGTH, description="One of GET /v1/policies; the first if none."
        )
        categories: list[Annotated[str, field(max_length=NAME_LENGTH)]] | None = field(
            None, max_length=64, description="Only these of the policy's."
        )

    return DecideRequest


def _decided(given: list[dict[str, Any]], policy: Policy) -> list[dict[str, Any]]:
    return [again(one, policy, f"records.{place}") for place, one in enumerate(given)]


def again(given: Mapping[str, Any], policy: Policy, where: str) -> dict[str, Any]:
    """One Record's JSON object under the policy.

    Raises:
        Refusal: ``bad_record``.
    """
    try:
        record = wire.from_dict(given)
        listed = given.get("listed")
        if listed is None:
            return {**wire.to_dict(policy.apply(record)), "listed": None}
        by_list = _LIST_ACTIONS[listed["kind"]]
        hit = {name: _text(listed[name]) for name in ("list", "kind", "match")}
        if record.failure is not None or record.scores is not None or record.regions:
            # A list decides alone: else its "allow" would hide what a model, or nobody, has seen.
            raise ValueError("listed, and yet with scores, regions or a failure")
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        told = f"{where}: not a Record: {type(error).__name__}: {str(error)[:_TOLD]}"
        raise Refusal(told, code="bad_record", param=where) from error
    # No model has seen it: what a hash list stopped, or let through, no policy changes.
    told_by_list = dataclasses.replace(record, verdict=Verdict(by_list, (), policy.id))
    return {**wire.to_dict(told_by_list), "listed": hit}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("listed holds what is no text")
    return value


_RECORD = {
    "key": "a/b.jpg",
    "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "format": "JPEG",
    "width": 640,
    "height": 480,
    "frames": 1,
    "action": "review",
    "reasons": [{"category": "Sexual", "p": 0.71, "threshold": 0.5}],
    "scores": {"Sexual": 0.71},
    "regions": [],
    "models": ["nudenet-320n@3.4.2"],
    "policy": "default@1",
    "calibrated": None,
    "failure": None,
    "times_ms": {"decode": 3.1, "infer": 4.0},
}
_AGAIN = {
    **_RECORD,
    "action": "block",
    "reasons": [{"category": "Sexual", "p": 0.71, "threshold": 0.5}],
    "policy": "strict@1",
    "listed": None,
}
_ANSWER = answer_of_records(
    "The Records in order, decided by the policy; docs/record.md has the keys.", _AGAIN
)


def _body() -> dict[str, Any]:
    schema = schema_of(decide_request())
    schema["properties"]["records"]["items"] = RECORD
    content = {
        "schema": schema,
        "example": {"records": [_RECORD], "policy": "strict"},
    }
    return {"required": True, "content": {"application/json": content}}

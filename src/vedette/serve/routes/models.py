"""``GET /v1/models`` and ``/v1/policies``: what a caller may name, and what it stands for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from vedette.errors import UnknownNameError
from vedette.extras import require
from vedette.models.base import ModelCard
from vedette.models.registry import entries
from vedette.policy import Policy, RegionRule, Rule
from vedette.policy_toml import policy_toml
from vedette.serve.context import Asked, for_scope
from vedette.serve.described import errors
from vedette.serve.hashing import policy_hash
from vedette.serve.openai_form import COUNTED
from vedette.serve.refusals import Refusal
from vedette.serve.services import Scope, Services
from vedette.taxonomy import Category

if TYPE_CHECKING:
    from fastapi import APIRouter, Request

_UNDATED = 0
"""``created`` must be a number for OpenAI's clients, and a card has no date."""


def router(services: Services) -> APIRouter:
    """The endpoints over some services."""
    fastapi: Any = require("fastapi", extra="serve")
    json_response: Any = require("fastapi.responses", extra="serve").JSONResponse
    made = fastapi.APIRouter(tags=["models"])

    async def models(request: Request, asked: Asked) -> Any:
        """List the models that requests may name; the first is the default."""
        cards, calibrated = services.engine.models.items(), services.engine.calibrated
        return json_response(
            _list([model_dict(name, card, calibrated[name]) for name, card in cards])
        )

    async def model(request: Request, asked: Asked) -> Any:
        """Describe one model."""
        name = request.path_params["model"]
        cards = services.engine.models
        if name not in cards:
            raise _nothing("model", name, list(cards))
        return json_response(model_dict(name, cards[name], services.engine.calibrated[name]))

    async def policies(request: Request, asked: Asked) -> Any:
        """List the policies that requests may name; the first is the default."""
        told = await asyncio.to_thread(_policies, services)
        return json_response(_list(told))

    a_model = _a_model()
    name = {
        "name": "model",
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": "Its id, as the list has it.",
    }
    for path, endpoint, answer, parameters in (
        ("/v1/models", models, _listed(a_model), []),
        ("/v1/models/{model:path}", model, a_model, [name]),
        ("/v1/policies", policies, _listed(_a_policy()), []),
    ):
        statuses = (401, 403, 404) if parameters else (401, 403)
        made.add_api_route(
            path,
            for_scope(services, Scope.SCAN, endpoint),
            methods=["GET"],
            response_class=json_response,
            responses={200: answer, **errors(*statuses)},
            openapi_extra={"parameters": parameters},
        )
    return made  # type: ignore[no-any-return]


def model_dict(name: str, card: ModelCard, calibrated: str | None) -> dict[str, Any]:
    """A model as OpenAI's clients read one, with the facts of its card.

    Args:
        name: that callers use.
        card: of the model.
        calibrated: name of the calibration that its scores state; None: they are not calibrated.
    """
    covered = card.covered
    return {
        "id": name,
        "object": "model",
        "created": _UNDATED,
        "owned_by": "vedette",
        "model": card.model,
        "revision": card.revision,
        "summary": card.summary,
        "covered": [category.value for category in covered],
        "moderation_keys": [key for key, category in COUNTED.items() if category in covered],
        "licence": card.licence,
        "terms": card.terms,
        "commercial": card.commercial,
        "trained_on": card.trained_on,
        "source": card.source,
        "sha256": card.sha256,
        "precisions": list(card.precisions),
        "calibrated": calibrated,
        "measured": card.measured,
    }


def policy_dict(name: str, policy: Policy, sha256: str) -> dict[str, Any]:
    """A policy with its thresholds, and its text for who wants to keep or change it."""
    return {
        "id": name,
        "object": "policy",
        "name": policy.name,
        "version": policy.version,
        "description": policy.description,
        "on_failure": policy.on_failure.value,
        "on_uncovered": policy.on_uncovered.value,
        "calibrated": policy.calibrated,
        "categories": {c.value: _rule(rule) for c, rule in policy.categories.items()},
        "regions": {
            label: {"category": region.category.value, **_rule(region.rule)}
            for label, region in policy.regions.items()
        },
        "text": policy_toml(policy),
        "sha256": sha256,
    }


def _policies(services: Services) -> list[dict[str, Any]]:
    return [
        policy_dict(name, policy, services.policy_sha256(policy))
        for name, policy in services.policies.items()
    ]


def _rule(rule: Rule) -> dict[str, Any]:
    return {"review": rule.review, "block": rule.block, "reason": rule.reason}


def _list(data: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": data}


def _nothing(kind: str, name: str, known: list[str]) -> Refusal:
    told = UnknownNameError(kind, name[:80], known)
    return Refusal(told.message, code="not_found", hint=told.hint, param=kind)


def _object(example: dict[str, Any], *nullable: str) -> dict[str, Any]:
    """An answer's description, its schema read off the example."""
    names = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}
    properties = {
        key: {"type": [names[type(value)] if value is not None else "string", "null"]}
        if key in nullable
        else {"type": names[type(value)]}
        for key, value in example.items()
    }
    schema = {"type": "object", "required": list(example), "properties": properties}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"description": "What it is.", "content": content}


def _listed(one: dict[str, Any]) -> dict[str, Any]:
    content = one["content"]["application/json"]
    schema = {
        "type": "object",
        "required": ["object", "data"],
        "properties": {
            "object": {"type": "string", "enum": ["list"]},
            "data": {"type": "array", "items": content["schema"]},
        },
    }
    example = _list([content["example"]])
    return {
        "description": "All of them.",
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _a_model() -> dict[str, Any]:
    return _object(model_dict("nudenet", entries()["nudenet"].card, None), "sha256", "calibrated")


def _a_policy() -> dict[str, Any]:
    rule = Rule(0.5, 0.8)
    label = RegionRule(Category.SEXUAL, Rule(0.6, None, "covered, but close"))
    regions = {"FEMALE_BREAST_COVERED": label}
    mine = Policy("mine", "1", {Category.SEXUAL: rule}, regions, description="Nudity only.")
    return _object(policy_dict("mine", mine, policy_hash(mine)), "calibrated")

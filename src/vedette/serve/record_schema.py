"""JSON Schema of a Record, for the OpenAPI; docs/record.md says what the keys mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vedette.errors import CODES
from vedette.taxonomy import Category
from vedette.types import Action

_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_COUNT = {"type": "integer"}
_MAYBE_COUNT = {"type": ["integer", "null"]}
_NUMBER = {"type": "number"}
_P = {"type": "number", "minimum": 0, "maximum": 1}
_CATEGORY = {"type": "string", "enum": [category.value for category in Category]}


def _object(needed: Mapping[str, Any], others: Mapping[str, Any] | None = None) -> dict[str, Any]:
    properties = {**needed, **(others or {})}
    return {"type": "object", "required": list(needed), "properties": properties}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _by_category(value: Mapping[str, Any]) -> dict[str, Any]:
    properties = {category.value: value for category in Category}
    return {"type": "object", "properties": properties, "additionalProperties": False}


_REASON = _object(
    {"category": _CATEGORY, "p": _P, "threshold": _P}, {"label": _TEXT, "text": _TEXT}
)
_BOX = {"type": "array", "items": _COUNT, "minItems": 4, "maxItems": 4}
_REGION = _object({"label": _TEXT, "score": _P, "box": _BOX}, {"frame": _COUNT})
_FAILURE = _object(
    {"stage": _TEXT, "code": {"type": "string", "enum": list(CODES)}, "message": _TEXT}
)
_FRAME = _object(
    {
        "frame": _COUNT,
        "time_s": {**_NUMBER, "type": ["number", "null"]},
        "scores": _by_category(_P),
    }
)
_LISTED = _object(
    {
        "list": _TEXT,
        "kind": {"type": "string", "enum": ["allow", "block", "quarantine"]},
        "match": {"type": "string", "enum": ["sha256", "pdq"]},
    }
)
_ALWAYS: Mapping[str, Any] = {
    "key": _TEXT,
    "sha256": _MAYBE_TEXT,
    "format": _MAYBE_TEXT,
    "width": _MAYBE_COUNT,
    "height": _MAYBE_COUNT,
    "frames": _COUNT,
    "action": {"type": "string", "enum": [action.value for action in Action]},
    "reasons": _list(_REASON),
    "scores": _by_category(_P),
    "regions": _list(_REGION),
    "models": _list(_TEXT),
    "policy": _TEXT,
    "calibrated": _MAYBE_TEXT,
    "failure": {**_FAILURE, "type": ["object", "null"]},
    "times_ms": {"type": "object", "additionalProperties": _NUMBER},
}
_SOMETIMES: Mapping[str, Any] = {
    "labels": _by_category(_TEXT),
    "timeline": _list(_FRAME),
    "embedding": _list(_NUMBER),
    "decision_id": {**_TEXT, "description": "Of the kept decision."},
    "listed": {
        **_LISTED,
        "type": ["object", "null"],
        "description": "The hash list that has decided: then no model has seen the image.",
    },
}

RECORD: Mapping[str, Any] = {"title": "Record", **_object(_ALWAYS, _SOMETIMES)}
"""What is answered for one image, and what can be decided again."""


def answer_of_records(description: str, example: Mapping[str, Any]) -> dict[str, Any]:
    """What the OpenAPI says about an answer that is a list of Records; the example is of one."""
    needed = {"records": _list(RECORD), "request_id": _TEXT}
    told = {"records": [example], "request_id": "5f0c6f2c0c5b4a0f8c7b0d5e1f2a3b4c"}
    content = {"application/json": {"schema": _object(needed), "example": told}}
    return {"description": description, "content": content}

"""What the OpenAPI says about answers and bodies, the same for every endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MEANING = {
    400: "The request is wrong; the message says what.",
    401: "No key, or one that is not valid.",
    403: "The key has not the scope.",
    404: "There is nothing of that name.",
    408: "The body came too slowly.",
    413: "Too many bytes or images.",
    415: "A body of a kind that is not taken.",
    429: "The key has asked for more than it may; see Retry-After.",
    500: "A defect of the service.",
    503: "Overloaded, going down, or decisions cannot be kept; see Retry-After.",
    504: "Not answered in its time.",
}

ERROR: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code", "hint", "request_id"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
                "hint": {"type": ["string", "null"]},
                "request_id": {"type": "string"},
            },
        }
    },
}
"""JSON Schema of every answer that is not a success."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For FastAPI's ``responses``: these statuses, and those that any endpoint may answer with."""
    told = {400, 500, 503, *statuses}
    example = {
        "error": {
            "message": "too many images are waiting",
            "type": "server_error",
            "param": None,
            "code": "overloaded",
            "hint": "wait as long as Retry-After says; run more replicas",
            "request_id": "5f0c6f2c0c5b4a0f8c7b0d5e1f2a3b4c",
        }
    }
    content = {"application/json": {"schema": ERROR, "example": example}}
    return {
        status: {"description": _MEANING[status], "content": content} for status in sorted(told)
    }


GUARDED = (401, 403, 408, 413, 415, 429, 504)
"""Statuses of an endpoint that needs a key, reads a body and scans."""

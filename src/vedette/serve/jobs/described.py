"""What the OpenAPI says about the endpoints of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vedette.serve.jobs.job import State
from vedette.serve.jobs.reading import ARCHIVES
from vedette.serve.record_schema import RECORD

_EXAMPLE = {
    "id": "019aa6b4c0de5f0c6f2c0c5b4a0f8c7b",
    "state": "running",
    "created": "2025-11-21T15:00:00.000+00:00",
    "ended": None,
    "key_id": "3f9a1c0b7e42",
    "model": "nudenet",
    "policy": "default",
    "categories": None,
    "items": 2000,
    "done": 1204,
    "actions": {"allow": 1172, "block": 9, "review": 23},
    "failures": {"truncated": 2},
    "webhook": "waiting",
}
_TEXT: Mapping[str, Any] = {"type": "string"}
_COUNTS: Mapping[str, Any] = {"type": "object", "additionalProperties": {"type": "integer"}}
_JOB: Mapping[str, Any] = {
    "title": "Job",
    "type": "object",
    "required": list(_EXAMPLE),
    "properties": {
        "id": _TEXT,
        "state": {"type": "string", "enum": [state.value for state in State]},
        "created": _TEXT,
        "ended": {"type": ["string", "null"]},
        "key_id": _TEXT,
        "model": _TEXT,
        "policy": _TEXT,
        "categories": {"type": ["array", "null"], "items": _TEXT},
        "items": {"type": "integer"},
        "done": {"type": "integer", "description": "Images with a result."},
        "actions": _COUNTS,
        "failures": {**_COUNTS, "description": "By code; these images have an action, too."},
        "webhook": {"type": ["string", "null"], "description": "waiting, delivered or failed"},
    },
}
_URLS = {
    "images": [{"url": "https://images.example.org/7.jpg", "key": "avatar-7", "subject": "user-7"}],
    "policy": "default",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What is said about one endpoint."""

    answers: dict[int | str, dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)


def _json(schema: Mapping[str, Any], example: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema, "example": example}}


def _parameter(name: str, where: str, told: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "schema": schema,
        "description": told,
    }


def _body() -> dict[str, Any]:
    from vedette.serve.jobs.reading import job_request
    from vedette.serve.json_body import schema_of

    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": schema_of(job_request()), "example": _URLS},
            **dict.fromkeys(ARCHIVES, binary),
        },
    }


_OF_A_JOB = [_parameter("job_id", "path", "Its id.", _TEXT)]
_A_JOB = {"description": "The job.", "content": _json(_JOB, _EXAMPLE)}
_OPTIONS = (
    ("name", "Of the archive: keys begin with it."),
    ("model", "One of GET /v1/models."),
    ("policy", "One of GET /v1/policies."),
    ("categories", "Only these of the policy's, with commas between."),
    ("webhook", "Is sent a signed POST when the job ends."),
)


def create() -> Told:
    """``POST /v1/jobs``; made late, since pydantic comes with it."""
    told = [
        _parameter(name, "query", f"{what} Where the body is an archive.", _TEXT)
        for name, what in _OPTIONS
    ]
    made = {"description": "The job has been made.", "content": _json(_JOB, _EXAMPLE)}
    return Told({202: made}, {"parameters": told, "requestBody": _body()})


PAGE = Told(
    {
        200: {
            "description": "Jobs, the newest first.",
            "content": _json(
                {
                    "type": "object",
                    "required": ["jobs", "next"],
                    "properties": {
                        "jobs": {"type": "array", "items": _JOB},
                        "next": {
                            "type": ["string", "null"],
                            "description": "`before` of the next page; null: there is none.",
                        },
                    },
                },
                {"jobs": [_EXAMPLE], "next": None},
            ),
        }
    },
    {
        "parameters": [
            _parameter("limit", "query", "Jobs, 1 to 100.", {"type": "integer", "default": 20}),
            _parameter("before", "query", "`next` of the page before.", _TEXT),
        ]
    },
)
GET = CANCEL = Told({200: _A_JOB}, {"parameters": _OF_A_JOB})
RESULTS = Told(
    {
        200: {
            "description": "The Records that there are; docs/record.md has the keys.",
            "content": {
                "application/x-ndjson": {"schema": RECORD},
                "application/vnd.apache.parquet": {
                    "schema": {"type": "string", "format": "binary"}
                },
            },
        }
    },
    {
        "parameters": [
            *_OF_A_JOB,
            _parameter(
                "format",
                "query",
                "Parquet once the job has ended.",
                {"type": "string", "enum": ["jsonl", "parquet"], "default": "jsonl"},
            ),
        ]
    },
)
SECRET = Told(
    {
        200: {
            "description": "The key's secret; see docs/jobs.md.",
            "content": _json(
                {"type": "object", "required": ["secret"], "properties": {"secret": _TEXT}},
                {"secret": "whsec_..."},
            ),
        }
    }
)

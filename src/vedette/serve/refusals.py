"""Refused requests: one shape, whatever is wrong, with the status that says whose fault it is."""

from __future__ import annotations

import math
from typing import Any

from vedette.errors import CODES, VedetteError

_STATUS = {
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "too_large": 413,
    "unsupported_media": 415,
    "rate_limited": 429,
    "overloaded": 503,
    "shutting_down": 503,
    "request_timeout": 504,
    "slow_body": 408,
    "cancelled": 499,
    "write_failed": 503,
    "no_database": 503,
    "internal": 500,
    "missing_extra": 500,
    "backend_failed": 500,
    "weights_missing": 500,
    "weights_altered": 500,
    "weights_unusable": 500,
    "bad_audit": 500,
}
"""By code; what is not here is the caller's mistake: 400."""
_HINTS = {
    "usage": "see docs/api.md, or GET /openapi.json",
    "not_found": "see GET /openapi.json for what there is",
    "unknown_name": "see GET /v1/models and GET /v1/policies",
}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "server_error",
}
"""As OpenAI's clients tell errors apart; anything else is ``invalid_request_error``."""


class Refusal(VedetteError):
    """A request that is not answered as asked.

    Args:
        message: one line, for the caller; never holds a key, a URL's query or an image.
        code: of :data:`vedette.errors.CODES`.
        hint: what to do next.
        param: the field that is wrong.
        retry_after_s: when to try again.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        hint: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """The HTTP status."""
        return status_of(self.code)


def status_of(code: str) -> int:
    """The HTTP status of an error code."""
    return _STATUS.get(code, 400)


def body_of(error: VedetteError, request_id: str) -> dict[str, Any]:
    """The answer's JSON: OpenAI's shape, with the hint and the request's id."""
    status = status_of(error.code)
    return {
        "error": {
            "message": error.message,
            "type": _TYPES.get(status, "invalid_request_error"),
            "param": getattr(error, "param", None),
            "code": error.code,
            "hint": _hint(error),
            "request_id": request_id,
        }
    }


def _hint(error: VedetteError) -> str:
    """What to do next, for who calls over HTTP: some codes are of the command line, too."""
    usual = error.hint == CODES[error.code][1]
    return _HINTS.get(error.code, error.hint) if usual else error.hint


def headers_of(error: VedetteError) -> dict[str, str]:
    """The answer's headers beside those of every answer."""
    found: dict[str, str] = {}
    wait: float | None = getattr(error, "retry_after_s", None)
    if wait is not None:
        found["Retry-After"] = str(max(1, math.ceil(wait)))
    if status_of(error.code) == 401:
        found["WWW-Authenticate"] = "Bearer"
    return found

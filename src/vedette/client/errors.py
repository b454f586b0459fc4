"""What a client raises where the service gave no answer that can be used.

::

    VedetteError
    └── ServiceError           no answer that can be used
        ├── RefusedError       the service answered that it does not do it
        ├── UnansweredError    it could not be reached, or broke off, or took too long
        └── BadAnswerError     what came is not an answer of such a service
"""

from __future__ import annotations

from vedette.errors import VedetteError


class ServiceError(VedetteError):
    """The service gave no answer that can be used: nothing is known of the images asked about."""

    default_code = "unreachable"
    status: int | None = None
    """The HTTP status, where there was one."""
    request_id: str | None = None
    """By which the service's log and its decisions know the request."""
    param: str | None = None
    """The field of the request that is wrong."""
    retry_after_s: float | None = None
    """When to try again, where the service says so."""


class RefusedError(ServiceError):
    """The service has refused the request; ``code`` is the service's own."""

    default_code = "internal"


class UnansweredError(ServiceError):
    """No answer came: no connection, one that broke off, or too long a silence."""


class BadAnswerError(ServiceError):
    """Something answered, and not as such a service does. It is never read as a verdict."""

    default_code = "bad_answer"

"""Answers as data: what came, what it says, and whether it can be one at all.

Nothing in an answer is taken on trust: a Record that does not fit what was asked about, or that
allows what nobody looked at, is no answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, TypeVar

from vedette import wire
from vedette.client.errors import BadAnswerError, RefusedError, ServiceError
from vedette.errors import CODES, PolicyError
from vedette.policy import Policy, parse_policy
from vedette.taxonomy import Category
from vedette.text import printable
from vedette.types import Action, Record

T = TypeVar("T")
_MESSAGE_LENGTH = 500
_CODES = {
    400: "usage",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    408: "slow_body",
    413: "too_large",
    415: "unsupported_media",
    429: "rate_limited",
    500: "internal",
    503: "overloaded",
    504: "request_timeout",
}
"""Of a refusal that says none: a proxy's, for one."""
_MALFORMED = (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading JSON that is not as it should be can raise."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    """Empty, where it went into a file."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the service says about one image."""

    record: Record
    decision: str | None = None
    """The id of the decision that the service keeps; None: it keeps none of this one."""
    listed: Mapping[str, str] | None = None
    """``list``, ``kind`` and ``match`` of the hash list that decided: no model saw the image."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that requests may name."""

    id: str
    """Its name here."""
    model: str
    """``id@revision``, as Records have it."""
    summary: str
    covered: tuple[Category, ...]
    licence: str
    terms: str
    commercial: bool | None
    sha256: str | None
    """Of its weights."""


class JobState(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    """Every image has its result."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """It took too long: images without a result were not scanned."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as it is told."""

    id: str
    state: JobState
    items: int
    done: int
    """Images with a result."""
    actions: Mapping[str, int]
    """Images by action."""
    failures: Mapping[str, int]
    """Images by the code of their failure; they have an action, too, which is never ``allow``."""
    model: str
    policy: str
    webhook: str | None
    """``waiting``, ``delivered`` or ``failed``; None: none was asked for."""

    @property
    def open(self) -> bool:
        """Whether images of it are still to be scanned."""
        return self.state in (JobState.QUEUED, JobState.RUNNING)


def judged(reply: Reply, keys: Sequence[str]) -> list[Judged]:
    """The outcomes that a reply has for pictures sent under these keys.

    Raises:
        BadAnswerError: they are not as many, in another order, or allow what was not looked at.
    """
    return _read(reply, lambda told: _judged(told["records"], keys))


def models(reply: Reply) -> tuple[ServedModel, ...]:
    """Raises: BadAnswerError: it is no list of models."""
    return _read(reply, lambda told: tuple(map(_model, _list(told["data"]))))


def policies(reply: Reply) -> dict[str, Policy]:
    """The policies by the names that requests may use; the first is the default.

    Raises:
        BadAnswerError: it is no list of policies.
    """
    return _read(
        reply,
        lambda told: {
            _text(one["id"]): parse_policy(_text(one["text"]), f"policy {one['id']!r}")
            for one in _list(told["data"])
        },
    )


def job(reply: Reply) -> JobStatus:
    """Raises: BadAnswerError: it is no job."""
    return _read(reply, _job)


def jobs(reply: Reply) -> tuple[list[JobStatus], str | None]:
    """A page of jobs, and where the next one begins.

    Raises:
        BadAnswerError: it is no such page.
    """
    return _read(
        reply, lambda told: ([_job(one) for one in _list(told["jobs"])], _maybe(told["next"]))
    )


def result(line: bytes) -> Judged:
    """One line of a job's results.

    Raises:
        BadAnswerError: it is no Record.
    """
    return _read(Reply(200, {}, line), _one)


def refusal(reply: Reply) -> ServiceError:
    """The error of a reply that is no success, whatever its body is."""
    error: Mapping[str, Any] = {}
    try:
        told = json.loads(reply.body)["error"]
        error = told if isinstance(told, dict) else {}
    except _MALFORMED:
        pass  # a proxy's page; the status says enough
    code = error.get("code")
    if not isinstance(code, str) or code not in CODES:
        code = _CODES.get(reply.status)
    message = f"the service answered {reply.status}: {_told(error, 'message') or 'nothing more'}"
    hint = _told(error, "hint")
    if code is None:
        made: ServiceError = BadAnswerError(message, hint=hint)
    else:
        if reply.status == 404 and not error:
            hint = "is that the address of a Vedette service?"
        made = RefusedError(message, code=code, hint=hint)
    made.status = reply.status
    made.param = _told(error, "param")
    made.request_id = _told(error, "request_id")
    made.retry_after_s = retry_after(reply.headers.get("retry-after"), datetime.now(UTC))
    return made


def retry_after(told: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` (RFC 9110, 10.2.3) asks to wait; None: it says nothing."""
    if told is None:
        return None
    text = told.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        seconds = (at - now).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _read(reply: Reply, reading: Callable[[Any], T]) -> T:
    try:
        return reading(json.loads(reply.body))
    except (*_MALFORMED, PolicyError) as error:
        told = printable(f"{type(error).__name__}: {error}")[:_MESSAGE_LENGTH]
        made = BadAnswerError(f"the service's answer cannot be read: {told}")
        made.status = reply.status
        made.request_id = reply.headers.get("x-request-id", "")[:64] or None
        raise made from error


def _judged(given: Any, keys: Sequence[str]) -> list[Judged]:
    found = [_one(one) for one in _list(given)]
    if len(found) != len(keys):
        raise ValueError(f"{len(found)} Records for {len(keys)} images")
    for one, key in zip(found, keys, strict=True):
        if one.record.key != key:
            raise ValueError(f"a Record of {one.record.key!r} where {key!r} was asked about")
    return found


def _one(told: Any) -> Judged:
    record = wire.from_dict(told)
    listed = told.get("listed")
    if listed is not None:
        listed = {name: _text(listed[name]) for name in ("list", "kind", "match")}
    looked_at = record.scores is not None or listed is not None
    if record.verdict.action is Action.ALLOW and (record.failure is not None or not looked_at):
        raise ValueError(f"{record.key!r} is allowed, and nobody has looked at it")
    return Judged(record, _maybe(told.get("decision_id")), listed)


def renamed(outcome: Judged, key: str) -> Judged:
    """The outcome under the caller's own key."""
    return replace(outcome, record=replace(outcome.record, key=key))


def _model(told: Any) -> ServedModel:
    commercial = told.get("commercial")
    if not isinstance(commercial, bool | None):
        raise TypeError("commercial is neither true, false nor null")
    return ServedModel(
        _text(told["id"]),
        _text(told["model"]),
        _text(told["summary"]),
        tuple(Category(name) for name in _list(told["covered"])),
        _text(told["licence"]),
        _text(told["terms"]),
        commercial,
        _maybe(told["sha256"]),
    )


def _job(told: Any) -> JobStatus:
    return JobStatus(
        _text(told["id"]),
        JobState(told["state"]),
        _count(told["items"]),
        _count(told["done"]),
        {_text(name): _count(value) for name, value in told["actions"].items()},
        {_text(name): _count(value) for name, value in told["failures"].items()},
        _text(told["model"]),
        _text(told["policy"]),
        _maybe(told["webhook"]),
    )


def _told(error: Mapping[str, Any], name: str) -> str | None:
    value = error.get(name)
    return printable(value)[:_MESSAGE_LENGTH] if isinstance(value, str) and value else None


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"a {type(value).__name__} where a list belongs")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where a text belongs")
    return value


def _maybe(value: Any) -> str | None:
    return None if value is None else _text(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value

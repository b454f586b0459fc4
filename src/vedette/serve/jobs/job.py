"""What a job is: as it is asked for, as it is kept, and as its owner sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from vedette.types import Failure


class State(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    """Every image has its result."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """It took too long: images without a result were not scanned."""

    @property
    def open(self) -> bool:
        """Whether images of it are still to be scanned."""
        return self in OPEN


OPEN = frozenset({State.QUEUED, State.RUNNING})


@dataclass(frozen=True, slots=True)
class Given:
    """Where one image is to be had: exactly one of the three."""

    url: str | None = None
    upload: bool = False
    """In the job's folder of uploads, by its place."""
    failure: Failure | None = None
    """Nowhere: why."""

    def to_json(self) -> str:
        """As it is stored."""
        if self.failure is not None:
            told = [self.failure.stage, self.failure.code, self.failure.message]
            return json.dumps({"failure": told})
        return json.dumps({"upload": True} if self.upload else {"url": self.url})

    @classmethod
    def of_json(cls, text: str) -> Given:
        """What :meth:`to_json` made."""
        told = json.loads(text)
        if "failure" in told:
            return cls(failure=Failure(*told["failure"]))
        return cls(told.get("url"), told.get("upload", False))

    def __repr__(self) -> str:
        return "Given(...)"  # a URL's query may be a secret


@dataclass(frozen=True, slots=True)
class NewItem:
    """One image of a job that is to be made."""

    key: str
    given: Given
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is to be made, checked."""

    key_id: str
    """Whose it is."""
    model: str
    policy: str
    """As callers name it."""
    items: tuple[NewItem, ...]
    categories: tuple[str, ...] | None = None
    uploads: str | None = None
    """The id of the folder that holds its images."""
    webhook: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is kept."""

    id: str
    key_id: str
    state: State
    created: float
    """Seconds since 1970, by the database's clock."""
    ended: float | None
    model: str
    policy: str
    categories: tuple[str, ...] | None
    items: int
    done: int
    """Images with a result."""
    uploads: str | None = None
    webhook: str | None = field(default=None, repr=False)
    webhook_state: str | None = None
    webhook_due: float | None = None
    webhook_attempts: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What the results of a job say, so far."""

    actions: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    """By code; these images have an action, too, which is never ``allow``."""


def to_dict(job: Job, counts: Counts) -> dict[str, Any]:
    """The JSON object of an answer. Never a URL: neither the images' nor the webhook's."""
    return {
        "id": job.id,
        "state": job.state.value,
        "created": _iso(job.created),
        "ended": None if job.ended is None else _iso(job.ended),
        "key_id": job.key_id,
        "model": job.model,
        "policy": job.policy,
        "categories": None if job.categories is None else list(job.categories),
        "items": job.items,
        "done": job.done,
        "actions": dict(counts.actions),
        "failures": dict(counts.failures),
        "webhook": _webhook(job),
    }


def _webhook(job: Job) -> str | None:
    """``waiting``, ``delivered`` or ``failed``."""
    return None if job.webhook is None else job.webhook_state or "waiting"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")

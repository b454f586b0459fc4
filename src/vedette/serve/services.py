"""What the endpoints work with: one object for each subject, behind a protocol of a few calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from vedette.hashlists.entries import Listed as Listed  # also a name of this module
from vedette.policy import Policy
from vedette.serve.hashing import policy_hash
from vedette.types import Action, Item

if TYPE_CHECKING:
    from vedette.serve.engine import Engine
    from vedette.serve.jobs.store import JobStore
    from vedette.serve.options import ServeOptions


class Scope(StrEnum):
    """What a key may be used for."""

    SCAN = "scan"
    JOBS = "jobs"
    REVIEW = "review"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    key_id: str
    """Public part of the key; ``open`` where the service answers anybody."""
    name: str
    scopes: frozenset[Scope]
    rate: float | None = None
    """Images per second that the key may ask for, None: the service's default."""


class Keys(Protocol):
    """API keys. Thread-safe."""

    def caller(self, presented: str) -> Caller | None:
        """Who that key is of; None: nobody's, revoked or expired.

        The time that it takes tells nothing of how much of a key is right. A key revoked anywhere
        is refused here within five seconds.
        """
        ...


class Limiter(Protocol):
    """Rates per key, over all replicas of one database. Thread-safe."""

    def limits(self, caller: Caller) -> bool:
        """Whether the caller has a rate at all; answered at once."""
        ...

    def admit(self, caller: Caller, images: int) -> float:
        """Count ``images`` for the caller: 0, or after how many seconds to try again."""
        ...


class Fetcher(Protocol):
    """URLs into bytes, without becoming a door into the network that the service stands in."""

    async def fetch(self, url: str) -> bytes:
        """The bytes at ``url``.

        Raises:
            Refusal: not an address that may be asked.
            FetchError: nothing there, too large, too slow.
        """
        ...


class Lists(Protocol):
    """Hash lists, asked before any model. Thread-safe."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to ask; answered at once."""
        ...

    def check(self, item: Item, sha256: str) -> Listed | None:
        """The gravest hit of an item: quarantine before block before allow; None: in no list.

        Perceptual lists need the picture: it is decoded here where there are some.
        """
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What is kept of one scanned image. Never the image."""

    id: str
    """Of this decision: a second one with it is the same."""
    request_id: str
    time: str
    """UTC, ISO 8601."""
    key_id: str
    subject: str | None
    """Whom it is about, as the caller names them; erased with them."""
    record: Mapping[str, object]
    """The Record's JSON object (:func:`vedette.wire.to_dict`), without embeddings."""
    action: Action
    policy: str
    policy_sha256: str
    listed: Listed | None = None


class Audit(Protocol):
    """Decisions, kept. Thread-safe; never waits for the database."""

    def keep(self, decisions: Sequence[Decision]) -> None:
        """Store decisions for good: when this returns they survive a kill.

        Raises:
            VedetteError: ``write_failed``: neither the database nor the spool takes them.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """All that the endpoints use; made by :mod:`vedette.serve.start`, replaced in tests."""

    options: ServeOptions
    engine: Engine
    policies: Mapping[str, Policy]
    """By the name that callers use."""
    keys: Keys
    limiter: Limiter
    fetcher: Fetcher
    lists: Lists
    audit: Audit
    jobs: JobStore | None = None
    """None: this service takes no jobs."""
    closing: list[object] = field(default_factory=list)
    """Further objects with ``close()``, closed after the last request, in reverse order."""
    _hashes: dict[int, str] = field(default_factory=dict, repr=False)

    def policy_sha256(self, policy: Policy) -> str:
        """Hash over what a policy decides by, so that a stored decision says by which words it was
        made. Of the service's own policies it is worked out once."""
        if not any(policy is one for one in self.policies.values()):
            return policy_hash(policy)  # restricted to what a caller asked for
        if id(policy) not in self._hashes:
            self._hashes[id(policy)] = policy_hash(policy)
        return self._hashes[id(policy)]

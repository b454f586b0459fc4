"""Small in-memory stand-ins for the protocols of vedette.serve.services."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vedette.errors import FetchError, VedetteError
from vedette.policy import PRESETS, Policy, load_policy
from vedette.serve.engine import Engine
from vedette.serve.options import ServeOptions
from vedette.serve.refusals import Refusal
from vedette.serve.services import Caller, Decision, Listed, Scope, Services
from vedette.settings import Settings
from vedette.types import Item

KEY = "vk_test_everything"
SCAN_KEY = "vk_test_scan"
ADMIN_KEY = "vk_test_admin"
USELESS_KEY = "vk_test_nothing"


@dataclass
class FixedKeys:
    """Keys by their text."""

    known: dict[str, Caller] = field(
        default_factory=lambda: {
            KEY: Caller("k-all", "test", frozenset(Scope)),
            SCAN_KEY: Caller("k-scan", "scanner", frozenset({Scope.SCAN})),
            ADMIN_KEY: Caller("k-admin", "admin", frozenset({Scope.ADMIN})),
            USELESS_KEY: Caller("k-none", "nothing", frozenset()),
        }
    )

    def caller(self, presented: str) -> Caller | None:
        return self.known.get(presented)


@dataclass
class CountingLimiter:
    """Lets all in, or after ``allowance`` images nobody."""

    allowance: float = float("inf")
    admitted: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def limits(self, caller: Caller) -> bool:
        return True

    def admit(self, caller: Caller, images: int) -> float:
        with self.lock:
            if self.admitted + images > self.allowance:
                return 7.0
            self.admitted += images
            return 0.0


@dataclass
class FixedFetcher:
    """URLs that are there; any other is not found; what is in ``refused`` is refused."""

    pages: dict[str, bytes] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    async def fetch(self, url: str) -> bytes:
        if url in self.refused:
            raise Refusal("not an address that is fetched", code="url_refused")
        if url not in self.pages:
            raise FetchError("nothing there", code="unreadable")
        return self.pages[url]


@dataclass
class FixedLists:
    """Hits by SHA-256."""

    hits: dict[str, Listed] = field(default_factory=dict)
    empty: bool = False

    def check(self, item: Item, sha256: str) -> Listed | None:
        return self.hits.get(sha256)


@dataclass
class RememberedAudit:
    """Keeps decisions in a list; refuses them while ``broken``."""

    kept: list[Decision] = field(default_factory=list)
    broken: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, decisions: Sequence[Decision]) -> None:
        if self.broken:
            raise VedetteError("no room", code="write_failed")
        with self.lock:
            self.kept.extend(decisions)


def presets() -> Mapping[str, Policy]:
    """Every preset by its name."""
    return {name: load_policy(name) for name in PRESETS}


def services_of(
    options: ServeOptions | None = None,
    settings: Settings | None = None,
    **replaced: object,
) -> Services:
    """Services over the dummy model and these doubles; ``replaced`` fields are given."""
    options = options or ServeOptions(models=("dummy",))
    made = Services(
        options=options,
        engine=replaced.pop("engine", None)  # type: ignore[arg-type]
        or Engine(options.models, settings or Settings(), options.queue),
        policies=presets(),
        keys=FixedKeys(),
        limiter=CountingLimiter(),
        fetcher=FixedFetcher(),
        lists=FixedLists(),
        audit=RememberedAudit(),
    )
    return replace(made, **replaced)  # type: ignore[arg-type]

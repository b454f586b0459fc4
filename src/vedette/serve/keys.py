"""API keys: shown once, stored as hashes, refused everywhere soon after they are revoked.

A key is ``vdt_ID_SECRET``. The id is public: logs and lists name a key by it. The secret is 32
random bytes, of which the SHA-256 is stored: a slow hash protects what people choose and others
can guess, and 2^256 secrets cannot be guessed at any speed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vedette.errors import UsageError
from vedette.extras import require
from vedette.serve.database.store import reading, writing
from vedette.serve.database.tables import metadata
from vedette.serve.refusals import Refusal
from vedette.serve.services import Caller, Scope
from vedette.serve.snapshot import Snapshot
from vedette.text import printable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

REFRESH_S = 2.0
"""How often each process reads the keys: within it, a revoked key is refused."""
TRUST_S = 300.0
"""How long keys that were read are believed while the database is away."""
DAY_S = 86_400.0
_PREFIX = b"vedette api key 1\0"
"""Keeps a stored hash from being one of anything else."""
_KEY = re.compile(r"vdt_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_LENGTH = 60
_NOBODY = ("0" * 64, None)
"""A hash that is nobody's: compared with where the id is unknown, so that this costs the same."""
_NAME = 100
"""Characters of a key's name, at most."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it may be shown: neither its secret nor its hash."""

    id: str
    name: str
    scopes: frozenset[Scope]
    rate: float | None
    """Images per second, None: the service's default."""
    created: float
    """Seconds since 1970, as all times here."""
    expires: float | None
    revoked: float | None
    replaces: str | None
    """The key that it was rotated from."""

    def state(self, now: float) -> str:
        """``valid``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        return "valid" if self.expires is None or now < self.expires else "expired"


class KeyStore:
    """Implements :class:`vedette.serve.services.Keys`, and makes and ends keys.

    :meth:`caller` never waits for the database: a thread reads all keys every ``REFRESH_S``, which
    also makes an unknown id cost the same as a wrong secret. It starts with the first call.

    Args:
        database: of :func:`vedette.serve.database.store.open_database`; not closed here.
        clock: seconds since 1970.
        refresh_s: see :data:`REFRESH_S`.
        trust_s: see :data:`TRUST_S`.
    """

    def __init__(
        self,
        database: Engine,
        clock: Callable[[], float] = time.time,
        refresh_s: float = REFRESH_S,
        trust_s: float = TRUST_S,
    ) -> None:
        self._database = database
        self._clock = clock
        self._trust_s = trust_s
        self._known: Snapshot[Mapping[str, tuple[str, Any]]] = Snapshot(self._all, refresh_s)

    def caller(self, presented: str) -> Caller | None:
        """Who that key is of; None: nobody's, revoked or expired.

        Raises:
            Refusal: ``no_database``: the keys could not be read for ``trust_s``, so nobody is
                let in: a key that was revoked meanwhile would still look valid.
        """
        found = _KEY.fullmatch(presented) if len(presented) == _LENGTH else None
        if found is None:
            return None
        known, age_s = self._known.latest()
        if known is None or age_s > self._trust_s:
            raise Refusal(
                "keys cannot be checked now: the database is away",
                code="no_database",
                retry_after_s=5.0,
            )
        key_id, secret = found[1], found[2]
        stored, row = known.get(key_id, _NOBODY)
        if not matches(key_id, secret, stored) or row is None:
            return None
        info = _info(row)
        if info.state(self._clock()) != "valid":
            return None
        return Caller(info.id, info.name, info.scopes, info.rate)

    def create(
        self,
        name: str,
        scopes: Iterable[Scope],
        *,
        lasts_s: float | None = None,
        rate: float | None = None,
    ) -> tuple[str, KeyInfo]:
        """A new key, which is stored nowhere and cannot be shown again, and what is stored.

        Args:
            name: whose it is or what for; logs and decisions name the key's id.
            scopes: what it may be used for.
            lasts_s: seconds until it expires, None: never.
            rate: images per second, None: the service's default.

        Raises:
            UsageError: no name, no scope, or a lifetime or rate that is not above 0.
            VedetteError: ``no_database``.
        """
        now = self._clock()
        expires = None if lasts_s is None else now + _positive(lasts_s, "a lifetime")
        name, chosen = _checked_name(name), _checked_scopes(scopes)
        if rate is not None:
            _positive(rate, "a rate")
        info = KeyInfo(_new_id(), name, chosen, rate, now, expires, None, None)
        with writing(self._database) as connection:
            key = _insert(connection, info)
        self._known.refresh()
        return key, info

    def rotate(
        self, key_id: str, *, grace_s: float = DAY_S, lasts_s: float | None = None
    ) -> tuple[str, KeyInfo]:
        """A new key for the same use; the old one ends after a time to change over.

        Args:
            key_id: of the old one.
            grace_s: seconds for which the old one stays valid, 0: none.
            lasts_s: seconds until the new one expires, None: as long as the old one was made for.

        Raises:
            UsageError: ``not_found``; ``usage``: it is not valid any more.
            VedetteError: ``no_database``.
        """
        if not 0 <= grace_s < float("inf"):
            raise UsageError("a time of grace is 0 or more")
        now = self._clock()
        with writing(self._database) as connection:
            old = _row(connection, key_id)
            if old.state(now) != "valid":
                raise UsageError(
                    f"the key {old.id} is {old.state(now)}", hint="make a new one with keys create"
                )
            if lasts_s is not None:
                _positive(lasts_s, "a lifetime")
            elif old.expires is not None:
                lasts_s = old.expires - old.created
            expires = None if lasts_s is None else now + lasts_s
            info = replace(old, id=_new_id(), created=now, expires=expires, replaces=old.id)
            key = _insert(connection, info)
            until = now + grace_s if old.expires is None else min(old.expires, now + grace_s)
            _update(connection, old.id, "expires", until)
        self._known.refresh()
        return key, info

    def revoke(self, key_id: str) -> KeyInfo:
        """End a key at once; every replica refuses it within ``REFRESH_S``. It stays listed.

        Raises:
            UsageError: ``not_found``.
            VedetteError: ``no_database``.
        """
        with writing(self._database) as connection:
            old = _row(connection, key_id)
            if old.revoked is None:
                _update(connection, old.id, "revoked", self._clock())
            ended = _row(connection, key_id)
        self._known.refresh()
        return ended

    def list(self) -> tuple[KeyInfo, ...]:
        """All keys, those that have ended too, the oldest first.

        Raises:
            VedetteError: ``no_database``.
        """
        found = (_info(row) for _, row in self._all().values())
        return tuple(sorted(found, key=lambda info: (info.created, info.id)))

    def close(self) -> None:
        """Stop reading the keys."""
        self._known.close()

    def _all(self) -> Mapping[str, tuple[str, Any]]:
        """Hash and row by id; rows as they are: there may be many, and few are asked for."""
        sa: Any = require("sqlalchemy", extra="serve")
        with reading(self._database) as connection:
            rows = connection.execute(sa.select(metadata().tables["api_keys"])).all()
        return {row.id: (row.hash, row) for row in rows}


def digest(key_id: str, secret: str) -> str:
    """What is stored of a secret: SHA-256 over a prefix of our own, the id and the secret."""
    return hashlib.sha256(_PREFIX + f"{key_id}\0{secret}".encode()).hexdigest()


def matches(key_id: str, secret: str, stored: str) -> bool:
    """Whether a secret is the one that a hash was stored of, in constant time."""
    return hmac.compare_digest(digest(key_id, secret), stored)


def _new_id() -> str:
    return secrets.token_hex(6)


def _insert(connection: Connection, info: KeyInfo) -> str:
    """Store a key under a new secret, and give the key."""
    secret = secrets.token_urlsafe(32)
    row = {
        "id": info.id,
        "name": info.name,
        "hash": digest(info.id, secret),
        "scopes": json.dumps(sorted(info.scopes)),
        "rate": info.rate,
        "created": info.created,
        "expires": info.expires,
        "revoked": info.revoked,
        "replaces": info.replaces,
    }
    connection.execute(metadata().tables["api_keys"].insert(), row)
    return f"vdt_{info.id}_{secret}"


def _update(connection: Connection, key_id: str, column: str, value: float) -> None:
    table = metadata().tables["api_keys"]
    connection.execute(table.update().where(table.c.id == key_id).values({column: value}))


def _row(connection: Connection, key_id: str) -> KeyInfo:
    sa: Any = require("sqlalchemy", extra="serve")
    table = metadata().tables["api_keys"]
    chosen = sa.select(table).where(table.c.id == key_id)
    if connection.dialect.name == "postgresql":
        chosen = chosen.with_for_update()  # what is read still holds when it is written
    row = connection.execute(chosen).one_or_none()
    if row is None:
        # Not quoted: somebody may have given the whole key.
        raise UsageError("there is no key of that id", code="not_found", hint="vedette keys list")
    return _info(row)


def _info(row: Any) -> KeyInfo:
    # A scope that this version does not know gives nothing here.
    scopes = frozenset(Scope(one) for one in json.loads(row.scopes) if one in set(Scope))
    return KeyInfo(
        *(row.id, row.name, scopes, row.rate, row.created, row.expires, row.revoked, row.replaces)
    )


def _checked_name(name: str) -> str:
    if not name.strip() or len(name) > _NAME or printable(name) != name:
        raise UsageError(f"a key's name has 1 to {_NAME} printable characters")
    return name.strip()


def _checked_scopes(scopes: Iterable[Scope]) -> frozenset[Scope]:
    chosen = frozenset(map(Scope, scopes))
    if not chosen:
        raise UsageError(f"a key has at least one scope: {', '.join(Scope)}")
    return chosen


def _positive(value: float, what: str) -> float:
    if not 0 < value < float("inf"):
        raise UsageError(f"{what} is a number above 0")
    return value

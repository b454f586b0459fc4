"""Chains of hashes: each row of ``decisions`` holds the hash of the one before it.

One chain for each writer, so that no replica waits for another::

    link 0 = SHA-256(["vedette", chain, started])
    link n = SHA-256([link n-1, chain, n, id, time, key_id, action, policy, sha256, digest])
    digest = SHA-256([salt, subject_hash, payload])

each over the list's JSON, which no two lists share. Salt, subject and payload are in a link only
by their digest: they can be erased, and the chain holds. The salt (256 random bits) goes with
them, so that nobody can try guesses against the digest that is left.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from vedette.extras import require
from vedette.serve.audit.entry import Entry
from vedette.serve.database.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

LINKED = ("chain", "place", "id", "time", "key_id", "action", "policy", "sha256", "digest")
"""Columns that a link is computed over, after the link before."""


def new_chain() -> str:
    """A name that no other writer has."""
    return uuid4().hex


def genesis(chain: str, started: float) -> str:
    """The link before a chain's first row."""
    return _hash(["vedette", chain, started])


def digest_of(salt: Any, subject: Any, payload: Any) -> str:
    """Hash over what can be erased."""
    return _hash([salt, subject, payload])


def link_of(before: str, row: Mapping[str, Any]) -> str:
    """The link of a row, given the one before."""
    return _hash([before, *(row[name] for name in LINKED)])


def append(connection: Connection, chain: str, entries: Sequence[Entry]) -> int:
    """Add entries to a chain, in one transaction of the caller's; entries of known ids are left.

    Args:
        connection: in a transaction, which must roll back where this raises.
        chain: made if there is none of that name.
        entries: at most some hundred.

    Returns:
        How many were new.
    """
    sa: Any = require("sqlalchemy", extra="serve")
    chains, decisions = metadata().tables["chains"], metadata().tables["decisions"]
    own = chains.c.id == chain
    state = connection.execute(
        sa.select(chains.c.length, chains.c.head).where(own).with_for_update()
    ).one_or_none()
    if state is None:
        started = time.time()
        length, head = 0, genesis(chain, started)
        connection.execute(
            chains.insert().values(id=chain, length=length, head=head, started=started)
        )
    else:
        length, head = state
    ids = [entry.id for entry in entries]
    known = set(connection.scalars(sa.select(decisions.c.id).where(decisions.c.id.in_(ids))))
    rows = []
    for entry in entries:
        if entry.id in known:
            continue
        known.add(entry.id)
        length += 1
        salt = secrets.token_hex(32)
        row = {**asdict(entry), "chain": chain, "place": length, "salt": salt, "erased": None}
        row["digest"] = digest_of(salt, entry.subject_hash, entry.payload)
        row["link"] = head = link_of(head, row)
        rows.append(row)
    if rows:
        connection.execute(decisions.insert(), rows)
        connection.execute(chains.update().where(own).values(length=length, head=head))
    return len(rows)


def _hash(values: list[Any]) -> str:
    # What the database should not hold, such as bytes, is told apart from its text.
    text = json.dumps(values, separators=(",", ":"), default=lambda value: {"": repr(value)})
    return hashlib.sha256(text.encode()).hexdigest()

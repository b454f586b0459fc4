"""The tables, in one place: replicas of one service share them.

Times are seconds since 1970 in UTC (float). JSON is text, so that SQLite and PostgreSQL keep the
very same bytes, which the chain of decisions is computed over.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from vedette.extras import require

if TYPE_CHECKING:
    from sqlalchemy import MetaData


_MAKING = threading.Lock()


def metadata() -> MetaData:
    """All tables, by name in ``.tables``.

    Raises:
        MissingExtraError: SQLAlchemy is not installed.
    """
    with _MAKING:  # two threads that made them at once would have two of each table
        return _made()


@cache
def _made() -> MetaData:
    sa: Any = require("sqlalchemy", extra="serve")
    c, text, number, whole = sa.Column, sa.Text, sa.Float(53), sa.BigInteger
    found, undone = sa.MetaData(), sa.text("record IS NULL")
    sa.Table(
        "api_keys",
        found,
        c("id", text, primary_key=True),  # the key's public part
        c("name", text, nullable=False),
        c("hash", text, nullable=False),  # of the secret part; never the key
        c("scopes", text, nullable=False),  # JSON list
        c("rate", number),
        c("created", number, nullable=False),
        c("expires", number),
        c("revoked", number),
        c("replaces", text),  # the key that it was rotated from
    )
    sa.Table(
        "rates",
        found,
        c("key_id", text, primary_key=True),
        c("allowance", number, nullable=False),  # tokens left
        c("updated", number, nullable=False),
    )
    sa.Table(
        "chains",
        found,
        c("id", text, primary_key=True),  # one for each writer: no replica waits for another
        c("length", whole, nullable=False),
        c("head", text, nullable=False),  # hash of the last link
        c("started", number, nullable=False),
    )
    sa.Table(
        "decisions",
        found,
        c("id", text, primary_key=True),
        c("chain", text, nullable=False),
        c("place", whole, nullable=False),  # in its chain, from 1
        c("time", number, nullable=False, index=True),
        c("key_id", text, nullable=False),
        c("action", text, nullable=False),
        c("policy", text, nullable=False),
        c("sha256", text, index=True),  # of the image
        c("salt", text),  # of the digest; erased with the payload
        c("payload", text),  # JSON; NULL once erased
        c("digest", text, nullable=False),  # SHA-256 over salt and payload: what the chain holds
        c("link", text, nullable=False),  # SHA-256 over the link before and this row
        c("subject_hash", text, index=True),  # keyed hash: found for erasure, not readable
        c("erased", number),
        sa.UniqueConstraint("chain", "place"),
        sa.Index("decisions_erased", "erased", "time"),  # what is to be erased, what has been
    )
    sa.Table(
        "jobs",
        found,
        c("id", text, primary_key=True),
        c("key_id", text, nullable=False, index=True),
        c("state", text, nullable=False),  # queued, running, done, cancelled, expired
        c("created", number, nullable=False),
        c("ended", number),
        c("model", text, nullable=False),
        c("policy", text, nullable=False),
        c("categories", text),  # JSON list; NULL: all of the policy's
        c("items", whole, nullable=False),
        c("done", whole, nullable=False),  # items with a Record
        c("uploads", text),  # the folder that has its images; NULL: it is of URLs
        c("webhook", text),
        c("webhook_state", text),  # waiting, delivered, failed; NULL: not yet, or none
        c("webhook_due", number),
        c("webhook_attempts", whole, nullable=False),
    )
    sa.Table(
        "job_items",
        found,
        c("job_id", text, sa.ForeignKey("jobs.id"), primary_key=True),
        c("place", whole, primary_key=True),
        c("key", text, nullable=False),  # JSON, as all that callers name: it may hold any character
        c("given", text, nullable=False),  # JSON: a URL, an upload or a failure; empty once done
        c("subject", text),  # JSON; NULL once done
        c("lease", text),  # of the worker that has it
        c("lease_until", number),
        c("attempts", whole, nullable=False),
        c("record", text),  # JSON of the Record, once it is done
        c("action", text),  # of the Record
        c("failure", text),  # its code, where the Record has one
        # Partial: what is left of a job is found without passing over what is done.
        sa.Index(
            "job_items_open",
            *("job_id", "attempts", "place"),
            sqlite_where=undone,
            postgresql_where=undone,
        ),
    )
    return found  # type: ignore[no-any-return]

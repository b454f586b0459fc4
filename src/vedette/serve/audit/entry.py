"""One decision on its way into the database: what is stored of it, and its line in the spool."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, astuple, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vedette.errors import VedetteError
from vedette.serve.audit.secret import subject_hash

if TYPE_CHECKING:
    from vedette.serve.services import Decision

ERASURE = "erasure"
"""What stands in the column ``action`` of an entry that says what was erased."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of ``decisions``, without its place in a chain."""

    id: str
    time: float
    """Seconds since 1970, UTC."""
    key_id: str
    action: str
    policy: str
    sha256: str | None
    """Of the image."""
    subject_hash: str | None
    payload: str
    """JSON: the Record and the rest of the decision."""


def entry_of(decision: Decision, secret: bytes) -> Entry:
    """What is stored of a decision: its subject as a keyed hash, no image and no embedding.

    Raises:
        VedetteError: ``internal``: the decision's time is not ISO 8601, or it has values that
            JSON has not.
    """
    record = {key: value for key, value in decision.record.items() if key != "embedding"}
    told = {
        "request_id": decision.request_id,
        "time": decision.time,
        "policy_sha256": decision.policy_sha256,
        "listed": None if decision.listed is None else asdict(decision.listed),
        "record": record,
    }
    sha256 = record.get("sha256")
    try:
        at = datetime.fromisoformat(decision.time)
        payload = json.dumps(told, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError) as error:
        raise VedetteError(f"decision {decision.id}: {error}", code="internal") from error
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return Entry(
        id=_storable(decision.id),
        time=at.timestamp(),
        key_id=_storable(decision.key_id),
        action=decision.action.value,
        policy=_storable(decision.policy),
        sha256=None if sha256 is None else _storable(str(sha256)),
        subject_hash=None if decision.subject is None else subject_hash(secret, decision.subject),
        payload=payload,
    )


def to_line(entry: Entry) -> bytes:
    """A line of the spool: CRC-32 in hex, a space, a JSON list of the fields."""
    text = json.dumps(astuple(entry), separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def from_line(line: bytes) -> Entry | None:
    """The entry of a line; None: the line was torn or altered."""
    check, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(text):
        return None
    try:
        values = json.loads(text)
    except ValueError:
        return None
    if not isinstance(values, list) or len(values) != len(fields(Entry)):
        return None
    return Entry(*values)


def _storable(text: str) -> str:
    """``text`` without what PostgreSQL refuses: one such row would hold up all after it."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")

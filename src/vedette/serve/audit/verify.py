"""Whether the stored decisions are the ones that were written: every link, digest and erasure.

Rows are read once, in order, a thousand at a time. Somebody who can write to the database can
also recompute a whole chain, or remove one: :class:`Head`, kept elsewhere, shows that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from vedette.errors import UsageError
from vedette.extras import require
from vedette.serve.audit.chain import digest_of, genesis, link_of
from vedette.serve.audit.entry import ERASURE
from vedette.serve.database.store import reading
from vedette.serve.database.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_ROWS = 1000
_MOST = 1000
"""Findings that are named; the others are counted."""
_RUN = 4
"""After wrong rows, the links of so many of them may be what the next row continues."""
_HEAD = re.compile(r"([0-9a-f]{1,64}):([0-9]{1,18}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain had come: whatever is before it can never be changed unnoticed."""

    chain: str
    length: int
    link: str

    def __str__(self) -> str:
        return f"{self.chain}:{self.length}:{self.link}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """The head that ``str`` made.

        Raises:
            UsageError: it is none.
        """
        match = _HEAD.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"{text.strip()[:100]!r} is no head of a chain",
                hint="give what `vedette audit verify --heads FILE` wrote: CHAIN:LENGTH:LINK",
            )
        return cls(match[1], int(match[2]), match[3])


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written."""

    chain: str
    place: int
    """In its chain, from 1; 0: the chain itself."""
    id: str | None
    """Of the decision, where there is one."""
    what: str

    def __str__(self) -> str:
        where = f"chain {self.chain}" + (f", place {self.place}" if self.place else "")
        return f"{where}: {self.what}" + ("" if self.id is None else f" ({self.id})")


@dataclass(slots=True)
class Report:
    """What `verify` saw."""

    decisions: int = 0
    """Rows that are decisions, erased or not."""
    erased: int = 0
    erasures: int = 0
    """Entries that tell of an erasure."""
    heads: list[Head] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """The first thousand."""
    total: int = 0
    """Of the findings."""

    def add(self, chain: Any, place: Any, decision: Any, what: str) -> None:
        """Note something wrong; what the database holds may be of any type."""
        self.total += 1
        if len(self.findings) < _MOST:
            where = place if isinstance(place, int) else 0
            named = None if decision is None else str(decision)
            self.findings.append(Finding(str(chain), where, named, what))


def verify(engine: Engine, expected: Iterable[Head] = ()) -> Report:
    """Check every stored decision, over one state of the database.

    Args:
        engine: of the database.
        expected: heads that were noted before: each must still be in its chain.

    Raises:
        VedetteError: ``no_database``.
    """
    sa: Any = require("sqlalchemy", extra="serve")
    chains, decisions = metadata().tables["chains"], metadata().tables["decisions"]
    report = Report()
    noted: dict[str, dict[int, str]] = {}
    for head in expected:
        noted.setdefault(head.chain, {})[head.length] = head.link
    with reading(engine) as connection:
        for chain in connection.execute(sa.select(chains).order_by(chains.c.started)).all():
            rows = _rows(connection, decisions.c.chain == chain.id, decisions.c.place)
            _verify_chain(report, chain, rows, noted.pop(chain.id, {}))
        for name in noted:
            report.add(name, 0, None, "the chain has been removed")
        alone = decisions.c.chain.not_in(sa.select(chains.c.id))
        for row in _rows(connection, alone, decisions.c.chain, decisions.c.place):
            report.add(row["chain"], row["place"], row["id"], "it is of no chain")
        _verify_erasures(report, connection)
    return report


def _verify_chain(
    report: Report, chain: Any, rows: Iterable[Mapping[str, Any]], noted: Mapping[int, str]
) -> None:
    start = link = genesis(chain.id, chain.started)
    links = [start]  # what the next row may continue: one, but after rows that are wrong
    place = 0
    seen = {0: start} if 0 in noted else {}
    # SQLite keeps any type in any column, if somebody puts it there.
    length = chain.length if isinstance(chain.length, int) else -1
    for row in rows:
        if not isinstance(row["place"], int) or row["place"] > length:
            report.add(chain.id, row["place"], row["id"], "added behind the end of the chain")
            continue
        if row["place"] != place + 1:
            report.add(chain.id, place + 1, None, _missing(place + 1, row["place"]))
            links = []
        place, link = row["place"], row["link"]
        made = [link_of(before, row) for before in links]
        if link in made or not links:
            links = [link]
        else:
            report.add(chain.id, place, row["id"], "altered, or not the row that stood here")
            links = [*links[-2 * _RUN :], *made[-1:], link]
        if place in noted:
            seen[place] = link
        _verify_payload(report, row)
    if place < length:
        report.add(chain.id, place + 1, None, _missing(place + 1, length + 1))
    elif link != chain.head:
        report.add(chain.id, 0, None, "its end is not the one that was noted with it")
    for at, expected in sorted(noted.items()):
        if seen.get(at) != expected:
            report.add(chain.id, at, None, "not what was expected here: cut off or replaced")
    report.heads.append(Head(chain.id, place, link))


def _verify_payload(report: Report, row: Mapping[str, Any]) -> None:
    kept = (row["salt"], row["payload"], row["subject_hash"])
    if row["action"] == ERASURE:
        report.erasures += 1
    else:
        report.decisions += 1
    if row["erased"] is not None:
        report.erased += 1
        if kept != (None, None, None):
            report.add(row["chain"], row["place"], row["id"], "erased, but not all of it")
    elif row["digest"] != digest_of(row["salt"], row["subject_hash"], row["payload"]):
        report.add(row["chain"], row["place"], row["id"], "its payload or its subject was altered")


def _verify_erasures(report: Report, connection: Connection) -> None:
    """Every erased row is named by an entry of the same time, and every entry has its rows."""
    decisions = metadata().tables["decisions"]
    gone = _rows(connection, decisions.c.erased.is_not(None), decisions.c.erased)
    for erased, rows in groupby(gone, key=lambda row: row["erased"]):
        named: set[tuple[Any, Any]] = set()
        entries = (decisions.c.action == ERASURE) & (decisions.c.time == erased)
        for entry in _rows(connection, entries, decisions.c.place):
            named |= _named(entry["payload"])
        for row in rows:
            if (row["chain"], row["place"]) not in named:
                what = "erased, but no entry says so"
                report.add(row["chain"], row["place"], row["id"], what)
            named.discard((row["chain"], row["place"]))
        for chain, place in named:
            report.add(chain, place, None, "an entry says that it was erased then")


def _named(payload: Any) -> set[tuple[Any, Any]]:
    """The rows that an entry of an erasure names; none, where the entry itself was altered."""
    try:
        return {(chain, place) for chain, place in json.loads(payload)["erased"]}
    except (ValueError, TypeError, KeyError):
        return set()


def _rows(connection: Connection, which: Any, *order: Any) -> Any:
    """Rows of ``decisions`` by the names of their columns, read as they are asked for."""
    sa: Any = require("sqlalchemy", extra="serve")
    decisions = metadata().tables["decisions"]
    query = sa.select(decisions).where(which).order_by(*order)
    return connection.execute(query, execution_options={"yield_per": _ROWS}).mappings()


def _missing(first: int, behind: int) -> str:
    return "missing" if behind <= first + 1 else f"missing, up to place {behind - 1}"

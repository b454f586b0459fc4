"""Annotations between stores and other programs: what a file says, and how it gets into a campaign.

A file holds pictures and, for each question to each annotator, every answer in order, so that what
was corrected is there too. :mod:`vedette.annotate.label_studio` and
:mod:`vedette.annotate.answers_csv` read and write such files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.annotate.annotated import Annotated, Picture, is_text
from vedette.annotate.campaign import Campaign
from vedette.annotate.protocol import Round
from vedette.annotate.schema import only_id, sql, tables
from vedette.errors import UsageError
from vedette.fetch import open_regular, read_bounded

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_BYTES = 2**29
"""Size of a file of annotations, at most."""
PSEUDONYM = re.compile(r"a-[a-z0-9]{4,16}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US = 253_402_300_799_999_999
"""The end of the year 9999: what a date can be written for."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    answer: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Chain:
    """All answers of one annotator to one question, each superseding the one before."""

    annotator: str
    round: Round
    said: tuple[Said, ...]
    whole: bool = True
    """Whether it is known to begin at the first answer; another program keeps the last only."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture in a file."""

    picture: Picture
    chains: tuple[Chain, ...] = ()
    where: str = ""
    """Its place in the file, for messages: ``row 3``."""


@dataclass(frozen=True, slots=True)
class Added:
    """What an import did."""

    answers: int
    corrections: int
    known: int
    """Answers that were in the campaign already."""
    annotators: int
    """New ones. They have no token: ``vedette annotate join --again`` gives them one."""


def chains(annotated: Annotated) -> tuple[Chain, ...]:
    """The answers about one picture as chains, in the order in which each one began."""
    found: dict[tuple[str, Round], list[Said]] = {}
    for given in annotated.given:
        found.setdefault((given.annotator, given.round), []).append(Said(given.answer, given.at_us))
    return tuple(Chain(*question, tuple(said)) for question, said in found.items())


def add(campaign: Campaign, entries: Iterable[Entry]) -> Added:
    """Put the answers of a file into a campaign, all or nothing. The same file twice adds nothing.

    Raises:
        UsageError: ``bad_annotations``, with the row: a picture that the campaign does not have or
            has with other bytes, or answers that contradict those that are there.
    """
    with campaign.store.writing(campaign.id) as connection:
        return _Import(campaign, connection).add(entries)


class _Import:
    """One import, in the transaction that is open."""

    def __init__(self, campaign: Campaign, connection: Connection) -> None:
        sa, known = sql(), tables()
        items, answers, people = known.items, known.answers, known.annotators
        self._campaign, self._connection = campaign, connection
        here = items.c.campaign_id == campaign.id
        self._items: Mapping[str, tuple[int, str]] = {
            row.key: (row.id, row.sha256)
            for row in connection.execute(
                sa.select(items.c.key, items.c.id, items.c.sha256).where(here)
            )
        }
        self._people: dict[str, int] = {
            row.pseudonym: row.id
            for row in connection.execute(
                sa.select(people.c.pseudonym, people.c.id).where(
                    people.c.campaign_id == campaign.id
                )
            )
        }
        self._there: dict[tuple[int, int, int], list[tuple[int, Said]]] = {}
        for row in connection.execute(
            sa.select(answers).join(items).where(here).order_by(answers.c.id)
        ):
            question = row.item_id, row.annotator_id, row.round
            self._there.setdefault(question, []).append((row.id, Said(row.answer, row.at_us)))

    def add(self, entries: Iterable[Entry]) -> Added:
        before = len(self._people)
        new = corrections = known = 0
        for entry in entries:
            item, sha256 = self._items.get(entry.picture.key, (None, ""))
            if item is None:
                raise bad(entry.where, f"the campaign has no picture {entry.picture.key!r}")
            if entry.picture.sha256 not in ("", sha256):
                raise bad(entry.where, f"{entry.picture.key!r} has other bytes in the campaign")
            for chain in entry.chains:
                question = item, self._annotator(chain.annotator), int(chain.round)
                there = self._there.setdefault(question, [])
                fresh = _fresh([said for _, said in there], chain, entry)
                known += len(chain.said) - len(fresh)
                for said in fresh:
                    corrections += bool(there)
                    new += not there
                    there.append((self._append(question, said, there), said))
        return Added(new, corrections, known, len(self._people) - before)

    def _annotator(self, pseudonym: str) -> int:
        if pseudonym not in self._people:
            self._people[pseudonym] = self._campaign.admit(self._connection, pseudonym)
        return self._people[pseudonym]

    def _append(
        self, question: tuple[int, int, int], said: Said, there: Sequence[tuple[int, Said]]
    ) -> int:
        item, annotator, round_ = question
        done = self._connection.execute(
            sql()
            .insert(tables().answers)
            .values(
                item_id=item,
                annotator_id=annotator,
                round=round_,
                answer=said.answer,
                at_us=said.at_us,
                supersedes=there[-1][0] if there else None,
            )
        )
        return only_id(done)


def _fresh(there: list[Said], chain: Chain, entry: Entry) -> tuple[Said, ...]:
    """What of the chain is not in the campaign yet."""
    if not chain.whole:
        (last,) = chain.said
        return () if there and there[-1].answer == last.answer else chain.said
    shared = min(len(there), len(chain.said))
    if list(chain.said[:shared]) != there[:shared]:
        raise bad(entry.where, f"{chain.annotator} has answered otherwise in the campaign")
    return chain.said[shared:]


def bad(where: str, why: str) -> UsageError:
    """The error of a file that cannot be used; says where in it."""
    return UsageError(f"{where}: {why}" if where else why, code="bad_annotations")


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """``entries``, seen to have each picture, and each question to each annotator, once.

    Raises:
        UsageError: ``bad_annotations``, with the row.
    """
    met: dict[str, Entry] = {}
    for entry in entries:
        if entry.picture.key in met:
            raise bad(entry.where, f"the picture {entry.picture.key!r} is there twice")
        questions = [(chain.annotator, chain.round) for chain in entry.chains]
        for annotator, round_ in questions:
            if questions.count((annotator, round_)) > 1:
                raise bad(entry.where, f"{annotator} answers round {round_.value} twice")
        met[entry.picture.key] = entry
    return list(met.values())


def read_text(path: Path) -> str:
    """The text of a file of annotations.

    Raises:
        FetchError: ``not_found``, ``unreadable``, ``too_many_bytes``.
        UsageError: ``bad_annotations``: it is not UTF-8.
    """
    with open_regular(path) as stream:
        data = read_bounded(stream, MAX_BYTES, path.name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise bad(path.name, f"is not UTF-8: byte {error.start}") from error


def written(at_us: int) -> str:
    """A time as ISO 8601, to the microsecond."""
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(said: Any, where: str) -> int:
    """A time of ISO 8601 in microseconds since 1970; without a zone it is UTC.

    Raises:
        UsageError: ``bad_annotations``: it is none, or not between 1970 and 9999.
    """
    try:
        at = datetime.fromisoformat(said)
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        micros = (at - _EPOCH) // timedelta(microseconds=1)
    except (TypeError, ValueError, OverflowError):
        micros = -1
    if not 0 <= micros <= _LAST_US:
        raise bad(where, f"{said!r} is no time")
    return micros


def text_of(value: Any, name: str, where: str) -> str:
    """``value`` if it is text that any database takes.

    Raises:
        UsageError: ``bad_annotations``.
    """
    if not isinstance(value, str):
        raise bad(where, f"its {name} is no text")
    if not is_text(value):
        raise bad(where, f"its {name} has characters that are no text")
    return value

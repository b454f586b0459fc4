"""A campaign as one annotator sees it: the next picture, the own answers, and nothing of others.

No method returns, orders by, or refuses with anything that tells what somebody else has answered.
Pictures are given in one shuffled order for all, which each annotator enters at another point; a
third opinion comes in that order like any other picture.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vedette.annotate import standings
from vedette.annotate.campaign import Campaign, hashed
from vedette.annotate.protocol import Protocol, Round, parse_answer
from vedette.annotate.schema import sql, tables
from vedette.errors import ItemError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

LEASE_S = 1800
"""How long a picture that was given to an annotator is kept for them, in seconds."""
RETRY_S = 3600
"""After how long a picture that could not be shown is given again to the same one, in seconds."""


@dataclass(frozen=True, slots=True)
class Task:
    """One question to one annotator."""

    item: int
    round: Round
    key: str
    """To find the picture by. Not to be shown: a folder's name may tell what others think."""
    sha256: str
    answer: str | None = None
    """The annotator's own, where there is one."""


class Desk:
    """What one annotator may do. Use :meth:`enter`."""

    def __init__(self, campaign: Campaign, annotator: int, pseudonym: str, lease_s: float) -> None:
        self._campaign = campaign
        self.pseudonym = pseudonym
        self._store = campaign.store
        self._annotator = annotator
        self._lease_us = int(lease_s * 1_000_000)

    @property
    def protocol(self) -> Protocol:
        """How the campaign asks."""
        return self._campaign.protocol

    @classmethod
    def enter(cls, campaign: Campaign, token: str, lease_s: float = LEASE_S) -> Desk:
        """The desk of the annotator who has this token.

        Raises:
            UsageError: ``bad_annotations``: nobody in this campaign has it.
        """
        sa, known = sql(), tables()
        tokens, people = known.tokens, known.annotators
        newest = sa.select(sa.func.max(tokens.c.id)).group_by(tokens.c.annotator_id)
        with campaign.store.reading() as connection:
            found = connection.execute(
                sa.select(people.c.id, people.c.pseudonym)
                .select_from(tokens.join(people))
                .where(
                    people.c.campaign_id == campaign.id,
                    tokens.c.hash == hashed(token),
                    tokens.c.id.in_(newest),
                )
            ).one_or_none()
        if found is None:
            raise UsageError(
                "no annotator of this campaign has this token",
                code="bad_annotations",
                hint="get one with: vedette annotate join STORE",
            )
        return cls(campaign, found.id, found.pseudonym, lease_s)

    def next_item(self) -> Task | None:
        """The next picture to judge, kept for this annotator for a while; None: none for now.

        The same one again until it is answered or reported. Round two begins when round one is
        over for the whole campaign, so that its questions tell nothing that could sway round one.
        """
        with self._store.writing(self._campaign.id) as connection:
            held = self._held(connection)
            if held is not None:
                return held
            task = self._free(connection, Round.SAFETY)
            if task is None and self._round_two(connection, begin=True):
                task = self._free(connection, Round.CATEGORY)
            if task is not None:
                self._lease(connection, task)
            return task

    def answer(self, task: Task, said: str) -> None:
        """Answer a task for the first time.

        Raises:
            UsageError: ``bad_annotations``: not an answer of that round, already answered, or the
                lease has run out and another annotator has the picture now.
        """
        answer = parse_answer(said, task.round, self.protocol)
        with self._store.writing(self._campaign.id) as connection:
            if self._own(connection, task) is not None:
                raise _refusal("it is answered", "correct the answer instead")
            # Only what was given out, or a guesser of items could tell open from decided ones. And
            # asked anew, as the lease may have run out: not more may answer than are wanted.
            given = self._was_given(connection, task)
            if not given or self._free(connection, task.round, task.item) is None:
                raise _refusal("the picture is not yours any more", "ask for the next one")
            self._append(connection, task, answer, None)

    def correct(self, task: Task, said: str) -> None:
        """Replace an own answer by a new one, which supersedes it; nothing is lost.

        Raises:
            UsageError: ``bad_annotations``: not an answer of that round, there is none to correct,
                or round one is over.
        """
        answer = parse_answer(said, task.round, self.protocol)
        with self._store.writing(self._campaign.id) as connection:
            own = self._own(connection, task)
            if own is None:
                raise _refusal("there is no answer to correct", "answer it")
            if task.round is Round.SAFETY and self._round_two(connection, begin=False):
                raise _refusal("round one is over", "its answers stand")
            if own.answer != answer:
                self._append(connection, task, answer, own.id)

    def last(self) -> Task | None:
        """The question that this annotator answered last, with the answer; to correct it."""
        sa, known = sql(), tables()
        given = known.standing.alias()
        with self._store.reading() as connection:
            found = connection.execute(
                sa.select(*self._columns(), given.c.round, given.c.answer)
                .select_from(known.items.join(given, given.c.item_id == known.items.c.id))
                .where(given.c.annotator_id == self._annotator)
                .order_by(given.c.id.desc())
                .limit(1)
            ).one_or_none()
        if found is None:
            return None
        return Task(found.id, Round(found.round), found.key, found.sha256, found.answer)

    def answered(self) -> int:
        """Questions that this annotator has answered."""
        sa, known = sql(), tables()
        given = known.standing.alias()
        with self._store.reading() as connection:
            count = sa.select(sa.func.count()).where(given.c.annotator_id == self._annotator)
            return int(connection.scalar(count))

    def report(self, task: Task, error: ItemError) -> None:
        """Say that the picture could not be shown. It stays unanswered, and is given to others."""
        sa, known = sql(), tables()
        with self._store.writing(self._campaign.id) as connection:
            connection.execute(
                sa.insert(known.faults).values(
                    item_id=task.item,
                    annotator_id=self._annotator,
                    code=error.code,
                    message=error.message,
                    at_us=self._store.now_us(),
                )
            )

    # Inside a transaction

    def _columns(self) -> tuple[Any, ...]:
        items = tables().items
        return items.c.id, items.c.key, items.c.sha256

    def _held(self, connection: Connection) -> Task | None:
        """What was given to this annotator and neither answered nor reported."""
        sa, known = sql(), tables()
        leases = known.leases
        now = self._store.now_us()
        for round_ in Round:
            found = connection.execute(
                sa.select(*self._columns())
                .select_from(known.items.join(leases))
                .where(
                    leases.c.annotator_id == self._annotator,
                    leases.c.round == int(round_),
                    leases.c.until_us > now,
                    known.items.c.campaign_id == self._campaign.id,
                    standings.untouched(round_, self._annotator, now - self._retry_us),
                )
                .order_by(leases.c.id)
                .limit(1)
            ).one_or_none()
            if found is not None and self._free(connection, round_, found.id) is not None:
                return Task(found.id, round_, found.key, found.sha256)
        return None

    @property
    def _retry_us(self) -> int:
        return RETRY_S * 1_000_000

    def _free(self, connection: Connection, round_: Round, item: int | None = None) -> Task | None:
        """The next item that this annotator may answer in that round; or ``item``, if it is one."""
        sa, items = sql(), tables().items
        protocol, now = self.protocol, self._store.now_us()
        first = protocol.first(round_)
        query = sa.select(*self._columns()).where(
            items.c.campaign_id == self._campaign.id,
            standings.untouched(
                round_, self._annotator, now - self._retry_us if item is None else now
            ),
            standings.wanted(round_, first) > standings.leased(round_, now, self._annotator),
        )
        if round_ is Round.CATEGORY:
            query = query.where(standings.is_unsafe(protocol.safety_annotators))
        if item is not None:
            parts = [query.where(items.c.id == item)]
        else:
            start = self._start(connection)
            parts = [
                query.where(items.c.position >= start).order_by(items.c.position).limit(1),
                query.where(items.c.position < start).order_by(items.c.position).limit(1),
            ]
        for part in parts:
            found = connection.execute(part).one_or_none()
            if found is not None:
                return Task(found.id, round_, found.key, found.sha256)
        return None

    def _start(self, connection: Connection) -> int:
        """Where in the common order this annotator begins."""
        sa, items = sql(), tables().items
        last = connection.scalar(
            sa.select(sa.func.max(items.c.position)).where(items.c.campaign_id == self._campaign.id)
        )
        digest = hashlib.sha256(self.pseudonym.encode()).digest()
        return int.from_bytes(digest[:8]) % (int(last) + 1)

    def _lease(self, connection: Connection, task: Task) -> None:
        sa, now = sql(), self._store.now_us()
        connection.execute(
            sa.insert(tables().leases).values(
                item_id=task.item,
                annotator_id=self._annotator,
                round=int(task.round),
                at_us=now,
                until_us=now + self._lease_us,
            )
        )

    def _was_given(self, connection: Connection, task: Task) -> bool:
        sa, leases = sql(), tables().leases
        found = connection.execute(
            sa.select(leases.c.id)
            .where(
                leases.c.item_id == task.item,
                leases.c.annotator_id == self._annotator,
                leases.c.round == int(task.round),
            )
            .limit(1)
        )
        return found.first() is not None

    def _own(self, connection: Connection, task: Task) -> Any:
        sa, given = sql(), tables().standing.alias()
        return connection.execute(
            sa.select(given.c.id, given.c.answer).where(
                given.c.item_id == task.item,
                given.c.annotator_id == self._annotator,
                given.c.round == int(task.round),
            )
        ).one_or_none()

    def _append(
        self, connection: Connection, task: Task, answer: str, supersedes: int | None
    ) -> None:
        sa = sql()
        connection.execute(
            sa.insert(tables().answers).values(
                item_id=task.item,
                annotator_id=self._annotator,
                round=int(task.round),
                answer=answer,
                at_us=self._store.now_us(),
                supersedes=supersedes,
            )
        )

    def _round_two(self, connection: Connection, *, begin: bool) -> bool:
        """Whether round two has begun; begins it where round one is over, if so asked."""
        sa, known = sql(), tables()
        openings, items = known.openings, known.items
        campaign = self._campaign.id
        if connection.scalar(sa.select(openings.c.id).where(openings.c.campaign_id == campaign)):
            return True
        if not begin:
            return False
        open_still = sa.select(items.c.id).where(
            items.c.campaign_id == campaign,
            standings.holds_up(self._campaign.protocol.safety_annotators),
        )
        if connection.execute(open_still.limit(1)).first() is not None:
            return False
        connection.execute(
            sa.insert(openings).values(campaign_id=campaign, at_us=self._store.now_us())
        )
        return True


def _refusal(why: str, hint: str) -> UsageError:
    return UsageError(why, code="bad_annotations", hint=hint)

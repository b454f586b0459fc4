"""A campaign as its organiser sees it: pictures, annotators, progress, outcomes.

What an annotator may see is :class:`vedette.annotate.desk.Desk`, and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from vedette.annotate.annotated import Annotated, Given, Picture, is_text, standing_answers
from vedette.annotate.progress import Progress, round_progress
from vedette.annotate.protocol import Outcome, Protocol, Round, Safety, outcome
from vedette.annotate.schema import only_id, sql, tables
from vedette.errors import UnknownNameError, UsageError
from vedette.taxonomy import Category

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vedette.annotate.store import Store

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of a pseudonym: no two that look alike."""
_CHUNK = 1000
"""Rows in one statement."""


class Campaign:
    """One labelling campaign in a store."""

    def __init__(self, store: Store, row: Any) -> None:
        self.store = store
        self.id: int = row.id
        self.name: str = row.name
        self.place: str = row.place
        """Where the pictures were when it was made, as ``vedette annotate create`` was told."""
        self.protocol = Protocol(
            row.safety_annotators,
            row.category_annotators,
            tuple(Category(name) for name in row.categories.split("\n")),
        )
        self._salt: str = row.salt

    # Joining

    def join(self, pseudonym: str | None = None) -> tuple[str, str]:
        """Admit an annotator; or give one who has lost the token a new one, which ends the old.

        Args:
            pseudonym: of an annotator who has joined before; None admits a new one.

        Returns:
            The pseudonym, and the token, which is stored nowhere.

        Raises:
            UnknownNameError: nobody has that pseudonym.
        """
        sa, known = sql(), tables()
        token = secrets.token_urlsafe(24)
        with self.store.writing(self.id) as connection:
            taken = self._pseudonyms(connection)
            if pseudonym is None:
                pseudonym = _drawn(taken)
                annotator = self.admit(connection, pseudonym)
            elif pseudonym in taken:
                annotator = taken[pseudonym]
            else:
                raise UnknownNameError("annotator", pseudonym, taken)
            connection.execute(
                sa.insert(known.tokens).values(
                    annotator_id=annotator, hash=hashed(token), at_us=self.store.now_us()
                )
            )
        return pseudonym, token

    def admit(self, connection: Connection, pseudonym: str) -> int:
        """Add an annotator, in the transaction that is open; the id."""
        sa, known = sql(), tables()
        done = connection.execute(
            sa.insert(known.annotators).values(
                campaign_id=self.id, pseudonym=pseudonym, at_us=self.store.now_us()
            )
        )
        return only_id(done)

    def pseudonym_for(self, name: str) -> str:
        """The pseudonym of somebody whom another program calls ``name``, which is not kept.

        The same name has the same one in this campaign, and another one in every other.
        """
        digest = hmac.digest(self._salt.encode(), name.encode(), hashlib.sha256)
        return "a-" + "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:10])

    def _pseudonyms(self, connection: Connection) -> dict[str, int]:
        sa, known = sql(), tables()
        table = known.annotators
        found = connection.execute(
            sa.select(table.c.pseudonym, table.c.id).where(table.c.campaign_id == self.id)
        )
        return {row.pseudonym: row.id for row in found}

    # Outcomes

    def annotated(self) -> list[Annotated]:
        """Every picture with its answers and outcome, ordered by key."""
        with self.store.reading() as connection:
            return self._annotated(connection)

    def _annotated(self, connection: Connection) -> list[Annotated]:
        sa, known = sql(), tables()
        items, answers, people = known.items, known.answers, known.annotators
        found = connection.execute(
            sa.select(
                *(items.c.id.label("item"), items.c.key, items.c.sha256),
                *(items.c.source, items.c.category.label("queried")),
                *(answers.c.id, people.c.pseudonym, answers.c.round),
                *(answers.c.answer, answers.c.at_us, answers.c.supersedes),
            )
            .select_from(items.outerjoin(answers).outerjoin(people))
            .where(items.c.campaign_id == self.id)
            .order_by(items.c.id, answers.c.id)
        )
        pictures = []
        for _, rows in groupby(found, key=lambda row: row.item):
            first, *rest = rows
            picture = Picture(first.key, first.sha256, first.source, first.queried)
            given = tuple(
                Given(
                    *(row.id, row.pseudonym, Round(row.round), row.answer),
                    *(row.at_us, row.supersedes),
                )
                for row in (first, *rest)
                if row.id is not None
            )
            pictures.append(Annotated(picture, given, self._outcome(given)))
        # Not by the database: its order of text depends on its language.
        return sorted(pictures, key=lambda annotated: annotated.picture.key)

    def _outcome(self, given: Sequence[Given]) -> Outcome:
        safety, category = (
            [answer.answer for answer in standing_answers(given, round_)] for round_ in Round
        )
        return outcome(safety, category, self.protocol)

    def decided(self) -> list[Annotated]:
        """The pictures that have a label: safe, or unsafe with or without a category yet.

        N/A is dropped, what is undecided is left out: neither is ever safe.
        """
        return [one for one in self.annotated() if one.outcome.label.unsafe is not None]

    def progress(self) -> Progress:
        """How far the campaign is."""
        sa, known = sql(), tables()
        with self.store.reading() as connection:
            everything = self._annotated(connection)
            opened = (
                connection.scalar(
                    sa.select(known.openings.c.id).where(known.openings.c.campaign_id == self.id)
                )
                is not None
            )
            people = self._pseudonyms(connection)
            faults = connection.execute(
                sa.select(known.items.c.key, known.faults.c.code)
                .select_from(known.faults.join(known.items))
                .where(known.items.c.campaign_id == self.id)
            )
            failed = {row.key: row.code for row in faults}
        answers = dict.fromkeys(sorted(people), 0)
        for one in everything:
            for round_ in Round:
                for answer in one.standing(round_):
                    answers[answer.annotator] += 1
        unsafe = [one for one in everything if one.outcome.safety is Safety.UNSAFE]
        open_keys = {one.picture.key for one in everything if one.outcome.safety is None}
        return Progress(
            {
                Round.SAFETY: round_progress(everything, Round.SAFETY, self.protocol),
                Round.CATEGORY: round_progress(unsafe, Round.CATEGORY, self.protocol),
            },
            opened,
            answers,
            tuple(sorted((key, code) for key, code in failed.items() if key in open_keys)),
        )


def create_campaign(
    store: Store,
    name: str,
    pictures: Iterable[Picture],
    protocol: Protocol,
    place: str = "",
    seed: int = 0,
) -> Campaign:
    """Make a campaign of pictures, all or nothing.

    Args:
        store: where.
        name: of the campaign, unique in the store.
        pictures: with keys that differ.
        protocol: how it asks.
        place: where the pictures are; told to annotators' programs.
        seed: of the order in which pictures are given out.

    Raises:
        UsageError: ``bad_annotations``: the name is taken or none, no picture, or two with one key.
    """
    sa, known = sql(), tables()
    rows = list(pictures)
    if not name or not is_text(name):
        raise UsageError(f"{name!r} is no name", code="bad_annotations")
    if not rows:
        raise UsageError("a campaign needs pictures", code="bad_annotations")
    for picture in rows:
        if not picture.key or not all(map(is_text, astuple(picture))):
            raise UsageError(f"{picture.key!r} is no key", code="bad_annotations")
    if len({picture.key for picture in rows}) < len(rows):
        raise UsageError("two pictures have one key", code="bad_annotations")
    positions = np.random.default_rng(seed).permutation(len(rows)).tolist()
    ordered = sorted(zip(positions, rows, strict=True), key=lambda pair: pair[0])
    with store.writing() as connection:
        if name in _names(connection):
            raise UsageError(
                f"there is a campaign {name!r} already",
                code="bad_annotations",
                hint="give this one another name with --campaign",
            )
        made = connection.execute(
            sa.insert(known.campaigns).values(
                name=name,
                safety_annotators=protocol.safety_annotators,
                category_annotators=protocol.category_annotators,
                categories="\n".join(protocol.categories),
                place=place,
                salt=secrets.token_hex(16),
                at_us=store.now_us(),
            )
        )
        campaign = only_id(made)
        for start in range(0, len(ordered), _CHUNK):
            connection.execute(
                sa.insert(known.items),
                [
                    {
                        "campaign_id": campaign,
                        "position": position,
                        "key": picture.key,
                        "sha256": picture.sha256,
                        "source": picture.source,
                        "category": picture.category,
                    }
                    for position, picture in ordered[start : start + _CHUNK]
                ],
            )
    return open_campaign(store, name)


def open_campaign(store: Store, name: str | None = None) -> Campaign:
    """The campaign of that name; without a name the only one there is.

    Raises:
        UnknownNameError: there is no such one.
        UsageError: there are several, or none.
    """
    sa, known = sql(), tables()
    with store.reading() as connection:
        names = _names(connection)
        if name is None:
            if len(names) != 1:
                raise UsageError(
                    f"{store.shown} has {len(names)} campaigns",
                    hint=f"say which with --campaign: {', '.join(names)}" if names else None,
                )
            name = names[0]
        if name not in names:
            raise UnknownNameError("campaign", name, names)
        found = connection.execute(
            sa.select(known.campaigns).where(known.campaigns.c.name == name)
        ).one()
    return Campaign(store, found)


def _names(connection: Connection) -> list[str]:
    sa, known = sql(), tables()
    return sorted(connection.scalars(sa.select(known.campaigns.c.name)))


def hashed(token: str) -> str:
    """A token as it is stored. It is 192 random bits: there is nothing to slow a guesser for."""
    return hashlib.sha256(token.encode()).hexdigest()


def _drawn(taken: Iterable[str]) -> str:
    while True:
        drawn = "a-" + "".join(secrets.choice(_LETTERS) for _ in range(4))
        if drawn not in taken:
            return drawn

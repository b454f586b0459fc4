"""How far each picture is, asked of the database: :mod:`vedette.annotate.protocol`'s rule as SQL.

So that the next picture of a campaign of 100,000 is found without reading its answers into Python.
"""

from __future__ import annotations

from typing import Any

from vedette.annotate.protocol import Round, Safety
from vedette.annotate.schema import sql, tables


def _counts(round_: Round, rank: int) -> Any:
    """Of the item in the enclosing query: how many gave its most (0), second most (1) answer."""
    sa, given = sql(), tables().standing.alias()
    items = tables().items
    count = sa.func.count()
    found = (
        sa.select(count)
        .where(given.c.item_id == items.c.id, given.c.round == int(round_))
        .group_by(given.c.answer)
        .order_by(count.desc())
        .limit(1)
        .offset(rank)
        .correlate(items)
        .scalar_subquery()
    )
    return sa.func.coalesce(found, 0)


def answered(round_: Round) -> Any:
    """Answers that stand, of the item in the enclosing query."""
    sa, given = sql(), tables().standing.alias()
    items = tables().items
    return (
        sa.select(sa.func.count())
        .where(given.c.item_id == items.c.id, given.c.round == int(round_))
        .correlate(items)
        .scalar_subquery()
    )


def wanted(round_: Round, first: int) -> Any:
    """:func:`vedette.annotate.protocol.wanted` of the item in the enclosing query."""
    sa = sql()
    count = answered(round_)
    return sa.case(
        (count < first, first - count),
        (_counts(round_, 0) > _counts(round_, 1), 0),
        else_=1,
    )


def is_unsafe(first: int) -> Any:
    """Whether round one decided that the item in the enclosing query is unsafe."""
    sa, given = sql(), tables().standing.alias()
    items = tables().items
    said_so = (
        sa.select(sa.func.count())
        .where(
            given.c.item_id == items.c.id,
            given.c.round == int(Round.SAFETY),
            given.c.answer == Safety.UNSAFE.value,
        )
        .correlate(items)
        .scalar_subquery()
    )
    return sa.and_(
        said_so > 0,  # first, as it is cheap and mostly false
        wanted(Round.SAFETY, first) == 0,
        said_so == _counts(Round.SAFETY, 0),
    )


def leased(round_: Round, now_us: int, but_to: int) -> Any:
    """Annotators other than ``but_to`` who hold the item and have not answered it."""
    sa, known = sql(), tables()
    lease, given, fault = known.leases.alias(), known.answers.alias(), known.faults.alias()
    done = (
        sa.select(given.c.id)
        .where(
            given.c.item_id == lease.c.item_id,
            given.c.annotator_id == lease.c.annotator_id,
            given.c.round == int(round_),
        )
        .correlate(lease)
        .exists()
    )
    shown_in_vain = (
        sa.select(fault.c.id)
        .where(
            fault.c.item_id == lease.c.item_id,
            fault.c.annotator_id == lease.c.annotator_id,
            fault.c.at_us > lease.c.at_us,
        )
        .correlate(lease)
        .exists()
    )
    return (
        sa.select(sa.func.count(sa.distinct(lease.c.annotator_id)))
        .where(
            lease.c.item_id == known.items.c.id,
            lease.c.round == int(round_),
            lease.c.until_us > now_us,
            lease.c.annotator_id != but_to,
            ~done,
            ~shown_in_vain,
        )
        .correlate(known.items)
        .scalar_subquery()
    )


def untouched(round_: Round, annotator: int, since_us: int) -> Any:
    """Whether ``annotator`` has not answered the item, nor lately been shown it in vain."""
    sa, known = sql(), tables()
    given, fault = known.answers.alias(), known.faults.alias()
    has_answered = (
        sa.select(given.c.id)
        .where(
            given.c.item_id == known.items.c.id,
            given.c.annotator_id == annotator,
            given.c.round == int(round_),
        )
        .correlate(known.items)
        .exists()
    )
    has_failed = (
        sa.select(fault.c.id)
        .where(
            fault.c.item_id == known.items.c.id,
            fault.c.annotator_id == annotator,
            fault.c.at_us > since_us,
        )
        .correlate(known.items)
        .exists()
    )
    return sa.and_(~has_answered, ~has_failed)


def holds_up(first: int) -> Any:
    """Whether the item keeps round one from being over.

    Not where it was decided, where somebody could not be shown it, or where more than ``first``
    have answered and are tied: that may stay so for want of an annotator.
    """
    sa, known = sql(), tables()
    fault = known.faults.alias()
    failed = (
        sa.select(fault.c.id)
        .where(fault.c.item_id == known.items.c.id)
        .correlate(known.items)
        .exists()
    )
    count = answered(Round.SAFETY)
    return sa.and_(wanted(Round.SAFETY, first) > 0, count <= first, ~failed)

"""The tables of a store of annotations, the same on SQLite and PostgreSQL, append-only on both.

Nothing is ever updated or deleted: a correction is a row that supersedes another, a lease runs out
by itself, and triggers refuse the rest. What must be unique is a constraint of the database, so
that no two programs can disagree about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from vedette.errors import UsageError
from vedette.extras import require

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData, Table

VERSION = 1
"""Of the tables. A store of another version is refused, not guessed at."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables, and the view of the answers that no later one supersedes."""

    metadata: MetaData
    version: Table
    campaigns: Table
    items: Table
    annotators: Table
    tokens: Table
    """Hashes of what annotators identify themselves with; the newest of an annotator counts."""
    answers: Table
    standing: Any
    """The columns of ``answers``, without what was superseded."""
    leases: Table
    """Pictures given to annotators, each until a time."""
    faults: Table
    """Pictures that an annotator could not be shown, and why."""
    openings: Table
    """When round two of a campaign was opened."""


def sql() -> Any:
    """SQLAlchemy.

    Raises:
        MissingExtraError: it is not installed.
    """
    return require("sqlalchemy", extra="annotate")


@cache
def tables() -> Tables:
    """The tables. Times are microseconds since 1970, UTC."""
    sa = sql()
    metadata = sa.MetaData()

    def table(name: str, *parts: Any) -> Any:
        # AUTOINCREMENT, so that SQLite never gives the id of a row to another one.
        own = sa.Column("id", sa.Integer, primary_key=True, autoincrement=True)
        return sa.Table(f"vedette_{name}", metadata, own, *parts, sqlite_autoincrement=True)

    def of(name: str) -> Any:
        return sa.Column(
            f"{name}_id", sa.Integer, sa.ForeignKey(f"vedette_{name}s.id"), nullable=False
        )

    def text(name: str, *, optional: bool = False) -> Any:
        return sa.Column(name, sa.Text, nullable=optional)

    def at(name: str = "at_us") -> Any:
        return sa.Column(name, sa.BigInteger, nullable=False)

    version = sa.Table("vedette_schema", metadata, sa.Column("version", sa.Integer, nullable=False))
    campaigns = table(
        "campaigns",
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("safety_annotators", sa.Integer, nullable=False),
        sa.Column("category_annotators", sa.Integer, nullable=False),
        text("categories"),
        text("place"),
        text("salt"),
        at(),
    )
    items = table(
        "items",
        of("campaign"),
        sa.Column("position", sa.Integer, nullable=False),
        text("key"),
        text("sha256"),
        text("source"),
        text("category"),
        sa.UniqueConstraint("campaign_id", "key"),
        sa.UniqueConstraint("campaign_id", "position"),
    )
    annotators = table(
        "annotators",
        of("campaign"),
        text("pseudonym"),
        at(),
        sa.UniqueConstraint("campaign_id", "pseudonym"),
    )
    tokens = table("tokens", of("annotator"), sa.Column("hash", sa.Text, unique=True), at())
    answers = table(
        "answers",
        of("item"),
        of("annotator"),
        sa.Column("round", sa.Integer, nullable=False),
        text("answer"),
        at(),
        sa.Column("supersedes", sa.Integer, unique=True),
        sa.CheckConstraint("round IN (1, 2)"),
        sa.CheckConstraint("supersedes < id"),
        # What a correction supersedes is the same annotator's answer to the same question.
        sa.UniqueConstraint("id", "item_id", "annotator_id", "round"),
        sa.ForeignKeyConstraint(
            ["supersedes", "item_id", "annotator_id", "round"],
            [f"vedette_answers.{name}" for name in ("id", "item_id", "annotator_id", "round")],
        ),
    )
    first = answers.c.supersedes.is_(None)
    sa.Index(
        "vedette_answers_once",
        *(answers.c.item_id, answers.c.round, answers.c.annotator_id),
        unique=True,
        sqlite_where=first,
        postgresql_where=first,
    )
    sa.Index("vedette_answers_of_item", answers.c.item_id, answers.c.round)
    # All three columns, or SQLite may read all answers of an annotator to find one.
    question = answers.c.annotator_id, answers.c.item_id, answers.c.round
    sa.Index("vedette_answers_of_annotator", *question)
    leases = table(
        "leases",
        of("item"),
        of("annotator"),
        sa.Column("round", sa.Integer, nullable=False),
        at(),
        at("until_us"),
        sa.Index("vedette_leases_of_item", "item_id", "round", "until_us"),
        sa.Index("vedette_leases_of_annotator", "annotator_id", "until_us"),
    )
    faults = table(
        "faults",
        of("item"),
        of("annotator"),
        text("code"),
        text("message"),
        at(),
        sa.Index("vedette_faults_of_item", "item_id", "annotator_id"),
    )
    openings = table(
        "openings",
        sa.Column(
            *("campaign_id", sa.Integer, sa.ForeignKey("vedette_campaigns.id")),
            nullable=False,
            unique=True,
        ),
        at(),
    )
    standing = sa.table("vedette_standing", *(sa.column(c.name) for c in answers.c))
    return Tables(
        *(metadata, version, campaigns, items, annotators, tokens),
        *(answers, standing, leases, faults, openings),
    )


def create(connection: Connection) -> None:
    """Make the tables, the view and the triggers, in the transaction that is open."""
    sa, known = sql(), tables()
    known.metadata.create_all(connection, checkfirst=False)
    said = [
        "CREATE VIEW vedette_standing AS SELECT * FROM vedette_answers a WHERE NOT EXISTS "
        "(SELECT 1 FROM vedette_answers b WHERE b.supersedes = a.id)"
    ]
    names = [table.name for table in known.metadata.sorted_tables]
    if connection.dialect.name == "sqlite":
        said += [
            f"CREATE TRIGGER {name}_no_{what.lower()} BEFORE {what} ON {name} "
            "BEGIN SELECT RAISE(ABORT, 'the store is append-only'); END"
            for name in names
            for what in ("UPDATE", "DELETE")
        ]
    else:
        said.append(
            "CREATE FUNCTION vedette_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RAISE EXCEPTION 'the store is append-only'; END$$"
        )
        said += [
            f"CREATE TRIGGER {name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION vedette_append_only()"
            for name in names
        ]
    for statement in said:
        connection.exec_driver_sql(statement)
    connection.execute(sa.insert(known.version).values(version=VERSION))


def check(connection: Connection, shown: str) -> None:
    """See that the store's tables are the ones that this program writes.

    Raises:
        UsageError: ``bad_annotations``: there are none, or of another version.
    """
    sa, known = sql(), tables()
    if not sa.inspect(connection).has_table(known.version.name):
        raise UsageError(
            f"there is no campaign in {shown}",
            code="bad_annotations",
            hint="make one with: vedette annotate create STORE DATA",
        )
    found = list(connection.scalars(sa.select(known.version.c.version)))
    if found != [VERSION]:
        raise UsageError(
            f"{shown} has tables of version {', '.join(map(str, found)) or 'none'}, not {VERSION}",
            code="bad_annotations",
            hint="use the version of vedette that made it, or export and import the annotations",
        )


def only_id(inserted: Any) -> int:
    """The id of the row that a statement has inserted."""
    return int(inserted.inserted_primary_key[0])

"""The store on SQLite and PostgreSQL: made once, append-only, refused where it is not ours."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from tests.annotate.people import campaign_of, desk_of, pictures, work
from vedette.annotate import schema
from vedette.annotate.annotated import Picture
from vedette.annotate.campaign import create_campaign, open_campaign
from vedette.annotate.protocol import Protocol
from vedette.annotate.schema import sql, tables
from vedette.annotate.store import Store, shown
from vedette.errors import UnknownNameError, UsageError, VedetteError
from vedette.taxonomy import Category


def test_a_campaign_is_found_again_as_it_was_made(place: str) -> None:
    protocol = Protocol(3, 1, (Category.SPAM, Category.HATE))
    with Store.create(place) as store:
        create_campaign(store, "one", pictures(5), protocol, "here")

    with Store.open(place) as store:
        found = open_campaign(store)
        assert (found.name, found.place, found.protocol) == ("one", "here", protocol)
        assert [one.picture for one in found.annotated()] == pictures(5)
        assert found.decided() == []


def test_several_campaigns_in_one_store_are_apart(store: Store) -> None:
    one, other = campaign_of(store, 4, name="one"), campaign_of(store, 4, name="other")
    work(desk_of(one), lambda _: "safe")

    assert sum(len(p.given) for p in one.annotated()) == 4
    assert sum(len(p.given) for p in other.annotated()) == 0
    assert one.pseudonym_for("9") != other.pseudonym_for("9")
    assert open_campaign(store, "other").id == other.id
    with pytest.raises(UsageError, match="2 campaigns") as caught:
        open_campaign(store)
    assert "one, other" in caught.value.hint
    with pytest.raises(UnknownNameError, match="ohter") as typo:
        open_campaign(store, "ohter")
    assert typo.value.hint == "did you mean 'other'?"
    with pytest.raises(UsageError, match="already"):
        campaign_of(store, 4, name="one")


@pytest.mark.parametrize("statement", ["update", "delete"])
def test_nothing_is_changed_or_deleted(store: Store, statement: str) -> None:
    campaign = campaign_of(store, 2)
    desk = desk_of(campaign)
    work(desk, lambda _: "safe")
    task = desk.last()
    assert task is not None
    desk.correct(task, "na")
    before = campaign.annotated()
    for table in tables().metadata.sorted_tables:
        column = next(iter(table.c))
        change = (
            sql().update(table).values({column.name: column})
            if statement == "update"
            else sql().delete(table)
        )
        with store.reading() as connection:
            filled = connection.execute(sql().select(table).limit(1)).first() is not None
        # A trigger of SQLite fires for each row, one of PostgreSQL for each statement.
        if filled or connection.dialect.name == "postgresql":
            with pytest.raises(VedetteError, match="append-only"), store.writing() as connection:
                connection.execute(change)
    assert campaign.annotated() == before


def test_nothing_is_truncated_or_replaced(store: Store) -> None:
    campaign_of(store, 2)
    with store.reading() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
    statement = (
        "INSERT OR REPLACE INTO vedette_items (id, campaign_id, position, key, sha256, source, "
        "category) VALUES (1, 1, 0, 'x', '', '', '')"
        if is_sqlite
        else "TRUNCATE vedette_answers CASCADE"
    )

    with pytest.raises(VedetteError, match="append-only"), store.writing() as connection:
        connection.exec_driver_sql(statement)


def test_the_database_itself_refuses_a_second_first_answer(store: Store) -> None:
    campaign = campaign_of(store, 1)
    work(desk_of(campaign), lambda _: "safe")
    again: dict[str, object] = {"item_id": 1, "annotator_id": 1, "round": 1, "answer": "na"}
    again |= {"at_us": 1, "supersedes": None}

    for row in (again, {**again, "supersedes": 1, "round": 2}):
        with pytest.raises(VedetteError), store.writing() as connection:
            connection.execute(sql().insert(tables().answers).values(row))
    with store.writing() as connection:
        connection.execute(sql().insert(tables().answers).values({**again, "supersedes": 1}))
    with pytest.raises(VedetteError), store.writing() as connection:  # a chain, not a tree
        connection.execute(sql().insert(tables().answers).values({**again, "supersedes": 1}))


def test_a_failed_write_leaves_nothing(store: Store) -> None:
    class Stopped(Exception):
        pass

    def fail() -> None:
        with store.writing() as connection:
            connection.execute(sql().insert(tables().version).values(version=9))
            raise Stopped

    with pytest.raises(Stopped):
        fail()

    with store.reading() as connection:
        assert list(connection.scalars(sql().select(tables().version.c.version))) == [1]


def test_another_version_of_the_tables_is_refused(place: str) -> None:
    with Store.create(place) as store, store.writing() as connection:
        connection.execute(sql().insert(tables().version).values(version=schema.VERSION + 1))

    for way in (Store.open, Store.create):
        with pytest.raises(UsageError, match="tables of version 1, 2, not 1") as caught:
            way(place)
        assert caught.value.code == "bad_annotations"


def test_an_empty_database_is_no_store(place: str, tmp_path: Path) -> None:
    if "://" not in place:
        sqlite3.connect(place).close()
    with pytest.raises(UsageError) as caught:
        Store.open(place)

    assert caught.value.code == "bad_annotations"
    assert "annotate create" in caught.value.hint


def test_a_new_file_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    Store.create(str(path)).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_store_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as missing:
        Store.open(str(tmp_path / "none.sqlite"))
    assert missing.value.code == "not_found"
    text = tmp_path / "text.sqlite"
    text.write_text("no database " * 100)
    for way in (Store.open, Store.create):
        with pytest.raises(VedetteError) as caught:
            way(str(text))
        assert caught.value.code == "bad_annotations"
    assert text.exists()
    with pytest.raises(VedetteError) as unwritable:
        Store.create(str(tmp_path / "no" / "a.sqlite"))
    assert unwritable.value.code == "write_failed"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hunter2@/d?host=/nowhere/at/all",
        "postgresql://me:hunter2@/d?host=/nowhere/at/all",
        "postgresql+psycopg://me@/d?host=/nowhere/at/all&password=hunter2",
        "mysql://me:hunter2@host/d",
        "postgresql+psycopg://me:hunter2@host:port/d",
    ],
)
def test_a_password_is_never_told(url: str) -> None:
    with pytest.raises(VedetteError) as caught:
        Store.open(url)

    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.__cause__ is None


def test_how_a_store_is_shown() -> None:
    assert shown("a/b.sqlite") == "a/b.sqlite"
    assert shown("postgresql://me:secret@host/d") == "postgresql+psycopg://me:***@host/d"


@pytest.mark.parametrize(
    "wrong",
    [
        *([], [Picture("a", ""), Picture("a", "")], [Picture("", "")], [Picture("a\0", "")]),
        [Picture("a", "", "\ud800")],
    ],
)
def test_pictures_that_make_no_campaign(store: Store, wrong: list[Picture]) -> None:
    with pytest.raises(UsageError) as caught:
        create_campaign(store, "c", wrong, Protocol())

    assert caught.value.code == "bad_annotations"
    with pytest.raises(UsageError, match="0 campaigns"):
        open_campaign(store)

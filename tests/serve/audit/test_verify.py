"""Whatever is changed in the stored decisions is found, and named."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from tests.serve.audit.made import SECRET, decision
from vedette.errors import UsageError
from vedette.serve.audit import verify as module
from vedette.serve.audit.chain import append, digest_of, genesis, link_of
from vedette.serve.audit.entry import entry_of
from vedette.serve.audit.erasure import erase, prune
from vedette.serve.audit.secret import subject_hash
from vedette.serve.audit.verify import Head, Report, verify
from vedette.serve.database.store import open_database, reading, writing
from vedette.serve.database.tables import metadata


def fill(engine: Engine) -> None:
    """Two chains of eight, some of them about somebody; two are erased, each in its manner."""
    for chain in ("a" * 32, "b" * 32):
        made = [
            decision(f"{chain[0]}{n}", subject="me" if n == 3 else "you", at=1700000000.5 + n)
            for n in range(1, 9)
        ]
        with writing(engine) as connection:
            append(connection, chain, [entry_of(one, SECRET) for one in made])
    erase(engine, "c" * 32, subject_hash(SECRET, "me"))
    prune(engine, "c" * 32, 1700000002.0)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    fill(engine)
    return engine


def change(engine: Engine, *statements: str) -> Report:
    """What is found after some statements of SQL."""
    with writing(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))
    return verify(engine)


def test_what_was_not_changed(filled: Engine) -> None:
    report = verify(filled)

    assert (report.total, report.findings) == (0, [])
    assert (report.decisions, report.erased, report.erasures) == (16, 4, 2)
    assert [(head.chain[0], head.length) for head in report.heads] == [("a", 8), ("b", 8), ("c", 2)]
    assert verify(filled, report.heads).total == 0


def test_nothing_at_all(engine: Engine) -> None:
    assert verify(engine) == Report()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        # an altered row
        ("UPDATE decisions SET action = 'allow' WHERE id = 'a5'", [("a", 5, "a5")]),
        ("UPDATE decisions SET link = digest WHERE id = 'a5'", [("a", 5, "a5")]),
        ("UPDATE decisions SET payload = '{}' WHERE id = 'a5'", [("a", 5, "a5")]),
        ("UPDATE decisions SET subject_hash = NULL WHERE id = 'a5'", [("a", 5, "a5")]),
        ("UPDATE decisions SET time = time + 0.000001 WHERE id = 'a8'", [("a", 8, "a8")]),
        # a removed row: in the middle, the first, the last
        ("DELETE FROM decisions WHERE id = 'a5'", [("a", 5, None)]),
        ("DELETE FROM decisions WHERE id = 'b8'", [("b", 8, None)]),
        ("DELETE FROM decisions WHERE chain < 'b' AND place > 5", [("a", 6, None)]),
        # a moved one
        ("UPDATE decisions SET place = 9 WHERE id = 'a8'", [("a", 9, "a8"), ("a", 8, None)]),
        # a chain's own row
        ("UPDATE chains SET head = 'no' WHERE id < 'b'", [("a", 0, None)]),
        ("UPDATE chains SET length = 9 WHERE id < 'b'", [("a", 9, None)]),
        ("UPDATE chains SET started = started - 1 WHERE id < 'b'", [("a", 1, "a1")]),
        ("DELETE FROM chains WHERE id > 'c'", [("c", 1, "e"), ("c", 2, "e")]),
        # erased, but not as the service does
        (
            "UPDATE decisions SET payload = NULL, salt = NULL, subject_hash = NULL, erased = 5"
            " WHERE id = 'a5'",
            [("a", 5, "a5")],
        ),
        ("UPDATE decisions SET erased = NULL WHERE id = 'a3'", [("a", 3, "a3"), ("a", 3, None)]),
        ("UPDATE decisions SET subject_hash = 'x' WHERE id = 'a3'", [("a", 3, "a3")]),
        ("UPDATE decisions SET erased = 7 WHERE id = 'a3'", [("a", 3, "a3"), ("a", 3, None)]),
    ],
)
def test_a_change_is_named(
    filled: Engine, statement: str, found: list[tuple[str, int, str | None]]
) -> None:
    report = change(filled, statement)

    named = [(f.chain[0], f.place, f.id and f.id.split("rasure")[0]) for f in report.findings]
    assert named == found


def test_a_swapped_order(filled: Engine) -> None:
    report = change(
        filled,
        "UPDATE decisions SET place = -1 WHERE id = 'a4'",
        "UPDATE decisions SET place = 4 WHERE id = 'a5'",
        "UPDATE decisions SET place = 5 WHERE id = 'a4'",
    )

    assert [(f.place, f.id) for f in report.findings] == [(4, "a5"), (5, "a4")]


def put(connection: Connection, row: dict[str, Any]) -> None:
    connection.execute(metadata().tables["decisions"].insert(), [row])


def forged(engine: Engine, place: int, before: str) -> dict[str, Any]:
    """A row that somebody who knows how has made, for a place in the first chain."""
    with reading(engine) as connection:
        row = dict(
            connection.execute(text("SELECT * FROM decisions WHERE id = 'a7'")).mappings().one()
        )
    row |= {"id": "forged", "place": place}
    row["digest"] = digest_of(row["salt"], row["subject_hash"], row["payload"])
    return row | {"link": link_of(before, row)}


def test_a_row_added_at_the_end(filled: Engine) -> None:
    head = verify(filled).heads[0]
    row = forged(filled, 9, head.link)
    with writing(filled) as connection:
        put(connection, row)

    assert [(f.place, f.id) for f in verify(filled).findings] == [(9, "forged")]


def test_a_row_put_between(filled: Engine) -> None:
    with reading(filled) as connection:
        before = connection.scalar(text("SELECT link FROM decisions WHERE id = 'a4'"))
    row = forged(filled, 5, str(before))
    with writing(filled) as connection:
        # One by one, from behind: no two may have one place.
        for place in range(8, 4, -1):
            connection.execute(
                text("UPDATE decisions SET place = :n + 1 WHERE chain < 'b' AND place = :n"),
                {"n": place},
            )
        connection.execute(text("UPDATE chains SET length = 9 WHERE id < 'b'"))
        put(connection, row)

    found = [(f.place, f.id) for f in verify(filled).findings]
    assert found == [(6, "a5"), (7, "a6"), (8, "a7"), (9, "a8")]  # all that it has moved


def test_a_chain_that_is_cut_and_mended_is_found_by_its_head(filled: Engine) -> None:
    """With the chain's own row: nothing in the database shows it."""
    heads = verify(filled).heads
    report = change(
        filled,
        "DELETE FROM decisions WHERE chain < 'b' AND place > 5",
        "UPDATE chains SET length = 5, head ="
        " (SELECT link FROM decisions WHERE id = 'a5') WHERE id < 'b'",
    )
    assert report.findings == []

    named = [(f.chain[0], f.place, f.what) for f in verify(filled, heads).findings]
    assert named == [("a", 8, "not what was expected here: cut off or replaced")]


def test_a_chain_that_is_taken_out_whole_is_found_by_its_head(filled: Engine) -> None:
    heads = verify(filled).heads
    report = change(
        filled,
        "DELETE FROM decisions WHERE chain > 'b' AND chain < 'c'",
        "DELETE FROM chains WHERE id > 'b' AND id < 'c'",
    )
    # Of the erasures it was told that they are of this chain.
    assert {f.chain[0] for f in report.findings} == {"b"}

    named = [(f.chain[0], f.what) for f in verify(filled, heads).findings]
    assert ("b", "the chain has been removed") in named


def test_a_chain_that_was_written_anew_is_found_by_its_head(filled: Engine) -> None:
    heads = verify(filled).heads
    with writing(filled) as connection:
        rows = (
            connection.execute(text("SELECT * FROM decisions WHERE chain < 'b' ORDER BY place"))
            .mappings()
            .all()
        )
        started = connection.scalar(text("SELECT started FROM chains WHERE id < 'b'"))
        link = genesis("a" * 32, float(str(started)))
        for found in rows:
            row = dict(found) | {"policy": "another@1"}
            row["link"] = link = link_of(link, row)
            connection.execute(text("DELETE FROM decisions WHERE id = :id"), {"id": row["id"]})
            put(connection, row)
        connection.execute(text("UPDATE chains SET head = :h WHERE id < 'b'"), {"h": link})

    assert verify(filled).findings == []
    assert [(f.chain[0], f.place) for f in verify(filled, heads).findings] == [("a", 8)]


def test_heads_hold_while_a_chain_grows(filled: Engine) -> None:
    heads = verify(filled).heads
    with writing(filled) as connection:
        append(connection, "a" * 32, [entry_of(decision("later"), SECRET)])

    assert verify(filled, heads).findings == []
    assert [Head.parse(f" {head}\n") for head in heads] == heads


@pytest.mark.parametrize("text_", ["", "a:1", "a:x:" + "0" * 64, "a:-1:" + "0" * 64, "z:1:0"])
def test_what_is_no_head(text_: str) -> None:
    with pytest.raises(UsageError, match="no head"):
        Head.parse(text_)


def test_findings_are_named_up_to_a_number(filled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    report = change(filled, "UPDATE decisions SET key_id = 'x'")

    assert (len(report.findings), report.total) == (3, 18)


def test_a_table_that_is_longer_than_what_is_read_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 3)
    fill(engine)
    assert (verify(engine).decisions, verify(engine).findings) == (16, [])


# Any edit of any column of any row, over SQLite, which takes any type anywhere

COLUMNS = {
    "decisions": [column.name for column in metadata().tables["decisions"].columns],
    "chains": ["id", "length", "head", "started"],
}
VALUES = (
    st.none()
    | st.integers(-5, 20)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.binary(max_size=4)
)


@cache
def original() -> Path:
    """A filled database, in one file."""
    path = Path(tempfile.mkdtemp(prefix="audit-")) / "a.sqlite"
    engine = open_database(str(path))
    fill(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="module", autouse=True)
def _tidy() -> Iterator[None]:
    yield
    shutil.rmtree(original().parent)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_edit_of_any_column_of_any_row_is_found(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(["decisions", "decisions", "decisions", "chains"]))
    column = data.draw(st.sampled_from(COLUMNS[table]))
    path = original().with_name("edited.sqlite")
    shutil.copy(original(), path)
    raw = sqlite3.connect(path)
    try:
        rows = raw.execute(f"SELECT rowid, {column} FROM {table} ORDER BY rowid").fetchall()
        rowid, before = data.draw(st.sampled_from(rows))
        # From another row, too: what has the right form.
        value = data.draw(VALUES | st.sampled_from([other for _, other in rows]))
        with raw:
            raw.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rowid))
        query = f"SELECT {column} FROM {table} WHERE rowid = ?"
        (after,) = raw.execute(query, (rowid,)).fetchone()
    except (sqlite3.IntegrityError, OverflowError):
        return  # the database itself refuses it
    finally:
        raw.close()
    engine = open_database(str(path), create=False)
    try:
        report = verify(engine)
    finally:
        engine.dispose()
    assert (report.total > 0) == (type(after) is not type(before) or after != before)


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 17), min_size=1))
def test_any_rows_that_are_removed_are_found(gone: set[int]) -> None:
    path = original().with_name("cut.sqlite")
    shutil.copy(original(), path)
    raw = sqlite3.connect(path)
    with raw:
        ids = [row[0] for row in raw.execute("SELECT rowid FROM decisions ORDER BY rowid")]
        for index in gone:
            raw.execute("DELETE FROM decisions WHERE rowid = ?", (ids[index],))
    raw.close()
    engine = open_database(str(path), create=False)
    report = verify(engine)
    engine.dispose()

    assert report.total > 0

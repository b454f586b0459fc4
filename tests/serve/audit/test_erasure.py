from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.serve.audit.made import SECRET, decision
from vedette.serve.audit import erasure
from vedette.serve.audit.chain import append, new_chain
from vedette.serve.audit.entry import entry_of
from vedette.serve.audit.erasure import erase, prune
from vedette.serve.audit.secret import subject_hash
from vedette.serve.audit.verify import verify
from vedette.serve.database.store import open_database, reading, writing

ME, YOU = (subject_hash(SECRET, name) for name in ("me", "you"))


def fill(engine: Engine, count: int = 10) -> None:
    made = [
        decision(f"d{n}", subject="me" if n % 2 else "you", at=1700000000.0 + n)
        for n in range(count)
    ]
    with writing(engine) as connection:
        append(connection, new_chain(), [entry_of(one, SECRET) for one in made])


def left(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        found = connection.execute(
            text("SELECT id FROM decisions WHERE payload IS NOT NULL AND action <> 'erasure'")
        )
        return sorted(row[0] for row in found)


def test_a_subject_is_forgotten(engine: Engine) -> None:
    fill(engine)

    assert erase(engine, new_chain(), ME) == 5
    assert left(engine) == ["d0", "d2", "d4", "d6", "d8"]
    with reading(engine) as connection:
        gone = connection.execute(
            text("SELECT payload, salt, subject_hash, sha256 FROM decisions WHERE id = 'd1'")
        ).one()
    assert gone[:3] == (None, None, None)
    assert gone[3] is not None  # that this image was decided upon stays provable
    report = verify(engine)
    assert (report.findings, report.decisions, report.erased) == ([], 10, 5)


def test_nobody_is_forgotten_twice(engine: Engine) -> None:
    fill(engine)
    erase(engine, new_chain(), ME)

    assert erase(engine, new_chain(), ME) == 0
    assert erase(engine, new_chain(), subject_hash(SECRET, "somebody else")) == 0
    assert len(left(engine)) == 5
    assert len(verify(engine).heads) == 2  # what erases nothing writes nothing


def test_old_decisions_are_forgotten(engine: Engine) -> None:
    fill(engine)

    assert prune(engine, new_chain(), 1700000004.0) == 4
    assert prune(engine, new_chain(), 1700000004.0) == 0
    assert left(engine) == ["d4", "d5", "d6", "d7", "d8", "d9"]
    assert verify(engine).findings == []


def test_what_was_erased_stays_told(engine: Engine) -> None:
    """The entries that name what was erased are not erased themselves."""
    fill(engine)
    erase(engine, new_chain(), YOU)

    assert prune(engine, new_chain(), 9e9) == 5
    assert prune(engine, new_chain(), 9e9) == 0
    report = verify(engine)
    assert (report.findings, report.erasures, report.erased) == ([], 2, 10)


def test_more_than_one_transaction_takes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "_ROWS", 3)
    fill(engine, 20)

    assert prune(engine, new_chain(), 9e9) == 20
    report = verify(engine)
    assert (report.findings, report.erasures) == ([], 7)


def test_two_replicas_erase_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "_ROWS", 5)
    fill(engine, 100)
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(prune(engine, new_chain(), 9e9)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts.append(prune(engine, new_chain(), 9e9))

    assert sum(counts) == 100
    assert verify(engine).findings == []


def test_no_bytes_are_left_in_the_file(tmp_path: Path) -> None:
    engine = open_database(str(tmp_path / "a.sqlite"))
    fill(engine)

    def files() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert b"request-d1" in files()
    erase(engine, new_chain(), ME)

    assert b"request-d1" not in files()
    assert b"request-d2" in files()
    engine.dispose()

"""From ``keep`` into the database: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text

from tests.serve.audit.made import SECRET, decision
from tests.serve.postgres import Postgres
from vedette.errors import UsageError, VedetteError
from vedette.serve.audit.keep import Keeper, open_audit
from vedette.serve.audit.spool import Spool
from vedette.serve.audit.verify import verify
from vedette.serve.database.store import engine_of, open_database, reading, writing
from vedette.serve.database.tables import metadata
from vedette.serve.options import ServeOptions
from vedette.serve.services import Audit

LONG_S = 60
AWAY_S = float(os.environ.get("VEDETTE_TEST_AWAY_S", "3"))
"""How long the database is away; docs/audit-log.md has a run with 20 s."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def keeper(engine: Engine, folder: Path) -> Iterator[Keeper]:
    keeper = Keeper(engine, Spool(folder), SECRET)
    yield keeper
    keeper.close()


def stored(engine: Engine) -> list[str]:
    decisions = metadata().tables["decisions"]
    with reading(engine) as connection:
        return list(connection.scalars(select(decisions.c.id)))


def settle(engine: Engine, folder: Path) -> None:
    """What the next start does: take over what dead processes have left."""
    spool = Spool(folder)
    keeper = Keeper(engine, spool, SECRET)
    end = time.monotonic() + LONG_S
    while spool.others() and time.monotonic() < end:
        time.sleep(0.02)
    keeper.close()


def test_decisions_get_into_the_database(keeper: Keeper, engine: Engine, folder: Path) -> None:
    names = [f"d{number}" for number in range(20)]
    for name in names:
        keeper.keep([decision(name), decision(name + "b")])
    assert keeper.flush(LONG_S)

    assert sorted(stored(engine)) == sorted([*names, *(name + "b" for name in names)])
    assert (keeper.waiting, keeper.away) == (0, False)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]
    report = verify(engine)
    assert (report.decisions, report.findings) == (40, [])
    keeper.keep([])
    keeper.close()
    assert list(folder.iterdir()) == []


def test_a_decision_of_the_same_id_is_the_same(keeper: Keeper, engine: Engine) -> None:
    keeper.keep([decision("one"), decision("one"), decision("two")])
    assert keeper.flush(LONG_S)
    keeper.keep([decision("one"), decision("three")])
    assert keeper.flush(LONG_S)

    assert sorted(stored(engine)) == ["one", "three", "two"]
    assert verify(engine).findings == []


def test_closing_moves_what_is_spooled(engine: Engine, folder: Path) -> None:
    keeper = Keeper(engine, Spool(folder), SECRET)
    keeper.keep([decision("one")])
    keeper.close(LONG_S)

    assert stored(engine) == ["one"]
    assert list(folder.iterdir()) == []


def test_texts_that_a_database_refuses(keeper: Keeper, engine: Engine) -> None:
    keeper.keep([decision("nul\0 and \ud800", subject="\0")])
    assert keeper.flush(LONG_S)

    assert stored(engine) == ["nul\\x00 and \\ud800"]
    assert verify(engine).findings == []


def test_many_threads(keeper: Keeper, engine: Engine) -> None:
    def work() -> None:
        for _ in range(50):
            keeper.keep([decision()])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert keeper.flush(LONG_S)

    assert len(stored(engine)) == 400
    assert verify(engine).findings == []


def test_a_writer_whose_chain_was_taken_out_goes_on(keeper: Keeper, engine: Engine) -> None:
    keeper.keep([decision("one")])
    assert keeper.flush(LONG_S)
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM chains"))
    keeper.keep([decision("two")])
    assert keeper.flush(LONG_S)

    assert sorted(stored(engine)) == ["one", "two"]
    assert [finding.id for finding in verify(engine).findings] == ["one"]


def test_old_decisions_are_erased_by_the_service(engine: Engine, folder: Path) -> None:
    keeper = Keeper(engine, Spool(folder), SECRET)
    keeper.keep([decision("old", at=1700000000), decision("new")])
    keeper.close(LONG_S)
    Keeper(engine, Spool(folder), SECRET, retention_days=30).close(LONG_S)
    again = Keeper(engine, Spool(folder), SECRET, retention_days=30)
    decisions = metadata().tables["decisions"]
    kept = [decisions.c.erased.is_(None), decisions.c.action != "erasure"]
    end = time.monotonic() + LONG_S
    left: list[str] = []
    while left != ["new"] and time.monotonic() < end:
        with reading(engine) as connection:
            left = list(connection.scalars(select(decisions.c.id).where(*kept)))
    again.close()

    assert left == ["new"]
    assert verify(engine).findings == []


def test_a_database_that_is_away_at_the_start(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "later" / "a.sqlite"
    engine = engine_of(str(place))
    keeper = Keeper(engine, Spool(folder), SECRET)
    keeper.keep([decision("one")])
    assert not keeper.flush(0.5)
    assert keeper.away
    assert keeper.waiting == 1
    place.parent.mkdir()
    open_database(str(place)).dispose()

    assert keeper.flush(LONG_S)
    assert stored(engine) == ["one"]
    assert [record.message[:30] for record in caplog.records] == [
        "decisions wait in the spool: " + str(place)[:1],
        "the database takes decisions a",
    ]
    keeper.close()
    engine.dispose()


def test_a_database_that_stays_away_keeps_nobody_waiting(folder: Path) -> None:
    engine = engine_of("postgresql+psycopg://me:hunter2@/d?host=/nowhere/at/all")
    keeper = Keeper(engine, Spool(folder), SECRET)
    keeper.keep([decision("one")])
    keeper.close()
    engine.dispose()

    assert len(list(folder.glob("*.spool"))) == 1
    assert len(list(folder.glob("*.lock"))) == 1


def test_a_server_that_is_stopped_under_load(server: Postgres, folder: Path) -> None:
    """Nothing is lost, nothing is doubled, and nobody waits meanwhile."""
    engine = open_database(server.new_database())
    keepers = [Keeper(engine, Spool(folder), SECRET) for _ in range(2)]
    acknowledged: list[str] = []
    stop = threading.Event()

    def work(keeper: Keeper) -> None:
        while not stop.is_set():
            one = decision()
            keeper.keep([one])
            acknowledged.append(one.id)
            time.sleep(0.001)

    threads = [threading.Thread(target=work, args=(keeper,)) for keeper in keepers * 2]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    server.stop()
    before = len(acknowledged)
    time.sleep(AWAY_S)
    assert len(acknowledged) > before + 100
    assert any(keeper.away for keeper in keepers)
    server.start()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()

    assert all(keeper.flush(LONG_S) for keeper in keepers)
    assert sorted(stored(engine)) == sorted(acknowledged)
    assert verify(engine).findings == []
    for keeper in keepers:
        keeper.close()
    engine.dispose()


def test_a_process_that_is_killed_has_lost_nothing_it_acknowledged(
    engine: Engine, place: str, folder: Path
) -> None:
    """Two processes write at once; both are killed in the middle of it."""
    command = [sys.executable, "-m", "tests.serve.audit.made", place, str(folder), "8"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    acknowledged: list[str] = []
    for process in processes:
        assert process.stdout is not None
        acknowledged += [process.stdout.readline().strip() for _ in range(300)]
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        assert process.stdout is not None
        # The last line may be torn, as the process was.
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
        process.stdout.close()
        process.wait(LONG_S)
    settle(engine, folder)

    assert len(acknowledged) >= 600
    assert not set(acknowledged) - set(stored(engine))
    assert verify(engine).findings == []
    assert list(folder.iterdir()) == []


def test_a_move_that_was_cut_off_is_done_again(engine: Engine, folder: Path) -> None:
    """The database has some of a segment that is still in the spool, as after a kill."""
    spool = Spool(folder)
    keeper = Keeper(engine, spool, SECRET)
    made = [decision(f"d{number}") for number in range(10)]
    keeper.keep(made[:5])
    assert keeper.flush(LONG_S)
    keeper.close()
    away = engine_of("postgresql+psycopg://me@/d?host=/nowhere/at/all")
    dead = Keeper(away, Spool(folder), SECRET)
    dead.keep(made)
    dead.close()
    away.dispose()
    settle(engine, folder)

    assert sorted(stored(engine)) == [f"d{number}" for number in range(10)]
    with reading(engine) as connection:
        assert connection.scalar(select(func.count()).select_from(metadata().tables["chains"])) == 2
    assert verify(engine).findings == []


def test_as_the_options_say(tmp_path: Path) -> None:
    options = ServeOptions(database=str(tmp_path / "a.sqlite"), spool=str(tmp_path / "spool"))
    engine = open_database(options.database)
    keeper = open_audit(engine, options)
    audit: Audit = keeper
    audit.keep([decision("one", subject="somebody")])
    keeper.close(LONG_S)

    assert stored(engine) == ["one"]
    engine.dispose()
    with pytest.raises(UsageError, match="secret"):
        open_audit(engine, ServeOptions(database="postgresql://me@there/d"))


def test_a_full_disk_fails_closed(
    keeper: Keeper, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Spool, "_new_segment", full)
        with pytest.raises(VedetteError) as caught:
            keeper.keep([decision("one")])
    assert caught.value.code == "write_failed"
    keeper.keep([decision("two")])
    assert keeper.flush(LONG_S)
    assert stored(engine) == ["two"]

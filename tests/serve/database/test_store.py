from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.serve.postgres import Postgres
from vedette.errors import UsageError, VedetteError
from vedette.serve.database.store import engine_of, open_database, reading, shown, writing
from vedette.serve.database.tables import metadata

AWAY = "postgresql+psycopg://me:hunter2@/d?host=/nowhere/at/all&sslpassword=hunter3"


def rate(key: str) -> dict[str, object]:
    return {"key_id": key, "allowance": 1.5, "updated": 1700000000.1234567}


def test_numbers_come_back_as_they_were(engine: Engine) -> None:
    rates = metadata().tables["rates"]
    with writing(engine) as connection:
        connection.execute(rates.insert(), [rate("a")])
    with reading(engine) as connection:
        assert connection.execute(rates.select()).one()._asdict() == rate("a")


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    rates = metadata().tables["rates"]
    with (
        pytest.raises(VedetteError, match=r"UNIQUE|unique") as caught,
        writing(engine) as connection,
    ):
        connection.execute(rates.insert(), [rate("a"), rate("a")])

    assert caught.value.code == "no_database"
    with reading(engine) as connection:
        assert connection.execute(rates.select()).all() == []


def test_errors_do_not_quote_what_was_to_be_stored(engine: Engine) -> None:
    rates = metadata().tables["rates"]
    row = rate("a private matter") | {"allowance": None}
    with pytest.raises(VedetteError) as caught, writing(engine) as connection:
        connection.execute(rates.insert(), [row])

    assert "allowance" in caught.value.message
    assert "private" not in caught.value.message


def test_writers_wait_for_each_other(engine: Engine) -> None:
    rates = metadata().tables["rates"]
    with writing(engine) as connection:
        connection.execute(rates.insert(), [rate("a") | {"allowance": 0.0}])

    def count() -> None:
        for _ in range(20):
            with writing(engine) as connection:
                read = connection.scalar(
                    rates.select().with_only_columns(rates.c.allowance).with_for_update()
                )
                assert read is not None
                connection.execute(rates.update().values(allowance=read + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT allowance FROM rates")) == 80


def test_reading_sees_one_state_and_keeps_no_writer_waiting(engine: Engine) -> None:
    rates = metadata().tables["rates"]
    with reading(engine) as reader:
        assert reader.execute(rates.select()).all() == []
        with writing(engine) as writer:
            writer.execute(rates.insert(), [rate("a")])
        assert reader.execute(rates.select()).all() == []


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    place = tmp_path / "a.sqlite"
    engine = open_database(str(place))
    with writing(engine) as connection:
        connection.execute(metadata().tables["rates"].insert(), [rate("a")])
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    engine.dispose()

    assert "a.sqlite-wal" in modes
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("there/is/none.sqlite", "write_failed"),
        ("mysql://me:hunter2@there/d", "usage"),
        ("postgresql+psycopg://me:hunter2@there:port/d", "usage"),
        (AWAY, "no_database"),
    ],
)
def test_what_cannot_be_opened_is_told_without_secrets(place: str, code: str) -> None:
    with pytest.raises(VedetteError) as caught:
        open_database(place)

    assert caught.value.code == code
    assert "hunter" not in caught.value.message


def test_a_place_is_shown_without_secrets() -> None:
    assert "hunter" not in shown(AWAY)
    assert shown("a.sqlite") == "a.sqlite"


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "a.sqlite"
    place.write_bytes(b"not at all a database" * 100)

    with pytest.raises(VedetteError, match="not a database"):
        open_database(str(place))


def test_nothing_is_made_where_it_must_be_there(place: str) -> None:
    with pytest.raises((UsageError, VedetteError)) as caught:
        open_database(place, create=False)

    assert caught.value.code in ("not_found", "no_database")
    assert "://" in place or not Path(place).exists()


def test_a_server_that_was_away_is_found_again(server: Postgres) -> None:
    engine = open_database(server.new_database())
    server.restart()

    with reading(engine) as connection:  # over a connection that the pool had
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_no_connection_is_made_before_it_is_needed() -> None:
    engine_of(AWAY).dispose()


def test_programs_that_make_the_same_file_at_once_do_not_refuse_each_other(tmp_path: Path) -> None:
    for number in range(8):
        place, together = str(tmp_path / f"{number}.sqlite"), threading.Barrier(6)

        def opened(place: str = place, together: threading.Barrier = together) -> None:
            together.wait()
            open_database(place).dispose()

        with ThreadPoolExecutor(6) as threads:
            for one in [threads.submit(opened) for _ in range(6)]:
                one.result()

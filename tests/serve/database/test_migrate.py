"""The steps of the migrations and the tables that the code works with are the same."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect, text

from vedette.errors import VedetteError
from vedette.serve.database.migrate import migrate
from vedette.serve.database.store import engine_of, open_database, reading, writing
from vedette.serve.database.tables import metadata


def differences(connection: Connection) -> Any:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return compare_metadata(context, metadata())


def test_the_migrations_give_the_tables(engine: Engine) -> None:
    with reading(engine) as connection:
        assert differences(connection) == []


def test_a_difference_would_be_seen(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("DROP INDEX ix_decisions_sha256"))
        connection.execute(text("ALTER TABLE rates DROP COLUMN updated"))
    with reading(engine) as connection:
        assert len(differences(connection)) == 2


def test_indexes_and_constraints_are_the_same(place: str) -> None:
    """Partial indexes, too, which Alembic does not compare."""

    def words(index: Any) -> str:
        options = {key: str(value) for key, value in index.pop("dialect_options", {}).items()}
        return f"{index} {options}"

    def seen(engine: Engine) -> Any:
        found = inspect(engine)
        return {
            name: (
                sorted(map(words, found.get_indexes(name))),
                sorted(map(repr, found.get_unique_constraints(name))),
                sorted(map(repr, found.get_foreign_keys(name))),
                found.get_pk_constraint(name),
            )
            for name in metadata().tables
        }

    engine = open_database(place)
    migrated = seen(engine)
    with writing(engine) as connection:
        metadata().drop_all(connection)
        metadata().create_all(connection)
    assert seen(engine) == migrated
    engine.dispose()


def test_a_second_time_nothing_happens(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("INSERT INTO rates VALUES ('a', 1, 2)"))
    migrate(engine)
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM rates")) == 1


def test_a_migration_that_fails_leaves_nothing(place: str) -> None:
    engine = engine_of(place)
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE jobs (id integer)"))
    with pytest.raises(VedetteError, match="jobs"):
        migrate(engine)
    assert inspect(engine).get_table_names() == ["jobs"]
    engine.dispose()


def test_replicas_that_start_at_once_do_not_collide(place: str) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        barrier.wait()
        try:
            open_database(place).dispose()
        except VedetteError as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []


def test_processes_that_start_at_once_do_not_collide(place: str) -> None:
    code = (
        "import sys; from vedette.serve.database.store import open_database\n"
        "open_database(sys.argv[1]).dispose()"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, place]) for _ in range(2)]

    assert [process.wait(60) for process in both] == [0, 0]


def test_tables_of_a_later_version_are_refused(engine: Engine, place: str) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for create in (True, False):
        with pytest.raises(VedetteError, match="later version") as caught:
            open_database(place, create=create)
        assert caught.value.code == "no_database"

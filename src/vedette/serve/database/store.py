"""Opening the service's database: one SQLite file, or PostgreSQL by URL.

Replicas share it, so every write is a short transaction. On SQLite each one begins as a writer
(``BEGIN IMMEDIATE``): what it has read still holds when it writes, and it waits for other programs
instead of failing halfway.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.errors import UsageError, VedetteError
from vedette.extras import require

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_WAIT_S = 30
"""How long SQLite waits for another program's transaction, in seconds."""
_AGAIN_S = 0.01
_CONNECT_S = 5
"""How long PostgreSQL may take to answer a connection, in seconds."""
_SILENT_MS = 15_000
"""After how long without an acknowledgement a connection to PostgreSQL counts as dead."""
_SECRETS = ("password", "sslpassword", "sslkey", "passfile")


def open_database(place: str, *, create: bool = True) -> Engine:
    """The database at ``place``, its tables brought up to date; ``dispose()`` it at the end.

    Args:
        place: a path (SQLite; a new file is mode 0600), or
            ``postgresql+psycopg://user@host/database``.
        create: make what is missing; else the tables must be there and of this version.

    Raises:
        UsageError: not a path or such a URL; ``not_found``: nothing there, without ``create``.
        VedetteError: ``no_database``: it cannot be reached or used; ``write_failed``.
        MissingExtraError: SQLAlchemy, Alembic or psycopg is not installed.
    """
    from vedette.serve.database.migrate import check, migrate

    if not is_url(place):
        if create:
            _touch(Path(place))
        elif not Path(place).is_file():
            raise UsageError(f"there is no database {shown(place)}", code="not_found")
    engine = engine_of(place)
    try:
        if create:
            migrate(engine)
        else:
            check(engine)
    except VedetteError:
        engine.dispose()
        raise
    return engine


def engine_of(place: str) -> Engine:
    """An engine of SQLAlchemy for ``place``; nothing is connected yet.

    Raises:
        UsageError: not a path or a URL of PostgreSQL.
        MissingExtraError: SQLAlchemy or psycopg is not installed.
    """
    sa: Any = require("sqlalchemy", extra="serve")
    if is_url(place):
        require("psycopg", extra="serve")
        waits = {"connect_timeout": _CONNECT_S, "tcp_user_timeout": _SILENT_MS}
        return sa.create_engine(  # type: ignore[no-any-return]
            _url(place), pool_pre_ping=True, connect_args=waits, hide_parameters=True
        )
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=place),
        connect_args={"timeout": _WAIT_S},
        hide_parameters=True,
    )

    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we begin ourselves: the driver would begin too late
        connection.execute(f"PRAGMA busy_timeout = {_WAIT_S * 1000}")
        _to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")  # a commit survives a loss of power
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # what is erased leaves no bytes behind

    def begun(connection: Any) -> None:
        reads = connection.get_execution_options().get("vedette_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "begin", begun)
    return engine  # type: ignore[no-any-return]


def _to_wal(connection: sqlite3.Connection) -> None:
    """Let readers not wait for a writer.

    Of two programs that switch a new file at once SQLite refuses one without waiting, whatever the
    timeout is.
    """
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_AGAIN_S)
        else:
            return


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that is rolled back if the block raises.

    Raises:
        VedetteError: ``no_database``.
    """
    with told(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the database, and keeps no writer waiting.

    Raises:
        VedetteError: ``no_database``.
    """
    with told(engine), engine.connect() as plain:
        connection = plain.execution_options(vedette_reads=True)
        if connection.dialect.name == "postgresql":  # SQLite's transactions are so anyway
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def told(engine: Engine) -> Iterator[None]:
    """The database's errors in our words: one line, without the password.

    Raises:
        VedetteError: ``no_database``.
    """
    sa: Any = require("sqlalchemy", extra="serve")
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        origin = getattr(error, "orig", None) or error
        # PostgreSQL's message alone: its details quote the row.
        primary = getattr(getattr(origin, "diag", None), "message_primary", None)
        words = " ".join(str(primary or origin).split()) or type(origin).__name__
        password = engine.url.password
        if password:
            words = words.replace(str(password), "***")
        raise VedetteError(f"{name_of(engine)}: {words}", code="no_database") from None


def name_of(engine: Engine) -> str:
    """What messages call the database: its path, or its URL without secrets."""
    if engine.dialect.name == "sqlite":
        return str(engine.url.database)
    return _without_secrets(engine.url)


def shown(place: str) -> str:
    """``place`` for messages: without a password.

    Raises:
        UsageError: it looks like a URL and is none of PostgreSQL.
    """
    return _without_secrets(_url(place)) if is_url(place) else place


def is_url(place: str) -> bool:
    """Whether a place is meant as a URL, not as a path."""
    return "://" in place


def _without_secrets(url: Any) -> str:
    return str(url.difference_update_query(_SECRETS).render_as_string(hide_password=True))


def _url(place: str) -> Any:
    sa: Any = require("sqlalchemy", extra="serve")
    try:
        url = sa.make_url(place)
    except (sa.exc.ArgumentError, ValueError):
        url = None  # its message would quote the URL with the password
    if url is None or url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise UsageError(
            "a database is a path, or a URL that begins with postgresql+psycopg://",
            hint="for SQLite give the path of the file alone",
        ) from None
    return url.set(drivername="postgresql+psycopg")


def _touch(path: Path) -> None:
    """Make the file where there is none, readable by its owner only."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise VedetteError(
            f"cannot write {path}: {error.strerror or error}", code="write_failed"
        ) from error

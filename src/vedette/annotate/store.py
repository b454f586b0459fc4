"""Where annotations are kept: one SQLite file, or a PostgreSQL database by URL.

Several annotators write at once, from several machines. Every write of a campaign is one short
transaction under one lock, so that what it has read still holds when it writes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.annotate import schema
from vedette.errors import UsageError, VedetteError
from vedette.extras import require

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Connection, Engine

Clock = Callable[[], float]
"""Seconds since 1970."""

_WAIT_S = 30
"""How long SQLite waits for another program's transaction, in seconds."""
_LOCK = 0x7E0E77E
"""Namespace of the advisory locks on PostgreSQL, which all programs of a database share."""
_SECRETS = ("password", "sslpassword", "sslkey", "passfile")


class Store:
    """A database of campaigns. Use :meth:`open` or :meth:`create`, and close it.

    Args:
        engine: of SQLAlchemy.
        shown: its name for messages, without the password.
        clock: tells the time.
    """

    def __init__(self, engine: Engine, shown: str, clock: Clock = time.time) -> None:
        self._engine = engine
        self.shown = shown
        self._clock = clock

    @classmethod
    def open(cls, place: str, clock: Clock = time.time) -> Store:
        """The store that is there.

        Args:
            place: a path, or ``postgresql+psycopg://user@host/database``.
            clock: tells the time; for tests.

        Raises:
            UsageError: ``not_found``, ``bad_annotations``: nothing there, or no store.
            VedetteError: ``bad_annotations``: the database cannot be reached.
            MissingExtraError: SQLAlchemy or psycopg is not installed.
        """
        if not _is_url(place) and not Path(place).is_file():
            raise UsageError(
                f"there is no store {place}",
                code="not_found",
                hint="make one with: vedette annotate create STORE DATA",
            )
        store = cls(*_engine(place), clock)
        try:
            with store.reading() as connection:
                schema.check(connection, store.shown)
        except VedetteError:
            store.close()
            raise
        return store

    @classmethod
    def create(cls, place: str, clock: Clock = time.time) -> Store:
        """The store at ``place``, its tables made if there are none; a new file is mode 0600.

        Raises:
            VedetteError: as :meth:`open`; ``write_failed``: the file cannot be made.
        """
        made = not _is_url(place) and _touched(Path(place))
        store = cls(*_engine(place), clock)
        try:
            with store.writing() as connection:
                tables = schema.tables()
                if not schema.sql().inspect(connection).has_table(tables.version.name):
                    schema.create(connection)
                schema.check(connection, store.shown)
        except VedetteError:
            store.close()
            if made:
                Path(place).unlink(missing_ok=True)
            raise
        return store

    def now_us(self) -> int:
        """The time in microseconds since 1970."""
        return int(self._clock() * 1_000_000)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store and changes nothing.

        Raises:
            VedetteError: ``bad_annotations``: the database refuses or cannot be reached.
        """
        with self._told(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":  # SQLite's transactions are so anyway
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self, lock: int = 0) -> Iterator[Connection]:
        """A transaction that is alone under its lock; rolled back if the block raises.

        Args:
            lock: whose: a campaign's id, or 0 for the store's own.

        Raises:
            VedetteError: as :meth:`reading`.
        """
        with self._told(), self._engine.connect() as plain:
            connection = plain.execution_options(vedette_writes=True)
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    # A lock on a row would need the right to update it, which nobody has to have.
                    sa = schema.sql()
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK, lock)))
                yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The database's errors in our words; its message may quote parameters, so one line."""
        try:
            yield
        except schema.sql().exc.SQLAlchemyError as error:
            origin = getattr(error, "orig", None) or error
            words = " ".join(str(origin).split()) or type(origin).__name__
            password = self._engine.url.password
            if password:
                words = words.replace(str(password), "***")
            raise VedetteError(
                f"{self.shown}: {words}",
                code="bad_annotations",
                hint="check the path or the URL, the database's rights, and the disk",
            ) from None

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def shown(place: str) -> str:
    """``place`` without a password, for messages.

    Raises:
        UsageError: it looks like a URL and is none.
    """
    if not _is_url(place):
        return place
    url = _url(place)
    return str(url.difference_update_query(_SECRETS).render_as_string(hide_password=True))


def _is_url(place: str) -> bool:
    return "://" in place


def _url(place: str) -> Any:
    sa = schema.sql()
    try:
        url = sa.make_url(place)
    except (sa.exc.ArgumentError, ValueError):
        url = None  # its message would quote the URL with the password
    if url is None or url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise UsageError(
            "a store is a path, or a URL that begins with postgresql+psycopg://",
            hint="for SQLite give the path of the file alone",
        ) from None
    return url.set(drivername="postgresql+psycopg")


def _engine(place: str) -> tuple[Any, str]:
    sa = schema.sql()
    if _is_url(place):
        require("psycopg", extra="annotate")
        return sa.create_engine(_url(place), pool_pre_ping=True), shown(place)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=place),
        poolclass=sa.pool.NullPool,
        connect_args={"timeout": _WAIT_S},
    )

    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we begin ourselves: the driver would begin too late
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA recursive_triggers = ON")  # INSERT OR REPLACE deletes, too

    def begun(connection: Any) -> None:
        writes = connection.get_execution_options().get("vedette_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "begin", begun)
    return engine, place


def _touched(path: Path) -> bool:
    """Make the file, readable by its owner only; False where it is there."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    except OSError as error:
        raise VedetteError(
            f"cannot write {path}: {error.strerror or error}", code="write_failed"
        ) from error
    return True

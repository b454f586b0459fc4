"""Bringing the tables up to date with Alembic, without an ini file: the steps are in the wheel.

Replicas that start at once do not collide: the first takes a lock for its one transaction, the
others wait and then find nothing to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.errors import VedetteError
from vedette.extras import require
from vedette.serve.database.store import name_of, reading, writing
from vedette.serve.database.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_STEPS = Path(__file__).parent / "migrations"
_LOCK = 0x7E0E_77E5
"""Of the advisory locks on PostgreSQL, which all programs of a database share."""
_LATER = "run the version of Vedette that made it, or a later one"


def migrate(engine: Engine) -> None:
    """Make the tables, or bring them up to date; all or nothing.

    Raises:
        VedetteError: ``no_database``: it cannot be reached, or a later Vedette has made it.
    """
    runtime = require("alembic.runtime.environment", extra="serve")
    config = require("alembic.config", extra="serve").Config()
    script = _script()

    def steps(revision: Any, _: Any) -> Any:
        return script._upgrade_revs("head", revision)  # as alembic.command.upgrade does

    with writing(engine) as connection:
        _lock(connection)
        if _revision(engine, connection) == script.get_current_head():
            return
        with runtime.EnvironmentContext(config, script, fn=steps) as environment:
            environment.configure(
                connection=connection, target_metadata=metadata(), transactional_ddl=True
            )
            environment.run_migrations()


def check(engine: Engine) -> None:
    """Refuse a database whose tables are not of this version; changes nothing.

    Raises:
        VedetteError: ``no_database``.
    """
    with reading(engine) as connection:
        found = _revision(engine, connection)
    if found != _script().get_current_head():
        raise VedetteError(
            f"{name_of(engine)}: it has not the tables of this version of the service",
            code="no_database",
            hint="start the service on it once: that brings the tables up to date",
        )


def _revision(engine: Engine, connection: Connection) -> str | None:
    """Of the tables; None: there are none."""
    migration = require("alembic.runtime.migration", extra="serve")
    found: str | None = migration.MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in {step.revision for step in _script().walk_revisions()}:
        raise VedetteError(
            f"{name_of(engine)}: a later version of Vedette has made its tables",
            code="no_database",
            hint=_LATER,
        )
    return found


def _script() -> Any:
    return require("alembic.script", extra="serve").ScriptDirectory(str(_STEPS))


def _lock(connection: Connection) -> None:
    """Until the transaction ends. On SQLite a writer is alone anyway."""
    if connection.dialect.name == "postgresql":
        sa = require("sqlalchemy", extra="serve")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))

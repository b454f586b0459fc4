"""What the commands of ``vedette audit`` share: which database, and opening it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

DATABASE = "vedette-service.sqlite"
"""As the service has it where nothing else is said."""
Database = Annotated[
    str,
    typer.Option(
        "--database",
        "-d",
        envvar="VEDETTE_DATABASE",  # a URL may hold a password: not for the list of processes
        show_envvar=False,
        help="The service's database: a path or a URL. [$VEDETTE_DATABASE]",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it: what is erased cannot be brought back.")]


@contextmanager
def opened(database: str) -> Iterator[Engine]:
    """The service's database, which must be there.

    Raises:
        VedetteError: as :func:`vedette.serve.database.store.open_database`.
    """
    from vedette.serve.database.store import open_database

    engine = open_database(database, create=False)
    try:
        yield engine
    finally:
        engine.dispose()


def confirm(what: str, yes: bool) -> None:
    """Refuse to erase without ``--yes``.

    Raises:
        UsageError: ``not_confirmed``.
    """
    from vedette.errors import UsageError

    if not yes:
        raise UsageError(f"{what} cannot be undone", code="not_confirmed")

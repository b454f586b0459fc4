"""``vedette keys``: API keys of the service, made, listed, exchanged and ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.audit.common import DATABASE, Database
from vedette.cli.common import guarded
from vedette.errors import UsageError
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.serve.keys import KeyInfo, KeyStore
    from vedette.serve.services import Scope

app = typer.Typer(help="API keys of the service.", no_args_is_help=True)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

KeyId = Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")]


def create(
    name: Annotated[str, typer.Option("--name", help="Whose it is, or what for.")],
    scopes: Annotated[
        list[str], typer.Option("--scope", help="scan, jobs, review or admin; more than once.")
    ],
    expires: Annotated[
        str | None, typer.Option("--expires", help="After how long it ends, as 30d or 12h.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Images per second that it may ask for.")
    ] = None,
    database: Database = DATABASE,
) -> None:
    """Make a key and print it, once: it is stored nowhere."""
    lasts_s = None if expires is None else seconds(expires)
    with _store(database, create=True) as store:
        key, info = store.create(name, _scopes(scopes), lasts_s=lasts_s, rate=rate)
    _show_once(key, info)


def list_(database: Database = DATABASE) -> None:
    """List all keys, those that have ended too. Never their secrets."""
    with _store(database) as store:
        found = store.list()
    now = datetime.now(UTC).timestamp()
    for info in found:
        rate = "" if info.rate is None else f"  {info.rate:g}/s"
        ends = "" if info.expires is None else f"  until {_time(info.expires)}"
        before = "" if info.replaces is None else f"  replaces {info.replaces}"
        typer.echo(
            f"{info.id}  {info.state(now):<7}  {','.join(sorted(info.scopes)):<16}  "
            f"{printable(info.name)}  since {_time(info.created)}{ends}{rate}{before}"
        )
    typer.echo(f"{len(found)} keys", err=True)


def rotate(
    key_id: KeyId,
    grace: Annotated[
        str, typer.Option("--grace", help="How long the old key stays valid, as 24h; 0s: not.")
    ] = "24h",
    expires: Annotated[
        str | None,
        typer.Option("--expires", help="After how long the new one ends; else as the old one."),
    ] = None,
    database: Database = DATABASE,
) -> None:
    """Make a new key for the same use and print it, once; the old one ends after --grace."""
    lasts_s = None if expires is None else seconds(expires)
    with _store(database) as store:
        key, info = store.rotate(key_id, grace_s=seconds(grace), lasts_s=lasts_s)
    _show_once(key, info)


def revoke(key_id: KeyId, database: Database = DATABASE) -> None:
    """End a key: every replica refuses it within five seconds."""
    with _store(database) as store:
        info = store.revoke(key_id)
    typer.echo(f"revoked {info.id}  {printable(info.name)}", err=True)


def seconds(text: str) -> float:
    """A length of time, as ``30d``, ``12h``, ``90m``, ``45s`` or ``2w``, in seconds.

    Raises:
        UsageError: it is none.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", text.strip())
    if found is None:
        raise UsageError("a length of time is written as 30d, 12h, 90m or 45s")
    return float(int(found[1]) * _UNITS[found[2]])


@contextmanager
def _store(database: str, *, create: bool = False) -> Iterator[KeyStore]:
    from vedette.serve.database.store import open_database
    from vedette.serve.keys import KeyStore

    engine = open_database(database, create=create)
    try:
        yield KeyStore(engine)
    finally:
        engine.dispose()


def _scopes(given: list[str]) -> list[Scope]:
    from vedette.errors import UnknownNameError
    from vedette.serve.services import Scope

    known = {str(scope): scope for scope in Scope}
    for one in given:
        if one not in known:
            raise UnknownNameError("scope", one, known)
    return [known[one] for one in given]


def _show_once(key: str, info: KeyInfo) -> None:
    ends = "never expires" if info.expires is None else f"expires {_time(info.expires)}"
    typer.echo(key)  # alone on standard output, for a secret store to read
    typer.echo(f"key {info.id}, {ends}; it is not shown again", err=True)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


app.command("create")(guarded(create))
app.command("list")(guarded(list_))
app.command("rotate")(guarded(rotate))
app.command("revoke")(guarded(revoke))

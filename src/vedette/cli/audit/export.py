"""``vedette audit export``: stored decisions as JSONL or Parquet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from vedette.cli.audit.common import DATABASE, Database, opened


def export(
    out: Annotated[Path, typer.Argument(help="The new file: .jsonl or .parquet.")],
    database: Database = DATABASE,
    since: Annotated[
        str | None, typer.Option("--since", help="From this time on: ISO 8601, UTC.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Before this time: ISO 8601, UTC.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there.")
    ] = False,
) -> None:
    """Write stored decisions to a file: Records, each with its decision.

    Erased decisions are left out.
    """
    from vedette.serve.audit.export import check_format, decisions, write
    from vedette.sinks.base import check_places

    first = None if since is None else _seconds(since)
    behind = None if until is None else _seconds(until)
    check_format(out)
    check_places([out], overwrite=overwrite)
    with opened(database) as engine:
        count = write(decisions(engine, first, behind), out)
    typer.echo(f"{count} decisions", err=True)


def _seconds(text: str) -> float:
    from vedette.errors import UsageError

    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no time", hint="give ISO 8601, for example 2026-01-31T12:00"
        ) from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()

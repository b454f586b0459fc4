"""``vedette audit verify``: whether the stored decisions are the ones that were written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.audit.common import DATABASE, Database, opened
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.serve.audit.verify import Head

_FOUND = 1


def verify(
    database: Database = DATABASE,
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", help="A head noted before, or a file of them. Repeatable."),
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="Write the heads of all chains, to be kept elsewhere."),
    ] = None,
) -> None:
    """Check every stored decision: none altered, removed, added or moved.

    Exit status: 0 as written, 1 not, 2 it could not be checked.
    """
    from vedette.serve.audit.verify import verify as verified
    from vedette.sinks.base import replacing

    expected = [head for text in expect or () for head in _heads(text)]
    with opened(database) as engine:
        report = verified(engine, expected)
    for finding in report.findings:
        typer.echo(printable(str(finding)))
    if report.total > len(report.findings):
        typer.echo(f"and {report.total - len(report.findings)} more")
    if report.total:
        typer.echo(f"not as written: {report.total} findings", err=True)
        raise typer.Exit(_FOUND)
    if heads is not None:
        with replacing(heads) as temporary:
            temporary.write_text("".join(f"{head}\n" for head in report.heads), encoding="ascii")
    typer.echo(
        f"ok: {report.decisions} decisions in {len(report.heads)} chains, {report.erased} erased"
    )


def _heads(text: str) -> list[Head]:
    """One head, or those of a file."""
    from vedette.errors import UsageError
    from vedette.serve.audit.verify import Head

    try:
        named = Path(text).read_text(encoding="utf-8") if Path(text).is_file() else text
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {text}: {error}") from error
    return [Head.parse(line) for line in named.splitlines() if line.strip()]

"""``vedette bench leaderboard``: the results of a folder, ranked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vedette.cli.bench.report import Overwrite
from vedette.text import printable


def leaderboard(
    folder: Annotated[Path, typer.Argument(help="A folder of result files.")] = Path("results"),
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", help=".html, .md or .json. Repeatable."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Rank models by their overall F1 of unsafe, on each data set by itself."""
    from vedette.bench.report.leaderboard import board_document, write_json
    from vedette.bench.report.leaderboard import leaderboard as ranked
    from vedette.bench.report.outputs import kind_of, write_outputs
    from vedette.bench.report.terminal import lines
    from vedette.bench.result import read_results
    from vedette.errors import UsageError
    from vedette.sinks.base import check_places

    places = [(path, kind_of(path, (".json",))) for path in out or ()]
    check_places([path for path, _ in places], overwrite=overwrite)
    for path, kind in places:
        if kind == "json" and folder.resolve() == path.resolve().parent:
            raise UsageError(
                f"{path} would be taken for a result", hint="write the leaderboard elsewhere"
            )
    if not folder.exists():
        raise UsageError(f"there is no folder {folder}", code="not_found")
    results = read_results([folder])
    boards = ranked(results)
    told = board_document(boards, results)
    for line in lines(told, whole=True):
        typer.echo(line)
    for path, kind in places:
        if kind == "json":
            write_json(boards, path)
        else:
            html, markdown = (path, None) if kind == "html" else (None, path)
            write_outputs(told, html, markdown)
        typer.echo(f"wrote {printable(str(path))}", err=True)

"""``vedette report``: the HTML page, or another format, from stored Records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vedette.text import printable


def report(
    records: Annotated[Path, typer.Argument(help="Records of a scan (.jsonl).")],
    out: Annotated[
        list[Path] | None, typer.Option("--out", "-o", help=".csv, .parquet or .jsonl. Repeatable.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="The report page.")] = None,
    no_thumbnails: Annotated[
        bool, typer.Option("--no-thumbnails", help="No pictures in the report.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that are already there.")
    ] = False,
) -> None:
    """Make a report page, or another format, from stored Records.

    Pictures are found by the Records' keys: run it where the scan ran.
    """
    from vedette.data.paths import PathSource
    from vedette.errors import UsageError
    from vedette.run import Outputs, Thumbnails, write_derived
    from vedette.sinks.base import check_places
    from vedette.wire import read_jsonl

    wanted = [path for path in (*(out or ()), html) if path is not None]
    if not wanted:
        raise UsageError("nothing to write", hint="give --html FILE or --out FILE")
    check_places(wanted, overwrite=overwrite)
    outputs = Outputs(tuple(out or ()), html, not no_thumbnails)
    write_derived(lambda: read_jsonl(records), outputs, Thumbnails(PathSource([])), skip=None)
    for path in wanted:
        typer.echo(f"wrote {printable(str(path))}", err=True)

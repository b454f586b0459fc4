"""``vedette bench report``: a page, Markdown and a summary from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vedette.cli.data.common import Card, Format, Labels
from vedette.text import printable

RESULTS = typer.Argument(help="Result files (.json), or folders of them.", show_default=False)
Results = Annotated[list[Path], RESULTS]
Html = Annotated[Path | None, typer.Option("--html", help="Write a self-contained page.")]
Markdown = Annotated[Path | None, typer.Option("--markdown", help="Write Markdown.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace these files if they are there.")
]


def report(
    results: Results,
    html: Html = None,
    markdown: Markdown = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="The data set, for small blurred pictures in the page."),
    ] = None,
    fmt: Format = "auto",
    labels: Labels = None,
    card: Card = None,
    overwrite: Overwrite = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Show what was measured: warnings on top, then tables and plots of every task.

    Results of several models stand beside each other, and beside the paper's numbers.
    """
    from dataclasses import replace

    from vedette.bench.report.document import document
    from vedette.bench.report.outputs import check_outputs, has_pictures, write_outputs
    from vedette.bench.report.terminal import lines
    from vedette.bench.report.thumbnails import thumbnails
    from vedette.bench.result import read_results
    from vedette.cli.data.common import opened
    from vedette.errors import UsageError
    from vedette.settings import load_settings

    if data is not None and html is None:
        raise UsageError("--data is for the pictures of the page", hint="give --html FILE as well")
    places = check_outputs(html, markdown, overwrite=overwrite)
    told = document(read_results(results))
    if data is not None and has_pictures(told):
        source = opened(data, fmt, labels, card, config)
        shown = thumbnails(told.wanted(), source, load_settings(config))
        told = replace(told, thumbnails=shown)
    for line in lines(told, whole=False):
        typer.echo(line)
    write_outputs(told, html, markdown)
    for path in places:
        typer.echo(f"wrote {printable(str(path))}", err=True)

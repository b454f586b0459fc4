"""The command line. Each file parses, calls and prints; ``--help`` imports nothing heavy."""

from __future__ import annotations

from typing import Annotated

import typer

from vedette import __version__
from vedette.cli import (
    annotate,
    audit,
    bench,
    calibrate,
    data,
    decide,
    embed,
    explain,
    keys,
    lists,
    models,
    policy,
    report,
    scan,
    score_embeddings,
    serve,
    train,
)
from vedette.cli.common import guarded

app = typer.Typer(
    help="Is this image safe to show? Scan pictures, archives and videos, offline.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: Rich alone takes longer than all the rest
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vedette {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Is this image safe to show? Scan pictures, archives and videos, offline."""


app.command("scan")(guarded(scan.scan))
app.command("decide")(guarded(decide.decide))
app.command("calibrate")(guarded(calibrate.calibrate))
app.command("explain")(guarded(explain.explain))
app.command("report")(guarded(report.report))
app.command("embed")(guarded(embed.embed))
app.command("score-embeddings")(guarded(score_embeddings.score_embeddings))
app.command("serve")(guarded(serve.serve))
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")
app.add_typer(annotate.app, name="annotate")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")
app.add_typer(lists.app, name="lists")
app.add_typer(policy.app, name="policy")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")


def main() -> None:
    """Entry point of the ``vedette`` program."""
    app()

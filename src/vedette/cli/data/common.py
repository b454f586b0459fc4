"""What the data commands share: the options that say what a source is, and showing its labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vedette.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.data.base import Source

DATA = typer.Argument(
    help="A folder, archive, manifest, Parquet or tar files; vault:NAME; synth:unsafebench.",
    show_default=False,
)
Data = Annotated[str, DATA]
Format = Annotated[
    str, typer.Option("--format", help="Kind of source, see docs/sources.md. [told by its content]")
]
Labels = Annotated[
    str | None,
    typer.Option("--labels", help="What its labels mean: 0=safe,1=Violence, or a .toml file."),
]
Card = Annotated[
    str | None, typer.Option("--set", help="The published set it is, see `vedette data sets`.")
]


def opened(
    given: str, fmt: str, labels: str | None, card: str | None, config: Path | None = None
) -> Source:
    """The source that the options name; which kind was recognised is said on standard error."""
    from vedette.data.cards import card_named
    from vedette.data.labelling import parse_labels
    from vedette.data.opening import SourceOptions, open_source
    from vedette.settings import load_settings

    options = SourceOptions(
        limits=load_settings(config).limits,
        labels=parse_labels(labels) if labels is not None else {},
        card=card_named(card).id if card not in (None, "none") else None,
    )
    chosen, source = open_source(given, fmt, options)
    if fmt == "auto":
        typer.echo(f"{printable(given)}: {chosen.name} ({chosen.summary})", err=True)
    return source


def show_legend(source: Source) -> None:
    """Say what the labels that were met mean and how that is known, on standard error."""
    from vedette.data.opening import Labelled

    if isinstance(source, Labelled):
        for line in source.legend.lines():
            typer.echo(f"label {printable(line)}", err=True)

"""What the data commands share: the options that say what a source is, and showing its labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vedette.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.data.base import Source
    from vedette.data.cards import SetCard

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


def set_card(given: str, card: str | None, source: Source | None = None) -> SetCard | None:
    """The published set that a source is: as the vault has it, as the user says, by path or layout.

    Args:
        given: the set as the user named it.
        card: of ``--set``; ``none``: it is another one. What the vault imported under the terms of
            a card stays bound by them, whatever is said here.
        source: where it is open already; without it nothing is opened to see what it is.

    Raises:
        UnknownNameError: there is no such card.
    """
    from vedette.data.cards import card_named, recognised
    from vedette.data.opening import split_format
    from vedette.data.vault.source import VaultSource

    if isinstance(source, VaultSource) and source.published is not None:
        return card_named(source.published)
    if card is not None:
        return None if card == "none" else card_named(card)
    found = recognised(given)
    return card_by_layout(split_format(given)[1]) if found is None and source is not None else found


def card_by_layout(place: str) -> SetCard | None:
    """The published set whose layout a place has, whatever format it is read as; no stand-in."""
    from pathlib import Path

    from vedette.data.base import read_all
    from vedette.data.cards import card_named, cards
    from vedette.data.opening import SourceOptions, open_source
    from vedette.data.synth.plan import is_stand_in

    if not place or not Path(place).exists():
        return None
    chosen, source = open_source(str(Path(place).absolute()), "auto", SourceOptions())
    first = next(read_all(source), None) if chosen.name in cards() else None
    return None if first is None or is_stand_in(first) else card_named(chosen.name)


def check_commercial_set(card: SetCard | None, *, commercial: bool) -> None:
    """Refuse a set whose terms forbid what the settings say it is for.

    Raises:
        UsageError: ``terms_refused``.
    """
    from vedette.errors import UsageError

    if card is not None and commercial and not card.commercial:
        raise UsageError(
            f"{card.id} may not be used commercially: {card.permitted}",
            code="terms_refused",
            hint="use another set; the settings say commercial = true",
        )


def show_legend(source: Source) -> None:
    """Say what the labels that were met mean and how that is known, on standard error."""
    from vedette.data.opening import Labelled

    if isinstance(source, Labelled):
        for line in source.legend.lines():
            typer.echo(f"label {printable(line)}", err=True)

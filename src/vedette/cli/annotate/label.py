"""``vedette annotate label``: an annotator at work in a terminal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.annotate.common import (
    NOT_READ,
    TOKEN,
    Campaign,
    StorePlace,
    campaign_of,
    read_token,
)
from vedette.cli.common import complain
from vedette.cli.data.common import opened
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.data.base import Source
    from vedette.decode import Decoder


def label(
    store: StorePlace,
    campaign: Campaign = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Where the pictures are. [as when it was created]")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help=f"Has your token. [${TOKEN}]")
    ] = None,
    preview: Annotated[
        Path | None, typer.Option("--preview", help="The .png to look at. [in a folder of its own]")
    ] = None,
    lease: Annotated[
        float, typer.Option("--lease", min=1, help="Minutes that a picture is kept for you.")
    ] = 30,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Label pictures: a blurred preview file to open beside the terminal, a key for each answer.

    Exit status: 0 done or stopped, 2 wrong usage, 3 some pictures could not be shown.
    """
    from vedette.annotate.desk import Desk
    from vedette.annotate.preview import Preview
    from vedette.annotate.terminal import Session, keys_of_stdin
    from vedette.decode import DecodeOptions, InlineDecoder
    from vedette.settings import load_settings

    token = read_token(token_file)
    settings = load_settings(config)
    options = DecodeOptions(limits=settings.limits, sampling=settings.video)
    decoder: Decoder = InlineDecoder(options)
    if settings.scan.hardened:
        from vedette.hardened import HardenedDecoder

        decoder = HardenedDecoder(options)
    try:
        with campaign_of(store, campaign) as labelled:
            desk = Desk.enter(labelled, token, lease * 60)
            source = _source(labelled.place, data, config)
            with _ended_in_order(), Preview(preview) as shown, keys_of_stdin() as keys:
                session = Session(desk, source, shown, keys, _say, decoder)
                tally = session.run()
            typer.echo(
                f"{desk.pseudonym}: {tally.answered} answered, {tally.corrected} corrected, "
                f"{desk.answered()} in all"
            )
    finally:
        decoder.close()
    if tally.failures:
        complain(
            f"{len(tally.failures)} could not be shown and are not answered",
            "check --data; they are asked again in an hour",
        )
        raise typer.Exit(NOT_READ)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """A closed terminal, or a kill, stops the session as Ctrl-C does: no preview stays behind."""
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [signal.signal(number, signal.default_int_handler) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _say(line: str) -> None:
    typer.echo(printable(line))


def _source(place: str, data: str | None, config: Path | None) -> Source:
    """Where the pictures are, opened as when the campaign was made, maybe in another place."""
    from json import loads

    from vedette.errors import UsageError

    said = loads(place) if place else {}
    given = data or said.get("data")
    if given is None:
        raise UsageError(
            "the campaign does not know where its pictures are", hint="say it with --data"
        )
    return opened(given, said.get("format", "auto"), said.get("labels"), said.get("set"), config)

"""``vedette annotate export`` and ``import``: annotations to and from files."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.annotate.common import (
    NAME,
    Annotators,
    Campaign,
    Categories,
    CategoryAnnotators,
    StorePlace,
    campaign_of,
    protocol_of,
)
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.annotate.exchange import Entry
    from vedette.annotate.protocol import Protocol


class What(StrEnum):
    """What an export holds."""

    ANSWERS = "answers"
    LABELS = "labels"
    INTERFACE = "interface"


_SUFFIXES = {What.ANSWERS: (".json", ".csv"), What.LABELS: (".csv",), What.INTERFACE: (".xml",)}


def export(
    store: StorePlace,
    out: Annotated[Path, typer.Argument(help=".json for Label Studio, or .csv.")],
    campaign: Campaign = None,
    what: Annotated[
        What,
        typer.Option(
            "--what",
            help="answers: all of them; labels: what they come to; interface: Label Studio's XML.",
        ),
    ] = What.ANSWERS,
    image_prefix: Annotated[
        str, typer.Option("--image-prefix", help="Before each key, for Label Studio to fetch by.")
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there.")
    ] = False,
) -> None:
    """Write a campaign's answers, or the labels that they come to, to a file."""
    from vedette.annotate.answers_csv import write_answers, write_labels
    from vedette.annotate.label_studio import config, write_tasks
    from vedette.errors import UnknownNameError
    from vedette.sinks.base import check_places, replacing

    suffix = out.suffix.lower()
    if suffix not in _SUFFIXES[what]:
        raise UnknownNameError(f"format for {what}", suffix or out.name, _SUFFIXES[what])
    check_places([out], overwrite=overwrite)
    with campaign_of(store, campaign) as shown:
        if what is What.INTERFACE:
            with replacing(out) as temporary:
                temporary.write_text(config(shown.protocol), encoding="utf-8")
            told = "the labelling interface"
        elif what is What.LABELS:
            pictures = shown.annotated()
            count = write_labels(pictures, out)
            dropped = sum(one.outcome.dropped for one in pictures)
            rest = len(pictures) - count - dropped
            told = f"{count} labels; left out: {dropped} N/A, {rest} undecided"
        else:
            pictures = shown.annotated()
            if suffix == ".csv":
                write_answers(pictures, out)
            else:
                write_tasks(pictures, out, image_prefix)
            told = f"{sum(len(one.given) for one in pictures)} answers, {len(pictures)} pictures"
    typer.echo(told)
    typer.echo(f"wrote {printable(str(out))}", err=True)


def import_(
    store: StorePlace,
    file: Annotated[Path, typer.Argument(help="Label Studio's .json, or a .csv of export.")],
    campaign: Campaign = None,
    create: Annotated[
        bool, typer.Option("--create", help="Make a new campaign of the file's pictures.")
    ] = False,
    categories: Categories = None,
    annotators: Annotators = 2,
    category_annotators: CategoryAnnotators = 2,
) -> None:
    """Add a file's answers to a campaign, all or nothing; what is there already is left alone."""
    from vedette.annotate.campaign import create_campaign
    from vedette.annotate.exchange import add
    from vedette.annotate.store import Store
    from vedette.errors import UnknownNameError

    if file.suffix.lower() not in _SUFFIXES[What.ANSWERS]:
        raise UnknownNameError("format", file.suffix or file.name, _SUFFIXES[What.ANSWERS])
    if create:
        protocol = protocol_of(categories, annotators, category_annotators)
        # Read whole before anything is made, the accounts not yet under their pseudonyms.
        pictures = [entry.picture for entry in _entries(file, protocol, str)]
        campaign = campaign or NAME
        with Store.create(store) as where:
            create_campaign(where, campaign, pictures, protocol)
    with campaign_of(store, campaign) as target:
        added = add(target, _entries(file, target.protocol, target.pseudonym_for))
    typer.echo(
        f"{added.answers} answers and {added.corrections} corrections added, {added.known} known, "
        f"{added.annotators} new annotators"
    )


def _entries(file: Path, protocol: Protocol, pseudonym_for: Callable[[str], str]) -> list[Entry]:
    from vedette.annotate.answers_csv import read_answers
    from vedette.annotate.label_studio import read_tasks

    if file.suffix.lower() == ".csv":
        return read_answers(file, protocol)
    return read_tasks(file, protocol, pseudonym_for)

"""``vedette annotate create``: a campaign of the pictures of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.annotate.common import (
    NAME,
    NOT_READ,
    Annotators,
    Categories,
    CategoryAnnotators,
    StorePlace,
    protocol_of,
)
from vedette.cli.common import complain
from vedette.cli.data.common import Card, Data, Format, Labels, opened
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.annotate.annotated import Picture
    from vedette.data.base import Source

_NAMED = 10
"""Pictures left out that are named one by one."""


def create(
    store: StorePlace,
    data: Data,
    campaign: Annotated[str, typer.Option("--campaign", help="Its name.")] = NAME,
    categories: Categories = None,
    annotators: Annotators = 2,
    category_annotators: CategoryAnnotators = 2,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the order in which pictures are given out.")
    ] = 0,
    fmt: Format = "auto",
    labels: Labels = None,
    card: Card = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Make a campaign of the pictures of a data set, whose own labels it does not take over.

    Exit status: 0 made, 2 wrong usage, 3 made without some pictures that could not be read.
    """
    from json import dumps

    from vedette.annotate.campaign import create_campaign
    from vedette.annotate.store import Store

    protocol = protocol_of(categories, annotators, category_annotators)
    source = opened(data, fmt, labels, card, config)
    left_out: list[tuple[str, str]] = []
    pictures = list(_pictures(source, left_out))
    place = dumps({"data": data, "format": fmt, "labels": labels, "set": card})
    with Store.create(store) as where:
        made = create_campaign(where, campaign, pictures, protocol, place, seed)
        typer.echo(f"{len(pictures)} pictures in campaign {printable(made.name)}")
        typer.echo(f"next: vedette annotate join {printable(where.shown)}", err=True)
    if left_out:
        for key, code in left_out[:_NAMED]:
            typer.echo(f"left out {printable(key)}: {code}", err=True)
        complain(
            f"{len(left_out)} could not be read and are not in the campaign",
            "mend them and make a campaign of them",
        )
        raise typer.Exit(NOT_READ)


def _pictures(source: Source, left_out: list[tuple[str, str]]) -> Iterator[Picture]:
    from vedette.annotate.annotated import Picture
    from vedette.data.base import CATEGORY, SOURCE, read_all
    from vedette.data.splits import sha256_of
    from vedette.types import Failure

    for item in read_all(source):
        sha256 = sha256_of(item)
        if sha256 is None:
            code = item.data.code if isinstance(item.data, Failure) else "unreadable"
            left_out.append((item.key, code))
        else:
            meta = item.meta
            yield Picture(item.key, sha256, meta.get(SOURCE, ""), meta.get(CATEGORY, ""))

"""What the annotation commands share: naming a store and a campaign, and opening them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.annotate.campaign import Campaign as CampaignOf
    from vedette.annotate.protocol import Protocol

StorePlace = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="A .sqlite file, or postgresql+psycopg://USER@HOST/DATABASE.",
        show_default=False,
    ),
]
Campaign = Annotated[
    str | None, typer.Option("--campaign", help="Its name. [the only one in the store]")
]
Categories = Annotated[
    str | None, typer.Option("--categories", help="In scope, joined by commas. [all eleven]")
]
Annotators = Annotated[
    int, typer.Option("--annotators", min=1, max=9, help="Of each picture in round one.")
]
CategoryAnnotators = Annotated[
    int, typer.Option("--category-annotators", min=1, max=9, help="Of each one in round two.")
]
NAME = "campaign"
"""What a campaign is called that is not given a name."""
TOKEN = "VEDETTE_ANNOTATOR_TOKEN"
"""Environment variable with an annotator's token."""
NOT_READ = 3


@contextmanager
def campaign_of(place: str, name: str | None) -> Iterator[CampaignOf]:
    """The campaign in a store that is there; the store is closed at the end."""
    from vedette.annotate.campaign import open_campaign
    from vedette.annotate.store import Store

    with Store.open(place) as store:
        yield open_campaign(store, name)


def protocol_of(categories: str | None, annotators: int, category_annotators: int) -> Protocol:
    """The protocol that the options ask for.

    Raises:
        UnknownNameError: no category of that name.
        UsageError: one of them twice.
    """
    from vedette.annotate.protocol import Protocol
    from vedette.errors import UnknownNameError
    from vedette.taxonomy import Category, parse_category

    if categories is None:
        return Protocol(annotators, category_annotators)
    scope = []
    for name in categories.split(","):
        try:
            scope.append(parse_category(name))
        except KeyError as error:
            raise UnknownNameError("category", name.strip(), Category) from error
    return Protocol(annotators, category_annotators, tuple(scope))


def read_token(file: Path | None) -> str:
    """An annotator's token: from a file, else from the environment.

    Raises:
        UsageError: there is neither, or the file cannot be read.
    """
    from vedette.errors import UsageError

    if file is None:
        token = os.environ.get(TOKEN, "")
    else:
        try:
            token = file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no token"
            raise UsageError(f"cannot read {file}: {why}", hint="check the path") from error
    if not token.strip():
        raise UsageError(
            "nothing says who you are",
            hint=f"give --token-file FILE, or set {TOKEN}; vedette annotate join makes a token",
        )
    return token.strip()

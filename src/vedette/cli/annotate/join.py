"""``vedette annotate join``: a pseudonym and a token for an annotator."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vedette.cli.annotate.common import TOKEN, Campaign, StorePlace, campaign_of
from vedette.text import printable


def join(
    store: StorePlace,
    campaign: Campaign = None,
    again: Annotated[
        str | None,
        typer.Option("--again", help="A new token for this pseudonym; the old one ends."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="Write the token here, not on the screen.")
    ] = None,
) -> None:
    """Make a pseudonym and a token for one annotator. No name is asked for or stored."""
    from vedette.errors import VedetteError
    from vedette.sinks.base import check_places

    if token_file is not None:
        check_places([token_file], overwrite=False)
    with campaign_of(store, campaign) as joined:
        pseudonym, token = joined.join(again)
    typer.echo(f"pseudonym  {pseudonym}")
    if token_file is None:
        typer.echo(f"token      {token}")
        typer.echo(f"keep it: it is shown once. Set {TOKEN} to it, and label", err=True)
        return
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        with os.fdopen(os.open(token_file, flags, 0o600), "w", encoding="ascii") as stream:
            stream.write(f"{token}\n")
    except OSError as error:
        raise VedetteError(
            f"cannot write {token_file}: {error.strerror or error}",
            code="write_failed",
            hint=f"get a new token with: vedette annotate join STORE --again {pseudonym}",
        ) from error
    typer.echo(f"wrote {printable(str(token_file))}", err=True)

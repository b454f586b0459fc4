"""``vedette data sets``: the published sets that are known, and their terms."""

from __future__ import annotations

from typing import Annotated

import typer


def sets(
    name: Annotated[str | None, typer.Argument(help="One of them. [all, a line each]")] = None,
) -> None:
    """List the published sets that are known, or show the card of one."""
    from vedette.data.cards import card_named, cards

    if name is None:
        width = max(map(len, cards()))
        for card in cards().values():
            commercial = "commercial" if card.commercial else "non-commercial"
            typer.echo(f"{card.id:<{width}}  {commercial:<14}  {card.repo}")
        return
    card = card_named(name)
    facts = {
        "id": card.id,
        "title": card.title,
        "repository": card.repo,
        "images": f"{card.images:,}" if card.images else "not known",
        "licence": card.licence,
        "permitted": card.permitted,
        "commercial": "permitted" if card.commercial else "not permitted",
        "passing on": "permitted" if card.redistribution else "not permitted",
        "citation": card.citation,
        "note": card.note,
    }
    for key, value in facts.items():
        if value:
            typer.echo(f"{key:<11} {value}")
    for label, what in card.labels.items():
        typer.echo(f"label       {label} = {what}")

"""``vedette models``: which classifiers there are, and what is known of them."""

from __future__ import annotations

from typing import Annotated

import typer

from vedette.cli.common import guarded

app = typer.Typer(help="Which classifiers there are.", no_args_is_help=True)


def list_() -> None:
    """List the models."""
    from vedette.models.registry import entries

    for name, entry in entries().items():
        typer.echo(f"{name:<20} {entry.card.summary}")


def show(name: Annotated[str, typer.Argument(help="A model's name.")]) -> None:
    """Show a model's card: licence, provenance, labels and what they count for."""
    from vedette.models.registry import get

    card = get(name).card
    facts = {
        "model": card.model,
        "summary": card.summary,
        "licence": card.licence,
        "terms": card.terms,
        "trained on": card.trained_on,
        "source": card.source,
        "sha256": card.sha256 or "no weights",
        "input": f"{card.fit.size} px, {card.fit.mode}",
        "precisions": ", ".join(card.precisions),
        "covers": ", ".join(card.covered),
    }
    for key, value in facts.items():
        typer.echo(f"{key:<11} {value}")
    typer.echo("labels")
    for label, category in card.labels.items():
        typer.echo(f"  {label:<28} {category or 'not counted'}")


app.command("list")(guarded(list_))
app.command("show")(guarded(show))

"""``vedette annotate status``: how far a campaign is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vedette.cli.annotate.common import Campaign, StorePlace, campaign_of
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.annotate.progress import Progress

_WORDS = {
    "waiting": "waiting for the first annotators",
    "differing": "they differ: one more is asked",
    "undecided": "tied still: one more is asked",
    "decided": "decided",
}
_UNREADABLE = 10
"""Pictures that are named one by one."""


def status(store: StorePlace, campaign: Campaign = None) -> None:
    """Show how far a campaign is. For its organiser: annotators are not to know of each other."""
    with campaign_of(store, campaign) as shown:
        typer.echo(f"campaign {printable(shown.name)}")
        for line in _lines(shown.progress()):
            typer.echo(printable(line))


def _lines(progress: Progress) -> list[str]:
    lines = []
    for round_, one in progress.rounds.items():
        begun = " (not begun)" if round_ == 2 and not progress.opened else ""
        lines.append(f"round {round_.value}: {one.pictures} pictures{begun}")
        lines += [f"  {n:>7}  {_WORDS[name]}" for name, n in one.standings.items() if n]
        lines += [f"           {n} {answer}" for answer, n in one.decided.items() if n]
    lines.append(f"annotators: {len(progress.annotators)}")
    lines += [f"  {n:>7}  {pseudonym}" for pseudonym, n in progress.annotators.items()]
    if progress.unreadable:
        lines.append(f"could not be shown and are open: {len(progress.unreadable)}")
        lines += [f"  {key} [{code}]" for key, code in progress.unreadable[:_UNREADABLE]]
    return lines

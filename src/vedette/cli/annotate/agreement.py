"""``vedette annotate agreement``: how far annotators agree beyond chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.annotate.common import Campaign, StorePlace, campaign_of
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.annotate.agreement import Agreement, Estimate

_HEAD = ("round", "pictures of", "n", "Fleiss' kappa", "Krippendorff's alpha")


def agreement(
    store: StorePlace,
    campaign: Campaign = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=10, max=100_000, help="Of the bootstrap.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show Fleiss' kappa and Krippendorff's alpha: overall, by source, by category.

    With 95 % bootstrap intervals over pictures. A dash: undefined, as only one answer was given.
    """
    from vedette.annotate.agreement import agreement as agreement_of

    with campaign_of(store, campaign) as shown:
        found = agreement_of(shown.annotated(), shown.protocol, resamples, seed)
    if json:
        from dataclasses import asdict
        from json import dumps

        typer.echo(dumps({"agreement": [asdict(one) for one in found]}, allow_nan=False))
        return
    rows = [_HEAD, *(_row(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo(printable("  ".join(cells).rstrip()))


def _row(one: Agreement) -> tuple[str, str, str, str, str]:
    name = one.name if one.group != "overall" else "all"
    return str(one.round.value), name, str(one.items), _shown(one.kappa), _shown(one.alpha)


def _shown(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"

"""``vedette policy``: look at policies and check one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.common import guarded
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.policy import Rule

app = typer.Typer(help="Look at policies and check your own.", no_args_is_help=True)


def list_() -> None:
    """List the presets."""
    from vedette.policy import PRESETS, load_policy

    for name in PRESETS:
        policy = load_policy(name)
        typer.echo(f"{policy.id:<14} {policy.description}")


def show(
    name: Annotated[str, typer.Argument(help="A preset's name or a policy file.")],
) -> None:
    """Show a policy: what is in scope, from which probability on, and what happens then."""
    from vedette.policy import load_policy

    policy = load_policy(name)
    typer.echo(f"{policy.id}: {policy.description}")
    typer.echo(f"could not be scanned: {policy.on_failure}")
    typer.echo(f"category in scope that the model cannot see: {policy.on_uncovered}")
    if policy.calibrated is not None:
        typer.echo(f"for scores calibrated by: {printable(policy.calibrated)}")
    for category, rule in policy.categories.items():
        typer.echo(f"  {category:<28} {_thresholds(rule)}")
    for label, region in policy.regions.items():
        typer.echo(f"  {label:<28} {_thresholds(region.rule)}  counts as {region.category}")


def check(
    file: Annotated[Path, typer.Argument(help="A policy file.")],
) -> None:
    """Check a policy file; exit status 0 if it can be used, 2 with the reason if not."""
    from vedette.models.registry import entries
    from vedette.policy import parse_policy, read_policy_text

    policy = parse_policy(read_policy_text(file), str(file))
    known = {label for entry in entries().values() for label in entry.card.labels}
    for label in policy.regions:
        if label not in known:
            typer.echo(f"warning: no installed model has a region label {label!r}", err=True)
    typer.echo(
        f"ok: {policy.id}, {len(policy.categories)} categories in scope, "
        f"{len(policy.regions)} region rules"
    )


def _thresholds(rule: Rule) -> str:
    parts = []
    if rule.review is not None:
        parts.append(f"review from {rule.review:g}")
    if rule.block is not None:
        parts.append(f"block from {rule.block:g}")
    return ", ".join(parts) + (f"  ({rule.reason})" if rule.reason else "")


app.command("list")(guarded(list_))
app.command("show")(guarded(show))
app.command("check")(guarded(check))

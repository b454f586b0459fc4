"""``vedette train next``: which images of a set to label next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vedette.cli.common import complain
from vedette.cli.data.common import Card, Data, Format, Labels, opened
from vedette.cli.train.common import Config, Quiet, Seed
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.policy import Policy
    from vedette.train.examples import Ints
    from vedette.train.scarce.next_labels import Surveyed

_NOT_ALL = 3
_NAMED = 10
"""Images left out that are named one by one."""


def next_labels(
    data: Data,
    model: Annotated[str, typer.Option("--model", "-m", help="A model folder, or a model's name.")],
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Images to choose.")] = 50,
    strategy: Annotated[
        Literal["mixed", "uncertain", "diverse", "random"],
        typer.Option("--strategy", help="What makes an image worth a label."),
    ] = "mixed",
    labelled: Annotated[
        list[Path] | None,
        typer.Option("--labelled", help="File of images that have labels, or are out. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write a manifest for annotators: .jsonl or .csv."),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the pictures beside the manifest.")
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option("--policy", "-p", help="Whose thresholds decide. [the folder's, or default]"),
    ] = None,
    seed: Seed = 7,
    fmt: Format = "auto",
    labels: Labels = None,
    card: Card = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a manifest that is already there.")
    ] = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Choose the images whose labels would teach a model the most.

    Exit status: 0 done, 2 wrong usage, 3 done without images that could not be scanned.
    """
    from vedette.errors import UsageError
    from vedette.settings import load_settings
    from vedette.train.scarce.marks import Marks
    from vedette.train.scarce.next_labels import Asked, choose_next, rows_of, survey
    from vedette.train.scarce.places import Places

    settings = load_settings(config)
    decides = _policy(model, policy)
    if copy and out is None:
        raise UsageError("--copy needs --out", hint="name the manifest that the copies belong to")
    places = None if out is None else Places(out, data, copy=copy, overwrite=overwrite)
    asked = Asked(data, Marks(labelled or ()), out, strategy in ("mixed", "diverse"))
    source = opened(data, fmt, labels, card, config)

    def say(line: str) -> None:
        if not quiet:
            typer.echo(printable(line), err=True)

    surveyed = survey(source, model, decides, settings, asked, say)
    chosen = choose_next(surveyed, n, strategy, seed)
    _show(surveyed, chosen)
    if len(chosen) < n:
        say(f"{len(chosen):,} and not {n:,}: nothing else is new")
    if places is not None:
        places.write(rows_of(surveyed, chosen, source, places))
        say(f"wrote {places.out}; next: vedette annotate create STORE {places.out}")
    if surveyed.failed:
        for key, code in surveyed.failed[:_NAMED]:
            typer.echo(f"left out {printable(key)}: {code}", err=True)
        complain(f"{len(surveyed.failed):,} could not be scanned", "mend them and run it again")
        raise typer.Exit(_NOT_ALL)


def _policy(model: str, named: str | None) -> Policy:
    from vedette.models.trained import POLICY
    from vedette.policy import load_policy

    own = Path(model) / POLICY
    if named is None and own.is_file():
        return load_policy(str(own))
    return load_policy(named or "default")


def _show(surveyed: Surveyed, chosen: Ints) -> None:
    typer.echo("rank  uncertainty  closest decision                      image")
    for rank, at in enumerate(chosen.tolist(), start=1):
        seen = surveyed.seen[at]
        p = "not seen" if seen.p is None else f"{seen.p:.2f} of {seen.threshold:g}"
        close = f"{seen.nearest.value} {p}"
        value = surveyed.pool.uncertainty[at]
        typer.echo(f"{rank:4}  {value:11.3f}  {close:36}  {printable(seen.key)}")

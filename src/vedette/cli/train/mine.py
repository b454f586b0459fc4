"""``vedette train mine``: images that a model got wrong, from what reviewers decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.annotate.common import Annotators, CategoryAnnotators, protocol_of
from vedette.cli.data.common import Format, Labels, opened
from vedette.cli.train.common import Config, Quiet, Seed
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.data.base import Source
    from vedette.train.scarce.mining import Joined
    from vedette.types import Record

_NAMED = 10
"""Images left out that are named one by one."""


def mine(
    records: Annotated[
        Path, typer.Argument(help="Records of a scan (.jsonl).", show_default=False)
    ],
    reviews: Annotated[
        Path, typer.Option("--reviews", help="What was decided: a table, or annotators' answers.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a manifest: .jsonl or .csv.")
    ] = None,
    agreed: Annotated[
        float,
        typer.Option("--agreed", min=0, max=100, help="Agreed images for each disputed one."),
    ] = 1.0,
    most: Annotated[
        int | None,
        typer.Option("--most", min=1, help="Of each category and kind, the most wrong. [all]"),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", "-p", help="Decide the Records again by this one.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="The set that was scanned. [the Records' keys as paths]"),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the pictures beside the manifest.")
    ] = False,
    annotators: Annotators = 2,
    category_annotators: CategoryAnnotators = 2,
    fmt: Format = "auto",
    labels: Labels = None,
    seed: Seed = 7,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a manifest that is already there.")
    ] = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Find what a model gets wrong, for its next training: false alarms first, and misses."""
    from vedette.data.labelling import parse_labels
    from vedette.errors import UsageError
    from vedette.policy import load_policy
    from vedette.train.scarce.mined_rows import rows_of
    from vedette.train.scarce.mining import chosen
    from vedette.train.scarce.mining import mine as join
    from vedette.train.scarce.places import Places
    from vedette.train.scarce.reviews import read_reviews
    from vedette.wire import read_jsonl

    if copy and out is None:
        raise UsageError("--copy needs --out", hint="name the manifest that the copies belong to")
    places = None
    if out is not None:
        places = Places(out, data or "", copy=copy, overwrite=overwrite)
    meanings = parse_labels(labels) if labels is not None else {}
    found = read_reviews(reviews, meanings, protocol_of(None, annotators, category_annotators))
    stored: Iterable[Record] = read_jsonl(records)
    if policy is not None:
        stored = map(load_policy(policy).apply, stored)
    joined = join(stored, found)
    _show(joined)
    if not quiet:
        _left_out(joined)
    if places is None:
        return
    picked = chosen(joined, most, agreed, seed)
    disputed = sum(one.kind != "agreed" for one in picked)
    if not disputed:
        raise UsageError(
            "model and reviewers agree on every image: there is nothing to mine",
            code="too_few_labels",
        )
    rows = rows_of(picked, _source(data, fmt, config), places)
    places.write(rows.rows)
    if rows.gone:
        _named("gone, or changed since the scan", rows.gone)
    if not quiet:
        typer.echo(f"wrote {len(rows.rows):,} images to {printable(str(out))}", err=True)


def _source(data: str | None, fmt: str, config: Path | None) -> Source:
    from vedette.data.paths import PathSource
    from vedette.settings import load_settings

    if data is None:
        return PathSource((), load_settings(config).limits)
    return opened(data, fmt, None, None, config)


def _show(joined: Joined) -> None:
    from vedette.taxonomy import Category

    counts: dict[tuple[str, object], int] = {}
    for one in joined.mined:
        counts[one.kind, one.category] = counts.get((one.kind, one.category), 0) + 1
    typer.echo("category                    false alarms  missed")
    for category in (*Category, None):
        alarms = counts.get(("false alarm", category), 0)
        missed = counts.get(("missed", category), 0)
        if alarms or missed:
            name = "none" if category is None else category.value
            typer.echo(f"{name:26}  {alarms:12,}  {missed:6,}")
    agreed = sum(one.kind == "agreed" for one in joined.mined)
    typer.echo(f"{len(joined.mined):,} images reviewed, {agreed:,} agreed on")


def _left_out(joined: Joined) -> None:
    if joined.undecided:
        typer.echo(f"{joined.undecided:,} reviews decide nothing", err=True)
    for what, keys in (
        ("reviewed, and in no Record", joined.unknown),
        ("left out, called safe and unsafe", joined.contradicting),
        ("left out, not scanned whole", joined.failed),
    ):
        if keys:
            _named(what, keys)


def _named(what: str, keys: Sequence[str]) -> None:
    shown: Iterator[str] = iter(keys[:_NAMED])
    more = f" and {len(keys) - _NAMED:,} more" if len(keys) > _NAMED else ""
    typer.echo(f"{what}: {', '.join(map(printable, shown))}{more}", err=True)

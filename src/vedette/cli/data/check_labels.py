"""``vedette data check-labels``: do a set's labels mean what they say?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.data import common
from vedette.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vedette.curate.check_labels import LabelReport
    from vedette.data.base import Source
    from vedette.settings import Settings
    from vedette.types import Item, Record

_SWAPPED = 1
_NOT_SCANNED = 3
_POLICY = "strict"
"""Asks about every category; what it decides is not used."""


def check_labels(
    data: common.Data,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The reference classifier. [nudenet]")
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option("--records", help="Use these Records (.jsonl) instead of running a model."),
    ] = None,
    fmt: common.Format = "auto",
    labels: common.Labels = None,
    card: common.Card = None,
    most: Annotated[
        int, typer.Option("--most", min=0, help="Images scored, drawn at random; 0: all.")
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draw.")] = 0,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Compare a set's labels with a classifier's scores and with the published counts.

    Exit status: 0 nothing looks swapped, 1 something does, 2 wrong usage, 3 there was nothing to
    compare, or images were left out because they could not be scanned.
    """
    from vedette.curate.check_labels import check_labels as checked
    from vedette.data.cards import card_named
    from vedette.settings import load_settings

    settings = load_settings(config)
    source = common.opened(data, fmt, labels, card, config)
    known = card_named(card) if card not in (None, "none") else None
    published = known.counts_by_safety if known is not None else None
    chosen = model or settings.model
    if records is not None:
        chosen, pairs = _stored(source, records)
        report = checked(pairs, chosen, published)
    else:
        kept = _drawn(source, most, seed) if most else None
        pairs = _scored(source, chosen, settings, kept)
        report = checked(pairs, chosen, published if kept is None else None)
    common.show_legend(source)
    _tell(report)
    if report.swapped:
        raise typer.Exit(_SWAPPED)
    if report.failed or not report.compared:
        raise typer.Exit(_NOT_SCANNED)


def _drawn(source: Source, most: int, seed: int) -> frozenset[str] | None:
    """Keys of at most ``most`` items, drawn evenly; None where there are no more.

    Sets come sorted by class: the first ones would be of one class.
    """
    import random

    from vedette.data.base import read_all

    draw = random.Random(seed)
    kept: list[str] = []
    count = 0
    for count, item in enumerate(read_all(source), start=1):
        if len(kept) < most:
            kept.append(item.key)
        elif (place := draw.randrange(count)) < most:
            kept[place] = item.key
    if count <= most:
        return None
    typer.echo(f"{most:,} of {count:,} images, drawn with --seed {seed}", err=True)
    return frozenset(kept)


def _scored(
    source: Source, model: str, settings: Settings, keys: frozenset[str] | None
) -> Iterator[tuple[Item, Record]]:
    """Each item, without its bytes, and its Record."""
    from collections import deque
    from dataclasses import replace

    from vedette.data.base import read_all
    from vedette.pipeline import Scanner

    waiting: deque[Item] = deque()

    def items() -> Iterator[Item]:
        for item in read_all(source):
            if keys is None or item.key in keys:
                waiting.append(replace(item, data=b""))
                yield item

    with Scanner(model, _POLICY, settings) as scanner:
        for record in scanner.scan_many(items()):
            yield waiting.popleft(), record


def _stored(source: Source, path: Path) -> tuple[str, Iterator[tuple[Item, Record]]]:
    """Each item that has a stored Record, and the model that made them."""
    from vedette.data.base import read_all
    from vedette.errors import UsageError
    from vedette.wire import read_jsonl

    found: Mapping[str, Record] = {record.key: record for record in read_jsonl(path)}
    if not found:
        raise UsageError(f"there is no Record in {path}", code="bad_record")
    models = {model for record in found.values() for model in record.models}

    def pairs() -> Iterator[tuple[Item, Record]]:
        without = paired = 0
        for item in read_all(source):
            if item.key in found:
                paired += 1
                yield item, found[item.key]
            else:
                without += 1
        if not paired:
            raise UsageError(
                f"no key of {path} is one of the set's",
                hint="scan the set as it is given here, so that keys are the same",
            )
        if without:
            typer.echo(f"{without:,} images have no Record and are left out", err=True)

    return ", ".join(sorted(models)), pairs()


def _tell(report: LabelReport) -> None:
    counts = ", ".join(f"{count:,} {what}" for what, count in report.counts.items())
    from vedette.data.synth.card import NOTICE

    if report.stand_ins:
        typer.echo(NOTICE)
    typer.echo(f"reference  {printable(report.model)}")
    typer.echo(f"labels     {counts or 'none'}")
    if report.unlabelled:
        typer.echo(f"           {report.unlabelled:,} unlabelled")
    if report.failed:
        typer.echo(f"           {report.failed:,} could not be scored: they count on no side")
    if report.count_note:
        typer.echo(f"counts     {report.count_note}")
    for check in report.checks:
        area = f"AUROC {check.auroc}" if check.auroc is not None else ""
        note = f"  {check.note}" if check.note else ""
        typer.echo(f"{check.finding:<22} {check.what}  {area}{note}".rstrip())
    if report.swapped:
        typer.echo("these labels look swapped: look at some pictures of each before you go on")

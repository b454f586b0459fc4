"""``vedette data audit``: what is in a set twice, wrong, unreadable, or gives its labels away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.data.common import Card, Data, Format, Labels, opened, show_legend
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.curate.audit import Audit

_SHOWN = 3
"""Keys named below a finding; ``--json`` and ``--html`` have more."""


def audit(
    data: Data,
    fmt: Format = "auto",
    labels: Labels = None,
    card: Card = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page of tables.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write all evidence.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace these files if they are there.")
    ] = False,
    embeddings: Annotated[
        Path | None,
        typer.Option("--embeddings", help=".npy or Parquet, or a folder: of the same images."),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option("--split", help="A file of `vedette data split`. [what the source says]"),
    ] = None,
    bits: Annotated[
        int, typer.Option("--bits", min=0, max=31, help="Bits of 256 that near duplicates differ.")
    ] = 31,
    cosine: Annotated[
        float, typer.Option("--cosine", min=0, max=1, help="Of embeddings of near duplicates.")
    ] = 0.96,
    precision: Annotated[
        float,
        typer.Option("--precision", min=0, max=1, help="Share of wrong labels among those named."),
    ] = 0.5,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Groups, labels and failures named, of each.")
    ] = 1000,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Decode threads. [one for each core]")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of folds and filters.")] = 0,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Find duplicates, leaks between splits, wrong labels, confounds and broken files.

    Exit status: 0 nothing found, 1 something found, 2 wrong usage, 3 some images could not be read.
    """
    from vedette.curate.audit import AuditOptions
    from vedette.curate.audit import audit as audited
    from vedette.curate.audit_page import write_page
    from vedette.curate.findings import exit_status
    from vedette.settings import load_settings
    from vedette.sinks.base import check_places

    check_places([path for path in (html, json) if path is not None], overwrite=overwrite)
    options = AuditOptions(
        settings=load_settings(config),
        workers=workers,
        seed=seed,
        bits=bits,
        embeddings=embeddings,
        cosine=cosine,
        precision=precision,
        split=split,
        most=most,
    )
    options.check()
    source = opened(data, fmt, labels, card, config)
    found = audited(source, options)
    show_legend(source)
    for line in _lines(found):
        typer.echo(printable(line))
    if json is not None:
        _write_json(found, json)
    if html is not None:
        write_page(found, html, data)
    for path in (json, html):
        if path is not None:
            typer.echo(f"wrote {printable(str(path))}", err=True)
    raise typer.Exit(exit_status(found))


def _lines(found: Audit) -> list[str]:
    """The findings, the worst first, each with what to do and the first of its evidence."""
    from vedette.curate.findings import findings, images, silences
    from vedette.data.synth.card import NOTICE

    counted = found.balance
    lines = [NOTICE] if found.reading.stand_ins else []
    lines += [
        f"{images(found.reading.images)}: {counted.safe:,} safe, {counted.unsafe:,} unsafe, "
        f"{counted.unlabelled:,} unlabelled"
    ]
    evidence = _evidence(found)
    for finding in findings(found):
        lines.append(f"{finding.kind:<15} {finding.what}")
        lines.append(f"{'':<15} -> {finding.next}")
        lines += [f"{'':<15}    {said}" for said in evidence.pop(finding.kind, ())]
    lines += [f"not judged      {told}" for told in silences(found)]
    if found.labels.judge is not None:
        judge = found.labels.judge
        lines.append(
            f"labels judged   on {judge.features} of {judge.dim} dimensions: balanced accuracy "
            f"{judge.accuracy:.2f} ({judge.low:.2f}..{judge.high:.2f}), chance {judge.chance:.2f}"
        )
    if not findings(found):
        lines.append("nothing found")
    return lines


def _evidence(found: Audit) -> dict[str, list[str]]:
    """The first few keys behind a finding."""

    def groups(which: list[tuple[str, ...]]) -> list[str]:
        return ["  =  ".join(keys[:_SHOWN]) for keys in which[:_SHOWN]]

    keys = [
        (group, tuple(f"{m.key} ({m.label})" for m in group.members))
        for group in found.duplicates.groups
    ]
    return {
        "leakage": groups(
            [tuple(f"{m.split}: {m.key}" for m in g.members) for g in found.leakage.groups]
        ),
        "contradictions": groups([names for group, names in keys if group.contradicting]),
        "labels": [
            f"{issue.key}: {issue.given}, looks like {issue.suggested} ({issue.p_suggested:.2f})"
            for issue in found.labels.issues[: min(_SHOWN, found.labels.count)]
        ],
        "unreadable": [f"{u.key}: {u.message}" for u in found.reading.unreadable[:_SHOWN]],
    }


def _write_json(found: Audit, path: Path) -> None:
    from json import dumps

    from vedette.curate.findings import to_dict
    from vedette.sinks.base import replacing

    with replacing(path) as temporary:
        # Only ASCII: a key may hold a surrogate, for bytes of a file name that are no text.
        told = dumps(to_dict(found), indent=1, allow_nan=False)
        temporary.write_text(told + "\n", encoding="ascii")

"""``vedette data split``: a set into parts for training and testing, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.common import complain
from vedette.cli.data.common import Card, Data, Format, Labels, opened, show_legend
from vedette.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette.curate.grouping import Made
    from vedette.data.base import Source

_DIFFERS = 1
_NOT_READ = 3
_NAMED = 10
"""Keys printed of each kind; the file has all."""


def split(
    data: Data,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The split, one line for each picture.")
    ] = None,
    test: Annotated[float | None, typer.Option("--test", help="Fraction for testing: 0.2.")] = None,
    validation: Annotated[
        float, typer.Option("--validation", help="Fraction for validation.")
    ] = 0.0,
    folds: Annotated[
        int | None, typer.Option("--folds", help="Parts of one size instead, for k-fold.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, another split.")] = 0,
    near: Annotated[
        int | None,
        typer.Option(
            "--near", min=0, max=31, help="Bits of 256 in which pictures alike differ. [31]"
        ),
    ] = None,
    groups: Annotated[
        bool, typer.Option("--groups/--no-groups", help="Keep pictures that look alike together.")
    ] = True,
    check: Annotated[
        Path | None, typer.Option("--check", help="Make none: hold this split against the set.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there.")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Decode threads. [one for each core]")
    ] = 0,
    fmt: Format = "auto",
    labels: Labels = None,
    card: Card = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Split a set by category, safety and source, pictures that look alike in one part.

    Exit status: 0 done, 1 --check found differences, 2 wrong usage, 3 done, and some pictures
    could not be read: they are in no part.
    """
    from vedette.curate.grouping import SplitOptions, make_split
    from vedette.data.splits import write_split
    from vedette.errors import UsageError
    from vedette.perceptual import NEAR
    from vedette.settings import load_settings
    from vedette.sinks.base import check_places

    if check is not None:
        if out is not None or test is not None or folds is not None:
            raise UsageError("--check makes no split", hint="leave out --out, --test and --folds")
        _check(opened(data, fmt, labels, card, config), check)
        return
    if out is None:
        raise UsageError("nothing says where to write the split", hint="add --out split.jsonl")
    if near is not None and not groups:
        raise UsageError("--near is for groups", hint="leave out --near or --no-groups")
    fractions = _fractions(test, validation, folds)
    check_places([out], overwrite=overwrite)
    source = opened(data, fmt, labels, card, config)
    bits = (NEAR if near is None else near) if groups else None
    made = make_split(source, load_settings(config), SplitOptions(fractions, seed, bits, workers))
    write_split(out, made.split)
    show_legend(source)
    for line in _lines(made):
        typer.echo(line)
    typer.echo(f"wrote {printable(str(out))}", err=True)
    if made.failures:
        complain(
            f"{len(made.failures)} could not be read and are in no part",
            "the file names each with its code",
        )
        raise typer.Exit(_NOT_READ)


def _fractions(test: float | None, validation: float, folds: int | None) -> Mapping[str, float]:
    from vedette.data.stratify import k_folds, train_test
    from vedette.errors import UsageError

    if (test is None) == (folds is None):
        raise UsageError("give either --test or --folds", hint="for example --test 0.2 --seed 7")
    if folds is not None:
        if validation:
            raise UsageError(
                "--validation goes with --test", hint="with folds, validate on one of them"
            )
        return k_folds(folds)
    assert test is not None
    return train_test(test, validation)


def _lines(made: Made) -> list[str]:
    parts = made.split.parts
    counts = made.split.counts()
    rows = [
        ("", *parts),
        ("pictures", *(str(counts[part]["images"]) for part in parts)),
        ("groups", *(str(counts[part]["groups"]) for part in parts)),
        *((name, *(str(c.get(p, 0)) for p in parts)) for name, c in made.strata.items()),
    ]
    first = max(len(printable(row[0])) for row in rows)
    widths = [max(len(row[n]) for row in rows) for n in range(1, len(parts) + 1)]
    lines = [
        "  ".join(
            (
                printable(row[0]).ljust(first),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths, strict=True)),
            )
        )
        for row in rows
    ]
    lines.append(f"largest group: {made.largest} pictures")
    for code in sorted({failure.code for failure in made.failures.values()}):
        keys = [key for key, failure in made.failures.items() if failure.code == code]
        lines += _named(f"excluded, {code}", sorted(keys))
    return lines


def _check(source: Source, path: Path) -> None:
    from vedette.data.splits import read_split

    differences = read_split(path).check(source)
    for what in ("missing", "new", "changed", "unreadable"):
        for line in _named(what, getattr(differences, what)):
            typer.echo(line)
    if differences:
        complain("the set is not the one that was split", "split it again, or restore it")
        raise typer.Exit(_DIFFERS)
    typer.echo("the set is the one that was split")


def _named(what: str, keys: Sequence[str]) -> list[str]:
    lines = [f"{what}: {printable(key)}" for key in keys[:_NAMED]]
    if len(keys) > _NAMED:
        lines.append(f"{what}: and {len(keys) - _NAMED} more")
    return lines

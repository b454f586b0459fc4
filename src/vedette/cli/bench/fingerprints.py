"""``vedette bench fingerprints``: what a model was trained on, as hashes that others can check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vedette.cli.data.common import Card, Data, Format, Labels, opened


def fingerprints(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file of fingerprints.")],
    part: Annotated[
        str | None, typer.Option("--part", help="Only this part of the set: train.")
    ] = None,
    fmt: Format = "auto",
    labels: Labels = None,
    card: Card = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Write hashes of a set's pictures: a benchmark then tells whether it has one of them."""
    from vedette.bench.fingerprints import fingerprints as made
    from vedette.bench.fingerprints import write_fingerprints
    from vedette.settings import load_settings
    from vedette.sinks.base import check_places

    check_places([out], overwrite=overwrite)
    source = opened(data, fmt, labels, card, config)
    prints = made(source, load_settings(config), part)
    write_fingerprints(out, prints)
    typer.echo(f"{len(prints):,} pictures: {out}")

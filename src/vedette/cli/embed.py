"""``vedette embed``: the embeddings of a set, each image through the backbone once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.data.common import (
    Card,
    Data,
    Format,
    Labels,
    check_commercial_set,
    opened,
    set_card,
    show_legend,
)
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.embeddings.folder import About

_NOT_ALL = 3
_NAMED = 20
"""Images without an embedding that are named on standard error; the folder's file has them all."""


def embed(
    data: Data,
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="A model that gives embeddings: clip-l14, vit:FOLDER."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the embeddings.")],
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Folder that keeps embeddings by their image. [the cache]"),
    ] = None,
    shard_size: Annotated[
        int, typer.Option("--shard-size", min=1, max=1_000_000, help="Embeddings of one file.")
    ] = 10_000,
    fmt: Format = "auto",
    labels: Labels = None,
    card: Card = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace embeddings of another model or set.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Write the embeddings of a set's images, with their labels, for training without pictures.

    The same command goes on after an interruption; run again, it embeds what is new.

    Exit status: 0 done, 2 wrong usage, 3 done, and some images gave no embedding.
    """
    from vedette.embeddings.embed import Embedder
    from vedette.embeddings.folder import About
    from vedette.embeddings.into_folder import embed_set
    from vedette.embeddings.store import space_of
    from vedette.extras import require
    from vedette.models.base import ModelOptions
    from vedette.models.embedder import open_backbone
    from vedette.settings import load_settings

    require("pyarrow.parquet", extra="train")  # not only after hours of embedding
    settings = load_settings(config)
    scan = settings.scan
    source = opened(data, fmt, labels, card, config)
    known = set_card(data, card, source)
    check_commercial_set(known, commercial=settings.commercial)
    backbone = open_backbone(model, ModelOptions(scan.backend, scan.precision, settings.commercial))
    about = About(
        backbone=model,
        space=space_of(backbone),
        fit=backbone.card.fit,
        data=data,
        card=None if known is None else known.id,
    )
    with Embedder(backbone, settings, store, _silent if quiet else _say) as embedder:
        made = embed_set(source, embedder, out, about, shard_rows=shard_size, overwrite=overwrite)
        new = embedder.new
    show_legend(source)
    _tell(made, new, out, quiet)
    if made.failed:
        raise typer.Exit(_NOT_ALL)


def _tell(made: About, new: int, out: Path, quiet: bool) -> None:
    for key, code in made.failed[:_NAMED]:
        typer.echo(f"not embedded: {printable(key)}: {code}", err=True)
    if len(made.failed) > _NAMED:
        typer.echo(f"and {len(made.failed) - _NAMED:,} more, see vedette-embeddings.json", err=True)
    if not quiet:
        typer.echo(
            f"{printable(str(out))}: {made.count:,} embeddings of {made.space}; "
            f"{new:,} images ran through the model",
            err=True,
        )


def _say(line: str) -> None:
    typer.echo(printable(line), err=True)


def _silent(line: str) -> None:
    """Nothing is shown."""

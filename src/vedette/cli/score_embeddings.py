"""``vedette score-embeddings``: a published head over embeddings that are stored already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.text import printable

if TYPE_CHECKING:
    from vedette.embeddings.base import Matrix
    from vedette.heads.base import Head
    from vedette.settings import Settings


def score_embeddings(
    head: Annotated[
        str,
        typer.Option("--head", help="laion-nsfw-l14, laion-nsfw-b32, q16, multiheaded, ..."),
    ],
    embeddings: Annotated[
        Path | None,
        typer.Argument(metavar="IN", help="A .npy or .parquet file, or a folder of either."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write: .npy or .parquet.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="The head's file, or folder of files. [the store's]"),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Print the names of the scores, one a line.")
    ] = False,
    column: Annotated[
        str, typer.Option("--column", help="Parquet: the column of the embeddings.")
    ] = "embedding",
    key: Annotated[
        str | None,
        typer.Option("--key", help="Parquet: a column to keep beside the scores. [key]"),
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output if it is already there.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors and warnings only.")
    ] = False,
) -> None:
    """Score stored CLIP embeddings with a published head, in order, without loading them whole.

    The scores are the head's own, float32, a column for each of its labels.
    """
    from vedette.embeddings.base import Columns, check_dim, open_matrix
    from vedette.embeddings.outputs import opener_for
    from vedette.embeddings.run import score_matrix
    from vedette.embeddings.scorer import Scorer
    from vedette.errors import UsageError
    from vedette.heads.registry import head_entry
    from vedette.settings import load_settings
    from vedette.sinks.base import check_places

    settings = load_settings(config)
    entry = head_entry(head)
    if labels:
        for label in entry.labels:
            typer.echo(label)
    if embeddings is None or out is None:
        if labels and embeddings is None and out is None:
            return
        raise UsageError(
            "no embeddings to score" if embeddings is None else "no place for the scores",
            hint="vedette score-embeddings IN --head NAME --out OUT",
        )
    opener_for(out)
    check_places([out], overwrite=overwrite)
    matrix = open_matrix(embeddings, Columns(column, key))
    _refuse_own_input(embeddings, out, matrix)
    check_dim(matrix.dim, head, entry.dim, embeddings)
    scorer = Scorer(_loaded(head, weights, settings), matrix.dtype, precision)
    summary = score_matrix(matrix, scorer, out)
    doubt = summary.doubt(scorer, head)
    if doubt is not None:
        typer.echo(f"warning: {doubt}", err=True)
    if quiet:
        return
    if summary.scored < summary.rows:
        typer.echo(f"{summary.rows - summary.scored} rows have no embedding", err=True)
    seconds = max(summary.seconds, 1e-9)
    typer.echo(
        f"scored {summary.scored} rows in {seconds:.2f} s: {summary.scored / seconds:,.0f} rows/s, "
        f"{summary.size / seconds / 1e9:.2f} GB/s, {scorer.engine}",
        err=True,
    )
    typer.echo(f"wrote {printable(str(out))}", err=True)


def _refuse_own_input(embeddings: Path, out: Path, matrix: Matrix) -> None:
    """Refuse an output that replaces its input, or that the next run would read as part of it."""
    from vedette.errors import UsageError

    place = out.resolve()
    if place in {file.resolve() for file in matrix.paths} or (
        embeddings.is_dir() and place.parent == embeddings.resolve()
    ):
        raise UsageError(
            f"{out} is where the embeddings are", hint="write the scores to another folder"
        )


def _loaded(name: str, weights: Path | None, settings: Settings) -> Head:
    from vedette.heads.registry import load
    from vedette.hub.locate import locate
    from vedette.hub.terms import check_terms
    from vedette.models.clip_cards import HEADS

    card = HEADS[name]
    if settings.commercial:
        check_terms(card, accept=False, commercial=True)
    if weights is None:
        weights = locate(card)
    files = card.weights.files if card.weights else ()
    if len(files) == 1 and (weights / files[0].path).is_file():
        weights = weights / files[0].path
    return load(name, weights)

"""``vedette data collect``: keywords to candidates for annotation, from a collection one has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.common import complain
from vedette.cli.data.common import Format, opened
from vedette.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.curate.candidates import Collected
    from vedette.taxonomy import Category

_NOT_READ = 3
_NAMED = 10


def collect(
    collection: Annotated[
        str,
        typer.Argument(
            help="Embeddings, a table of captions, or pictures with texts.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The candidates, JSON lines.")],
    kind: Annotated[str, typer.Option("--kind", help="auto, captions or embeddings.")] = "auto",
    keywords: Annotated[
        Path | None, typer.Option("--keywords", help="Your own keywords (TOML). [ours]")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", help="Only this one; can be repeated. [all]")
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, max=1000, help="Pictures taken for each keyword.")
    ] = 20,
    near: Annotated[
        int, typer.Option("--near", min=0, max=31, help="Bits of 256 in which copies differ.")
    ] = 31,
    cosine: Annotated[
        float, typer.Option("--cosine", min=0.5, max=1, help="Of copies' embeddings, at least.")
    ] = 0.97,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Keep pictures that only look the same.")
    ] = False,
    clip: Annotated[
        str | None, typer.Option("--clip", help="What made the embeddings. [by their width]")
    ] = None,
    column: Annotated[
        str, typer.Option("--column", help="Of the embeddings in Parquet.")
    ] = "embedding",
    metadata: Annotated[
        Path | None, typer.Option("--metadata", help="Tables that name the rows of .npy files.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="The captions' column. [caption, text, prompt]")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="The addresses' column. [url, file_name, path …]")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="The keys' column. [key, id]")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What candidates call it. [its file's name]")
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option("--queue", help="Also a campaign of them: a new .sqlite file, or a URL."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there.")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Decode threads. [one for each core]")
    ] = 0,
    fmt: Format = "auto",
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Search a collection for keywords of each category; the best, each once, are candidates.

    Nothing is fetched: addresses are written down. Exit status: 0 done, 2 wrong usage, 3 done, and
    some pictures at hand could not be read.
    """
    from vedette.curate.candidates import CollectOptions, outside, write_candidates
    from vedette.curate.candidates import collect as collected_from
    from vedette.curate.captions import ColumnNames
    from vedette.curate.collections import CollectionOptions, open_collection
    from vedette.curate.keywords import read_keywords
    from vedette.settings import load_settings
    from vedette.sinks.base import check_places

    asked = read_keywords(keywords, [_category(named) for named in category or ()])
    check_places([out], overwrite=overwrite)
    found, told = open_collection(
        collection,
        CollectionOptions(kind, ColumnNames(text, where, key), column, clip, metadata, name),
        lambda given: opened(given, fmt, None, None, config),
    )
    typer.echo(f"{printable(collection)}: {told}", err=True)
    options = CollectOptions(
        top, None if duplicates else near, None if duplicates else cosine, workers
    )
    result = collected_from(found, asked, load_settings(config), options)
    write_candidates(out, result, found)
    for line in _lines(result, len(asked)):
        typer.echo(printable(line))
    typer.echo(f"wrote {printable(str(out))}", err=True)
    if elsewhere := outside(result, out):
        typer.echo(
            f"{elsewhere} pictures are not below the folder of {printable(out.name)}: as a "
            "manifest it cannot name them; write it above them",
            err=True,
        )
    if queue is not None:
        _annotate(queue, out, config)
    unread = [c for c in result.candidates if c.failure is not None]
    if unread:
        for candidate in unread[:_NAMED]:
            typer.echo(printable(f"not read: {candidate.entry.key} [{candidate.failure}]"))
        complain(f"{len(unread)} pictures could not be read", "the file names each with its code")
        raise typer.Exit(_NOT_READ)


def _annotate(store: str, candidates: Path, config: Path | None) -> None:
    """Make a campaign of the candidates, as ``vedette annotate create`` does."""
    from vedette.cli.annotate.common import NAME
    from vedette.cli.annotate.create import create

    create(store, str(candidates), campaign=NAME, fmt="manifest", config=config)


def _category(named: str) -> Category:
    from vedette.errors import UnknownNameError
    from vedette.taxonomy import Category, parse_category

    try:
        return parse_category(named)
    except KeyError as error:
        raise UnknownNameError("category", named, [c.value for c in Category]) from error


def _lines(result: Collected, keywords: int) -> Sequence[str]:
    from collections import Counter

    from vedette.taxonomy import Category

    counts = Counter(candidate.category for candidate in result.candidates)
    width = max(len(category) for category in Category)
    lines = [f"{c:<{width}}  {counts[c]}" for c in Category if counts[c]]
    lines.append(
        f"{keywords} keywords, {result.hits} hits, {result.pictures} entries, "
        f"{result.at_hand} looked at, {len(result.candidates)} candidates"
    )
    if result.silent:
        some = ", ".join(keyword.text for keyword in result.silent[:_NAMED])
        lines.append(f"{len(result.silent)} keywords found nothing: {some}")
    return lines

"""From what a user points at to a collection that can be searched by words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vedette.curate.captions import (
    Captions,
    ColumnNames,
    FolderCaptions,
    SourceCaptions,
    TableCaptions,
    has_texts_beside,
)
from vedette.curate.hits import Collection
from vedette.curate.search_embeddings import EmbeddingSearch, backbone_for, encoder_of
from vedette.curate.search_text import CaptionSearch
from vedette.curate.tables import SUFFIXES, columns_of, tables_in
from vedette.data.base import Source
from vedette.embeddings.base import Columns, open_matrix
from vedette.errors import UnknownNameError, UsageError

KINDS = ("auto", "captions", "embeddings")
_EMBEDDINGS, _METADATA = "img_emb", "metadata"
"""The folders that clip-retrieval writes."""
_CAPTION_FILES = ("captions", "metadata")
"""Names, without suffix, of a table of captions in a folder of pictures."""


@dataclass(frozen=True, slots=True)
class CollectionOptions:
    """What a user may say about a collection."""

    kind: str = "auto"
    """One of :data:`KINDS`."""
    names: ColumnNames = field(default_factory=ColumnNames)
    embedding: str = "embedding"
    """The column of a Parquet file that has the embeddings."""
    clip: str | None = None
    """The CLIP model that made them; None: the only one in the zoo with as many dimensions."""
    metadata: Path | None = None
    """The table, or the folder of tables, that describes the rows of ``.npy`` files."""
    name: str | None = None
    """What candidates name as their collection; None: that of the file or folder."""


OpenSource = Callable[[str], Source]
"""What opens a collection that is neither a table nor embeddings."""


def open_collection(
    given: str, options: CollectionOptions, open_source: OpenSource
) -> tuple[Collection, str]:
    """The collection, and in words which kind was recognised.

    Args:
        given: a path, or whatever ``open_source`` understands.
        options: what the user says of it.
        open_source: opens everything else, such as an archive or a vault.

    Raises:
        UnknownNameError: no such kind, column or CLIP model.
        UsageError: it is not of that kind.
        ModelError: the text tower's weights are missing or cannot be used.
        MissingExtraError: a library is not installed.
    """
    if options.kind not in KINDS:
        raise UnknownNameError("kind of collection", options.kind, KINDS)
    path = Path(given)
    name = options.name or path.resolve().name or given
    kind = options.kind
    if kind == "auto":
        kind = "embeddings" if _has_embeddings(path, options.embedding) else "captions"
    if kind == "embeddings":
        return _embeddings(path, options, name)
    captions, told = _captions(given, path, options, open_source, name)
    return CaptionSearch(captions), told


def _has_embeddings(path: Path, column: str) -> bool:
    if path.is_dir():
        if (path / _EMBEDDINGS).is_dir() or any(path.glob("*.npy")):
            return True
        tables = tables_in(path)
        return bool(tables) and _has_embeddings(tables[0], column)
    if path.suffix.lower() == ".parquet" and path.is_file():
        return column in columns_of(path)
    return path.suffix.lower() == ".npy"


def _embeddings(path: Path, options: CollectionOptions, name: str) -> tuple[Collection, str]:
    root = path / _EMBEDDINGS if (path / _EMBEDDINGS).is_dir() else path
    matrix = open_matrix(root, Columns(options.embedding, options.names.key))
    backbone = backbone_for(matrix.dim, options.clip)
    if matrix.paths[0].suffix.lower() == ".parquet" and options.metadata is None:
        tables = list(matrix.paths)
    else:
        tables = _tables(options.metadata or root.parent / _METADATA, options.metadata is not None)
    search = EmbeddingSearch(matrix, encoder_of(backbone), tables, options.names, name)
    described = "with" if tables else "without"
    return search, f"{matrix.rows} embeddings, {described} metadata, searched with {backbone}"


def _tables(place: Path, named: bool) -> list[Path]:
    """The tables of metadata; where nobody has named a place, there may be none."""
    if place.is_file() and place.suffix.lower() in SUFFIXES:
        return [place]
    found = tables_in(place) if place.is_dir() else []
    if named and not found:
        raise UsageError(
            f"there is no table at {place}",
            code="not_found",
            hint=f"give a file or a folder of {', '.join(SUFFIXES)}",
        )
    return found


def _captions(
    given: str, path: Path, options: CollectionOptions, open_source: OpenSource, name: str
) -> tuple[Captions, str]:
    if path.is_file() and path.suffix.lower() in SUFFIXES and not _has_pictures(path):
        return TableCaptions([path], options.names, name), "a table of captions"
    if path.is_dir() and not any(path.glob("*.tar")):
        tables = tables_in(path)
        own = [table for table in tables if table.stem.casefold() in _CAPTION_FILES]
        if own:
            return TableCaptions(own[:1], options.names, name), "pictures with a table of captions"
        if has_texts_beside(path):
            return FolderCaptions(path, name), "pictures with a text beside each"
        if tables and not _has_pictures(tables[0]):
            return TableCaptions(tables, options.names, name), f"{len(tables)} tables of captions"
    return SourceCaptions(open_source(given), name), "a source of pictures with texts"


def _has_pictures(table: Path) -> bool:
    """Whether a Parquet file holds the pictures too, as hub copies do."""
    return table.suffix.lower() == ".parquet" and "image" in columns_of(table)

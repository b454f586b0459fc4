"""Image embeddings searched by words: CLIP's text tower, and cosines chunk by chunk.

The layout is clip-retrieval's: a matrix of image embeddings, and beside it a table for each of its
files that says what the rows are. The matrix is read once, in order, and never held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vedette.curate.captions import ColumnNames, Describing, pictures_in_files
from vedette.curate.hits import Best, Entry, Hit, least_of
from vedette.embeddings.base import Chunk, Matrix, Rows, check_dim
from vedette.embeddings.scorer import ROWS, all_finite
from vedette.errors import UnknownNameError, UsageError
from vedette.hub.locate import usable
from vedette.models.clip_cards import BACKBONES
from vedette.networks.clip import read_clip_config
from vedette.networks.clip_text import text_embeddings
from vedette.types import Float32, Item

Encoder = Callable[[Sequence[str]], Float32]
"""Texts to L2-normalised rows: float32 [texts, dim]."""
_Spot = tuple[int, int]
"""Number of a file in the matrix, and of a row in it."""


def backbone_for(dim: int | None, name: str | None) -> str:
    """The CLIP model of that name, or the only one in the zoo with such embeddings.

    Raises:
        UnknownNameError: no such model.
        UsageError: it has other embeddings, or none has such.
    """
    if name is None:
        fits = [card.id for card in BACKBONES.values() if card.embedding == dim]
        if len(fits) != 1:
            raise UsageError(
                f"embeddings of {dim} dimensions are of no CLIP model in the zoo",
                hint=f"it has {', '.join(f'{c.id} ({c.embedding})' for c in BACKBONES.values())}",
            )
        return fits[0]
    if name not in BACKBONES:
        raise UnknownNameError("backbone", name, BACKBONES)
    return name


def encoder_of(backbone: str) -> Encoder:
    """The text tower of a CLIP model in the zoo, the same that zero-shot classes use.

    Raises:
        ModelError: its weights are missing or cannot be used.
    """
    config = read_clip_config(usable(BACKBONES[backbone]).folder)
    return lambda texts: text_embeddings(config, texts)


class EmbeddingSearch:
    """Embeddings as a :class:`vedette.curate.hits.Collection`.

    Args:
        matrix: of image embeddings, normalised or not.
        encode: of the same CLIP model.
        tables: for each file of the matrix the table that describes its rows; empty: rows have
            no other name than their place.
        names: columns of these tables.
        name: of the collection.

    Raises:
        UsageError: there is not one table for each file.
    """

    def __init__(
        self,
        matrix: Matrix,
        encode: Encoder,
        tables: Sequence[Path],
        names: ColumnNames,
        name: str,
    ) -> None:
        if tables and len(tables) != len(matrix.paths):
            raise UsageError(
                f"{name} has {len(matrix.paths)} files of embeddings and {len(tables)} of metadata",
                code="bad_source",
                hint="there must be one for each, in the same order",
            )
        self.name = name
        self.measure = "cosine"
        self._matrix = matrix
        self._encode = encode
        self._tables = [Describing(path, names, needs_text=False) for path in tables]

    def search(self, queries: Sequence[str], top: int) -> list[list[Hit]]:
        """See :class:`vedette.curate.hits.Collection`. Ties are in the order of the rows.

        Raises:
            UsageError: rows of another width than the queries', or that are not finite, or a
                table that has other rows than its file of embeddings.
        """
        texts = self._encode(queries)
        check_dim(self._matrix.dim, "the text tower", texts.shape[1], self._matrix.paths[0])
        best: list[Best[int, _Spot]] = [Best(top) for _ in queries]
        kept: dict[int, Float32] = {}
        counted: dict[int, int] = {}
        for first, spots, rows in self._pieces(counted):
            scores = rows @ texts.T
            found, columns = np.nonzero(scores >= least_of(best))
            for row, column in zip(found.tolist(), columns.tolist(), strict=True):
                best[column].offer(float(scores[row, column]), first + row, spots[row])
            if len(found):
                # Only of rows that are still among the best is the embedding kept.
                listed = {number for b in best for _, number, _ in b}
                kept = {n: kept[n] if n < first else rows[n - first].copy() for n in listed}
        spots_of = {number: spot for b in best for _, number, spot in b}
        entries = self._described(spots_of, kept, counted)
        return [[Hit(entries[number], score) for score, number, _ in b] for b in best]

    def pictures(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """See :class:`vedette.curate.hits.Collection`."""
        return pictures_in_files(entries)

    def _pieces(self, counted: dict[int, int]) -> Iterator[tuple[int, list[_Spot], Float32]]:
        """The number of the first row, where the rows are, and L2-normalised float32 rows.

        ``counted`` gets the rows of each file.
        """
        buffer: Rows = np.empty((ROWS, self._matrix.dim or 1), self._matrix.dtype)
        first, file = 0, -1
        for chunk in self._matrix.chunks(ROWS):
            while file < 0 or self._matrix.paths[file].name != chunk.place.file:
                file += 1  # files come in order; an empty one has no chunk
            counted[file] = chunk.place.first + chunk.rows
            rows = buffer[: chunk.count]
            chunk.load(rows)
            _check(chunk, rows)
            plain = rows.astype(np.float32)
            norms = np.linalg.norm(plain, axis=1, keepdims=True)
            yield first, [(file, row) for row in _places(chunk)], plain / np.maximum(norms, 1e-12)
            first += chunk.count

    def _described(
        self, spots: Mapping[int, _Spot], kept: Mapping[int, Float32], rows: Mapping[int, int]
    ) -> Mapping[int, Entry]:
        """What was found, with what the tables say of it."""
        said: dict[_Spot, Entry] = {}
        wanted: dict[int, set[int]] = defaultdict(set)
        for file, row in spots.values():
            wanted[file].add(row)
        for file in sorted(wanted) if self._tables else ():
            table = self._tables[file]
            count = 0
            for number, cells in enumerate(table.rows()):
                count += 1
                if number in wanted[file]:
                    said[file, number] = table.entry(cells, number)
            if count != rows[file]:
                raise UsageError(
                    f"{table.path} has {count} rows and {self._matrix.paths[file].name} "
                    f"{rows[file]}",
                    code="bad_source",
                    hint="they belong to different embeddings, or one was cut off",
                )
        entries = {}
        for number, (file, row) in spots.items():
            place = f"{self._matrix.paths[file].name}#{row}"
            entry = said.get((file, row)) or Entry(place, None, None)
            entries[number] = replace(entry, embedding=kept[number])
        return entries


def _check(chunk: Chunk, rows: Rows) -> None:
    if not all_finite(rows):
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise UsageError(
            f"{chunk.place.name(bad)} holds a value that is not finite",
            hint="remove the row, or compute its embedding again",
        )


def _places(chunk: Chunk) -> list[int]:
    """The numbers, in their file, of a chunk's rows that have an embedding."""
    if chunk.place.present is None:
        return list(range(chunk.place.first, chunk.place.first + chunk.rows))
    return [chunk.place.first + int(at) for at in chunk.place.present]

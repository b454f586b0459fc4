"""Embeddings that were given, brought into the order of the images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.curate.facts import Indices, Store
from vedette.embeddings.base import Chunk, Columns, open_matrix
from vedette.errors import UsageError

_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class Matched:
    """How embeddings and images came together."""

    dim: int
    images: int
    """That have an embedding."""
    without: int
    """Images that have none."""
    unused: int
    """Embeddings that no image has the key of."""


def load_embeddings(store: Store, path: Path) -> Matched:
    """Make the embeddings in ``path`` the features of ``store``, each of length 1.

    By their keys where they have any. Without keys they have to be as many as the images, and are
    taken to be in the images' order.

    Raises:
        UsageError: they cannot be read, or have no keys and are not as many as the images.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    matrix = open_matrix(path, Columns())
    count = len(store.keys)
    if matrix.key is None and matrix.rows != count:
        raise UsageError(
            f"{path} has {matrix.rows} embeddings without keys, and there are {count} images",
            hint="give a Parquet file that has a column key",
        )
    if matrix.dim is None:
        raise UsageError(f"{path} holds no embedding", hint="give the file that has them")
    table = store.features_of(matrix.dim)
    table.extend(count)
    finder = None if matrix.key is None else _Finder(store)
    first, unused = 0, 0
    found = np.zeros(count, bool)
    for chunk in matrix.chunks(_AT_ONCE):
        rows = np.empty((chunk.count, matrix.dim), matrix.dtype)
        chunk.load(rows)
        places = first + np.arange(chunk.rows) if finder is None else finder.places(chunk)
        if chunk.place.present is not None:
            places = places[chunk.place.present]
        first += chunk.rows
        there = places >= 0
        unused += int((~there).sum())
        table.write(places[there], _unit(rows[there], chunk))
        found[places[there]] = True
    images = int(found.sum())
    if not images and count:
        raise UsageError(
            f"no embedding in {path} has the key of an image",
            hint="the keys must be spelt as the data set spells them; see the JSON of an audit",
        )
    return Matched(matrix.dim, images, count - images, unused)


class _Finder:
    """From keys to the numbers of images, by 64 bits of a hash of each key."""

    def __init__(self, store: Store) -> None:
        hashes = np.fromiter(_hashes(store.keys), np.uint64, len(store.keys))
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]

    def places(self, chunk: Chunk) -> Indices:
        """For each row of the chunk the number of its image, or -1."""
        keys = ("" if key is None else str(key) for key in chunk.keys.to_pylist())
        wanted = np.fromiter(_hashes(keys), np.uint64, chunk.rows)
        if not len(self._sorted):
            return np.full(len(wanted), -1)
        at = np.searchsorted(self._sorted, wanted).clip(max=len(self._sorted) - 1)
        return np.where(self._sorted[at] == wanted, self._order[at], -1)


def _hashes(keys: Iterable[str]) -> Iterator[int]:
    for key in keys:
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        yield int.from_bytes(digest, "little")


def _unit(rows: NDArray[np.floating], chunk: Chunk) -> NDArray[np.float16]:
    x = rows.astype(np.float32)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise UsageError(
            f"{chunk.place.file} has an embedding that is not finite",
            hint="make that embedding again, or leave its row out",
        )
    unit: NDArray[np.float16] = (x / np.maximum(lengths, 1e-12)).astype(np.float16)
    return unit

"""Small heads of every published form, with seeded weights, and matrices on disk for them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from tests.pictures import SHARED_PHOTOS
from vedette.embeddings.base import Chunk, Place
from vedette.heads.base import Dense, Head, Mlp
from vedette.heads.laion import LaionH14, LaionNsfw, table
from vedette.heads.multiheaded import MultiHeaded
from vedette.heads.registry import load
from vedette.heads.vectors import Q16, Violence
from vedette.types import Float32

SHARED_HEADS = SHARED_PHOTOS.parent / "heads"
needs_heads = pytest.mark.skipif(
    not SHARED_HEADS.is_dir(), reason="the published heads are not beside this checkout"
)
REAL = {
    "laion-nsfw-l14": "laion/clip_autokeras_binary_nsfw.zip",
    "laion-nsfw-b32": "laion/clip_autokeras_nsfw_b32.zip",
    "laion-violence-l14": "laion/violence_detection_vit_l_14.npy",
    "laion-violence-b32": "laion/violence_detection_vit_b_32.npy",
    "q16": "q16/prompts.p",
    "multiheaded": "multiheaded",
}
DIM = 24
TABLED = (3, 17)
"""Columns of the twin of LAION's heads that are looked up."""


def real(name: str) -> Head:
    return load(name, SHARED_HEADS / REAL[name])


def chain(rng: np.random.Generator, *widths: int) -> Mlp:
    layers = []
    for k, (inputs, outputs) in enumerate(pairwise(widths)):
        weight = rng.standard_normal((inputs, outputs), dtype=np.float32) * (2 / inputs) ** 0.5
        bias = rng.standard_normal(outputs, dtype=np.float32) * np.float32(0.1)
        last = k == len(widths) - 2
        layers.append(Dense(weight.astype(np.float32), bias, "linear" if last else "relu"))
    return Mlp(tuple(layers))


def nsfw_twin(*, tables: bool = True) -> LaionNsfw:
    """Its tables hold every other float16 that :func:`unit_rows` has in these columns."""
    rng = np.random.default_rng(1)
    mean, std = rng.standard_normal(DIM) * 0.1, rng.random(DIM) * 0.2 + 0.05
    made = {}
    for column in TABLED:
        values = np.unique(unit_rows(500).astype(np.float16)[:, column])[::2]
        texts = dict.fromkeys(f"{value:.6f}" for value in values.astype(np.float64))
        made[column] = table({text: index + 1 for index, text in enumerate(texts)})
        mean[column], std[column] = len(texts) / 2, len(texts) / 4
    return LaionNsfw(
        mlp=chain(rng, DIM, 16, 32, 1),
        mean=mean.astype(np.float32),
        std=std.astype(np.float32),
        tables=made if tables else {},
    )


def twins() -> dict[str, Head]:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((2, DIM), dtype=np.float32)
    return {
        "nsfw": nsfw_twin(),
        "port": nsfw_twin(tables=False),
        "h14": LaionH14(chain(rng, DIM, 32, 16, 1)),
        "violence": Violence(vectors),
        "q16": Q16(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)),
        "multiheaded": MultiHeaded(tuple(chain(rng, DIM, 12, 1) for _ in range(5))),
    }


def unit_rows(count: int, dim: int = DIM) -> Float32:
    rows = np.random.default_rng(0).standard_normal((count, dim), dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def rows_for(head: Head, count: int = 500) -> Float32:
    return unit_rows(count, head.dim) * np.float32(1 if head.unit else 10)


def chunk_of(rows: NDArray[Any], file: str = "made.npy") -> Chunk:
    return Chunk(Place(file, 0), len(rows), lambda out: np.copyto(out, rows))


def write_parquet(
    path: Path,
    rows: NDArray[Any] | list[list[float] | None],
    kind: Any = None,
    keys: list[str] | None = None,
    name: str = "embedding",
) -> Path:
    """``kind``: Arrow's type of the column, by default a fixed-size list of the rows' own type."""
    lists = [None if row is None else list(row) for row in rows]
    if kind is None:
        assert isinstance(rows, np.ndarray)
        kind = pa.list_(pa.from_numpy_dtype(rows.dtype), rows.shape[1])
    columns = {name: pa.array(lists, kind)}
    if keys is not None:
        columns = {"key": pa.array(keys), **columns}
    parquet.write_table(pa.table(columns), path)
    return path

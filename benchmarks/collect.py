"""How fast a collection is searched for all of our keywords, and the memory that it needs.

    python benchmarks/collect.py embeddings [--rows 500000]
    python benchmarks/collect.py captions [--rows 500000]

The embeddings are random float16 rows of 768, in files of 100,000; the captions are ten random
words each, in Parquet. Another process makes them; the memory is the peak of the one that searches.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vedette.curate.captions import ColumnNames, TableCaptions
from vedette.curate.hits import Collection
from vedette.curate.keywords import read_keywords
from vedette.curate.search_embeddings import EmbeddingSearch
from vedette.curate.search_text import CaptionSearch
from vedette.embeddings.base import Columns, open_matrix
from vedette.types import Float32

DIM = 768
IN_A_FILE = 100_000
CAPTIONS = "captions.parquet"
QUERIES = [keyword.text for keyword in read_keywords()]


def make_embeddings(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    for number, first in enumerate(range(0, rows, IN_A_FILE)):
        some = rng.standard_normal((min(IN_A_FILE, rows - first), DIM), dtype=np.float32)
        np.save(folder / f"img_emb_{number}.npy", some.astype(np.float16))


def embeddings(folder: Path) -> Collection:
    texts = np.random.default_rng(1).standard_normal((len(QUERIES), DIM), dtype=np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)

    def encode(_: object) -> Float32:
        return texts

    return EmbeddingSearch(open_matrix(folder, Columns()), encode, [], ColumnNames(), "random")


def make_captions(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    common = [word for query in QUERIES[:40] for word in query.split()]
    words = np.array([*(f"word{n}" for n in range(20_000)), *common * 30])
    with pq.ParquetWriter(
        folder / CAPTIONS, pa.schema([("URL", "string"), ("TEXT", "string")])
    ) as out:
        for first in range(0, rows, IN_A_FILE):
            count = min(IN_A_FILE, rows - first)
            texts = [" ".join(row) for row in words[rng.integers(0, len(words), (count, 10))]]
            urls = [f"https://example.org/{first + n}" for n in range(count)]
            out.write_table(pa.table({"URL": urls, "TEXT": texts}), row_group_size=10_000)


def captions(folder: Path) -> Collection:
    return CaptionSearch(TableCaptions([folder / CAPTIONS], ColumnNames(), "random"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("embeddings", "captions"))
    parser.add_argument("--rows", type=int, default=500_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make = make_embeddings if given.what == "embeddings" else make_captions
        maker = multiprocessing.get_context("spawn").Process(
            target=make, args=(Path(folder), given.rows)
        )
        maker.start()
        maker.join()
        collection = (embeddings if given.what == "embeddings" else captions)(Path(folder))
        started = time.perf_counter()
        collection.search(QUERIES, 20)
        speed = given.rows / (time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{len(QUERIES)} keywords, {given.rows} {given.what}: {speed:,.0f} a second, {peak} MiB")


if __name__ == "__main__":
    main()

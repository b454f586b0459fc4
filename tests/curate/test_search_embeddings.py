"""Words search embeddings through a real text tower; ranks are those of a plain product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import zoo
from vedette.curate.captions import ColumnNames
from vedette.curate.hits import Hit
from vedette.curate.search_embeddings import EmbeddingSearch, backbone_for, encoder_of
from vedette.embeddings.base import Columns, open_matrix
from vedette.errors import UnknownNameError, UsageError
from vedette.networks.clip import read_clip_config
from vedette.networks.clip_text import text_embeddings

DIM = 16
QUERIES = ["a street fight", "casino banner", "a quiet lake"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Rows of a small CLIP's text tower."""
    folder = zoo.clip(tmp_path_factory.mktemp("clip") / "clip", DIM)
    return text_embeddings(read_clip_config(folder), QUERIES)


def clip_retrieval(root: Path, sizes: tuple[int, ...]) -> Any:
    """The layout that clip-retrieval writes; all its rows, each 10 long."""
    for name in ("img_emb", "metadata"):
        (root / name).mkdir(parents=True)
    whole = (10 * zoo.random_rows(sum(sizes), DIM)).astype(np.float16)
    first = 0
    for number, size in enumerate(sizes):
        rows = whole[first : first + size]
        np.save(root / "img_emb" / f"img_emb_{number}.npy", rows)
        said = [
            {"image_path": f"{n:09d}", "caption": f"text {n}", "url": f"https://example.org/{n}"}
            for n in range(first, first + size)
        ]
        schema = pa.schema([(name, pa.string()) for name in ("image_path", "caption", "url")])
        table = pa.Table.from_pylist(said, schema)
        pq.write_table(table, root / "metadata" / f"metadata_{number}.parquet")
        first += size
    return whole


def searched(root: Path, texts: Any, top: int, *, described: bool = True) -> list[list[Hit]]:
    tables = sorted((root / "metadata").glob("*.parquet"), key=lambda p: (len(p.name), p.name))
    search = EmbeddingSearch(
        open_matrix(root / "img_emb", Columns()),
        lambda queries: texts,
        tables if described else [],
        ColumnNames(),
        "set",
    )
    return search.search(QUERIES, top)


def test_ranks_are_those_of_a_plain_product(tmp_path: Path, texts: Any) -> None:
    # More rows than a chunk has, files of odd sizes, an empty one, more than ten.
    sizes = (3000, 0, 1, 700, *([5] * 8))
    whole = clip_retrieval(tmp_path, sizes).astype(np.float32)
    unit = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    for query, found in enumerate(searched(tmp_path, texts, 25)):
        cosines = unit @ texts[query]
        wanted = np.argsort(-cosines, kind="stable")[:25]

        assert [hit.entry.where for hit in found] == [f"https://example.org/{n}" for n in wanted]
        assert [hit.entry.text for hit in found] == [f"text {n}" for n in wanted]
        assert [hit.score for hit in found] == pytest.approx(cosines[wanted], abs=1e-5)
        kept = np.stack([np.asarray(hit.entry.embedding) for hit in found])
        assert kept == pytest.approx(unit[wanted], abs=1e-5)


def test_equal_rows_are_in_their_order(tmp_path: Path, texts: Any) -> None:
    clip_retrieval(tmp_path, (6,))
    np.save(tmp_path / "img_emb" / "img_emb_0.npy", np.ones((6, DIM), np.float32))

    (found, *_) = searched(tmp_path, texts, 3, described=False)
    assert [hit.entry.key for hit in found] == [f"img_emb_0.npy#{n}" for n in range(3)]


def test_parquet_describes_its_own_rows(tmp_path: Path, texts: Any) -> None:
    rows = zoo.random_rows(9, DIM)
    table = pa.table(
        {
            "embedding": pa.array([None if n == 4 else list(row) for n, row in enumerate(rows)]),
            "key": [f"k{n}" for n in range(9)],
            "text": [f"text {n}" for n in range(9)],
        }
    ).cast(
        pa.schema([("embedding", pa.list_(pa.float32())), ("key", "string"), ("text", "string")])
    )
    path = tmp_path / "e.parquet"
    pq.write_table(table, path, row_group_size=4)
    search = EmbeddingSearch(
        open_matrix(path, Columns()), lambda queries: texts, [path], ColumnNames(), "set"
    )
    (found, *_) = search.search(QUERIES, 100)

    cosines = rows @ texts[0]
    wanted = [int(n) for n in np.argsort(-cosines, kind="stable") if n != 4]
    assert [hit.entry.key for hit in found] == [f"k{n}" for n in wanted]
    assert [hit.entry.text for hit in found] == [f"text {n}" for n in wanted]
    assert list(search.pictures([hit.entry for hit in found])) == []


def test_what_does_not_fit_together_is_refused(tmp_path: Path, texts: Any) -> None:
    clip_retrieval(tmp_path, (30, 30))
    second = tmp_path / "metadata" / "metadata_1.parquet"
    pq.write_table(pq.read_table(second).slice(0, 29), second)
    with pytest.raises(UsageError, match=r"metadata_1\.parquet has 29 rows and img_emb_1\.npy 30"):
        searched(tmp_path, texts, 60)
    second.unlink()
    with pytest.raises(UsageError, match="2 files of embeddings and 1 of metadata"):
        searched(tmp_path, texts, 60)
    with pytest.raises(UsageError, match="16 dimensions, and the text tower takes 8"):
        searched(tmp_path, texts[:, :8], 5, described=False)
    np.save(tmp_path / "img_emb" / "img_emb_1.npy", np.full((30, DIM), np.nan, np.float16))
    with pytest.raises(
        UsageError, match=r"row 0 of img_emb_1\.npy holds a value that is not finite"
    ):
        searched(tmp_path, texts, 5, described=False)


def test_the_model_is_told_by_the_width(store: Path) -> None:
    assert backbone_for(768, None) == "clip-l14"
    assert backbone_for(512, "clip-l14") == "clip-l14"
    with pytest.raises(UsageError, match="of no CLIP model"):
        backbone_for(DIM, None)
    with pytest.raises(UnknownNameError, match="clip-l15"):
        backbone_for(768, "clip-l15")
    rows = encoder_of("clip-l14")(QUERIES)
    assert rows.shape == (3, 768)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)

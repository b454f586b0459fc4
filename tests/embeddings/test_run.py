"""Whole files through a head: in order, in pieces, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.embeddings.twins import DIM, rows_for, twins, unit_rows, write_parquet
from vedette.embeddings import run
from vedette.embeddings.base import Chunk, Columns, Matrix, check_dim, open_matrix
from vedette.embeddings.outputs import opener_for
from vedette.embeddings.run import Summary, score_matrix
from vedette.embeddings.scorer import Scorer
from vedette.errors import UnknownNameError, UsageError, VedetteError
from vedette.heads.base import Head

SMALL = 16
"""Rows of a chunk in these tests."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ROWS", SMALL)


def scored(path: Path, head: Head, out: Path, columns: Columns | None = None) -> Summary:
    matrix = open_matrix(path, columns or Columns())
    return score_matrix(matrix, Scorer(head, matrix.dtype, "fp32"), out)


@pytest.mark.parametrize("name", twins())
def test_npy_to_npy(tmp_path: Path, name: str) -> None:
    head = twins()[name]
    rows = rows_for(head, 333).astype(np.float16)
    np.save(tmp_path / "in.npy", rows)

    summary = scored(tmp_path / "in.npy", head, tmp_path / "out.npy")

    found = np.load(tmp_path / "out.npy")
    assert (found.dtype, found.shape) == ("<f4", (333, len(head.labels)))
    np.testing.assert_allclose(found, head.scores(rows.astype(np.float32)), atol=1e-5)
    assert (summary.rows, summary.scored, summary.size) == (333, 333, rows.nbytes)
    assert [file.name for file in tmp_path.iterdir() if file.name[0] == "."] == []


def test_shards_are_one_matrix_in_order(tmp_path: Path) -> None:
    head = twins()["q16"]
    rows = unit_rows(250)
    folder = tmp_path / "img_emb"
    folder.mkdir()
    for number in range(12):
        np.save(folder / f"img_emb_{number}.npy", rows[21 * number : 21 * number + 21])

    scored(folder, head, tmp_path / "out.npy")

    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), head.scores(rows), atol=1e-5)


def test_npy_to_parquet(tmp_path: Path) -> None:
    head = twins()["multiheaded"]
    rows = rows_for(head, 50)
    np.save(tmp_path / "in.npy", rows)

    scored(tmp_path / "in.npy", head, tmp_path / "out.parquet")

    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.column_names == list(head.labels)
    assert {field.type for field in found.schema} == {pa.float32()}
    columns = np.stack([column.to_numpy() for column in found.columns], axis=1)
    np.testing.assert_allclose(columns, head.scores(rows), atol=1e-5)


def test_parquet_to_parquet_keeps_keys_and_says_what_has_no_embedding(tmp_path: Path) -> None:
    head = twins()["violence"]
    rows = unit_rows(40)
    lists: list[Any] = [None if number % 7 == 3 else list(row) for number, row in enumerate(rows)]
    keys = [f"{number}.jpg" for number in range(40)]
    path = write_parquet(tmp_path / "in.parquet", lists, pa.list_(pa.float32()), keys)

    summary = scored(path, head, tmp_path / "out.parquet")

    found = parquet.read_table(tmp_path / "out.parquet").to_pydict()
    expected = head.scores(rows)
    assert list(found) == ["key", *head.labels]
    assert found["key"] == keys
    assert (summary.rows, summary.scored) == (40, 34)
    for number, value in enumerate(found["violent"]):
        if number % 7 == 3:
            assert value is None
        else:
            assert abs(value - expected[number, 1]) <= 1e-5


def test_parquet_to_npy(tmp_path: Path) -> None:
    head = twins()["nsfw"]
    rows = unit_rows(40).astype(np.float16)
    path = write_parquet(tmp_path / "in.parquet", rows)

    scored(path, head, tmp_path / "out.npy")

    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), head.scores(rows.astype(np.float32)), atol=1e-5
    )


def test_a_npy_file_cannot_say_that_there_is_no_embedding(tmp_path: Path) -> None:
    lists: list[Any] = [*map(list, unit_rows(20)), None, list(unit_rows(1)[0])]
    path = write_parquet(tmp_path / "in.parquet", lists, pa.list_(pa.float32()))

    with pytest.raises(UsageError, match=r"row 20 of in.parquet has no embedding"):
        scored(path, twins()["violence"], tmp_path / "out.npy")
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
@pytest.mark.parametrize("source", [".npy", ".parquet"])
def test_no_rows_give_no_scores(tmp_path: Path, source: str, suffix: str) -> None:
    head, out = twins()["multiheaded"], tmp_path / f"out{suffix}"
    if source == ".npy":
        np.save(tmp_path / "in.npy", np.zeros((0, DIM), np.float16))
    else:
        write_parquet(tmp_path / "in.parquet", [], pa.list_(pa.float32()), [])

    summary = scored(tmp_path / f"in{source}", head, out)

    assert summary.scored == 0
    assert summary.doubt(Scorer(head, np.dtype(np.float32), "fp32"), "multiheaded") is None
    if suffix == ".npy":
        assert np.load(out).shape == (0, 5)
    else:
        assert parquet.read_table(out).num_rows == 0


def test_a_row_that_is_not_finite_leaves_no_output(tmp_path: Path) -> None:
    rows = unit_rows(200)
    rows[123, 4] = np.nan
    np.save(tmp_path / "in.npy", rows)
    (tmp_path / "out.npy").write_bytes(b"older scores")

    with pytest.raises(UsageError, match=r"row 123 of in.npy holds a value that is not finite"):
        scored(tmp_path / "in.npy", twins()["nsfw"], tmp_path / "out.npy")

    assert (tmp_path / "out.npy").read_bytes() == b"older scores"
    assert {file.name for file in tmp_path.iterdir()} == {"in.npy", "out.npy"}


def test_the_first_bad_row_is_named_whichever_thread_finds_it(tmp_path: Path) -> None:
    rows = unit_rows(400)
    rows[[70, 71, 90, 399], 0] = np.inf
    np.save(tmp_path / "in.npy", rows)

    for _ in range(5):
        with pytest.raises(UsageError, match="row 70 of"):
            scored(tmp_path / "in.npy", twins()["nsfw"], tmp_path / "out.npy")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", unit_rows(5))

    with pytest.raises(VedetteError) as caught:
        scored(tmp_path / "in.npy", twins()["q16"], tmp_path / "no folder" / "out.npy")
    assert caught.value.code == "write_failed"


def test_other_outputs_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown output format '\.csv'"):
        opener_for(Path("scores.csv"))


def test_a_key_with_the_name_of_a_label_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "in.parquet", unit_rows(3), keys=["a", "b", "c"])
    table = parquet.read_table(path).rename_columns(["violent", "embedding"])
    parquet.write_table(table, path)

    with pytest.raises(UsageError, match="has the name of a label"):
        scored(path, twins()["violence"], tmp_path / "o.parquet", Columns(key="violent"))


def test_a_wrong_width_names_both() -> None:
    check_dim(None, "q16", 768, Path("in.npy"))
    check_dim(768, "q16", 768, Path("in.npy"))
    with pytest.raises(UsageError, match=r"in.npy has embeddings of 512 dimensions, and q16 takes"):
        check_dim(512, "q16", 768, Path("in.npy"))


class Watched:
    """A matrix that counts how many of its chunks wait at a time."""

    def __init__(self, matrix: Matrix, scorer: Scorer) -> None:
        self._matrix = matrix
        self.rows, self.dim, self.dtype = matrix.rows, matrix.dim, matrix.dtype
        self.size, self.key, self.paths = matrix.size, matrix.key, matrix.paths
        self.given = 0
        self.most = 0
        self.longest = 0
        self.taken = 0

    def chunks(self, rows: int) -> Iterator[Chunk]:
        for chunk in self._matrix.chunks(rows):
            self.given += 1
            self.longest = max(self.longest, chunk.rows)
            self.most = max(self.most, self.given - self.taken)
            yield chunk


def test_few_chunks_are_under_way_however_long_the_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "in.npy", unit_rows(40 * SMALL))
    matrix = open_matrix(tmp_path / "in.npy", Columns())
    scorer = Scorer(twins()["violence"], matrix.dtype)
    watched = Watched(matrix, scorer)
    ordered = run._in_order(watched, scorer)

    for _ in ordered:
        watched.taken += 1

    assert watched.given == watched.taken == 40
    assert watched.longest == SMALL
    assert watched.most <= 2 * scorer.workers + 1


# Warnings


def doubt(name: str, lengths: Any) -> str | None:
    head = twins()[name]
    rows = unit_rows(len(lengths)) * np.asarray(lengths, np.float32)[:, None]
    near = int((np.abs(np.asarray(lengths) - 1) < 0.05).sum())
    summary = Summary(len(rows), len(rows), rows.nbytes, 1.0, len(rows), near)
    return summary.doubt(Scorer(head, np.dtype(np.float32), "fp32"), name)


def test_rows_of_a_length_that_the_head_was_not_made_for_are_doubtful() -> None:
    assert doubt("nsfw", [1.0] * 50) is None
    told = doubt("nsfw", [1.0] * 40 + [10.0] * 10)
    assert told is not None
    assert "10 of 50 rows looked at are not L2-normalised" in told
    assert doubt("multiheaded", [10.0] * 50) is None
    assert doubt("multiheaded", [1.0] * 25 + [10.0] * 25) is None
    assert "was made for embeddings as CLIP projects them" in (
        doubt("multiheaded", [1.0] * 50) or ""
    )


def test_a_head_that_divides_by_the_length_is_never_in_doubt() -> None:
    assert doubt("q16", [10.0] * 50) is None

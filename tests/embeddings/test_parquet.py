"""Embeddings in Parquet: every kind of list, keys, rows without an embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from tests.embeddings.twins import unit_rows, write_parquet
from vedette.embeddings.base import Columns, Matrix, open_matrix
from vedette.errors import UsageError

KINDS = [
    pa.list_(pa.float16(), 4),
    pa.list_(pa.float16()),
    pa.list_(pa.float32(), 4),
    pa.list_(pa.float32()),
    pa.large_list(pa.float32()),
    pa.list_(pa.float64()),
]


def all_rows(matrix: Matrix, rows: int = 7) -> NDArray[Any]:
    assert matrix.dim is not None
    found = []
    for chunk in matrix.chunks(rows):
        assert chunk.rows <= rows
        found.append(np.empty((chunk.count, matrix.dim), matrix.dtype))
        chunk.load(found[-1])
    return np.concatenate(found)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_kind_of_list_is_read(tmp_path: Path, kind: Any) -> None:
    rows = unit_rows(23, 4).astype(np.float16)

    matrix = open_matrix(write_parquet(tmp_path / "a.parquet", rows, kind), Columns())

    assert (matrix.rows, matrix.dim, matrix.key) == (23, 4, None)
    assert matrix.dtype == ("f2" if kind.value_type == pa.float16() else "f4")
    assert matrix.size == 23 * 4 * kind.value_type.bit_width // 8
    np.testing.assert_array_equal(all_rows(matrix), rows)


@pytest.mark.parametrize("kind", KINDS[:4], ids=str)
def test_rows_without_an_embedding_are_left_out_and_known(tmp_path: Path, kind: Any) -> None:
    rows = unit_rows(6, 4).astype(np.float16)
    given = [None, list(rows[1]), None, *map(list, rows[3:])]

    matrix = open_matrix(write_parquet(tmp_path / "a.parquet", given, kind), Columns())

    chunks = list(matrix.chunks(4))
    assert matrix.rows == 6
    assert [(chunk.rows, chunk.count) for chunk in chunks] == [(4, 2), (2, 2)]
    assert chunks[0].place.name(1) == "row 3 of a.parquet"
    assert chunks[1].place.name(1) == "row 5 of a.parquet"
    np.testing.assert_array_equal(all_rows(matrix, 4), rows[[1, 3, 4, 5]])


def test_keys_come_along(tmp_path: Path) -> None:
    keys = [f"{number}.jpg" for number in range(9)]
    path = write_parquet(tmp_path / "a.parquet", unit_rows(9, 4), keys=keys)

    matrix = open_matrix(path, Columns())

    assert matrix.key.name == "key"
    assert [key for chunk in matrix.chunks(4) for key in chunk.keys.to_pylist()] == keys


def test_columns_of_other_names(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", unit_rows(3, 4), name="clip")

    assert open_matrix(path, Columns("clip")).rows == 3
    with pytest.raises(UsageError, match="no column 'embedding'") as caught:
        open_matrix(path, Columns())
    assert caught.value.hint == "name one with --column: clip"
    with pytest.raises(UsageError, match="no column 'url'"):
        open_matrix(path, Columns("clip", "url"))


def test_a_folder_is_one_matrix(tmp_path: Path) -> None:
    rows = unit_rows(9, 4)
    for number in (0, 1, 10):
        part = rows[3 * min(number, 2) :][:3]
        write_parquet(tmp_path / f"part-{number}.parquet", part, keys=[str(number)] * 3)

    matrix = open_matrix(tmp_path, Columns())

    np.testing.assert_array_equal(all_rows(matrix, 2), rows)


def test_files_that_differ_in_their_keys_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", unit_rows(3, 4), keys=["a", "b", "c"])
    write_parquet(tmp_path / "b.parquet", unit_rows(3, 4))

    with pytest.raises(UsageError, match=r"a.parquet and b.parquet differ in their keys"):
        open_matrix(tmp_path, Columns())


def test_a_file_without_rows(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [], pa.list_(pa.float32()))

    matrix = open_matrix(path, Columns())

    assert (matrix.rows, matrix.dim, list(matrix.chunks(5))) == (0, None, [])


def test_another_width_is_named_with_its_row(tmp_path: Path) -> None:
    rows: list[list[float] | None] = [[1.0, 2.0], None, [1.0, 2.0], [1.0]]
    path = write_parquet(tmp_path / "a.parquet", rows, pa.list_(pa.float32()))

    with pytest.raises(UsageError, match=r"row 3 of a.parquet has 1 dimensions, not 2"):
        all_rows(open_matrix(path, Columns()))


def test_a_null_inside_an_embedding_is_named_with_its_row(tmp_path: Path) -> None:
    rows: list[Any] = [None, [1.0, 2.0], [1.0, None]]
    path = write_parquet(tmp_path / "a.parquet", rows, pa.list_(pa.float32(), 2))

    with pytest.raises(UsageError, match=r"row 2 of a.parquet has a null inside"):
        all_rows(open_matrix(path, Columns()))


@pytest.mark.parametrize("kind", [pa.string(), pa.float32(), pa.list_(pa.int32())], ids=str)
def test_other_columns_are_refused(tmp_path: Path, kind: Any) -> None:
    parquet.write_table(pa.table({"embedding": pa.array([], kind)}), tmp_path / "a.parquet")

    with pytest.raises(UsageError, match="not lists of numbers"):
        open_matrix(tmp_path / "a.parquet", Columns())


def test_a_file_that_is_no_parquet_or_was_cut(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", unit_rows(500, 4))
    data = path.read_bytes()

    for damaged in (b"", b"PAR1", data[:-1], data[: len(data) // 2], data[4:]):
        path.write_bytes(damaged)
        with pytest.raises(UsageError):
            all_rows(open_matrix(path, Columns()))


def test_damage_inside_is_an_error_and_not_a_wrong_row(tmp_path: Path) -> None:
    rows = unit_rows(500, 4)
    path = write_parquet(tmp_path / "a.parquet", rows)
    data = bytearray(path.read_bytes())
    data[4:40] = b"\xff" * 36  # the first page's header
    path.write_bytes(data)

    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        all_rows(open_matrix(path, Columns()))

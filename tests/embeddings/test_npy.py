"""Matrices in .npy files: read in chunks by offsets, and nothing else read at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.embeddings.twins import unit_rows
from vedette.embeddings.base import Columns, Matrix, natural, open_matrix
from vedette.errors import UsageError


def opened(path: Path) -> Matrix:
    return open_matrix(path, Columns())


def all_rows(matrix: Matrix, rows: int = 7) -> NDArray[Any]:
    assert matrix.dim is not None
    found = [np.zeros((0, matrix.dim), matrix.dtype)]
    for chunk in matrix.chunks(rows):
        assert 0 < chunk.count <= rows
        found.append(np.full((chunk.count, matrix.dim), np.nan, matrix.dtype))
        chunk.load(found[-1])
    return np.concatenate(found)


def saved(path: Path, rows: NDArray[Any]) -> Path:
    np.save(path, rows)
    return path


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("fortran", [False, True])
def test_rows_come_as_they_are_stored(tmp_path: Path, dtype: str, fortran: bool) -> None:
    rows = unit_rows(23, 5).astype(dtype)
    path = saved(tmp_path / "a.npy", np.asfortranarray(rows) if fortran else rows)

    matrix = opened(path)

    assert (matrix.rows, matrix.dim, matrix.size) == (23, 5, rows.nbytes)
    assert matrix.dtype == ("f2" if dtype[1:] == "f2" else "f4")
    np.testing.assert_array_equal(all_rows(matrix), rows.astype(matrix.dtype))


@given(count=st.integers(0, 40), size=st.integers(1, 50))
def test_any_chunk_size_gives_every_row_once(
    count: int, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = unit_rows(max(count, 1), 3)[:count]
    path = saved(tmp_path_factory.mktemp("m") / "a.npy", rows)

    np.testing.assert_array_equal(all_rows(opened(path), size), rows)


def test_a_folder_is_one_matrix_in_natural_order(tmp_path: Path) -> None:
    rows = unit_rows(36, 4).astype(np.float16)
    for number in range(12):
        saved(tmp_path / f"img_emb_{number}.npy", rows[3 * number : 3 * number + 3])
    (tmp_path / "notes.txt").write_text("not a shard")
    saved(tmp_path / ".hidden.npy", rows[:1])

    matrix = opened(tmp_path)

    assert [path.name for path in matrix.paths][1:3] == ["img_emb_1.npy", "img_emb_2.npy"]
    np.testing.assert_array_equal(all_rows(matrix), rows)


def test_shards_of_both_precisions_are_read_as_float32(tmp_path: Path) -> None:
    rows = unit_rows(6, 4)
    saved(tmp_path / "a.npy", rows[:3].astype(np.float16))
    saved(tmp_path / "b.npy", rows[3:])

    matrix = opened(tmp_path)

    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(all_rows(matrix)[3:], rows[3:])


def test_names_are_ordered_by_their_numbers() -> None:
    names = ["a10", "a2", "a02", "b", "1", "a", "a2b"]

    assert sorted(names, key=natural) == ["1", "a", "a02", "a2", "a2b", "a10", "b"]


def test_an_empty_matrix_is_one(tmp_path: Path) -> None:
    matrix = opened(saved(tmp_path / "a.npy", np.zeros((0, 5), np.float16)))

    assert (matrix.rows, matrix.dim) == (0, 5)
    assert list(matrix.chunks(4)) == []


# What is refused


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        opened(path)
    assert caught.value.hint
    return caught.value.message


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("the bomb went off"),))


def test_an_array_of_objects_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path / "a.npy", np.array([[Bomb(), Bomb()]], dtype=object))

    assert "object" in refused(path)
    assert not (tmp_path / "the bomb went off").exists()


def test_a_pickle_by_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.npy"
    path.write_bytes(pickle.dumps(Bomb()))

    assert "not a .npy file" in refused(path)
    assert not (tmp_path / "the bomb went off").exists()


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    body = text.encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + len(body).to_bytes(2, "little") + body


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "not a .npy file"),
        (b"\x93NUMPY", "not a .npy file"),
        (b"PK\x03\x04 a zip archive", "not a .npy file"),
        (header("{"), "not a .npy file"),
        (header("(" * 5000), "not a .npy file"),
        (header("-" * 9000 + "1"), "not a .npy file"),
        (header("__import__('os').system('false')"), "not a .npy file"),
        (header("{'descr': '<f4', 'fortran_order': False}"), "not a .npy file"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 'a')}"), "not a .npy"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}"), "shape"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 0)}"), "shape"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}"), "shape"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3)}"), "shape"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4)}"), "ends before"),
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (2**62, 4)}"),
            "not a .npy",
        ),
        (
            header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**62}, 4)}}"),
            "ends before",
        ),
        (header("{}", b"\x09\x00"), "not a .npy file"),
    ],
)
def test_a_header_that_tells_no_matrix_is_refused(tmp_path: Path, data: bytes, word: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(data)

    assert word in refused(path)


@pytest.mark.parametrize("dtype", ["int8", "int32", "complex64", "S4", "bool", "longdouble"])
def test_other_types_are_named(tmp_path: Path, dtype: str) -> None:
    path = saved(tmp_path / "a.npy", np.zeros((2, 3), dtype))

    assert np.dtype(dtype).name[:4] in refused(path) or dtype[:1] in refused(path)


@pytest.mark.parametrize("fortran", [False, True])
def test_a_file_that_was_cut_is_refused_before_anything_is_read(
    tmp_path: Path, fortran: bool
) -> None:
    rows = unit_rows(10, 5)
    path = saved(tmp_path / "a.npy", np.asfortranarray(rows) if fortran else rows)
    path.write_bytes(path.read_bytes()[:-1])

    assert refused(path) == f"{path} ends before its last row"


def test_a_file_that_is_cut_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", unit_rows(10, 5))
    matrix = opened(path)
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(UsageError, match="ends before its last row"):
        all_rows(matrix)


def test_a_file_that_goes_away_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", unit_rows(10, 5))
    matrix = opened(path)
    path.unlink()

    with pytest.raises(UsageError, match="cannot read"):
        all_rows(matrix)


def test_shards_of_other_widths_are_named(tmp_path: Path) -> None:
    saved(tmp_path / "a.npy", unit_rows(3, 4))
    saved(tmp_path / "b.npy", unit_rows(3, 5))

    assert refused(tmp_path) == "a.npy has 4 dimensions and b.npy 5"


def test_places_without_a_matrix_are_refused(tmp_path: Path) -> None:
    assert "there is no" in refused(tmp_path / "nothing.npy")
    assert "no .npy and no .parquet" in refused(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    assert "no file of embeddings" in refused(tmp_path / "a.txt")
    saved(tmp_path / "a.npy", unit_rows(3, 4))
    (tmp_path / "a.parquet").write_bytes(b"")
    assert "has .npy and .parquet files" in refused(tmp_path)

"""Embeddings kept by the hash of their image: never lost, never another one's, never half."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import replace
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.embeddings import store as stored
from vedette.embeddings.store import ABOUT, EmbeddingStore, Space, default_store, space_of
from vedette.errors import InferError, UsageError, VedetteError
from vedette.models.registry import build
from vedette.types import Float32

SPACE = Space("some@1", "fp32", 5)


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def vector(number: int, dim: int = SPACE.dim) -> Float32:
    return np.random.default_rng(number).normal(size=dim).astype(np.float32)


def filled(folder: Path, numbers: range) -> None:
    with EmbeddingStore(folder, SPACE) as store:
        for number in numbers:
            store.add(sha(number), vector(number))


def check(store: EmbeddingStore, numbers: range) -> None:
    wanted = np.stack([vector(number) for number in numbers]).astype(np.float16)
    np.testing.assert_array_equal(store.rows([sha(number) for number in numbers]), wanted)


def rows_of(folder: Path) -> Path:
    (path,) = folder.glob("*.rows")
    return path


@given(st.lists(st.lists(st.integers(0, 20), max_size=12), max_size=5), st.permutations(range(21)))
def test_it_has_what_was_added_and_nothing_else(runs: list[list[int]], order: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        have: set[int] = set()
        for run in runs:  # each opens it anew
            with EmbeddingStore(Path(folder), SPACE) as store:
                for number in run:
                    store.add(sha(number), vector(number))
                have |= set(run)
                assert [sha(n) in store for n in range(21)] == [n in have for n in range(21)]
                assert len(store) == len(have)
                wanted = [number for number in order if number in have]
                np.testing.assert_array_equal(
                    store.rows([sha(number) for number in wanted]),
                    np.array([vector(n) for n in wanted], np.float16).reshape(-1, SPACE.dim),
                )


def test_hashes_with_zeros_are_told_apart(tmp_path: Path) -> None:
    hashes = ["00" * 32, "00" * 31 + "01", "ab" * 31 + "00", "ab" * 30 + "0000", "ab00" * 16]
    for kept in (hashes[:3], hashes[3:]):
        with EmbeddingStore(tmp_path, SPACE) as store:
            for sha256 in kept:
                assert sha256 not in store
                store.add(sha256, vector(int(sha256, 16) % 1000))
    with EmbeddingStore(tmp_path, SPACE) as store:
        assert len(store) == len(hashes)
        assert all(sha256 in store for sha256 in hashes)
        wanted = np.stack([vector(int(sha256, 16) % 1000) for sha256 in hashes])
        np.testing.assert_array_equal(store.rows(hashes), wanted.astype(np.float16))
        assert "ab" * 32 not in store


def test_what_is_not_there_is_a_key_error(tmp_path: Path) -> None:
    filled(tmp_path, range(2))
    with EmbeddingStore(tmp_path, SPACE) as store, pytest.raises(KeyError):
        store.rows([sha(0), sha(7)])


def test_it_is_sharded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "SHARD_ROWS", 4)
    filled(tmp_path, range(10))

    assert len(list(tmp_path.glob("*.rows"))) == 3
    with EmbeddingStore(tmp_path, SPACE) as store:
        check(store, range(10))


def test_a_row_that_is_cut_anywhere_is_not_there_and_the_others_are(tmp_path: Path) -> None:
    filled(tmp_path, range(3))
    path = rows_of(tmp_path)
    whole = path.read_bytes()
    width = len(whole) // 3
    for size in range(2 * width, 3 * width):
        path.write_bytes(whole[:size])
        with EmbeddingStore(tmp_path, SPACE) as store:
            assert sha(2) not in store
            check(store, range(2))
    path.write_bytes(whole[:-1])
    filled(tmp_path, range(3, 5))  # goes into a file of its own
    with EmbeddingStore(tmp_path, SPACE) as store:
        assert len(store) == 4
        check(store, range(3, 5))


@given(st.integers(0, 2 * (32 + 2 * SPACE.dim + 4) - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_believed(at: int, change: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        filled(Path(folder), range(2))
        path = rows_of(Path(folder))
        damaged = bytearray(path.read_bytes())
        damaged[at] ^= change
        path.write_bytes(damaged)
        hit = at * 2 // len(damaged)
        with EmbeddingStore(Path(folder), SPACE) as store:
            assert sha(hit) not in store
            assert len(store) == 1
            check(store, range(1 - hit, 2 - hit))


def test_zeros_that_a_crashed_disk_left_are_no_row(tmp_path: Path) -> None:
    filled(tmp_path, range(1))
    path = rows_of(tmp_path)
    path.write_bytes(path.read_bytes() + bytes(500))
    with EmbeddingStore(tmp_path, SPACE) as store:
        assert len(store) == 1
        assert "0" * 64 not in store


@pytest.mark.parametrize("other", [{"model": "some@2"}, {"precision": "bf16"}, {"dim": 6}])
def test_another_models_store_is_refused(tmp_path: Path, other: dict[str, object]) -> None:
    filled(tmp_path, range(1))

    with pytest.raises(UsageError, match=r"holds embeddings of some@1, fp32, 5 dim") as caught:
        EmbeddingStore(tmp_path, replace(SPACE, **other))  # type: ignore[arg-type]
    assert caught.value.code == "resume_mismatch"


@pytest.mark.parametrize("told", [b"", b"[]", b"{}", b'{"format": "x"}', b"\xff", b"[" * 100_000])
def test_a_damaged_store_is_refused(tmp_path: Path, told: bytes) -> None:
    filled(tmp_path, range(1))
    (tmp_path / ABOUT).write_bytes(told)
    with pytest.raises(UsageError, match=r"store\.json is no store of embeddings"):
        EmbeddingStore(tmp_path, SPACE)
    (tmp_path / ABOUT).unlink()
    with pytest.raises(UsageError, match=r"has rows and no store\.json"):
        EmbeddingStore(tmp_path, SPACE)


@pytest.mark.parametrize("value", [70_000.0, -1e30, np.inf, np.nan])
def test_what_float16_cannot_hold_is_an_error(tmp_path: Path, value: float) -> None:
    embedding = vector(0)
    embedding[3] = value
    with EmbeddingStore(tmp_path, SPACE) as store:
        with pytest.raises(InferError) as caught:
            store.add(sha(0), embedding)
        assert caught.value.code == "model_output_invalid"
        assert sha(0) not in store
        store.add(sha(1), np.full(SPACE.dim, 65_504, np.float32))  # the most that it can
        assert np.isfinite(store.rows([sha(1)])).all()


def test_another_width_than_the_cards_is_an_error(tmp_path: Path) -> None:
    with (
        EmbeddingStore(tmp_path, SPACE) as store,
        pytest.raises(InferError, match=r"shape \(6,\), not \(5,\)"),
    ):
        store.add(sha(0), vector(0, 6))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VedetteError) as caught:
        EmbeddingStore(tmp_path / "file" / "store", SPACE)
    assert caught.value.code == "write_failed"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    filled(tmp_path, range(2))
    with EmbeddingStore(tmp_path, SPACE) as store:
        store.add(sha(2), vector(2))
        assert store._stream is not None
        store._stream.close()
        store._stream = FileIO("/dev/full", "wb")
        with pytest.raises(VedetteError) as caught:
            store.flush()
        assert caught.value.code == "write_failed"
        assert sha(2) not in store
        store.add(sha(2), vector(2))  # there is room again
        check(store, range(3))


WRITER = """
import sys
from pathlib import Path
from tests.embeddings.test_store import SPACE, sha, vector
from vedette.embeddings.store import EmbeddingStore
first, last = int(sys.argv[2]), int(sys.argv[3])
with EmbeddingStore(Path(sys.argv[1]), SPACE) as store:
    for number in range(first, last):
        store.add(sha(number), vector(number))
        store.flush()
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, str(first), str(first + 150)])
        for first in (0, 100)
    ]
    assert [process.wait(60) for process in running] == [0, 0]

    with EmbeddingStore(tmp_path, SPACE) as store:
        assert len(store) == 250
        check(store, range(250))


def test_the_default_store_is_in_the_cache_one_for_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEDETTE_CACHE", str(tmp_path))
    spaces = [SPACE, replace(SPACE, model="some@2"), replace(SPACE, precision="bf16")]
    spaces.append(replace(SPACE, model="../../up@" + "x" * 300))

    places = [default_store(space) for space in spaces]

    assert len(set(places)) == 4
    assert all(place.parent == tmp_path / "embeddings" for place in places)
    assert all(len(place.name) < 100 for place in places)


def test_the_space_is_the_models() -> None:
    assert space_of(build("dummy")) == Space("dummy@1", "fp32", 48)
    with pytest.raises(UsageError, match="nudenet-320n gives no embeddings"):
        space_of(build("nudenet"))


@pytest.mark.parametrize("kind", ["folder", "large"])
def test_what_cannot_be_the_stores_own_file_is_not_read(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / ABOUT).mkdir()
    else:
        (tmp_path / ABOUT).write_text(" " * 2**17 + "{}")

    with pytest.raises(UsageError, match="no file, or too large") as caught:
        EmbeddingStore(tmp_path, SPACE)

    assert caught.value.code == "resume_mismatch"

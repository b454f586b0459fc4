"""The lock file: what is written can be read, and nothing else is."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.errors import ModelError
from vedette.hub.lock import NAME, Entry, Lock, dump_lock, parse_lock, read_lock, update_lock

HASH = "ab" * 32
COMMIT = "cd" * 20

hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
paths = st.lists(st.from_regex(r"[a-z0-9_][a-z0-9_-]{0,8}", fullmatch=True), min_size=1, max_size=3)
files = st.dictionaries(paths.map("/".join), hashes, max_size=3)
entries = st.builds(
    Entry,
    asked=st.none() | st.text(max_size=9),
    commit=st.none() | st.text("0123456789abcdef", min_size=40, max_size=40),
    files=files,
    trusted=files,
    accepted=st.dictionaries(hashes, st.dates().map(lambda date: date.isoformat()), max_size=2),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@given(st.dictionaries(st.text(max_size=9), entries, max_size=3).map(Lock))
def test_what_is_written_is_read(lock: Lock) -> None:
    assert parse_lock(dump_lock(lock)) == lock
    assert dump_lock(parse_lock(dump_lock(lock))) == dump_lock(lock)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # of any words; never another error
        parse_lock(data)


@given(json_values)
def test_an_entry_of_anything_is_an_entry_or_refused(value: Any) -> None:
    try:
        lock = parse_lock(json.dumps({"version": 1, "repos": {"a/b": value}}).encode())
    except ValueError:
        return
    assert lock.entry("a/b") == Entry()


@pytest.mark.parametrize(
    "entry",
    [
        {"files": {"a": HASH.upper()}},
        {"files": {"a": HASH[:-1]}},
        {"files": {"../a": HASH}},
        {"files": {"/a": HASH}},
        {"files": [HASH]},
        {"trusted": {"a": None}},
        {"trusted": {"..": HASH}},
        {"accepted": {"a": "2026-01-01"}},
        {"accepted": {HASH: "yesterday"}},
        {"commit": "main"},
        {"asked": 1},
        {"revision": COMMIT},
    ],
)
def test_entries_that_no_lock_has(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a/b"):
        parse_lock(json.dumps({"version": 1, "repos": {"a/b": entry}}).encode())


@pytest.mark.parametrize("version", [0, 2, "1", True, 1.0, None])
def test_another_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="version"):
        parse_lock(json.dumps({"version": version, "repos": {}}).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"null"])
def test_a_file_that_is_no_lock_is_an_error_with_a_code(tmp_path: Path, data: bytes) -> None:
    tmp_path.joinpath(NAME).write_bytes(data)

    with pytest.raises(ModelError) as raised:
        read_lock(tmp_path)
    assert raised.value.code == "weights_unusable"
    assert NAME in raised.value.message
    with pytest.raises(ModelError):
        update_lock(tmp_path, "a/b", lambda entry: entry)
    assert tmp_path.joinpath(NAME).read_bytes() == data, "it is not written over"


def test_a_file_without_end_is_not_read_whole(tmp_path: Path) -> None:
    with tmp_path.joinpath(NAME).open("wb") as stream:
        stream.truncate(2**40)

    with pytest.raises(ModelError, match="too large"):
        read_lock(tmp_path)


def test_there_need_not_be_one(tmp_path: Path) -> None:
    assert read_lock(tmp_path) == Lock()
    assert read_lock(tmp_path / "gone") == Lock()


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    def write(number: int) -> None:
        update_lock(tmp_path, "a/b", lambda e: replace(e, files={**e.files, f"{number}.bin": HASH}))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(read_lock(tmp_path).entry("a/b").files) == 20
    assert not list(tmp_path.glob("*.tmp"))

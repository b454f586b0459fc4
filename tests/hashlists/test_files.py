"""Stored lists: read back as they were written, and refused if they are not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vedette.errors import UsageError, VedetteError
from vedette.hashlists import files
from vedette.hashlists.entries import MOST_NOTE, Entry, Kind, Match
from vedette.hashlists.files import checked_name, open_list, write_list
from vedette.hashlists.importing import store
from vedette.perceptual import WORDS

HASHES = st.binary(min_size=32, max_size=32)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def refused(path: Path) -> str:
    with pytest.raises(VedetteError) as caught:
        open_list(path)
    assert caught.value.code == "bad_list"
    return caught.value.message


@given(st.dictionaries(HASHES, st.text(max_size=30), min_size=1, max_size=20), HASHES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_a_list_is_read_back(tmp_path: Path, notes: dict[bytes, str], other: bytes) -> None:
    opened = open_list(write_list(tmp_path, "a", Kind.BLOCK, Match.SHA256, notes))

    assert (opened.name, opened.kind, opened.match) == ("a", Kind.BLOCK, Match.SHA256)
    assert opened.count == len(notes)
    for one, note in notes.items():
        row = opened.find(one)
        assert row is not None
        assert opened.note(row) == note
    assert (opened.find(other) is None) == (other not in notes)


def test_a_list_of_pdq_finds_what_is_near(tmp_path: Path) -> None:
    notes = {digest(str(n)): f"entry {n}" for n in range(50)}
    opened = open_list(write_list(tmp_path, "a", Kind.BLOCK, Match.PDQ, notes))
    wanted = bytearray(digest("7"))
    wanted[3] ^= 5

    assert opened.near is not None
    found = opened.near.nearest(np.frombuffer(bytes(wanted), np.uint64).reshape(1, WORDS))
    assert found is not None
    assert (opened.note(found[0]), found[1]) == ("entry 7", 2)


def test_the_same_entries_make_the_same_file_and_a_file_is_replaced_whole(tmp_path: Path) -> None:
    notes = {digest(str(n)): str(n) for n in range(9)}
    path = write_list(tmp_path / "new", "a", Kind.BLOCK, Match.PDQ, notes)
    opened = open_list(path)
    content = path.read_bytes()
    write_list(tmp_path / "new", "a", Kind.BLOCK, Match.PDQ, dict(reversed(notes.items())))

    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o077 == 0
    write_list(tmp_path / "new", "a", Kind.BLOCK, Match.PDQ, {digest("x"): ""})
    assert list(path.parent.iterdir()) == [path]
    assert opened.count == 9
    assert opened.find(digest("8")) is not None  # the mapped file is still whole
    assert open_list(path).find(digest("8")) is None


def test_long_notes_are_cut(tmp_path: Path) -> None:
    opened = open_list(write_list(tmp_path, "a", Kind.BLOCK, Match.PDQ, {digest("1"): "é" * 999}))

    assert opened.note(0) == "é" * MOST_NOTE


def test_a_damaged_file_is_refused_wherever_it_is_damaged(tmp_path: Path) -> None:
    notes = {digest(str(n)): str(n) for n in range(5)}
    path = write_list(tmp_path, "a", Kind.BLOCK, Match.PDQ, notes)
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        if whole[place : place + 1] != b" ":  # a space behind the header says nothing
            refused(path)
    for length in (0, 5, 12, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path)
    path.write_bytes(whole + b"x")
    assert "longer or shorter" in refused(path)
    path.write_bytes(whole.replace(b"VDTHASH1", b"PK\x03\x04    "))
    assert "no list that Vedette stored" in refused(path)


def test_hashes_out_of_order_are_refused(tmp_path: Path) -> None:
    path = write_list(tmp_path, "a", Kind.BLOCK, Match.PDQ, {bytes(32): "", b"\x01" * 32: ""})
    whole = path.read_bytes()
    start = whole.index(bytes(32))
    content = whole[start + 32 : start + 64] + whole[start : start + 32] + whole[start + 64 :]
    made = "a", Kind.BLOCK, Match.PDQ
    old, new = (files._sha256(*made, [one]).encode() for one in (whole[start:], content))
    path.write_bytes(whole[:start].replace(old, new) + content)

    assert "not in order" in refused(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "not a regular file" in refused(tmp_path)
    refused(tmp_path / "none")


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a.b", "-a", "a" * 65, "a b", "é"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        checked_name(name)


def test_a_list_has_entries_and_not_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_ENTRIES", 1)
    for notes in ({}, {digest("1"): "", digest("2"): ""}):
        with pytest.raises(VedetteError) as caught:
            write_list(tmp_path, "a", Kind.BLOCK, Match.PDQ, notes)
        assert caught.value.code == "bad_list"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_text("")
    with pytest.raises(VedetteError) as caught:
        write_list(tmp_path / "file" / "in", "a", Kind.BLOCK, Match.PDQ, {digest("1"): ""})
    assert caught.value.code == "write_failed"


# Storing what was read


def test_entries_are_stored_by_kind_and_match(tmp_path: Path) -> None:
    entries = [
        Entry(digest("1"), Match.PDQ, "first"),
        Entry(digest("1"), Match.PDQ, "again"),
        Entry(digest("1"), Match.SHA256, "file"),
        Entry(digest("2"), Match.PDQ, "grave", Kind.QUARANTINE),
    ]
    written = store(entries, "ours", tmp_path, Kind.BLOCK)

    assert [(path.name, count) for path, count in written] == [
        ("ours.block.pdq.hashlist", 1),
        ("ours.block.sha256.hashlist", 1),
        ("ours.quarantine.pdq.hashlist", 1),
    ]
    assert open_list(written[0][0]).note(0) == "first"


def test_a_list_is_replaced_only_if_asked_and_then_all_of_it(tmp_path: Path) -> None:
    store(
        [Entry(digest("1"), Match.PDQ), Entry(digest("1"), Match.SHA256)], "a", tmp_path, Kind.BLOCK
    )
    store([Entry(digest("1"), Match.PDQ)], "a-b", tmp_path, Kind.BLOCK)
    new = [Entry(digest("2"), Match.SHA256)]
    with pytest.raises(UsageError) as caught:
        store(new, "a", tmp_path, Kind.BLOCK)
    assert caught.value.code == "output_exists"

    store(new, "a", tmp_path, Kind.QUARANTINE, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a-b.block.pdq.hashlist",
        "a.quarantine.sha256.hashlist",
    ]


def test_a_list_without_a_kind_or_without_hashes_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="what the list 'a' is for"):
        store([Entry(digest("1"), Match.PDQ)], "a", tmp_path, None)
    with pytest.raises(VedetteError) as caught:
        store([], "a", tmp_path, Kind.BLOCK)
    assert caught.value.code == "bad_list"
    assert list(tmp_path.iterdir()) == []

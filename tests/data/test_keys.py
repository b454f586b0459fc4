from __future__ import annotations

import json
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vedette.data.keys import to_key, to_path

PROFILE = settings(deadline=None, derandomize=True, database=None, max_examples=1000)

PATHS = st.binary(max_size=40).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
"""Any path that POSIX allows, as Python has it."""
TRICKY = st.lists(
    st.sampled_from([b"\\", b"\\x", b"\\x41", b"\\x5c", b"x5c", b"\xff", b"A", "ü".encode(), b"/"]),
    max_size=8,
).map(lambda parts: os.fsdecode(b"".join(parts)))
"""Paths made of what the escapes are made of."""


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"a/b.jpg", "a/b.jpg"),
        ("ünï côdé.jpg".encode(), "ünï côdé.jpg"),
        (b"two\nlines", "two\nlines"),
        (b"back\\slash", "back\\slash"),
        (b"bad\xff.jpg", "bad\\xff.jpg"),
        (b"bad\xff\\.jpg", "bad\\xff\\x5c.jpg"),
        (b"looks\\xff.jpg", "looks\\x5cxff.jpg"),
        (b"\xc3", "\\xc3"),
        (b"", ""),
    ],
)
def test_keys_of_names(raw: bytes, key: str) -> None:
    assert to_key(os.fsdecode(raw)) == key
    assert os.fsencode(to_path(key)) == raw


@PROFILE
@given(PATHS | TRICKY)
@example("\\x5c")
@example(os.fsdecode(b"\\x5c\xff"))
def test_a_key_leads_back_to_its_path(path: str) -> None:
    assert to_path(to_key(path)) == path


@PROFILE
@given(PATHS | TRICKY, PATHS | TRICKY)
def test_two_paths_never_share_a_key(first: str, second: str) -> None:
    assert (to_key(first) == to_key(second)) == (first == second)


@PROFILE
@given(PATHS | TRICKY)
def test_keys_are_text_that_any_file_takes(path: str) -> None:
    key = to_key(path)

    assert key.encode("utf-8").decode("utf-8") == key
    assert json.loads(json.dumps(key)) == key


@PROFILE
@given(st.text(st.characters(), max_size=20))
def test_any_text_is_some_path(key: str) -> None:
    assert isinstance(to_path(key), str)
    assert isinstance(to_key(key).encode("utf-8"), bytes)


def test_lone_surrogates_of_odd_archives_become_text() -> None:
    assert to_key("a\ud800b") == "a\\xed\\xa0\\x80b"

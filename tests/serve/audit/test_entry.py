from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serve.audit.made import POLICY, SECRET, decision
from vedette import wire
from vedette.errors import VedetteError
from vedette.serve.audit.entry import Entry, entry_of, from_line, to_line
from vedette.serve.audit.secret import subject_hash
from vedette.serve.services import Listed

ANY = st.text(st.characters())
ENTRIES = st.builds(
    Entry,
    id=ANY,
    time=st.floats(allow_nan=False, allow_infinity=False),
    key_id=ANY,
    action=ANY,
    policy=ANY,
    sha256=st.none() | ANY,
    subject_hash=st.none() | ANY,
    payload=ANY,
)


def test_what_is_stored_of_a_decision() -> None:
    hit = Listed("ours", "block", "sha256", 0, "entry-7")
    made = decision("one", subject="user-17", at=1700000000.25, listed=hit)
    made = replace(made, record={**made.record, "embedding": [0.5]})

    entry = entry_of(made, SECRET)

    assert (entry.id, entry.time, entry.key_id) == ("one", 1700000000.25, "key-1")
    assert (entry.action, entry.policy, entry.sha256) == ("review", POLICY, made.record["sha256"])
    told = json.loads(entry.payload)
    assert wire.to_dict(wire.from_dict(told["record"])) == decision("one").record
    assert told["listed"]["entry"] == "entry-7"
    assert told["request_id"] == "request-one"
    assert told["policy_sha256"] == "0" * 64


def test_a_subject_is_not_stored() -> None:
    line = to_line(entry_of(decision(subject="user-17"), SECRET)).decode()

    assert "user-17" not in line
    assert subject_hash(SECRET, "user-17") in line
    assert subject_hash(b"another secret, long enough", "user-17") not in line


@pytest.mark.parametrize("time", ["2023-11-14T22:13:20", "2023-11-14T22:13:20Z"])
def test_times_are_utc(time: str) -> None:
    assert entry_of(replace(decision(), time=time), SECRET).time == 1700000000


@pytest.mark.parametrize("change", [{"time": "yesterday"}, {"record": {"p": float("nan")}}])
def test_what_cannot_be_stored_is_refused_at_once(change: dict[str, object]) -> None:
    with pytest.raises(VedetteError) as caught:
        entry_of(replace(decision("one"), **change), SECRET)  # type: ignore[arg-type]

    assert caught.value.code == "internal"


@given(ENTRIES)
def test_a_line_comes_back_as_it_was(entry: Entry) -> None:
    line = to_line(entry)

    assert from_line(line) == entry
    assert line.count(b"\n") == 1


@given(ENTRIES, st.data())
def test_a_line_that_was_torn_or_altered_is_found(entry: Entry, data: st.DataObject) -> None:
    line = to_line(entry)
    assert from_line(line[: data.draw(st.integers(0, len(line) - 1))]) is None
    at = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != line[at]))
    assert from_line(line[:at] + bytes([byte]) + line[at + 1 :]) is None


@given(st.binary())
def test_any_bytes_are_no_entry(line: bytes) -> None:
    assert from_line(line) is None


def test_lines_that_are_whole_but_of_another_form() -> None:
    import zlib

    for text in (b"{}", b"[1]", b"not json", b"[]"):
        assert from_line(b"%08x %s\n" % (zlib.crc32(text), text)) is None

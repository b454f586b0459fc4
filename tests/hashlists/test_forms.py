"""Lists of others: every form is read, and nothing that should be a hash is passed over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.errors import VedetteError
from vedette.hashlists import forms
from vedette.hashlists.entries import Entry, Kind, Match
from vedette.hashlists.forms import Reading, parse_list, read_list

A, B, C = "a" * 64, "0B" * 32, "12" * 32
MD5 = "d" * 32


def read(text: str, match: Match | None = None) -> Reading:
    return parse_list(text, "list.txt", match)


def told(text: str, match: Match | None = None) -> list[tuple[str, str, str, str | None]]:
    """Hash, type, note, kind of each entry."""
    return [(e.hash.hex(), e.match, e.note, e.kind) for e in read(text, match).entries]


def refused(text: str, match: Match | None = None) -> str:
    with pytest.raises(VedetteError) as caught:
        read(text, match)
    assert caught.value.code == "bad_list"
    return caught.value.message


def test_plain_hashes() -> None:
    text = f"# ours\r\n{A}\r\n\r\n  {B}\n"

    assert told(text, Match.SHA256) == [
        (A, "sha256", "", None),
        (B.lower(), "sha256", "", None),
    ]
    assert [entry.match for entry in read(text, Match.PDQ).entries] == [Match.PDQ] * 2


def test_a_hash_that_may_be_of_two_types_is_not_guessed_at() -> None:
    assert refused(f"{A}\n") == (
        "list.txt line 1: a hash of 64 digits may be sha256 or pdq: say which with --match"
    )


def test_lines_of_sha256sum_and_of_threatexchange() -> None:
    text = f"{A}  a picture.png\n{B} *b.png\npdq {C}\nSHA256 {A}\nvideo_md5 {MD5}\n"
    reading = read(text)

    assert told(text) == [
        (A, "sha256", "a picture.png", None),
        (B.lower(), "sha256", "b.png", None),
        (C, "pdq", "", None),
        (A, "sha256", "", None),
    ]
    assert reading.left_out == {"video_md5": 1}


def test_csv_without_names() -> None:
    text = f'{A},block,"one, two"\n{B},quarantine\n{C},,three\n'

    assert told(text, Match.SHA256) == [
        (A, "sha256", "one, two", "block"),
        (B.lower(), "sha256", "", "quarantine"),
        (C, "sha256", "three", None),
    ]


def test_csv_with_names() -> None:
    text = f"id,signal_type,value,kind\n1,pdq,{A},block\n2,sha256,{B},ALLOW\n3,md5,{MD5},\n"

    assert told(text) == [(A, "pdq", "1", "block"), (B.lower(), "sha256", "2", "allow")]
    assert read(text).left_out == {"md5": 1}


def test_csv_with_a_column_for_each_type() -> None:
    text = f"note,md5,sha256,pdq,quality\nx,{MD5},{A},{B},49\ny,,,{C},50\n"
    reading = read(text)

    assert told(text) == [(A, "sha256", "x", None), (C, "pdq", "y", None)]
    assert reading.left_out == {"md5": 1, "pdq of a quality below 50": 1}


def test_json_of_threatexchange() -> None:
    page = {
        "data": [
            {"id": "7", "type": "HASH_PDQ", "raw_indicator": A, "tags": {"data": [{"id": "1"}]}},
            {"id": "8", "type": "HASH_SHA256", "indicator": B, "status": "MALICIOUS"},
            {"id": "9", "type": "HASH_PDQ", "raw_indicator": C, "status": "NON_MALICIOUS"},
            {"id": "10", "type": "HASH_MD5", "raw_indicator": MD5},
        ],
        "paging": {"next": "https://example.org/?after=1"},
    }
    by_id = {"11": {"raw_indicator": C, "type": "HASH_PDQ", "owner": {"id": "5"}, "id": "11"}}

    assert told(json.dumps(page)) == [(A, "pdq", "7", None), (B.lower(), "sha256", "8", None)]
    assert read(json.dumps(page)).left_out == {"of the status NON_MALICIOUS": 1, "hash_md5": 1}
    assert told(json.dumps(by_id)) == [(C, "pdq", "11", None)]


def test_json_of_banks_and_by_type() -> None:
    bank = [{"id": 3, "signals": {"pdq": A, "video_md5": MD5}}]

    assert [row[:2] for row in told(json.dumps(bank))] == [(A, "pdq")]
    assert [row[:2] for row in told(json.dumps({"pdq": [A, B], "sha256": [C]}))] == [
        (A, "pdq"),
        (B.lower(), "pdq"),
        (C, "sha256"),
    ]
    assert [row[0] for row in told(json.dumps([A, C]), Match.PDQ)] == [A, C]


def test_json_lines() -> None:
    lines = [{"signal_type": "pdq", "hash": A}, {"sha256": B, "note": "b", "kind": "block"}]
    text = "\n".join(map(json.dumps, lines)) + "\n"

    assert told(text) == [(A, "pdq", "", None), (B.lower(), "sha256", "b", "block")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{A}\nnonsense\n", "line 2: a hash of the type sha256 is not 64 hexadecimal digits"),
        (f"{A}\n{A[:-1]}\n", "line 2: a hash of the type sha256 is not"),
        (f"{A} and more\n", "line 1: neither a hash, nor"),
        (f"{A},gone\n", "line 1: 'gone' is no kind: allow, block, quarantine"),
        (f"{A},block,a,b\n", "line 1: more than hash, kind, note"),
        ("colour,size\nred,3\n", "line 1: no column has the hashes"),
        (f"hash,type\n{A},mystery\n", "line 2: unknown type of hash 'mystery'"),
        (f"hash,type\n{A},pdq,x\n", "line 2: 3 cells, 2 columns"),
        ("hash,type\n,pdq\n", "line 2: no hash in it"),
        (f'{A},block,"open\n', "line 1: not CSV"),
        (f"hash,pdq,quality\n,{A},much\n", "line 2: 'much' is no quality"),
        ("x" * 70_000, "line 1: too long"),
        ('[{"hash": 5}]', "entry 1: no hash in it"),
        ('["a", 5]', "entry 1: a hash of the type sha256 is not"),
        ("[5]", "entry 1: neither a hash nor an object"),
        ('{"a": [\n\n{]}', "line 3: not JSON"),
        (f'{{"sha256": "{A}"}}\n[1]\n', "line 2: not an object"),
        (f'{{"sha256": "{A}"}}\n{{\n', "line 2: not JSON"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps([[[[[[[[[[A]]]]]]]]]]), "nested too deeply"),
    ],
)
def test_errors_say_where(text: str, message: str) -> None:
    assert message in refused(text, Match.SHA256)


def test_no_more_is_read_than_a_list_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MOST_ENTRIES", 2)

    assert "line 3: more than 2 entries" in refused(f"{A}\n{B}\n{C}\n", Match.PDQ)


def test_files_are_bounded_and_must_be_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"\xef\xbb\xbf" + A.encode() + b"\n")
    assert read_list(path, Match.PDQ).entries == [Entry(bytes.fromhex(A), Match.PDQ)]

    path.write_bytes(A.encode() + b"\n\xff\xfe\n")
    with pytest.raises(VedetteError, match="line 2: not UTF-8"):
        read_list(path)
    monkeypatch.setattr(forms, "MOST_BYTES", 10)
    with pytest.raises(VedetteError, match="larger than 10 bytes") as caught:
        read_list(path)
    assert caught.value.code == "bad_list"
    with pytest.raises(VedetteError, match="not a regular file"):
        read_list(tmp_path)


@given(st.text(alphabet=st.sampled_from('ab01 ,"\n#{}[]:pdqsha256\\\u2028\x00'), max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    codes = []
    try:
        read(text, Match.SHA256)
    except VedetteError as error:
        codes.append(error.code)

    assert codes in ([], ["bad_list"])


@given(
    st.lists(
        st.tuples(
            st.binary(min_size=32, max_size=32),
            st.sampled_from(list(Match)),
            st.sampled_from(list(Kind)),
            st.text(st.characters(codec="utf-8", exclude_characters="\n\r\x00"), max_size=20),
        ),
        max_size=8,
    )
)
def test_what_is_written_as_json_lines_is_read_back(
    rows: list[tuple[bytes, Match, Kind, str]],
) -> None:
    text = "\n".join(
        json.dumps({"hash": h.hex(), "type": m.value, "kind": k.value, "note": n})
        for h, m, k, n in rows
    )

    assert read(text).entries == [Entry(h, m, n.strip(), k) for h, m, k, n in rows]

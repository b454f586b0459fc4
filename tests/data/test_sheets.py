from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest

from vedette.data import sheets
from vedette.data.sheets import Sheet
from vedette.errors import UsageError

CSV = 'path,label\n"a,\n1.png",safe\n\nb.png,"say ""no"""\nc.png,x\n'


def written(root: Path, name: str, text: str | bytes) -> Sheet:
    path = root / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Sheet(path)


def test_rows_of_a_csv_with_line_ends_in_quotes(tmp_path: Path) -> None:
    rows = [(row, line) for row, line, _ in written(tmp_path, "a.csv", CSV).rows()]

    assert rows == [
        ({"path": "a,\n1.png", "label": "safe"}, 2),
        ({"path": "b.png", "label": 'say "no"'}, 5),
        ({"path": "c.png", "label": "x"}, 6),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", CSV),
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.jsonl", '{"path": "a"}\n\n{"path": "b", "n": [1]}\r\n{"path": "c"}'),
        ("a.csv", "\ufeffpath\r\na\r\nb\r\nc"),
        ("a.ndjson", '\ufeff{"path": "a"}\n{"path": "b"}\n{"path": "c"}\n'),
    ],
)
def test_reading_goes_on_from_every_row(tmp_path: Path, name: str, text: str) -> None:
    sheet = written(tmp_path, name, text)
    whole = list(sheet.rows())

    assert len(whole) == 3
    assert "path" in whole[0][0]
    for count, (_, _, after) in enumerate(whole, 1):
        assert list(sheet.rows(after)) == whole[count:]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2: no JSON"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "line 2: a list, not an object"),
        ("a.jsonl", "[" * 100_000, "line 1: no JSON"),
        ("a.jsonl", '{"a": ' + "9" * 5000 + "}", "line 1: no JSON"),
        ("a.jsonl", b'{"a": "\xff"}\n', "line 1: not UTF-8"),
        ("a.csv", "a,b\n1,2\n3\n", "line 3: 1 cells under 2 names"),
        ("a.csv", "a,a\n1,2\n", "line 1: two columns have one name"),
        ("a.csv", 'a\n"open\n', "line 2: unexpected end of data"),
        ("a.csv", b"a\n\xff\n", "line 2: not UTF-8"),
        ("a.csv", "a\n" + "x" * 200_000, "line 2: field larger"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(
    tmp_path: Path, name: str, text: str | bytes, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        list(written(tmp_path, name, text).rows())
    assert caught.value.code == "bad_source"


def test_a_line_without_an_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "MOST_LINE_BYTES", 100)

    with pytest.raises(UsageError, match="line 2: longer than 100 bytes"):
        list(written(tmp_path, "a.jsonl", "{}\n" + " " * 101 + "{}").rows())


def test_what_is_no_sheet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no manifest"):
        next(written(tmp_path, "a.docx", "x").rows())
    with pytest.raises(UsageError) as caught:
        next(Sheet(tmp_path / "gone.csv").rows())
    assert caught.value.code == "not_found"
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UsageError) as caught:
        next(Sheet(tmp_path / "pipe.csv").rows())
    assert caught.value.code == "not_a_file"


def test_reading_can_be_left_early(tmp_path: Path) -> None:
    assert len(list(islice(written(tmp_path, "a.csv", CSV).rows(), 1))) == 1

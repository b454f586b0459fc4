"""Files of predictions: every form, missing rows as failures, and what is refused."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.endpoints.pictures import items
from vedette.bench.endpoints.table import FilePredictor, read_table
from vedette.errors import UsageError
from vedette.settings import Limits
from vedette.taxonomy import Category
from vedette.types import Item

Rows = list[dict[str, Any]]
TWO: Rows = [
    {"key": "000.png", "Sexual": 0.25, "self harm": 1.0},
    {"key": "001.png", "Sexual": 0.5, "self harm": 0.0},
]


def written(path: Path, rows: Rows) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        stream = io.StringIO()
        dialect = "excel-tab" if path.suffix == ".tsv" else "excel"
        writer = csv.DictWriter(stream, list(rows[0]), dialect=dialect)
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(stream.getvalue())
    return path


def scores(path: Path, given_items: list[Item]) -> list[Mapping[Category, float] | str]:
    predictor = FilePredictor("predictions:x", path, Limits())
    return [
        answer.p if answer.p is not None else answer.failure.code if answer.failure else "?"
        for answer in predictor.predict(given_items)
    ]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_says_the_same(suffix: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"p{suffix}", TWO)

    assert scores(path, items(3)) == [
        {Category.SELF_HARM: 1.0, Category.SEXUAL: 0.25},
        {Category.SELF_HARM: 0.0, Category.SEXUAL: 0.5},
        "no_answer",
    ]


def test_the_card_names_the_file_by_its_hash(tmp_path: Path) -> None:
    path = written(tmp_path / "p.csv", TWO)
    predictor = FilePredictor(f"predictions:{path.name}", path, Limits())

    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert predictor.card.sha256 == sha256
    assert predictor.card.model == f"p.csv@{sha256[:12]}"
    assert predictor.card.kind == "predictions"
    assert predictor.card.covered == (Category.SELF_HARM, Category.SEXUAL)
    assert predictor.card.facts == {"rows": 2, "found_by": "key"}


def test_rows_by_hash(tmp_path: Path) -> None:
    given_items = items(2)
    data = given_items[0].data
    assert isinstance(data, bytes)
    rows: Rows = [{"sha256": hashlib.sha256(data).hexdigest().upper(), "unsafe": 0.75}]
    path = written(tmp_path / "p.csv", rows)

    assert scores(path, given_items) == [dict.fromkeys(Category, 0.75), "no_answer"]


def test_labels(tmp_path: Path) -> None:
    labels = ["safe", "Unsafe", "violence", ""]
    rows: Rows = [{"key": f"{k:03d}.png", "label": label} for k, label in enumerate(labels)]

    found = scores(written(tmp_path / "p.jsonl", rows), items(4))

    assert found[:2] == [dict.fromkeys(Category, 0.0), dict.fromkeys(Category, 1.0)]
    assert found[2] == dict.fromkeys(Category, 0.0) | {Category.VIOLENCE: 1.0}
    assert found[3] == "no_answer"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_row_that_lacks_a_score_is_a_failure_and_not_safe(suffix: str, tmp_path: Path) -> None:
    rows: Rows = [{**TWO[0]}, {**TWO[1], "Sexual": None}]

    assert scores(written(tmp_path / f"p{suffix}", rows), items(2))[1] == "no_answer"


def test_an_image_that_cannot_be_read_is_a_failure_whatever_the_file_says(tmp_path: Path) -> None:
    path = written(tmp_path / "p.csv", TWO)

    assert scores(path, [Item("000.png", tmp_path / "gone.png")]) == ["not_found"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no row"),
        ("key,Sexual\n", "no row"),
        ("name,Sexual\na,0.5\n", "no column key"),
        ("key\na\n", "no score"),
        ("key,Sexaul\na,0.5\n", "did you mean 'Sexual'"),
        ("key,filename\na,b\n", "no category"),
        ("key,Sexual,sexual\na,0.5,0.5\n", "two scores"),
        ("key,Sexual,unsafe\na,0.5,0.5\n", "two scores"),
        ("key,Sexual,Sexual\na,0.5,0.5\n", "one name"),
        ("key,Sexual\na,1.5\n", "line 2: Sexual is 1.5, not 0..1"),
        ("key,Sexual\na,-1e-9\n", "not 0..1"),
        ("key,Sexual\na,nan\n", "not 0..1"),
        ("key,Sexual\na,inf\n", "not 0..1"),
        ("key,Sexual\na,yes\n", "'yes', no number"),
        ("key,Sexual\na,0.5\nb,0.5\na,0.5\n", "line 4: a second row for 'a'"),
        ("key,Sexual\n,0.5\n", "no key"),
        ("key,Sexual\na,0.5,0.7\n", "3 cells under 2 names"),
        ("key,label\na,maybe\n", "neither safe nor unsafe"),
        ('key,Sexual\n"a,0.5\n', "line"),
        ("key,Sexual\na\0b,\0\n", "line 2"),
    ],
)
def test_what_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)

    with pytest.raises(UsageError) as caught:
        read_table(path)

    assert caught.value.code == "bad_predictions"
    assert message in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("p.jsonl", b'{"key": "a", "Sexual": true}\n', "bad_predictions"),
        ("p.jsonl", b'{"key": "a", "Sexual": [0.5]}\n', "bad_predictions"),
        ("p.jsonl", b'{"key": 1, "Sexual": 0.5}\n', "bad_predictions"),
        ("p.jsonl", b'{"key": "a", "Sexual": NaN}\n', "bad_predictions"),
        ("p.jsonl", b'{"key": "a", "label": 1}\n', "bad_predictions"),
        ("p.jsonl", b'{"key": "a", "Sexual": 1}\n{"key": "b", "Hate": 1}\n', "bad_predictions"),
        ("p.jsonl", b"[" * 100_000, "bad_predictions"),
        ("p.jsonl", b"x" * (2**24 + 10), "bad_predictions"),
        ("p.csv", b"\xff\xfe\x00", "bad_predictions"),
        ("p.parquet", b"PAR1 no PAR1", "bad_predictions"),
        ("p.xlsx", b"", "bad_predictions"),
    ],
)
def test_files_that_are_none_are_refused(name: str, data: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(UsageError) as caught:
        read_table(path)

    assert caught.value.code == code


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.csv", tmp_path / "gone.parquet"):
        with pytest.raises(UsageError) as caught:
            FilePredictor("x", path, Limits())
        assert caught.value.code == "not_found"


cells = st.one_of(
    st.floats(-2, 2), st.sampled_from(["", "0.5", "safe", "x", "1e400", None, True, 7]), st.text()
)
names = st.sampled_from([*(c.value for c in Category), "unsafe", "label", "key", "sha256", "other"])


@given(st.lists(st.dictionaries(names, cells, max_size=5), max_size=5))
def test_any_file_is_read_or_refused(rows: Rows) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "p.jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        try:
            table = read_table(path)
        except UsageError:
            return
    assert table.covered
    assert len(table.rows) == len(table.p) == len(rows)
    assert all(math.isnan(v) or 0 <= v <= 1 for v in table.p.ravel().tolist())


@given(st.binary(max_size=300), st.sampled_from([".csv", ".jsonl", ".tsv", ".parquet"]))
def test_any_bytes_are_read_or_refused(data: bytes, suffix: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"p{suffix}")
        path.write_bytes(data)
        with pytest.raises(UsageError) as caught:
            read_table(path)
    assert caught.value.code == "bad_predictions"

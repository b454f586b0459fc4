"""CSV, Parquet and JSONL hold what the Records hold."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.pictures import drawn, encoded
from vedette import Action, Category, Failure, Item, Reason, Record, Region, Scanner, Verdict, wire
from vedette.errors import VedetteError
from vedette.sinks.base import replacing, writer_for
from vedette.sinks.csv import COLUMNS, write_csv
from vedette.sinks.jsonl import write_jsonl
from vedette.sinks.parquet import write_parquet


@pytest.fixture(scope="module")
def records() -> list[Record]:
    items = [Item(f"{n}.png", encoded(drawn(n, 40, 30))) for n in range(5)]
    items.append(Item("=cmd.png", b"not a picture"))
    with Scanner("dummy", "strict") as scanner:
        out = list(scanner.scan_many(items))
    reason = Reason(Category.SEXUAL, 0.9, 0.5, "A_LABEL", "words")
    detected = Record(
        key="r.jpg",
        sha256="0" * 64,
        width=100,
        height=50,
        frames=2,
        scores=out[0].scores,
        regions=(Region("A_LABEL", 0.9, (1, 2, 3, 4), frame=1),),
        verdict=Verdict(Action.BLOCK, (reason,), "p@1"),
        failure=Failure("decode", "too_many_frames", "more"),
        models=("m@1",),
        times_ms={"decode": 1.0, "infer": 2.0},
        format="GIF",
    )
    return [*out, detected]


def test_parquet_holds_the_json_form(tmp_path: Path, records: list[Record]) -> None:
    path = tmp_path / "r.parquet"
    write_parquet(iter(records), path)
    rows = pyarrow.parquet.read_table(path).to_pylist()
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        wanted = wire.to_dict(record)
        for key in ("key", "sha256", "width", "frames", "action", "models", "policy", "failure"):
            assert row[key] == wanted[key]
        scores = {name: p for name, p in (row["scores"] or {}).items() if p is not None}
        assert scores == wanted["scores"]
    last = rows[-1]
    assert last["regions"] == [{"label": "A_LABEL", "score": 0.9, "box": [1, 2, 3, 4], "frame": 1}]
    assert last["reasons"][0]["text"] == "words"


def test_csv_holds_a_row_each(tmp_path: Path, records: list[Record]) -> None:
    path = tmp_path / "r.csv"
    write_csv(iter(records), path)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == list(COLUMNS)
    for row, record in zip(rows, records, strict=True):
        assert row["action"] == record.verdict.action
        for category in Category:
            p = record.scores[category] if record.scores else None
            assert row[f"p_{category}"] == ("" if p is None else str(p))
    assert rows[-2]["key"] == "'=cmd.png", "a name must not run as a formula"
    assert rows[-2]["failure_code"] == "unsupported_format"
    assert rows[-1]["reasons"] == "Sexual (A_LABEL) 0.9 >= 0.5"


def test_jsonl_reads_back(tmp_path: Path, records: list[Record]) -> None:
    path = tmp_path / "r.jsonl"
    write_jsonl(iter(records), path)
    back = list(wire.read_jsonl(path))
    assert [wire.to_line(r) for r in back] == [wire.to_line(r) for r in records]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_no_records_is_a_whole_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r{suffix}"
    writer_for(path)([], path)
    assert path.exists()
    if suffix == ".parquet":
        assert pyarrow.parquet.read_table(path).num_rows == 0


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_failure_on_the_way_leaves_the_old_file(
    tmp_path: Path, records: list[Record], suffix: str
) -> None:
    path = tmp_path / f"r{suffix}"
    path.write_text("old")

    def breaks() -> Iterator[Record]:
        yield records[0]
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        writer_for(path)(breaks(), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VedetteError) as caught, replacing(tmp_path / "no" / "r.csv") as path:
        path.write_text("x")
    assert caught.value.code == "write_failed"

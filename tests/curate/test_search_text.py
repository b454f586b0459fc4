"""BM25 over captions gives the published scores, whatever the captions come from."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import drawn, encoded
from vedette.curate.captions import (
    Captions,
    ColumnNames,
    FolderCaptions,
    SourceCaptions,
    TableCaptions,
)
from vedette.curate.search_text import K1, B, CaptionSearch, words
from vedette.curate.tables import columns_of, read_rows
from vedette.data.base import SOURCE, TEXT
from vedette.data.memory import ItemSource
from vedette.errors import UnknownNameError, UsageError
from vedette.types import Item

CAPTIONS = {
    "a": "Protest march with banners in the old town",
    "b": "a march of penguins",
    "c": "casino banners, casino lights",
    "d": "A quiet lake",
    "e": "protest",
}


def of(captions: dict[str, str]) -> CaptionSearch:
    items = [Item(key, b"", meta={TEXT: text}) for key, text in captions.items()]
    return CaptionSearch(SourceCaptions(ItemSource(items), "set"))


def plain_bm25(query: str, captions: dict[str, str]) -> list[tuple[str, float]]:
    """The formula as it is printed, one caption at a time."""
    docs = {key: words(text) for key, text in captions.items() if words(text)}
    mean = sum(map(len, docs.values())) / len(docs)
    scores = {}
    for key, doc in docs.items():
        score = 0.0
        for word in words(query):
            holds = sum(word in other for other in docs.values())
            idf = math.log(1 + (len(docs) - holds + 0.5) / (holds + 0.5))
            tf = doc.count(word)
            score += idf * tf * (K1 + 1) / (tf + K1 * (1 - B + B * len(doc) / mean))
        if score > 0:
            scores[key] = score
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 6), pair[0]))


@pytest.mark.parametrize("query", ["protest march", "casino banners", "the march march", "Ünknown"])
def test_scores_are_the_published_formulas(query: str) -> None:
    (found,) = of(CAPTIONS).search([query], 10)
    wanted = plain_bm25(query, CAPTIONS)

    assert [hit.entry.key for hit in found] == [key for key, _ in wanted]
    assert [hit.score for hit in found] == pytest.approx([score for _, score in wanted], abs=1e-6)


vocabulary = st.sampled_from(["red", "blue", "dog", "a", "Dog", "run-ning"])
texts = st.lists(vocabulary, min_size=1, max_size=6).map(" ".join)


@given(st.lists(texts, min_size=1, max_size=30), texts, st.integers(1, 5))
def test_any_captions_in_any_order(captions: Sequence[str], query: str, top: int) -> None:
    named = {f"{n:02d}": text for n, text in enumerate(captions)}
    wanted = plain_bm25(query, named)[:top]

    for given_ in (named, dict(reversed(named.items()))):
        (found,) = of(given_).search([query], top)
        assert [hit.entry.key for hit in found] == [key for key, _ in wanted]


def test_several_queries_and_many_batches() -> None:
    captions = {f"{n:05d}": f"picture {n} {'dog' if n % 1000 == 7 else 'cat'}" for n in range(5000)}
    dogs, number, nothing = of(captions).search(["dog", "4321", "zebra"], 3)

    assert [hit.entry.key for hit in dogs] == ["00007", "01007", "02007"]  # ties: by key
    assert [hit.entry.key for hit in number] == ["04321"]
    assert nothing == []


def test_words_are_folded() -> None:
    assert words("Street_fight, ＦＵＬＬ-width: 3 Straßen") == [
        *("street", "fight", "full", "width", "3", "strassen"),
    ]


# Where captions come from


def keys(captions: Captions) -> list[str]:
    return [entry.key for entry in captions.read()]


def found_in(captions: Captions) -> list[str]:
    (found,) = CaptionSearch(captions).search(["protest march"], 2)
    return [hit.entry.key for hit in found]


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(
                stream, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ","
            )
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_laions_metadata(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"URL": f"https://example.org/{key}.jpg", "TEXT": text, "similarity": 0.3, "source": "web"}
        for key, text in CAPTIONS.items()
    ]
    table = TableCaptions([write_table(tmp_path / f"t{suffix}", rows)], ColumnNames(), "t")

    assert found_in(table) == ["https://example.org/e.jpg", "https://example.org/a.jpg"]
    first = next(table.read())
    assert first.where == "https://example.org/a.jpg"
    assert (first.source, first.file) == ("web", None)
    assert list(table.pictures([first])) == []


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_img2datasets_metadata_and_named_columns(tmp_path: Path, suffix: str) -> None:
    rows = [{"key": k, "caption": t, "alt": "protest march", "n": 3} for k, t in CAPTIONS.items()]
    path = write_table(tmp_path / f"t{suffix}", rows)

    assert found_in(TableCaptions([path], ColumnNames(), "t")) == ["e", "a"]
    assert found_in(TableCaptions([path], ColumnNames(text="alt"), "t")) == ["a", "b"]
    assert keys(TableCaptions([path], ColumnNames(key="alt"), "t"))[0] == "protest march"
    assert keys(TableCaptions([path, path], ColumnNames(), "t")) == [*"abcde", *"abcde"]
    with pytest.raises(UnknownNameError, match="captoin"):
        TableCaptions([path], ColumnNames(text="captoin"), "t")


def test_rows_without_a_name_are_named_by_their_place(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.jsonl", [{"text": "one"}, {"text": None}, {"text": "three"}])
    table = TableCaptions([path], ColumnNames(), "t")

    assert [(e.key, e.text) for e in table.read()] == [
        ("t.jsonl#0", "one"),
        ("t.jsonl#1", None),
        ("t.jsonl#2", "three"),
    ]


def test_pictures_beside_a_table_are_at_hand_and_others_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.png").write_bytes(encoded(drawn(1)))
    (tmp_path / "b.png").write_bytes(encoded(drawn(2)))
    (folder / "link.png").symlink_to(tmp_path / "b.png")
    names = ("a.png", "../b.png", str(tmp_path / "b.png"), "link.png", "c.png", "x" * 5000, "a\0")
    rows = [{"file_name": name, "text": "a"} for name in names]
    table = TableCaptions([write_table(folder / "metadata.jsonl", rows)], ColumnNames(), "t")

    items = list(table.pictures(list(table.read())))
    assert [(item.key, item.data) for item in items] == [("a.png", folder / "a.png")]


def test_a_text_beside_each_picture(tmp_path: Path) -> None:
    for seed, (key, text) in enumerate(CAPTIONS.items()):
        (tmp_path / f"{key}.png").write_bytes(encoded(drawn(seed)))
        (tmp_path / f"{key}.json").write_text("{}")
        if key != "d":
            (tmp_path / f"{key}.txt").write_text(text)
    folder = FolderCaptions(tmp_path, "f")

    assert keys(folder) == [f"{tmp_path}/{key}.png" for key in "abce"]
    assert sorted(found_in(folder)) == [f"{tmp_path}/a.png", f"{tmp_path}/e.png"]
    (tmp_path / "a.txt").write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(UsageError, match=r"a\.txt"):
        keys(folder)


def test_a_source_gives_its_pictures_in_one_pass() -> None:
    items = [Item(k, b"x", meta={TEXT: t, SOURCE: "drawn"}) for k, t in CAPTIONS.items()]
    captions = SourceCaptions(ItemSource(items), "set")
    entries = [entry for entry in captions.read() if entry.key in "ac"]

    assert [item.key for item in captions.pictures(entries)] == ["a", "c"]
    assert entries[0].source == "drawn"


# Tables that are broken


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("t.jsonl", b'{"text": "a"}\n{', "line 2 is not JSON"),
        ("t.jsonl", b'{"text": "a"}\n[1]\n', "line 2 is not an object"),
        ("t.jsonl", b'{"text": "a"}\n' + b"[" * 10**5, "line 2 is not JSON"),
        ("t.jsonl", b'{"text": "a"}\n"' + b"x" * (2**20 + 9), "longer than"),
        ("t.jsonl", b"", "empty"),
        ("t.csv", b"", "empty"),
        ("t.csv", b'text,url\n"a', "unexpected end"),
        ("t.csv", b"text\n" + b"x" * 200_000, "field"),
        ("t.csv", b"text\n\xff\n", "codec"),
        ("t.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(UsageError, match=why) as caught:
        keys(TableCaptions([path], ColumnNames(), "t"))
    assert caught.value.code == "bad_source"


def test_a_collection_without_captions_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", [{"a": 1, "b": 2}])
    with pytest.raises(UsageError, match="no column of captions") as caught:
        TableCaptions([path], ColumnNames(), "t")
    assert "a, b" in caught.value.hint
    with pytest.raises(UsageError, match="no captions in set"):
        of({"a": "!"}).search(["protest"], 1)


@given(st.binary(max_size=80), st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]))
def test_any_bytes_are_a_table_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(data)

    try:
        columns = columns_of(path)
        rows = list(read_rows(path, columns))
    except UsageError as error:
        if error.code == "bad_source":
            return
        raise
    assert all(len(row) == len(columns) for row in rows)


def test_parquet_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pq.ParquetWriter(path, pa.schema([("text", pa.string())])) as out:
        for _ in range(160):
            texts = [os.urandom(100).hex() for _ in range(500)]
            out.write_table(pa.table({"text": texts}))
    before = pa.total_allocated_bytes()
    peak = max(pa.total_allocated_bytes() for _ in read_rows(path, ["text"])) - before

    assert peak < path.stat().st_size / 4

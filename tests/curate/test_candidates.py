"""Each picture is a candidate once, for its best category, with all that found it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import drawn, encoded
from vedette.curate.candidates import (
    Candidate,
    Collected,
    CollectOptions,
    collect,
    outside,
    to_annotate,
    write_candidates,
)
from vedette.curate.hits import Entry, Hit
from vedette.curate.keywords import Keyword
from vedette.data.base import CATEGORY, SOURCE, TEXT, read_all
from vedette.data.opening import open_source
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Failure, Item

FIGHT = Keyword(Category.VIOLENCE, "street fight")
MARCH = Keyword(Category.POLITICAL, "protest march")
RIOT = Keyword(Category.VIOLENCE, "riot")


class Found:
    """A collection whose answers are given."""

    name = "set"
    measure = "cosine"

    def __init__(
        self, results: Sequence[Sequence[tuple[Entry, float]]], data: dict[str, bytes | Path]
    ) -> None:
        self._results = results
        self._data = data

    def search(self, queries: Sequence[str], top: int) -> list[list[Hit]]:
        return [[Hit(e, score) for e, score in found[:top]] for found in self._results]

    def pictures(self, entries: Sequence[Entry]) -> Iterator[Item]:
        return (Item(e.key, self._data[e.key]) for e in entries if e.key in self._data)


def entry(key: str) -> Entry:
    return Entry(key, f"https://example.org/{key}", f"text of {key}")


def run(found: Found, options: CollectOptions | None = None) -> Collected:
    return collect(found, [FIGHT, MARCH, RIOT], Settings(), options or CollectOptions())


def keys(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.entry.key for candidate in candidates]


A, C, D = entry("a"), entry("c"), entry("d")


def test_a_picture_keeps_its_best_category_and_lists_the_others() -> None:
    found = Found([[(A, 0.9), (C, 0.8)], [(D, 0.5), (C, 0.4), (A, 0.3)], []], {})
    result = run(found)

    assert keys(result.candidates) == ["a", "c", "d"]
    a, c, d = result.candidates
    assert [(f.keyword, f.rank, f.score) for f in a.found] == [(FIGHT, 1, 0.9), (MARCH, 3, 0.3)]
    assert [(f.keyword, f.rank) for f in c.found] == [(FIGHT, 2), (MARCH, 2)]
    assert d.category is Category.POLITICAL
    assert (result.hits, result.pictures, result.at_hand) == (5, 3, 0)
    assert result.silent == (RIOT,)


def test_ties_are_in_order_of_the_keys() -> None:
    found = Found([[(D, 0.5)], [(C, 0.5)], [(A, 0.5)]], {})

    assert keys(run(found).candidates) == ["a", "d", "c"]


def copies() -> tuple[dict[str, bytes | Path], dict[str, Entry]]:
    picture = drawn(1, 200, 150)
    data: dict[str, bytes | Path] = {
        "a": encoded(picture),
        "b": encoded(picture),
        "c": encoded(picture.resize((100, 75)), "JPEG"),
        "d": encoded(drawn(2, 200, 150)),
    }
    return data, {key: entry(key) for key in data}


def test_copies_are_one_candidate() -> None:
    data, e = copies()
    found = Found(
        [[(e["c"], 0.9), (e["a"], 0.8)], [(e["b"], 0.7), (e["d"], 0.6)], [(e["b"], 0.5)]], data
    )
    result = run(found)

    assert keys(result.candidates) == ["c", "d"]
    first = result.candidates[0]
    assert first.duplicates == ("a", "b")
    # Each keyword once, though two copies answered to the first.
    assert [f.keyword for f in first.found] == [FIGHT, MARCH, RIOT]
    assert result.at_hand == 4
    assert keys(run(found, CollectOptions(near=None)).candidates) == ["c", "b", "d"]


def test_an_address_and_a_hash_tell_copies_too() -> None:
    named = replace(C, where=A.where)
    hashed = [replace(D, sha256="1" * 64), replace(entry("e"), sha256="1" * 64)]
    found = Found([[(A, 0.9), (named, 0.8), (hashed[0], 0.7), (hashed[1], 0.6)], [], []], {})

    result = run(found)
    assert keys(result.candidates) == ["a", "d"]
    assert [c.duplicates for c in result.candidates] == [("c",), ("e",)]


def test_embeddings_tell_copies_by_their_cosine() -> None:
    def unit(angle: float) -> np.ndarray:
        return np.array([np.cos(angle), np.sin(angle)], np.float32)

    angles = {"a": 0.0, "b": 0.2, "c": 0.4, "d": 1.5}
    entries = [replace(entry(key), embedding=unit(angle)) for key, angle in angles.items()]
    found = Found([[(e, 0.5) for e in entries], [], []], {})

    # Joined over others: cos 0.2 is 0.98, cos 0.4 is 0.92.
    assert keys(run(found).candidates) == ["a", "d"]
    assert keys(run(found, CollectOptions(cosine=0.99)).candidates) == ["a", "b", "c", "d"]
    assert keys(run(found, CollectOptions(cosine=None)).candidates) == ["a", "b", "c", "d"]


def test_what_cannot_be_read_is_kept_and_said_and_not_annotated(tmp_path: Path) -> None:
    data, e = copies()
    data |= {"a": tmp_path / "gone.png", "d": b"no picture"}
    same = replace(e["a"], where=e["c"].where)
    found = Found([[(same, 0.9), (e["c"], 0.8), (e["d"], 0.7)], [], []], data)
    result = run(found)

    assert keys(result.candidates) == ["c", "d"]  # the copy that can be read stands for the other
    assert [c.failure for c in result.candidates] == [None, "unsupported_format"]
    assert [item.key for item in to_annotate(result, found)] == ["c"]


def test_candidates_go_to_annotation_unlabelled() -> None:
    data, e = copies()
    found = Found([[(replace(e["a"], source="Laion5B"), 0.9)], [(e["d"], 0.8)], []], data)
    items = list(to_annotate(run(found), found))

    assert [(i.key, i.labels, i.unsafe) for i in items] == [("a", None, None), ("d", None, None)]
    assert items[0].meta == {SOURCE: "Laion5B", CATEGORY: "Violence", TEXT: "text of a"}
    assert items[1].meta[SOURCE] == "set"
    assert items[1].data == data["d"]


def test_the_file_says_all_of_it(tmp_path: Path) -> None:
    _, e = copies()
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "a.png"
    file.write_bytes(encoded(drawn(1)))
    here = Entry("a", "in/a.png", None, "Lexica", file=file)
    found = Found([[(here, 0.9), (e["d"], 0.25)], [(here, 0.4)], []], {"a": file})
    result = run(found)
    write_candidates(tmp_path / "out.jsonl", result, found)

    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert first == {
        "key": "a",
        "file_name": "in/a.png",
        "label": None,
        "where": "in/a.png",
        "category": "Violence",
        "keyword": "street fight",
        "rank": 1,
        "score": 0.9,
        "measure": "cosine",
        "source": "Lexica",
        "sha256": result.candidates[0].sha256,
        "also": [{"category": "Political", "keyword": "protest march", "rank": 1, "score": 0.4}],
    }
    assert second["where"] == "https://example.org/d"
    assert second["file_name"] is None
    assert second["source"] == "set"
    assert outside(result, tmp_path / "out.jsonl") == 0
    assert outside(result, tmp_path / "else" / "out.jsonl") == 1


def test_the_file_is_a_manifest_of_unlabelled_pictures(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encoded(drawn(1)))
    here = Entry("the key", "a.png", "a fight", file=file)
    found = Found([[(here, 0.9), (D, 0.25)], [], []], {"the key": file})
    write_candidates(tmp_path / "out.jsonl", run(found), found)
    chosen, source = open_source(str(tmp_path / "out.jsonl"))
    first, second = read_all(source)

    assert chosen.name == "manifest"
    assert (first.key, first.data, first.labels, first.unsafe) == ("the key", file, None, None)
    assert first.meta == {CATEGORY: "Violence", SOURCE: "set", TEXT: "a fight"}
    assert isinstance(second.data, Failure)
    assert second.unsafe is None


@pytest.mark.parametrize("workers", [1, 3])
def test_a_second_run_writes_the_same(tmp_path: Path, workers: int) -> None:
    data, e = copies()
    found = Found([[(entry_, 0.5) for entry_ in e.values()], [(e["b"], 0.5)], []], data)
    for number in range(2):
        result = run(found, CollectOptions(workers=workers))
        write_candidates(tmp_path / f"{number}.jsonl", result, found)

    assert (tmp_path / "0.jsonl").read_bytes() == (tmp_path / "1.jsonl").read_bytes()

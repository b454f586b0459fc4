"""Decisions as moderation tools and annotators write them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from vedette.annotate.answers_csv import COLUMNS
from vedette.annotate.protocol import Protocol
from vedette.data.labelling import SAFE, UNLABELLED, UNSAFE, Label, of_categories, parse_labels
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.train.scarce.reviews import read_reviews


def table(path: Path, *rows: tuple[str, ...]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def labels_of(path: Path, labels: str = "") -> dict[str, Label]:
    told = parse_labels(labels) if labels else {}
    return {one.key or one.sha256: one.label for one in read_reviews(path, told, Protocol())}


def test_a_moderators_words_and_categories(tmp_path: Path) -> None:
    path = table(
        tmp_path / "r.csv",
        ("key", "decision"),
        ("a", "approve"),
        ("b", "Removed"),
        ("c", "hate"),
        ("d", "Hate;Spam"),
        ("e", ""),
        ("f", "review"),
        ("g", "escalate"),
    )

    assert labels_of(path, "escalate=unsafe") == {
        "a": SAFE,
        "b": UNSAFE,
        "c": of_categories([Category.HATE]),
        "d": of_categories([Category.HATE, Category.SPAM]),
        "e": UNLABELLED,
        "f": UNLABELLED,
        "g": UNSAFE,
    }
    with pytest.raises(UsageError, match=r"line 8.*escalate") as caught:
        labels_of(path)
    assert caught.value.code == "unknown_label"


def test_jsonl_with_a_category_beside_the_decision_and_hashes(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    lines = [
        {"sha256": "A" * 64, "decision": "block", "category": "Spam"},
        {"key": "b", "decision": "allow", "category": "Spam"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))

    assert labels_of(path) == {"a" * 64: of_categories([Category.SPAM]), "b": SAFE}


def test_annotators_answers_come_to_their_outcome(tmp_path: Path) -> None:
    def answer(key: str, who: str, round_: int, said: str) -> tuple[str, ...]:
        return key, "c" * 64, "", "", who, str(round_), said, "2026-01-01T00:00:00.000000Z"

    path = table(
        tmp_path / "answers.csv",
        COLUMNS,
        answer("a", "a-aaaa", 1, "safe"),
        answer("a", "a-bbbb", 1, "safe"),
        answer("b", "a-aaaa", 1, "unsafe"),
        answer("b", "a-aaaa", 2, "Hate"),
        answer("b", "a-bbbb", 1, "unsafe"),
        answer("b", "a-bbbb", 2, "Hate"),
        answer("c", "a-aaaa", 1, "safe"),
        ("d", "d" * 64, "", "", "", "", "", ""),
    )

    assert labels_of(path) == {
        "a": SAFE,
        "b": of_categories([Category.HATE]),
        "c": UNLABELLED,
        "d": UNLABELLED,
    }


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([("key", "decision")], "no decision"),
        ([("key", "verdict"), ("a", "safe")], "no column"),
        ([("who", "decision"), ("a", "safe")], "names no image"),
    ],
)
def test_tables_that_say_nothing_are_refused(
    rows: list[tuple[str, ...]], what: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        read_reviews(table(tmp_path / "r.csv", *rows), {}, Protocol())
    assert caught.value.code == "bad_source"

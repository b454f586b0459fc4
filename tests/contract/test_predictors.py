"""What every predictor keeps to."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench.endpoints import server
from tests.bench.endpoints.pictures import items, on_disk, red
from tests.bench.endpoints.test_command import PLAIN
from tests.pictures import drawn, encoded
from vedette.bench.classifier import ClassifierPredictor
from vedette.bench.endpoints import EndpointOptions, open_endpoint
from vedette.bench.predictor import Answer, Predictor
from vedette.errors import CODES
from vedette.settings import Settings
from vedette.types import Failure, Item

Making = Callable[[Path, list[Item]], Any]


def remote(name: str, answer: Callable[[float], dict[str, Any]]) -> Making:
    @contextmanager
    def make(root: Path, given: list[Item]) -> Iterator[Predictor]:
        with server.serving(answer) as service:
            options = EndpointOptions(base_url=service.url, rate=1e4, cache=root / "cache")
            yield open_endpoint(name, options, Settings())

    return make


@contextmanager
def command(root: Path, given: list[Item]) -> Iterator[Predictor]:
    path = root / "program.py"
    path.write_text(PLAIN)
    name = f"command:{shlex.quote(sys.executable)} {shlex.quote(str(path))}"
    yield open_endpoint(name, EndpointOptions(timeout_s=20.0), Settings())


@contextmanager
def predictions(root: Path, given: list[Item]) -> Iterator[Predictor]:
    path = root / "predictions.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["key", "Sexual", "Hate"])
        writer.writerows((item.key, 0.25, 0.75) for item in given)
    yield open_endpoint(f"predictions:{path}", EndpointOptions(), Settings())


@contextmanager
def classifier(root: Path, given: list[Item]) -> Iterator[Predictor]:
    yield ClassifierPredictor("dummy", Settings())


MAKERS: dict[str, Making] = {
    "classifier": classifier,
    "openai": remote("openai:m", server.openai_answer),
    "rekognition": remote("rekognition:us-east-1", server.rekognition_answer),
    "safesearch": remote("safesearch", server.safesearch_answer),
    "command": command,
    "predictions": predictions,
}


def hostile(root: Path) -> list[Item]:
    """Good pictures, in memory and on the disk, among bad ones."""
    whole = encoded(drawn(1), "JPEG")
    return [
        *items(3),
        Item("gone", root / "gone.png"),
        Item("truncated", whole[: len(whole) // 2]),
        *on_disk(root, [Item("disk.png", red(90))]),
        Item("failed", Failure("fetch", "unreadable", "could not be read")),
        Item("empty", b""),
        Item("ünï/ \n\u202e.png", red(200)),
    ]


def run(make: Making, root: Path) -> tuple[list[Item], list[Answer], Any]:
    root.mkdir(exist_ok=True)
    given = hostile(root)
    with make(root, given) as predictor:
        card = predictor.card
        found = list(predictor.predict(iter(given)))
        assert predictor.card == card
        predictor.close()
    return given, found, card


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Making:
    for name in ("VEDETTE_ENDPOINT_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    return MAKERS[request.param]


def test_one_answer_for_each_item_in_order(make: Making, tmp_path: Path) -> None:
    given, found, _ = run(make, tmp_path)

    assert [answer.key for answer in found] == [item.key for item in given]


def test_an_answer_has_scores_or_a_failure_and_never_both(make: Making, tmp_path: Path) -> None:
    _, found, _ = run(make, tmp_path)

    for answer in found:
        assert (answer.p is None) == (answer.failure is not None)
        if answer.failure is not None:
            assert answer.failure.code in CODES
            assert "\n" not in answer.failure.message
            assert not answer.flagged
    assert [answer.key for answer in found if answer.p is not None][:3] == [
        item.key for item in items(3)
    ]
    assert sum(answer.p is not None for answer in found) >= 5


def test_what_cannot_be_read_is_never_scored(make: Making, tmp_path: Path) -> None:
    _, found, card = run(make, tmp_path)

    failed = {answer.key for answer in found if answer.failure is not None}
    # A file of predictions answers for what can be read; whether it decodes is not its question.
    unreadable = {"gone", "failed"} | (
        {"truncated", "empty"} if card.kind != "predictions" else set()
    )
    assert failed == unreadable


def test_scores_are_of_the_covered_categories_only(make: Making, tmp_path: Path) -> None:
    _, found, card = run(make, tmp_path)

    assert card.covered
    for answer in found:
        if answer.p is not None:
            assert set(answer.p) == set(card.covered)
            assert all(0 <= value <= 1 for value in answer.p.values())
            assert (answer.flagged or frozenset()) <= set(card.covered)


def test_hashes_are_of_the_bytes(make: Making, tmp_path: Path) -> None:
    given, found, _ = run(make, tmp_path)

    for item, answer in zip(given, found, strict=True):
        data = item.data.read_bytes() if item.key == "disk.png" else item.data  # type: ignore[union-attr]
        if answer.p is not None:
            assert isinstance(data, bytes)
            assert answer.sha256 == hashlib.sha256(data).hexdigest()


def test_two_runs_say_the_same(make: Making, tmp_path: Path) -> None:
    def told(found: list[Answer]) -> list[dict[str, Any]]:
        return [
            {**dataclasses.asdict(a), "ms": None, "embedding": None}
            for a in found
            if a.failure is None
        ]

    (_, one, _), (_, other, _) = run(make, tmp_path / "1"), run(make, tmp_path / "2")

    assert told(one) == told(other)


def test_the_card_is_json_and_says_what_it_is(make: Making, tmp_path: Path) -> None:
    _, _, card = run(make, tmp_path)

    json.dumps(dataclasses.asdict(card), allow_nan=False)
    assert card.name
    assert "@" in card.model
    assert card.kind in ("classifier", "endpoint", "predictions")
    assert ("sends_images_to" in card.facts) == (card.kind == "endpoint")


def test_asking_can_stop_early_and_closing_can_be_repeated(make: Making, tmp_path: Path) -> None:
    given = items(6)
    with make(tmp_path, given) as predictor:
        stream = predictor.predict(iter(given))
        assert next(stream).key == given[0].key
        if isinstance(stream, Iterator) and hasattr(stream, "close"):
            stream.close()
        assert [answer.key for answer in predictor.predict(given)] == [i.key for i in given]
        predictor.close()
        predictor.close()
        assert list(tmp_path.glob("*.tmp")) == []


def test_no_items_are_no_answers(make: Making, tmp_path: Path) -> None:
    with make(tmp_path, items(1)) as predictor:
        assert list(predictor.predict([])) == []
        predictor.close()

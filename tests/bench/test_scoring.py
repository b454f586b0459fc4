"""Scoring keeps every answer, and goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import drawn, encoded
from vedette.bench.classifier import ClassifierPredictor
from vedette.bench.fingerprints import fingerprints
from vedette.bench.predictions import Predictions, predictions_of
from vedette.bench.predictor import Answer, PredictorCard
from vedette.bench.scoring import labelled, predictions, read_answers, score, set_hash
from vedette.data.base import CATEGORY, SOURCE
from vedette.data.memory import ItemSource
from vedette.errors import UsageError
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Failure, Item


def items() -> list[Item]:
    hate = {CATEGORY: "Hate", SOURCE: "Lexica"}
    return [
        Item("a", encoded(drawn(1)), frozenset({Category.HATE}), hate),
        Item("b", encoded(drawn(2)), frozenset(), hate),
        Item("copy of a", encoded(drawn(1)), frozenset(), {SOURCE: "Laion5B"}),
        Item("binary", encoded(drawn(3)), unsafe=True),
        Item("unlabelled", encoded(drawn(4))),
        Item("cut", encoded(drawn(5))[:100], frozenset()),
        Item("gone", Failure("fetch", "not_found", "it is not there"), frozenset()),
    ]


class Stopping:
    """A predictor that is interrupted after some answers."""

    def __init__(self, inner: ClassifierPredictor, after: int) -> None:
        self.inner, self.after = inner, after
        self.asked: list[str] = []

    @property
    def card(self) -> PredictorCard:
        return self.inner.card

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        for number, answer in enumerate(self.inner.predict(items)):
            if number == self.after:
                raise KeyboardInterrupt
            self.asked.append(answer.key)
            yield answer

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def dummy() -> Iterator[ClassifierPredictor]:
    predictor = ClassifierPredictor("dummy", Settings())
    yield predictor
    predictor.close()


def scored(predictor: ClassifierPredictor, journal: Path) -> Predictions:
    source = ItemSource(items())
    rows = [row for row, _ in labelled(source.read(source.shards()[0]), "split")]
    answers = score(source, rows, predictor, journal)
    prints = fingerprints(source, Settings())
    return predictions(rows, answers, predictor.card.covered, prints)


def test_labels_and_answers_stand_side_by_side(dummy: ClassifierPredictor, tmp_path: Path) -> None:
    told = scored(dummy, tmp_path / "j.jsonl")

    assert told.keys == ("a", "b", "copy of a", "binary")
    assert told.failed == (("cut", "truncated"), ("gone", "not_found"))
    assert told.unsafe.tolist() == [True, False, False, True]
    hate = Category.HATE.position
    assert told.category.tolist() == [hate, hate, -1, -1]
    assert told.labels[:, hate].tolist() == [True, False, False, False]
    assert told.source == ("Lexica", "Lexica", "Laion5B", "")
    assert told.group[0] == told.group[2] != told.group[1]
    assert (told.flagged == (told.p >= 0.5)).all()
    assert told.covered.all()


def test_what_was_answered_is_not_asked_again(dummy: ClassifierPredictor, tmp_path: Path) -> None:
    whole = scored(dummy, tmp_path / "whole.jsonl")
    source = ItemSource(items())
    rows = [row for row, _ in labelled(items(), "split")]
    stopping = Stopping(dummy, 2)
    with pytest.raises(KeyboardInterrupt):
        score(source, rows, stopping, tmp_path / "cut.jsonl")
    with (tmp_path / "cut.jsonl").open("ab") as stream:
        stream.write(b'{"key": "cop')  # as a kill leaves it

    again = Stopping(dummy, 100)
    answers = score(source, rows, again, tmp_path / "cut.jsonl")

    assert len(stopping.asked) == 2
    assert set(again.asked) == {row.key for row in rows} - set(stopping.asked)
    prints = fingerprints(source, Settings())
    assert predictions(rows, answers, dummy.card.covered, prints).as_json() == whole.as_json()
    assert [a.key for a in read_answers(tmp_path / "cut.jsonl")] == stopping.asked + again.asked


def test_predictions_survive_their_json(dummy: ClassifierPredictor, tmp_path: Path) -> None:
    told = scored(dummy, tmp_path / "j.jsonl")
    back = predictions_of(told.as_json())

    assert back.as_json() == told.as_json()
    assert np.allclose(back.p, told.p, atol=1e-6)
    assert (back.covered == told.covered).all()


def test_a_journal_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "j.jsonl").write_text('{"key": 3}\n')
    with pytest.raises(UsageError) as caught:
        list(read_answers(tmp_path / "j.jsonl"))
    assert caught.value.code == "bad_result"


def test_two_images_of_one_key_are_refused() -> None:
    with pytest.raises(UsageError, match="two images"):
        list(labelled([items()[0], items()[0]], "split"))


def test_the_hash_of_a_set_is_of_keys_bytes_labels_and_order() -> None:
    rows = [row for row, _ in labelled(items(), "split")]
    hashes = [f"{k}" for k in range(len(rows))]
    seen = {set_hash(rows, hashes), set_hash(rows[::-1], hashes), set_hash(rows[:-1], hashes[:-1])}
    seen.add(set_hash(rows, [*hashes[:-1], None]))
    assert len(seen) == 4
    assert set_hash(rows, hashes) == set_hash(list(rows), list(hashes))


def test_each_image_is_asked_about_its_own_category(
    dummy: ClassifierPredictor, tmp_path: Path
) -> None:
    told = scored(dummy, tmp_path / "j.jsonl")
    hate = Category.HATE.position

    assert told.asked[:2].tolist() == told.p[:2, hate].tolist()
    assert told.asked[2] == told.p[2].max()
    assert told.in_coverage.all()
    few = told.rows(np.array([2, 0]))
    assert few.keys == ("copy of a", "a")

"""The teacher is asked once for each image, and what it cannot scan is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.classifiers import Habit, choke_on_marked
from tests.pictures import encoded
from tests.train.distill.pupils import TASTE, Counting, picture, pictures, pool_of, teacher
from vedette.bench.classifier import ClassifierPredictor
from vedette.data.base import read_all
from vedette.errors import UsageError
from vedette.settings import Settings
from vedette.train.distill.teacher import ask, ask_model


@pytest.fixture
def predictor(tmp_path: Path) -> Iterator[ClassifierPredictor]:
    with closing(ClassifierPredictor(teacher(tmp_path / "teacher"), Settings())) as made:
        yield made


def test_its_answers_are_the_probabilities_of_a_scan(
    predictor: ClassifierPredictor, tmp_path: Path
) -> None:
    pool = pool_of(pictures(tmp_path / "set", 30))
    taught = ask(pool, predictor, tmp_path)

    assert taught.covered == TASTE
    assert taught.rows.tolist() == list(range(30))
    assert not taught.failed
    assert pool.source is not None
    answers = list(predictor.predict(read_all(pool.source)))
    np.testing.assert_allclose(taught.p, [[a.p[c] for c in TASTE] for a in answers if a.p])
    flagged = (taught.p >= 0.5).mean(axis=0)
    assert ((flagged > 0.1) & (flagged < 0.7)).all()


def test_a_run_that_was_killed_does_not_ask_again(
    predictor: ClassifierPredictor, tmp_path: Path
) -> None:
    pool = pool_of(pictures(tmp_path / "set", 30))
    first = Counting(predictor, most=11)
    with pytest.raises(KeyboardInterrupt):
        ask(pool, first, tmp_path)
    (journal,) = tmp_path.glob("teacher-*.jsonl")
    with journal.open("ab") as stream:
        stream.write(b'{"key": "0011.png", "sha2')  # the half line of a kill

    second = Counting(predictor)
    taught = ask(pool, second, tmp_path)
    third = Counting(predictor)
    again = ask(pool, third, tmp_path)

    assert len(first.asked) == 11
    assert sorted(first.asked + second.asked) == sorted(row.key for row in pool.rows)
    assert third.asked == []
    np.testing.assert_array_equal(taught.p, again.p)
    assert all(json.loads(line)["embedding"] is None for line in journal.read_bytes().splitlines())


def test_other_pictures_under_the_same_names_are_asked_anew(
    predictor: ClassifierPredictor, tmp_path: Path
) -> None:
    root = pictures(tmp_path / "set", 12)
    ask(pool_of(root), predictor, tmp_path)
    (root / "0003.png").write_bytes(encoded(picture(99)))

    counting = Counting(predictor)
    ask(pool_of(root), counting, tmp_path)
    assert len(counting.asked) == 12


def test_what_it_cannot_scan_is_left_out_and_told(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", 12)
    for name in ("0004.png", "0007.png"):
        red = picture(0).resize((32, 32))
        red.paste((255, 0, 0), (0, 0, 32, 32))
        red.putpixel((0, 0), (255, 0, 0))
        (root / name).write_bytes(encoded(red))
    lines: list[str] = []
    with closing(ClassifierPredictor(Habit(choke_on_marked), Settings())) as choking:
        taught = ask(pool_of(root), choking, tmp_path, lines.append)

    assert taught.failed == {"model_failed": 2}
    assert set(range(12)) - set(taught.rows.tolist()) == {4, 7}
    assert "could not scan 2 images, left out" in lines[-1]


def test_an_animation_is_left_out(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", 12)
    frames = [picture(seed) for seed in range(3)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    (root / "moving.gif").write_bytes(data)

    taught, card = ask_model(pool_of(root), teacher(tmp_path / "teacher"), Settings(), tmp_path)

    assert taught.failed == {"too_many_frames": 1}
    assert len(taught.rows) == 12
    assert card.id == "teacher"


def test_a_teacher_that_answers_nothing_ends_the_training(tmp_path: Path) -> None:
    def never(batch: object) -> None:
        raise RuntimeError("the network choked")

    with (
        closing(ClassifierPredictor(Habit(never), Settings())) as mute,
        pytest.raises(UsageError, match="could scan none"),
    ):
        ask(pool_of(pictures(tmp_path / "set", 4)), mute, tmp_path)

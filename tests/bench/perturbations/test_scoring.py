"""Asking about perturbed pictures: what is sent, what is kept, and what a stop leaves."""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.bench.brightness import Brightness, context, items
from vedette.bench.perturbations.registry import perturbation
from vedette.bench.perturbations.scoring import (
    MOST_SIDE,
    Said,
    Variant,
    ask,
    file_of,
    random_for,
    reduced,
)
from vedette.bench.predictor import Answer
from vedette.bench.tasks.base import BenchOptions
from vedette.data.memory import ItemSource
from vedette.errors import ModelError, VedetteError
from vedette.types import Item

KINDS = [perturbation(name) for name in ("gaussian-noise", "jpeg", "grid", "invert")]
ROWS = np.array([1, 2, 5, 8], dtype=np.int64)
PER_IMAGE = 1 + 5 + 5 + 3 + 1


def same(one: Said, other: Said) -> bool:
    return (
        bool((one.flagged == other.flagged).all())
        and bool((one.scored == other.scored).all())
        and one.codes == other.codes
    )


def test_each_image_is_asked_about_clean_and_at_every_severity(tmp_path: Path) -> None:
    predictor = Brightness()
    said = ask(context(tmp_path, predictor), ROWS, KINDS)

    assert said.flagged.shape == (4, PER_IMAGE)
    assert said.scored.all()
    assert len(set(predictor.asked)) == len(predictor.asked) == 4 * PER_IMAGE
    assert predictor.asked[:2] == ["img/001.png#clean", "img/001.png#gaussian-noise@1"]
    assert said.columns("clean") == [0]
    assert said.columns("grid") == [11, 12, 13]


def test_decisions_are_those_of_each_images_own_category(tmp_path: Path) -> None:
    here = context(tmp_path)
    said = ask(here, ROWS, KINDS)

    # The predictor decides by brightness, which a grid keeps and the negative turns around.
    own = here.predictions.rows(ROWS)
    assert (said.flagged[:, 0] == own.flagged_asked).all()
    assert own.category.tolist().count(-1) == 1
    asked = own.category >= 0
    assert (said.flagged[asked, -1] != own.flagged_asked[asked]).all()


def test_a_file_is_a_png_or_the_jpeg_itself() -> None:
    pixels = np.asarray(PIL.Image.open(io.BytesIO(items(1)[0].data)))  # type: ignore[arg-type]
    png = file_of(pixels, Variant(None), "k", 7)
    jpeg = file_of(pixels, Variant(perturbation("jpeg"), 5), "k", 7)

    with PIL.Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert (np.asarray(picture) == pixels).all()
    with PIL.Image.open(io.BytesIO(jpeg)) as picture:
        assert picture.format == "JPEG"
        assert (np.asarray(picture) == KINDS[1].apply(pixels, 7.0, np.random.default_rng(0))).all()


def test_random_numbers_follow_from_the_key_the_kind_and_the_seed() -> None:
    drawn = {
        random_for(key, kind, seed).integers(2**60)
        for key in ("a", "b")
        for kind in ("snow", "fog")
        for seed in (1, 2)
    }

    assert len(drawn) == 8
    assert random_for("a", "snow", 1).random() == random_for("a", "snow", 1).random()


def test_large_pictures_are_reduced_first() -> None:
    assert reduced(np.zeros((4000, 1000, 3), np.uint8)).shape == (MOST_SIDE, MOST_SIDE // 4, 3)
    assert reduced(np.zeros((1, 9000, 3), np.uint8)).shape == (1, MOST_SIDE, 3)
    small = np.zeros((MOST_SIDE, 3, 3), np.uint8)
    assert reduced(small) is small


def test_what_cannot_be_scored_is_no_answer(tmp_path: Path) -> None:
    predictor = Brightness(fails=lambda key: key.endswith(("#grid@2", "#invert@1")))
    said = ask(context(tmp_path, predictor), ROWS, KINDS)

    assert (~said.scored).sum(axis=0).tolist() == [0] * 12 + [4, 0, 4]
    assert not said.flagged[~said.scored].any()
    assert said.codes == {"model_failed": 8}


def test_an_image_that_is_gone_or_broken_now_is_no_answer(tmp_path: Path) -> None:
    whole = context(tmp_path)
    given = items(12)
    given[2] = Item(given[2].key, given[2].data[:60])  # type: ignore[index]
    source = ItemSource([item for row, item in enumerate(given) if row != 5])
    said = ask(dataclasses.replace(whole, source=source), ROWS, KINDS)

    assert said.scored.all(axis=1).tolist() == [True, False, False, True]
    assert not said.scored[1:3].any()
    assert said.codes == {"not_found": PER_IMAGE, "truncated": PER_IMAGE}


def stop_at(count: int, how: str) -> Brightness:
    seen: list[str] = []

    def habit(key: str) -> None:
        seen.append(key)
        if len(seen) > count:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise VedetteError("the cost cap is reached")

    return Brightness(habit)


@pytest.mark.parametrize("count", [0, PER_IMAGE - 1, PER_IMAGE, 2 * PER_IMAGE + 3])
def test_a_predictor_that_gives_up_is_gone_on_with(tmp_path: Path, count: int) -> None:
    whole = ask(context(tmp_path / "whole"), ROWS, KINDS)
    with pytest.raises(VedetteError, match="cost cap"):
        ask(context(tmp_path / "cut", stop_at(count, "raise")), ROWS, KINDS)
    predictor = Brightness()

    assert same(ask(context(tmp_path / "cut", predictor), ROWS, KINDS), whole)
    assert len(predictor.asked) == (4 - count // PER_IMAGE) * PER_IMAGE


def test_a_killed_run_is_gone_on_with(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.bench.perturbations.test_scoring import *\n"
        f"ask(context(Path(sys.argv[1]), stop_at({2 * PER_IMAGE + 5}, 'kill')), ROWS, KINDS)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "cut")], check=False)
    predictor = Brightness()

    assert run.returncode == -signal.SIGKILL
    whole = ask(context(tmp_path / "whole"), ROWS, KINDS)
    assert same(ask(context(tmp_path / "cut", predictor), ROWS, KINDS), whole)
    assert len(predictor.asked) == 2 * PER_IMAGE
    files = [next(tmp_path.joinpath(name).iterdir()).read_bytes() for name in ("cut", "whole")]
    assert files[0] == files[1]


def test_a_finished_run_asks_nothing_and_another_seed_everything(tmp_path: Path) -> None:
    ask(context(tmp_path), ROWS, KINDS)
    again, other = Brightness(), Brightness()
    ask(context(tmp_path, again), ROWS, KINDS)
    ask(context(tmp_path, other, options=BenchOptions(seed=8)), ROWS, KINDS)

    assert again.asked == []
    assert len(other.asked) == 4 * PER_IMAGE


class Sloppy(Brightness):
    """Leaves an item out, or answers with the wrong key."""

    def __init__(self, drops: int, renames: int) -> None:
        super().__init__()
        self._drops, self._renames = drops, renames

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        for number, answer in enumerate(super().predict(items)):
            if number != self._drops:
                key = "another" if number == self._renames else answer.key
                yield dataclasses.replace(answer, key=key)


@pytest.mark.parametrize("sloppy", [(3, -1), (4 * PER_IMAGE - 1, -1), (-1, 20)])
def test_a_predictor_that_answers_something_else_is_found_out(
    tmp_path: Path, sloppy: tuple[int, int]
) -> None:
    with pytest.raises(ModelError) as caught:
        ask(context(tmp_path, Sloppy(*sloppy)), ROWS, KINDS)

    assert caught.value.code == "model_output_invalid"

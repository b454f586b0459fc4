"""A relevance map finds what a model looks at, and says when it does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pictures import drawn
from vedette.explain.drawing import draw
from vedette.explain.occlusion import Deletion, Relevance, blurred, relevance
from vedette.models.base import ModelOptions, Prepared
from vedette.models.dummy import Dummy
from vedette.models.registry import build
from vedette.taxonomy import Category
from vedette.types import Image, Prediction, Region, UInt8

SEXUAL = Category.SEXUAL


class Looks(Dummy):
    """Its Sexual score is how much the pixels of one square differ from each other."""

    streams = 2

    def __init__(self, top: int, left: int, side: int) -> None:
        self.square = (slice(top, top + side), slice(left, left + side))

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        out = []
        for prepared in batch:
            probs = np.zeros(len(Category), dtype=np.float32)
            contrast = float(prepared.pixels[self.square].std()) / 128
            probs[SEXUAL.position] = min(contrast, 1.0)
            out.append(Prediction(tuple(self.card.labels), probs, self.card.model))
        return out


class Blind(Dummy):
    """Says the same of everything."""

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        labels = tuple(self.card.labels)
        probs = np.full(len(labels), 0.5, dtype=np.float32)
        return [Prediction(labels, probs, self.card.model) for _ in batch]


def noise(side: int = 64, seed: int = 0) -> Prepared:
    rng = np.random.default_rng(seed)
    return Prepared(rng.integers(0, 256, (side, side, 3)).astype(np.uint8), side, side)


def test_the_map_peaks_where_the_model_looks() -> None:
    model = Looks(top=40, left=8, side=8)  # cell (5, 1) of 8 x 8
    found = relevance(model, noise(), SEXUAL, grid=8)

    assert int(found.cells.argmax()) == 5 * 8 + 1
    others = found.cells.copy()
    others[5, 1] = 0
    assert not others.any()  # covering anything else changes nothing
    assert found.deletion.beats_random
    assert found.deletion.area < found.deletion.random_mean


def test_a_map_of_nothing_does_not_beat_chance() -> None:
    found = relevance(Blind(), noise(), SEXUAL, grid=4)

    assert not found.cells.any()
    assert not found.deletion.beats_random
    assert found.p == 0.5


def test_the_same_seed_gives_the_same_map() -> None:
    first, second = (relevance(Looks(0, 0, 32), noise(), SEXUAL, seed=3) for _ in range(2))

    np.testing.assert_array_equal(first.cells, second.cells)
    assert first.deletion == second.deletion


@settings(max_examples=15)
@given(st.integers(2, 6), st.integers(0, 40), st.integers(0, 40), st.integers(4, 24))
def test_cells_are_finite_and_as_many_as_asked_for(
    grid: int, top: int, left: int, side: int
) -> None:
    found = relevance(Looks(top, left, side), noise(), SEXUAL, grid=grid, orders=2)

    assert found.cells.shape == (grid, grid)
    assert np.isfinite(found.cells).all()
    assert 0 <= found.deletion.area <= 1


def test_every_part_of_a_combination_is_covered() -> None:
    model = build("any(dummy,nudenet)", ModelOptions(precision="fp32"))
    pixels = np.asarray(drawn(1, 120, 90))
    prepared = model.prepare(Image(pixels, "0" * 64, 120, 90, "PNG"))
    found = relevance(model, prepared, Category.SPAM, grid=2, orders=2)

    assert found.cells.any()


@pytest.mark.parametrize(("grid", "orders"), [(1, 10), (8, 1)])
def test_too_little_to_compare_is_refused(grid: int, orders: int) -> None:
    with pytest.raises(ValueError, match="nothing to explain"):
        relevance(Blind(), noise(), SEXUAL, grid=grid, orders=orders)


def sharpness(pixels: UInt8) -> float:
    return float(np.abs(np.diff(pixels.astype(float), axis=1)).mean())


def test_the_drawing_shows_no_picture() -> None:
    pixels = noise(128).pixels
    cells = np.zeros((8, 8), dtype=np.float32)
    cells[2, 3] = 1.0
    found = Relevance(SEXUAL, 0.9, cells, Deletion(0.1, 0.5, 0.05, 10))

    hidden = np.asarray(draw(pixels, found))
    shown = np.asarray(draw(pixels, found, sharp=True))

    assert hidden.shape[0] > hidden.shape[1] >= 384  # enlarged, with a legend
    assert sharpness(hidden[:384]) < 3 < sharpness(shown[:384])
    # Light where the cell is, dark where nothing is.
    cell = hidden[2 * 48 : 3 * 48, 3 * 48 : 4 * 48].mean()
    assert cell > hidden[200:380, 200:380].mean() + 40


def test_a_region_is_drawn_where_it_is() -> None:
    picture = np.full((400, 400, 3), 90, dtype=np.uint8)
    drawn_ = np.asarray(draw(picture, None, [Region("FACE", 0.9, (100, 50, 80, 60))]))

    assert tuple(drawn_[50, 140]) == (0, 255, 200)
    assert tuple(drawn_[110, 140]) == (0, 255, 200)
    assert tuple(drawn_[300, 300]) == (90, 90, 90)


def test_a_blur_leaves_no_detail() -> None:
    pixels = noise(96).pixels

    assert sharpness(blurred(pixels)) < sharpness(pixels) / 20

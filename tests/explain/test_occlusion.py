"""A relevance map peaks where a model looks, and is zero where it does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.explain.looking import SEXUAL, SIDE, Blind, Looks, noise, prepared
from vedette.errors import InferError
from vedette.explain.cover import Cover
from vedette.explain.deletion import deletion_test
from vedette.explain.occlusion import relevance
from vedette.models.base import ModelOptions, Prepared
from vedette.models.registry import build
from vedette.taxonomy import Category
from vedette.types import Float32, Prediction


def cells_of(model: Looks, grid: int = 8) -> Float32:
    return relevance(model, Cover(prepared(noise()), grid), SEXUAL).cells


@pytest.mark.parametrize("grid", [2, 3, 4, 8, 16])
@pytest.mark.parametrize(("top", "left"), [(40, 8), (0, 0), (56, 56), (24, 32)])
def test_the_map_peaks_where_the_model_looks(top: int, left: int, grid: int) -> None:
    cells = cells_of(Looks(top, left, 8), grid)
    row, column = divmod(int(cells.argmax()), grid)

    # The cell of the peak and the square that is looked at share pixels.
    assert top < (row + 1) * SIDE / grid
    assert top + 8 > row * SIDE / grid
    assert left < (column + 1) * SIDE / grid
    assert left + 8 > column * SIDE / grid


def test_a_large_thing_is_found_whole() -> None:
    cells = cells_of(Looks(16, 16, 32))

    inside = cells[2:6, 2:6]
    assert inside.min() > 0.5 * cells.max()
    assert inside.mean() > 4 * cells[:, 7].mean()


def test_what_changes_nothing_is_zero() -> None:
    assert not cells_of(Blind()).any()


@settings(max_examples=25)
@given(st.integers(2, 12), st.integers(0, 48), st.integers(0, 48), st.integers(4, 16))
def test_cells_are_finite_and_zero_out_of_every_windows_reach(
    grid: int, top: int, left: int, side: int
) -> None:
    cells = cells_of(Looks(top, left, side), grid)

    assert cells.shape == (grid, grid)
    assert cells.dtype == np.float32
    assert np.isfinite(cells).all()
    rows, columns = (np.arange(start, start + side) * grid // SIDE for start in (top, left))
    reach = 4  # cells: the larger window
    for row in range(grid):
        for column in range(grid):
            far = np.abs(rows - row).min() >= reach or np.abs(columns - column).min() >= reach
            assert not (far and cells[row, column]), (row, column)


def test_a_saturated_score_still_has_a_map() -> None:
    class Sure(Looks):
        def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
            out = []
            for prediction in super().infer(batch):
                p = prediction.probs.astype(np.float64)
                out.append(
                    Prediction(
                        prediction.labels,
                        (1 / (1 + np.exp(-(8 * p + 4)))).astype(np.float32),
                        prediction.model,
                    )
                )
            return out

    cells = relevance(Sure(40, 8, 8), Cover(prepared(noise()), 8), SEXUAL).cells

    assert divmod(int(cells.argmax()), 8) == (5, 1)
    assert cells.max() > 1


class Tallies(Looks):
    """Counts the pictures that it is shown."""

    seen = 0
    streams = 1

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        self.seen += len(batch)
        return super().infer(batch)


def test_a_map_and_its_test_take_as_many_passes_as_the_docs_say() -> None:
    model = Tallies(0, 0, 8)
    cover = Cover(prepared(noise()), 8)
    found = relevance(model, cover, SEXUAL)
    assert model.seen == 107
    deletion_test(model, cover, found)
    assert model.seen == 107 + 317


def test_the_same_map_again() -> None:
    np.testing.assert_array_equal(cells_of(Looks(8, 8, 20)), cells_of(Looks(8, 8, 20)))


def test_a_category_that_is_not_covered_is_refused() -> None:
    model = build("nudenet", ModelOptions(precision="fp32"))
    with pytest.raises(ValueError, match="does not cover Spam"):
        relevance(model, Cover(prepared(noise()), 8), Category.SPAM)


class Fails(Looks):
    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        raise RuntimeError("out of order")


class NotNumbers(Looks):
    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        return [
            Prediction(p.labels, np.full_like(p.probs, np.nan), p.model)
            for p in super().infer(batch)
        ]


class Drops(Looks):
    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        return super().infer(batch)[1:]


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (Fails(0, 0, 8), "model_failed"),
        (NotNumbers(0, 0, 8), "model_output_invalid"),
        (Drops(0, 0, 8), "model_output_invalid"),
    ],
)
def test_a_model_that_fails_is_named(model: Looks, code: str) -> None:
    with pytest.raises(InferError) as caught:
        cells_of(model)

    assert caught.value.code == code

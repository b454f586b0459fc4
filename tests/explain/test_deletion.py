"""The deletion test tells a map that knows something from one that does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.explain.looking import SEXUAL, Blind, Guesses, Looks, noise, prepared
from vedette.explain.cover import Cover
from vedette.explain.deletion import Deletion, deletion_test
from vedette.explain.occlusion import Relevance, relevance

COVER = Cover(prepared(noise()), 8)


def outcome(model: Looks, seed: int = 0, orders: int = 10) -> Deletion:
    return deletion_test(model, COVER, relevance(model, COVER, SEXUAL), orders=orders, seed=seed)


@pytest.mark.parametrize("square", [(40, 8, 8), (0, 0, 16), (16, 24, 24)])
def test_a_map_of_what_the_model_looks_at_beats_random(square: tuple[int, int, int]) -> None:
    test = outcome(Looks(*square))

    assert test.beats_random
    assert test.area < test.random_mean - 2 * test.random_std
    assert test.moved_as_good == 0
    assert test.moved == test.orders == 10


def test_a_model_that_ignores_its_picture_has_no_map() -> None:
    test = outcome(Blind())

    assert not test.beats_random
    assert test.area == test.random_mean == pytest.approx(0.5)
    assert test.curve == pytest.approx([0.5] * 17)


@pytest.mark.parametrize("seed", range(5))
def test_a_map_of_chance_is_no_map(seed: int) -> None:
    assert not outcome(Guesses(), seed).beats_random


def test_a_connected_map_of_the_wrong_place_does_not_pass() -> None:
    # Random orders make scattered holes: these alone it might beat.
    cells = np.zeros((8, 8), dtype=np.float32)
    cells[0:3, 5:8] = 1
    wrong = Relevance(SEXUAL, 1.0, cells)
    test = deletion_test(Looks(40, 8, 16), COVER, wrong)

    assert not test.beats_random


def test_the_curve_goes_from_the_whole_picture_to_nothing() -> None:
    model = Looks(0, 0, 64)
    test = outcome(model)
    whole = model.infer([prepared(noise())])[0].probs[SEXUAL.position]

    assert len(test.curve) == 17
    assert test.curve[0] == pytest.approx(whole)
    assert test.curve[-1] < 0.01  # the mean colour
    middle = (np.array(test.curve[1:]) + test.curve[:-1]) / 2
    assert test.area == pytest.approx(middle.mean())


def test_a_seed_gives_the_same_test_again() -> None:
    model = Looks(8, 8, 20)

    assert outcome(model, seed=3) == outcome(model, seed=3)
    assert outcome(model, seed=3).random_mean != outcome(model, seed=4).random_mean


@pytest.mark.parametrize("grid", [2, 3, 5])
def test_small_grids_have_fewer_moves(grid: int) -> None:
    cover = Cover(prepared(noise()), grid)
    test = deletion_test(Blind(), cover, relevance(Blind(), cover, SEXUAL), orders=30)

    assert test.moved == min(30, grid * grid - 1)
    assert not test.beats_random


def test_one_order_has_no_spread() -> None:
    with pytest.raises(ValueError, match="spread"):
        outcome(Blind(), orders=1)


def test_both_kinds_of_chance_must_be_beaten() -> None:
    good = Deletion(0.1, 0.5, 0.1, 10, 1, 10, ())

    assert good.beats_random
    assert not replace(good, moved_as_good=2).beats_random
    assert not replace(good, random_mean=0.25).beats_random
    assert not replace(good, random_mean=0.1005, random_std=0.0).beats_random

"""Heads from a handful of images: what they learn, what they lean on, what they refuse to know."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from vedette.calibrate import sigmoid
from vedette.train.examples import Bools
from vedette.train.scarce.combination import combined
from vedette.train.scarce.discriminant import Float64
from vedette.train.scarce.shrunken import Prior, shrunken

DIM = 100


def draw(shots: int, seed: int, distance: float = 2.5) -> tuple[Float64, Bools, Float64]:
    """Points of two classes, their labels, and the true direction."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=DIM)
    truth /= np.linalg.norm(truth)
    y = np.repeat([False, True], shots)
    return rng.normal(size=(2 * shots, DIM)) + distance * y[:, None] * truth, y, truth


def loss(weights: Float64, scores: Float64, y: Bools) -> float:
    """The stated loss, from its definition."""
    unsafe, safe = int(y.sum()), int((~y).sum())
    p = sigmoid(scores @ weights)
    target = np.where(y, (unsafe + 1) / (unsafe + 2), 1 / (safe + 2))
    each = -(target * np.log(p) + (1 - target) * np.log(1 - p))
    return float(each[y].mean() + each[~y].mean()) / 2


@pytest.mark.parametrize("seed", range(6))
def test_the_combination_is_the_best_with_no_coefficient_below_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.random(40) < 0.4
    scores = rng.normal(size=(40, 2)) + y[:, None] * [1.0, [0.4, -1.0][seed % 2]] - 0.3
    found = combined([scores[:, 0], scores[:, 1]], y)
    best = minimize(
        loss, [0.5, 0.5], args=(scores, y), bounds=[(0, None)] * 2, options={"ftol": 1e-14}
    )

    assert min(found.coefficients) >= 0
    assert found.loss == pytest.approx(loss(np.array(found.coefficients), scores, y), abs=1e-12)
    assert found.loss == pytest.approx(best.fun, abs=1e-4)


def test_scores_that_are_wrong_get_no_weight() -> None:
    y = np.repeat([False, True], 10)

    assert combined([np.where(y, -1.0, 1.0)], y).coefficients == (0.0,)


def test_more_shots_and_a_prior_that_knows_tell_new_images_better() -> None:
    def accuracy(shots: int, *, prior: bool) -> float:
        hits = []
        for seed in range(8):
            x, y, truth = draw(shots, seed)
            hint = truth + np.random.default_rng(seed).normal(size=DIM) / np.sqrt(DIM)
            fit = shrunken(x, y, Prior(hint, "texts") if prior else None)
            rng = np.random.default_rng(1000 + seed)
            new = rng.normal(size=(400, DIM)) + 2.5 * np.repeat([0, 1], 200)[:, None] * truth
            hits.append(np.mean((new @ fit.weight + fit.bias > 0) == np.repeat([0, 1], 200)))
        return float(np.mean(hits))

    assert accuracy(64, prior=False) > accuracy(8, prior=False) + 0.05
    assert accuracy(8, prior=True) > accuracy(8, prior=False) + 0.03


def test_a_prior_of_noise_costs_next_to_nothing_with_enough_images() -> None:
    x, y, _ = draw(64, 1)
    noise = Prior(np.random.default_rng(2).normal(size=DIM), "texts")

    alone, leaning = shrunken(x, y), shrunken(x, y, noise)
    assert leaning.loss <= alone.loss
    assert leaning.prior < 0.3 * leaning.learned


def test_left_out_values_do_not_flatter() -> None:
    """On labels that mean nothing the training images look separable, the left-out ones do not."""
    rng = np.random.default_rng(5)
    fits = []
    for _ in range(10):
        x, y = rng.normal(size=(32, DIM)), np.repeat([False, True], 16)
        fit = shrunken(x, y)
        assert np.mean((x @ fit.weight + fit.bias > 0) == y) > 0.9
        fits.append(fit)
    assert np.mean([fit.loss for fit in fits]) > 0.63
    assert all(np.abs(sigmoid(fit.left_out) - 0.5).max() < 0.45 for fit in fits)


def test_a_head_that_learned_nothing_still_ranks_and_strays_little_from_one_half() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(16, DIM)), np.repeat([False, True], 8)
        fit = shrunken(x, y)
        if fit.loss == pytest.approx(np.log(2)):
            assert np.linalg.norm(fit.weight) > 0
            assert np.abs(fit.left_out).max() < 0.5
            return
    pytest.fail("no draw of noise was seen through")


def test_images_that_are_all_the_same_give_a_head_that_says_one_half() -> None:
    fit = shrunken(np.ones((16, 5)), np.repeat([False, True], 8))

    assert (fit.weight == 0).all()
    assert fit.bias == 0

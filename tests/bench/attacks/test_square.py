"""Square against ART's and torchattacks', and what its algorithm promises."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from tests.bench.attacks import strong
from tests.bench.attacks.strong import one_thread  # noqa: F401 - a fixture

from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.square import ATTACKS, QUERIES_PER_STEP, side

pytestmark = pytest.mark.usefixtures("one_thread")
(SQUARE,) = ATTACKS
COUNT = 120
STEPS = 20
"""1,000 queries: with fewer, a random search differs by many points from one start to the next."""
HARD = 9 / 255, 14 / 255


def robust(model: torch.nn.Module, budget: Budget) -> float:
    pixels, labels = strong.pictures(COUNT, 2)
    found = SQUARE.run(model, pixels, labels, budget, range(COUNT))
    return 1 - float(found.fooled.float().mean())


@pytest.mark.parametrize("eps", HARD)
def test_it_is_within_a_point_of_arts_or_stronger(eps: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies, while it is imported
        from art.attacks.evasion import SquareAttack
        from art.estimators.classification import PyTorchClassifier

    pixels, labels = strong.pictures(COUNT, 2)
    shape = (3, strong.SIZE, strong.SIZE)
    loss = torch.nn.CrossEntropyLoss()
    classifier = PyTorchClassifier(strong.cnn(), loss, shape, 2, clip_values=(0, 1))
    queries = STEPS * QUERIES_PER_STEP
    attack = SquareAttack(
        classifier, eps=eps, max_iter=queries, p_init=0.8, batch_size=COUNT, verbose=False
    )
    np.random.seed(0)  # ART draws from there
    moved = torch.from_numpy(attack.generate(pixels.numpy(), labels.numpy()))
    reference = float((strong.cnn()(moved).argmax(1) == labels).float().mean())

    assert robust(strong.cnn(), Budget(eps, STEPS)) <= reference + 0.01


@pytest.mark.parametrize("eps", HARD)
def test_it_is_within_a_point_of_the_published_code_or_stronger(eps: float) -> None:
    published = pytest.importorskip("torchattacks", reason="a port of AutoAttack's code")
    pixels, labels = strong.pictures(COUNT, 2)
    attack = published.Square(strong.cnn(), eps=eps, n_queries=STEPS * QUERIES_PER_STEP)
    moved = attack(pixels, labels)
    reference = float((strong.cnn()(moved).argmax(1) == labels).float().mean())

    assert robust(strong.cnn(), Budget(eps, STEPS)) <= reference + 0.01


def test_squares_shrink_as_the_paper_schedules() -> None:
    sides = [side(query, 10_000, 224, 224) for query in (1, 11, 51, 201, 501, 1001, 8001)]

    assert sides == [200, 142, 100, 71, 50, 35, 9]
    assert side(9_999, 10_000, 4, 4) == 1
    assert side(1, 5_000, 1, 9) == 1
    assert side(6, 5_000, 224, 224) == side(12, 10_000, 224, 224)


def test_it_needs_no_gradient() -> None:
    _, rounded = strong.MASKED["rounded"]
    _, detached = strong.MASKED["detached"]
    pixels, labels = strong.pictures(20, 2)

    found = SQUARE.run(detached(), pixels, labels, Budget(16 / 255, 4), range(20))

    assert found.backwards == 0
    assert found.fooled.any()
    assert robust(rounded(), Budget(16 / 255, 4)) < 0.7


def test_every_changed_pixel_is_as_far_as_it_may_be() -> None:
    pixels, labels = strong.pictures(20, 2)
    eps = 16 / 255

    found = SQUARE.run(strong.cnn(), pixels, labels, Budget(eps, 10), range(20))

    (changed,) = [found.pixels[found.fooled]]
    origin = pixels[found.fooled]
    at_bound = ((changed - origin).abs() - eps).abs() < 1e-6
    assert (at_bound | (changed == 0) | (changed == 1)).all()
    assert found.fooled.any()


def test_queries_are_counted_and_fooled_pictures_ask_none() -> None:
    pixels, labels = strong.pictures(10, 2)

    stands = SQUARE.run(strong.cnn(), pixels, labels, Budget(0.0, 2, restarts=2), range(10))
    wrong = SQUARE.run(strong.cnn(), pixels, 1 - labels, Budget(0.1), range(10))

    assert stands.forwards == 10 + 2 * 2 * QUERIES_PER_STEP * 10
    assert torch.equal(stands.pixels, pixels)
    assert wrong.forwards == 10
    assert wrong.fooled.all()


def test_what_one_picture_meets_does_not_depend_on_the_others() -> None:
    pixels, labels = strong.pictures(24, 2)
    budget = Budget(12 / 255, steps=7)  # more queries than are drawn in one go
    whole = SQUARE.run(strong.cnn(), pixels, labels, budget, range(24))
    half = SQUARE.run(strong.cnn(), pixels[12:], labels[12:], budget, range(12, 24))

    assert torch.equal(whole.fooled[12:], half.fooled)
    assert torch.equal(whole.pixels[12:], half.pixels)
    assert whole.fooled.any()
    assert not whole.fooled.all()


def test_the_official_bounds_are_kept() -> None:
    model = strong.Then(strong.cnn(), before=lambda pixels: (pixels + 3) / 6)
    pixels, labels = strong.pictures(20, 2)

    found = SQUARE.run(
        model, 6 * pixels - 3, labels, Budget(0.6, steps=4, low=-3, high=3), range(20)
    )

    assert float(found.pixels.min()) >= -3
    assert float(found.pixels.max()) <= 3
    assert float((found.pixels - (6 * pixels - 3)).abs().max()) <= 0.6 + 1e-5
    assert found.fooled.any()

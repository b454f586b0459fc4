"""What every attack must keep to, whatever it is."""

from __future__ import annotations

import pytest
import torch

from tests.bench.attacks.strong import (
    cnn,
    one_thread,  # noqa: F401 - a fixture
    pictures,
)
from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.registry import attack, names

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = names()
STEPS = 12
EVERY = pytest.mark.parametrize("name", NAMES)
BUDGETS = pytest.mark.parametrize(
    "budget",
    [Budget(2 / 255, STEPS), Budget(16 / 255, STEPS), Budget(0.1, STEPS, 2, low=-3, high=3)],
    ids=["small", "large", "normalised"],
)


@EVERY
@BUDGETS
def test_it_stays_within_budget_and_bounds(name: str, budget: Budget) -> None:
    pixels, labels = pictures(24, 3)
    before = pixels.clone()

    done = attack(name).run(cnn(), pixels, labels, budget, range(24))

    assert torch.equal(pixels, before)
    assert done.pixels.shape == pixels.shape
    assert done.pixels.dtype == torch.float32
    assert done.fooled.dtype == torch.bool
    assert done.pixels.min() >= budget.low
    assert done.pixels.max() <= budget.high
    if name != "gaussian":  # sigma is no bound
        assert (done.pixels - pixels).abs().max() <= budget.eps + 2e-6
    with torch.no_grad():
        wrong = cnn()(done.pixels).argmax(1) != labels
    assert torch.equal(done.fooled, wrong)
    assert torch.equal(done.pixels[~done.fooled], pixels[~done.fooled])


@EVERY
def test_a_picture_that_was_wrong_is_fooled_and_unchanged(name: str) -> None:
    pixels, labels = pictures(16, 4)
    with torch.no_grad():
        turned = cnn()(pixels).argmax(1) != labels
    labels = torch.where(torch.arange(16) < 8, 1 - labels, labels)
    wrong = torch.where(torch.arange(16) < 8, ~turned, turned)

    done = attack(name).run(cnn(), pixels, labels, Budget(1 / 255, STEPS), range(16))

    assert wrong.any()
    assert done.fooled[wrong].all()
    assert torch.equal(done.pixels[wrong], pixels[wrong])


@EVERY
def test_the_same_seed_gives_the_same_pixels(name: str) -> None:
    pixels, labels = pictures(12, 5)
    one, two = (
        attack(name).run(cnn(), pixels, labels, Budget(6 / 255, STEPS, 1), range(12))
        for _ in range(2)
    )

    assert torch.equal(one.pixels, two.pixels)
    assert (one.forwards, one.backwards) == (two.forwards, two.backwards)


@EVERY
def test_who_stands_beside_a_picture_changes_nothing(name: str) -> None:
    pixels, labels = pictures(12, 6)
    budget = Budget(4 / 255, STEPS)
    together = attack(name).run(cnn(), pixels, labels, budget, range(12))
    alone = [
        attack(name).run(cnn(), pixels[k : k + 1], labels[k : k + 1], budget, [k])
        for k in range(12)
    ]

    same = [bool(one.fooled[0]) == bool(together.fooled[k]) for k, one in enumerate(alone)]
    assert sum(same) >= 11  # sums in another order may decide a picture on the boundary


@EVERY
def test_pictures_already_fooled_cost_nothing_more(name: str) -> None:
    pixels, labels = pictures(8, 7)
    with torch.no_grad():
        labels = 1 - cnn()(pixels).argmax(1)

    done = attack(name).run(cnn(), pixels, labels, Budget(4 / 255, STEPS), range(8))

    assert done.fooled.all()
    assert done.forwards <= 8
    assert done.backwards == 0


@EVERY
def test_a_larger_budget_breaks_no_fewer(name: str) -> None:
    pixels, labels = pictures(24, 8)
    broken = [
        int(attack(name).run(cnn(), pixels, labels, Budget(k / 255, STEPS), range(24)).fooled.sum())
        for k in (1, 24)
    ]
    if name == "gaussian":  # no attack: it may break nothing, but is asked of every picture
        assert broken[1] <= 12
        return
    assert broken[1] >= broken[0]
    assert broken[1] >= 12


@EVERY
def test_an_empty_batch_is_no_error(name: str) -> None:
    pixels, labels = pictures(2, 9)
    done = attack(name).run(cnn(), pixels[:0], labels[:0], Budget(4 / 255, STEPS), [])

    assert len(done.pixels) == len(done.fooled) == done.forwards == 0

"""APGD against ART's and torchattacks', and what its algorithm promises."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from tests.bench.attacks import strong
from tests.bench.attacks.strong import Tensor, one_thread  # noqa: F401 - a fixture

from vedette.bench.attacks import apgd
from vedette.bench.attacks.base import Budget

pytestmark = pytest.mark.usefixtures("one_thread")
CE, MARGIN = apgd.ATTACKS
COUNT = 120


def robust(attack: Any, model: torch.nn.Module, budget: Budget, first: int = 0) -> float:
    pixels, labels = strong.pictures(COUNT, 2)
    found = attack.run(model, pixels, labels, budget, range(first, first + COUNT))
    return 1 - float(found.fooled.float().mean())


def art_robust(model: torch.nn.Module, eps: float, steps: int) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies, while it is imported
        from art.attacks.evasion import AutoProjectedGradientDescent
        from art.estimators.classification import PyTorchClassifier

    pixels, labels = strong.pictures(COUNT, 2)
    loss = torch.nn.CrossEntropyLoss()
    shape = (3, strong.SIZE, strong.SIZE)
    classifier = PyTorchClassifier(model, loss, shape, 2, clip_values=(0, 1))
    attack = AutoProjectedGradientDescent(
        classifier,
        eps=eps,
        eps_step=2 * eps,
        max_iter=steps,
        nb_random_init=1,
        batch_size=COUNT,
        loss_type="cross_entropy",
        verbose=False,
    )
    np.random.seed(0)  # ART draws from there
    moved = torch.from_numpy(attack.generate(pixels.numpy(), labels.numpy()))
    return float((model(moved).argmax(1) == labels).float().mean())


@pytest.mark.parametrize("attack", apgd.ATTACKS, ids=lambda attack: attack.name)
@pytest.mark.parametrize("eps", [3 / 255, 6 / 255])
def test_it_is_within_a_point_of_arts_or_stronger(attack: apgd.Apgd, eps: float) -> None:
    ours = robust(attack, strong.cnn(), Budget(eps, steps=25))

    assert ours <= art_robust(strong.cnn(), eps, steps=25) + 0.01


@pytest.mark.parametrize("eps", [3 / 255, 6 / 255])
def test_it_is_within_a_point_of_the_published_code_or_stronger(eps: float) -> None:
    published = pytest.importorskip("torchattacks", reason="a port of AutoAttack's code")
    pixels, labels = strong.pictures(COUNT, 2)
    moved = published.APGD(strong.cnn(), eps=eps, steps=25, n_restarts=1)(pixels, labels)
    reference = float((strong.cnn()(moved).argmax(1) == labels).float().mean())

    assert robust(CE, strong.cnn(), Budget(eps, steps=25)) <= reference + 0.01
    assert robust(MARGIN, strong.cnn(), Budget(eps, steps=25)) <= reference + 0.01


@pytest.mark.parametrize("attack", apgd.ATTACKS, ids=lambda attack: attack.name)
def test_a_linear_model_falls_exactly_where_it_can(attack: apgd.Apgd) -> None:
    model, eps = strong.linear(), 0.5 / 255
    pixels, labels = strong.pictures(COUNT, 2)
    normal = model[1].weight[1] - model[1].weight[0]  # type: ignore[index]
    sign = (1 - 2 * labels).view(-1, 1, 1, 1)
    worst = (pixels + eps * sign * normal.view(1, *pixels.shape[1:]).sign()).clamp(0, 1)
    possible = model(worst).argmax(1) != labels

    found = attack.run(model, pixels, labels, Budget(eps, steps=20), range(COUNT))

    assert 0 < int(possible.sum()) < COUNT
    assert torch.equal(found.fooled, possible)


def test_the_checkpoints_are_the_papers() -> None:
    assert list(apgd._checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(apgd._checkpoints(1)) == []
    assert list(apgd._checkpoints(3)) == [1, 2]


def test_steps_pictures_and_passes_are_counted() -> None:
    pixels, labels = strong.pictures(10, 2)
    found = CE.run(strong.cnn(), pixels, labels, Budget(0.0, steps=7, restarts=2), range(10))

    assert not found.fooled.any()
    assert torch.equal(found.pixels, pixels)
    assert found.backwards == 2 * 7 * 10
    assert found.forwards == 10 + 2 * (7 + 1) * 10


def test_fooled_pictures_cost_nothing_more() -> None:
    pixels, labels = strong.pictures(COUNT, 2)
    wrong = CE.run(strong.cnn(), pixels, 1 - labels, Budget(8 / 255), range(COUNT))
    easy = CE.run(strong.cnn(), pixels, labels, Budget(0.3), range(COUNT))

    assert (wrong.forwards, wrong.backwards) == (COUNT, 0)
    assert wrong.fooled.all()
    assert torch.equal(wrong.pixels, pixels)
    assert easy.fooled.all()
    assert easy.backwards < 0.5 * Budget(0.3).steps * COUNT


def test_more_restarts_find_no_less() -> None:
    one = robust(CE, strong.vit(), Budget(3 / 255, steps=5))
    more = robust(CE, strong.vit(), Budget(3 / 255, steps=5, restarts=4))

    assert more <= one


@pytest.mark.parametrize("attack", apgd.ATTACKS, ids=lambda attack: attack.name)
def test_nothing_assumes_pixels_from_0_to_1(attack: apgd.Apgd) -> None:
    def back(pixels: Tensor) -> Tensor:
        return (pixels + 3) / 6

    pixels, labels = strong.pictures(COUNT, 2)
    plain = attack.run(strong.cnn(), pixels, labels, Budget(4 / 255, 20), range(COUNT))
    moved = strong.Then(strong.cnn(), before=back)
    budget = Budget(6 * 4 / 255, 20, low=-3, high=3)
    wide = attack.run(moved, 6 * pixels - 3, labels, budget, range(COUNT))

    assert abs(int(plain.fooled.sum()) - int(wide.fooled.sum())) <= 1
    assert float(wide.pixels.min()) < -1
    assert float((wide.pixels - (6 * pixels - 3)).abs().max()) <= budget.eps + 1e-5


def test_what_one_picture_meets_does_not_depend_on_the_others() -> None:
    pixels, labels = strong.pictures(24, 2)
    whole = MARGIN.run(strong.cnn(), pixels, labels, Budget(4 / 255, 20), range(24))
    half = MARGIN.run(strong.cnn(), pixels[12:], labels[12:], Budget(4 / 255, 20), range(12, 24))

    assert torch.equal(whole.fooled[12:], half.fooled)
    assert torch.allclose(whole.pixels[12:], half.pixels, atol=1e-5)


def test_the_margin_moves_where_the_cross_entropy_has_no_gradient() -> None:
    _, model = strong.MASKED["huge-logits"]

    assert robust(MARGIN, model(), Budget(8 / 255, 30)) < 0.5
    assert robust(CE, model(), Budget(8 / 255, 30)) > 0.9

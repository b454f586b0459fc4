"""Each way to mask gradients sets off its caveat; honest models set off none."""

from __future__ import annotations

import pytest
import torch
from tests.bench.attacks import strong
from tests.bench.attacks.strong import one_thread  # noqa: F401 - a fixture

from vedette.bench.attacks import apgd, square
from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.checks import CODES, Outcome, check

pytestmark = pytest.mark.usefixtures("one_thread")
EPS = 8 / 255
WHITE = apgd.ATTACKS[0]
(BLACK,) = square.ATTACKS


def codes(model: torch.nn.Module, outcomes: tuple[Outcome, ...] = (), count: int = 16) -> list[str]:
    pixels, labels = strong.pictures(count, 3)
    found = check(model, pixels, labels, Budget(EPS), range(count), outcomes)
    assert all(caveat.message.endswith(".") for caveat in found)
    return [caveat.code for caveat in found]


def attacked(model: torch.nn.Module, steps: int = 6) -> tuple[Outcome, ...]:
    pixels, labels = strong.pictures(40, 3)
    outcomes = []
    for eps in (EPS / 2, EPS, 2 * EPS):
        for attack in (WHITE, BLACK):
            found = attack.run(model, pixels, labels, Budget(eps, steps), range(40))
            left = 1 - float(found.fooled.float().mean())
            outcomes.append(Outcome(attack.name, attack.white_box, eps, left, 40))
    return tuple(outcomes)


@pytest.mark.parametrize("name", strong.HONEST)
def test_an_honest_model_sets_off_none(name: str) -> None:
    model = strong.HONEST[name]()

    assert codes(model, attacked(model)) == []


@pytest.mark.parametrize("seed", range(4))
def test_an_honest_model_that_was_never_trained_sets_off_none(seed: int) -> None:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.LazyLinear(2),
    )

    assert codes(model.eval()) == []


@pytest.mark.parametrize("name", strong.MASKED)
def test_a_model_that_masks_its_gradients_sets_off_its_code(name: str) -> None:
    code, model = strong.MASKED[name]

    assert code in codes(model())


@pytest.mark.parametrize("name", ["rounded", "detached", "huge-logits"])
def test_a_black_box_that_does_better_is_told(name: str) -> None:
    _, model = strong.MASKED[name]

    assert "black-box-beats-white-box" in codes(model(), attacked(model()))


def test_a_layer_left_in_training_mode_is_random() -> None:
    model = torch.nn.Sequential(strong.cnn(), torch.nn.Dropout(0.3))

    assert codes(model)[0] == "random-forward"


def test_a_gradient_that_misleads_fails_even_without_bounds() -> None:
    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(_: object, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.clone()

        @staticmethod
        def backward(_: object, slope: torch.Tensor) -> torch.Tensor:
            return -slope

    model = strong.Then(strong.cnn(), before=Backwards.apply)

    assert codes(model) == ["unbounded-attack-fails"]


def test_a_model_that_decides_nothing_is_not_blamed_for_withstanding() -> None:
    def never(logits: torch.Tensor) -> torch.Tensor:
        return torch.stack([logits[:, 0].abs() + 1, logits[:, 1] * 0.01], 1)

    assert codes(strong.Then(strong.cnn(), never)) == []


def white(left: float, eps: float = EPS, attack: str = "pgd", n: int = 200) -> Outcome:
    return Outcome(attack, True, eps, left, n)


def black(left: float, eps: float = EPS, attack: str = "square", n: int = 200) -> Outcome:
    return Outcome(attack, False, eps, left, n)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([white(0.5), black(0.3)], ["black-box-beats-white-box"]),
        ([white(0.5), white(0.2, attack="fab"), black(0.3)], []),
        ([white(0.5), black(0.495)], []),  # one picture of 200
        ([white(0.5, n=20), black(0.45, n=20)], []),  # one of 20
        ([white(0.5, n=20), black(0.40, n=20)], ["black-box-beats-white-box"]),
        ([white(0.5), black(0.3, eps=2 * EPS)], []),
        ([white(0.5), black(0.3, attack="gaussian")], []),
        ([white(0.5, attack="fgsm"), black(0.3)], []),
        ([black(0.3)], []),
        ([white(0.5), white(0.7, eps=2 * EPS)], ["unbounded-attack-fails"]),
        ([white(0.5), white(0.505, eps=2 * EPS)], []),
        ([white(0.5), white(0.7, eps=2 * EPS), white(0.1, eps=2 * EPS, attack="fab")], []),
        ([white(0.5, attack="fgsm"), white(0.7, eps=2 * EPS, attack="fgsm")], []),
        ([white(0.0, n=0), black(0.0, n=0)], []),
    ],
)
def test_outcomes_are_held_against_each_other(outcomes: list[Outcome], expected: list[str]) -> None:
    nothing = torch.zeros(0, 3, 8, 8)

    found = check(strong.cnn(), nothing, torch.zeros(0).long(), Budget(EPS), [], outcomes)

    assert [caveat.code for caveat in found] == expected


def test_the_same_call_says_the_same() -> None:
    pixels, labels = strong.pictures(8, 3)
    _, model = strong.MASKED["rounded"]

    first = check(model(), pixels, labels, Budget(EPS), range(8))

    assert first == check(model(), pixels, labels, Budget(EPS), range(8))
    assert {caveat.code for caveat in first} <= set(CODES)


def test_the_official_bounds_change_nothing() -> None:
    pixels, labels = strong.pictures(8, 3)
    model = strong.Then(strong.cnn(), before=lambda pixels: (pixels + 3) / 6)

    assert check(model, 6 * pixels - 3, labels, Budget(0.01, low=-3, high=3), range(8)) == ()


def test_it_is_cheap_on_an_honest_model() -> None:
    pictures = 0

    def counted(pixels: torch.Tensor) -> torch.Tensor:
        nonlocal pictures
        pictures += len(pixels)
        return pixels

    assert codes(strong.Then(strong.cnn(), before=counted)) == []
    assert pictures < 30 * 16

"""FGSM, PGD and DeepFool against Foolbox and ART: the same model, pictures and budgets."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from tests.bench.attacks.strong import (
    Tensor,
    cnn,
    one_thread,  # noqa: F401 - a fixture
    pictures,
    vit,
)

from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.deepfool import DeepFool
from vedette.bench.attacks.fgsm import Fgsm
from vedette.bench.attacks.gaussian import Gaussian
from vedette.bench.attacks.pgd import Pgd
from vedette.bench.attacks.registry import attack, collect
from vedette.errors import UnknownNameError, UsageError

COUNT = 200
EPSES = tuple(k / 255 for k in (1, 2, 4, 8))
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def test_set() -> tuple[Tensor, Tensor]:
    return pictures(COUNT, 11)


def ours(one: Any, model: torch.nn.Module, data: tuple[Tensor, Tensor], eps: float) -> float:
    budget = Budget(eps, 40)
    return 1 - float(one.run(model, *data, budget, range(COUNT)).fooled.float().mean())


def foolboxes(attack_of: Any, model: torch.nn.Module, data: tuple[Tensor, Tensor]) -> list[float]:
    foolbox = pytest.importorskip("foolbox")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        torch.manual_seed(0)
        _, _, broken = attack_of(foolbox)(bounded, *data, epsilons=list(EPSES))
    return [1 - float(one.float().mean()) for one in broken]


CASES: dict[str, tuple[Any, Any]] = {
    "fgsm": (Fgsm(), lambda fb: fb.attacks.LinfFastGradientAttack(random_start=False)),
    "pgd": (
        Pgd(relative_step=0.05),
        lambda fb: fb.attacks.LinfPGD(rel_stepsize=0.05, steps=40, random_start=True),
    ),
    "deepfool": (
        DeepFool(),
        lambda fb: fb.attacks.LinfDeepFoolAttack(steps=40, overshoot=0.02, loss="logits"),
    ),
}


@pytest.mark.parametrize("model", [cnn, vit], ids=["cnn", "vit"])
@pytest.mark.parametrize("name", CASES)
def test_robust_accuracy_is_foolboxs(
    test_set: tuple[Tensor, Tensor], name: str, model: Any
) -> None:
    one, theirs = CASES[name]

    expected = foolboxes(theirs, model(), test_set)
    found = [ours(one, model(), test_set, eps) for eps in EPSES]

    assert max(found) - min(found) > 0.05  # the budgets tell something
    for eps, a, b in zip(EPSES, found, expected, strict=True):
        assert a <= b + 0.0101, (name, eps, found, expected)
        if name == "fgsm":
            assert abs(a - b) <= 0.0101, (eps, found, expected)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_robust_accuracy_is_arts(test_set: tuple[Tensor, Tensor], name: str) -> None:
    pytest.importorskip("art")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescentPyTorch
        from art.estimators.classification import PyTorchClassifier

        classifier = PyTorchClassifier(
            cnn(),
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=tuple(test_set[0].shape[1:]),
            nb_classes=2,
            clip_values=(0, 1),
            device_type="cpu",
        )
        for eps in EPSES:
            if name == "fgsm":
                theirs = FastGradientMethod(classifier, eps=eps)
            else:
                theirs = ProjectedGradientDescentPyTorch(
                    classifier, eps=eps, eps_step=eps / 20, max_iter=40, verbose=False
                )
            moved = torch.from_numpy(theirs.generate(test_set[0].numpy(), y=test_set[1].numpy()))
            with torch.no_grad():
                expected = float((cnn()(moved).argmax(1) == test_set[1]).float().mean())
            own = Fgsm() if name == "fgsm" else Pgd(relative_step=0.05)
            assert ours(own, cnn(), test_set, eps) <= expected + 0.0101


def test_deepfool_finds_the_boundary_of_a_linear_model_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3 * 6 * 6, generator=generator)

    class Linear(torch.nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            z = (pixels - 0.5).flatten(1) @ weight
            return torch.stack([torch.zeros_like(z), z], 1)

    pixels = 0.5 + 0.02 * torch.randn(64, 3, 6, 6, generator=generator)
    z = Linear()(pixels)[:, 1]
    distance = z.abs() / weight.abs().sum()
    labels = (z > 0).long()

    for eps in (0.001, 0.002, 0.004):
        done = DeepFool().run(Linear(), pixels, labels, Budget(eps, 50), range(64))
        reachable = distance * 1.02 + 1e-5 <= eps
        too_far = distance > eps
        assert done.fooled[reachable].all()
        assert not done.fooled[too_far].any()
        assert 0 < int(done.fooled.sum()) < 64


def test_bf16_leads_and_fp32_counts(test_set: tuple[Tensor, Tensor]) -> None:
    exact = ours(Pgd(), vit(), test_set, 4 / 255)
    done = Pgd(precision="bf16").run(vit(), *test_set, Budget(4 / 255, 40), range(COUNT))
    with torch.no_grad():
        wrong = vit()(done.pixels).argmax(1) != test_set[1]

    assert torch.equal(done.fooled, wrong)
    assert 1 - float(done.fooled.float().mean()) <= exact + 0.0101


def test_early_removal_saves_passes(test_set: tuple[Tensor, Tensor]) -> None:
    far = Pgd().run(vit(), *test_set, Budget(16 / 255, 40), range(COUNT))
    near = Pgd().run(vit(), *test_set, Budget(0.05 / 255, 40), range(COUNT))

    assert far.fooled.float().mean() > 0.9
    assert far.backwards < 0.5 * near.backwards
    assert near.backwards <= 40 * COUNT


def test_noise_has_the_given_sigma() -> None:
    pixels = torch.full((4, 3, 64, 64), 0.5)
    labels = torch.zeros(4, dtype=torch.int64)
    seen: list[Tensor] = []

    class Looking(torch.nn.Module):
        def forward(self, given: Tensor) -> Tensor:
            seen.append(given)
            return torch.tensor([[1.0, 0.0]]).expand(len(given), 2)

    done = Gaussian().run(Looking(), pixels, labels, Budget(8 / 255, restarts=3), range(4))

    assert not done.fooled.any()
    assert len(seen) == 4  # one look before, three draws
    for draw in seen[1:]:
        assert abs(float((draw - pixels).std()) - 8 / 255) < 0.001
    assert not torch.equal(seen[1], seen[2])


def test_names_are_known_or_suggested() -> None:
    assert attack("pgd").white_box
    assert not attack("square").white_box
    with pytest.raises(UnknownNameError, match="pgd"):
        attack("pgdd")
    with pytest.raises(UsageError, match="two attacks"):
        collect([Fgsm(), Fgsm()])

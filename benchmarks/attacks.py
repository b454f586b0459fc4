"""Attacks beside Foolbox's and ART's: the same network, pictures, budget and threads.

Usage: python benchmarks/attacks.py [--rounds 3] [--steps 100] [--batch 8] [--threads 2]

The network is a ViT-tiny/16 at 224 px with random weights. First with a budget so small that no
picture falls, so that every attack does all its steps; then with budgets at which pictures fall,
which is where early removal counts. Success is judged by the float32 network for everybody.

Peers get the network as their documentation shows it, in eval mode, and once more with its weights
frozen: then their backward pass computes no gradients of weights that nobody wants.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from transformers import ViTConfig, ViTForImageClassification

from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.deepfool import DeepFool
from vedette.bench.attacks.fgsm import Fgsm
from vedette.bench.attacks.pgd import Pgd

warnings.simplefilter("ignore")
Tensor = torch.Tensor
Run = Callable[[Tensor, Tensor], Tensor]
TINY = 1e-7
"""A budget at which nothing falls."""
STEP = 0.025
"""Of a step of PGD, in budgets."""


class Network(torch.nn.Module):
    """Pixels in 0..1 to two logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = ViTConfig(
            hidden_size=192,
            num_hidden_layers=12,
            num_attention_heads=3,
            intermediate_size=768,
            num_labels=2,
        )
        self.vit = ViTForImageClassification(config)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.vit((pixels - 0.5) / 0.5).logits
        return logits


def ours(model: torch.nn.Module, attack: Any, budget: Budget) -> Run:
    frozen = deepcopy(model).requires_grad_(False)

    def run(pixels: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = attack.run(frozen, pixels, labels, budget, range(len(pixels))).pixels
        return found

    return run


def foolboxes(model: torch.nn.Module, name: str, budget: Budget) -> Run:
    import foolbox as fb

    attack = {
        "pgd": fb.attacks.LinfPGD(rel_stepsize=STEP, steps=budget.steps, random_start=True),
        "fgsm": fb.attacks.LinfFastGradientAttack(random_start=False),
        "deepfool": fb.attacks.LinfDeepFoolAttack(steps=budget.steps, loss="logits"),
    }[name]
    wrapped = fb.PyTorchModel(model, bounds=(0, 1), device="cpu")

    def run(pixels: Tensor, labels: Tensor) -> Tensor:
        _, moved, _ = attack(wrapped, pixels, labels, epsilons=budget.eps)
        found: Tensor = moved
        return found

    return run


def arts(model: torch.nn.Module, name: str, budget: Budget, batch: int) -> Run:
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    wrapped = PyTorchClassifier(
        model,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=(3, 224, 224),
        nb_classes=2,
        clip_values=(0, 1),
        device_type="cpu",
    )
    if name == "fgsm":
        attack = FastGradientMethod(wrapped, eps=budget.eps, batch_size=batch)
    else:
        attack = ProjectedGradientDescentPyTorch(
            wrapped,
            eps=budget.eps,
            eps_step=STEP * budget.eps,
            max_iter=budget.steps,
            num_random_init=1,
            batch_size=batch,
            verbose=False,
        )

    def run(pixels: Tensor, labels: Tensor) -> Tensor:
        return torch.from_numpy(attack.generate(pixels.numpy(), y=labels.numpy()))

    return run


def measured(
    model: torch.nn.Module,
    contenders: dict[str, Run],
    batch: tuple[Tensor, Tensor],
    rounds: int,
) -> None:
    """Each in turn, ``rounds`` times; the last contender is what ratios refer to."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    success: dict[str, float] = {}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            moved = run(*batch)
            seconds[name].append(time.perf_counter() - started)
            with torch.no_grad():
                success[name] = float((model(moved).argmax(1) != batch[1]).float().mean())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        each = medians[name] / len(batch[0])
        spread = f"{min(values) / len(batch[0]):.3f} to {max(values) / len(batch[0]):.3f}"
        ratios = "  ".join(
            f"{medians[other] / medians[name]:.2f} x {other}"
            for other in contenders
            if not other.startswith("vedette")
        )
        told = f"{each:.3f} s/image ({spread}), success {success[name]:.2f}"
        print(f"  {name:<22} {told}" + (f"   {ratios}" if name.startswith("vedette") else ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = Network().eval()
    frozen = deepcopy(model).requires_grad_(False)
    rng = np.random.default_rng(0)
    smooth = torch.from_numpy(rng.random((given.batch, 3, 14, 14), np.float32))
    pixels = torch.nn.functional.interpolate(smooth, size=224, mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        labels = model(pixels).argmax(1)
    batch = (pixels, labels)

    budget = Budget(TINY, given.steps)
    print(f"PGD-{given.steps}, batch {given.batch}, no picture falls")
    measured(
        frozen,
        {
            "vedette fp32": ours(model, Pgd(relative_step=STEP), budget),
            "vedette bf16": ours(model, Pgd(relative_step=STEP, precision="bf16"), budget),
            "foolbox": foolboxes(model, "pgd", budget),
            "foolbox, frozen": foolboxes(frozen, "pgd", budget),
            "art": arts(model, "pgd", budget, given.batch),
            "art, frozen": arts(frozen, "pgd", budget, given.batch),
        },
        batch,
        given.rounds,
    )
    for eps in (0.25 / 255, 1 / 255, 4 / 255):
        budget = Budget(eps, given.steps)
        print(f"PGD-{given.steps}, eps {255 * eps:g}/255, with early removal")
        measured(
            frozen,
            {
                "vedette fp32": ours(model, Pgd(relative_step=STEP), budget),
                "vedette bf16": ours(model, Pgd(relative_step=STEP, precision="bf16"), budget),
                "foolbox, frozen": foolboxes(frozen, "pgd", budget),
            },
            batch,
            1,
        )
    budget = Budget(1 / 255, given.steps)
    print("FGSM, eps 1/255")
    measured(
        frozen,
        {
            "vedette fp32": ours(model, Fgsm(), budget),
            "foolbox": foolboxes(model, "fgsm", budget),
            "foolbox, frozen": foolboxes(frozen, "fgsm", budget),
            "art": arts(model, "fgsm", budget, given.batch),
        },
        batch,
        4 * given.rounds + 1,
    )
    print(f"DeepFool, at most {given.steps} steps, eps 1/255")
    measured(
        frozen,
        {
            "vedette fp32": ours(model, DeepFool(), budget),
            "foolbox": foolboxes(model, "deepfool", budget),
            "foolbox, frozen": foolboxes(frozen, "deepfool", budget),
        },
        batch,
        4 * given.rounds + 1,
    )


if __name__ == "__main__":
    main()

"""Robust accuracy that APGD, FAB and Square leave, beside ART's and torchattacks'.

Usage: python benchmarks/attack_strength.py

On the small convolutional network and the 120 drawn pictures of the tests, one thread, the same
budgets: 50 gradients or 1,000 queries; the mean of five starts. torchattacks is a port of
AutoAttack's published code; where it is not installed, its column is empty.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, SquareAttack
from art.estimators.classification import PyTorchClassifier

from vedette.bench.attacks import apgd, fab, square
from vedette.bench.attacks.base import Attack, Budget
from vedette.extras import available, require

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.bench.attacks import strong

COUNT = 120
GRADIENTS, QUERIES = 50, 1_000
STARTS = 5


class Strength:
    """The model, the pictures, and what each library's attack leaves of them."""

    def __init__(self) -> None:
        self.model = strong.cnn()
        self.pixels, self.labels = strong.pictures(COUNT, 2)
        loss, shape = torch.nn.CrossEntropyLoss(), (3, strong.SIZE, strong.SIZE)
        self.wrapped = PyTorchClassifier(self.model, loss, shape, 2, clip_values=(0, 1))

    def left(self, moved: Any) -> float:
        return float((self.model(moved).argmax(1) == self.labels).float().mean())

    def vedette(self, attack: Attack, eps: float, start: int) -> float:
        steps = GRADIENTS if attack.white_box else QUERIES // square.QUERIES_PER_STEP
        seeds = [1_000 * start + k for k in range(COUNT)]
        done = attack.run(self.model, self.pixels, self.labels, Budget(eps, steps), seeds)
        return self.left(done.pixels)

    def art(self, name: str, eps: float, start: int) -> float | None:
        np.random.seed(start)
        if name == "fab":
            return None
        attack: Any
        if name == "square":
            attack = SquareAttack(
                self.wrapped,
                eps=eps,
                max_iter=QUERIES,
                p_init=0.8,
                batch_size=COUNT,
                verbose=False,
            )
        else:
            attack = AutoProjectedGradientDescent(
                self.wrapped,
                eps=eps,
                eps_step=2 * eps,
                max_iter=GRADIENTS,
                nb_random_init=1,
                batch_size=COUNT,
                loss_type="cross_entropy",
                verbose=False,
            )
        return self.left(
            torch.from_numpy(attack.generate(self.pixels.numpy(), self.labels.numpy()))
        )

    def published(self, name: str, eps: float, start: int) -> float | None:
        if not available("torchattacks"):
            return None
        library = require("torchattacks", extra="dev")
        if name == "square":
            attack = library.Square(self.model, eps=eps, n_queries=QUERIES, seed=start)
        elif name == "fab":
            attack = library.FAB(self.model, eps=eps, steps=GRADIENTS, n_classes=2)
        else:
            attack = library.APGD(self.model, eps=eps, steps=GRADIENTS, n_restarts=1)
        return self.left(attack(self.pixels, self.labels))


def mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):7.1%}" if known else "      –"


def main() -> None:
    torch.set_num_threads(1)
    strength = Strength()
    print("attack       eps       Vedette      ART  torchattacks")
    for eps in (k / 255 for k in (2, 4, 6)):
        for attack in (*apgd.ATTACKS, *fab.ATTACKS, *square.ATTACKS):
            starts = range(STARTS)
            ours = mean([strength.vedette(attack, eps, start) for start in starts])
            art = mean([strength.art(attack.name, eps, start) for start in starts])
            theirs = mean([strength.published(attack.name, eps, start) for start in starts])
            print(f"{attack.name:12} {eps * 255:4.0f}/255  {ours}  {art}  {theirs}", flush=True)


if __name__ == "__main__":
    main()

"""The loss leaves out what is not known, and weighs classes as it is told to."""

from __future__ import annotations

import numpy as np
import torch

from vedette.train.finetune.loss import bce
from vedette.train.weighing import weighing

TARGETS = np.array([[1, 0], [0, 0], [0, 1], [0, 0], [1, 0]], dtype=np.bool_)
KNOWN = np.array([[1, 1], [1, 1], [1, 1], [1, 0], [0, 1]], dtype=np.bool_)


def test_unknown_labels_change_nothing() -> None:
    weights = torch.from_numpy(weighing(TARGETS, KNOWN, "none").of(TARGETS, KNOWN))
    targets = torch.from_numpy(TARGETS).float()
    logits = torch.randn(TARGETS.shape, generator=torch.Generator().manual_seed(1))
    other = torch.where(torch.from_numpy(KNOWN), logits, logits + 7)

    assert bce(logits, targets, weights) == bce(other, targets, weights)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[KNOWN], targets[KNOWN], reduction="sum"
    )
    torch.testing.assert_close(bce(logits, targets, weights), plain)


def test_smoothing_moves_targets_towards_the_middle() -> None:
    one = torch.ones(1, 1)
    smooth = bce(torch.full((1, 1), 2.0), one, one, 0.2)

    p = torch.sigmoid(torch.tensor(2.0))
    torch.testing.assert_close(smooth, -(0.9 * p.log() + 0.1 * (1 - p).log()))

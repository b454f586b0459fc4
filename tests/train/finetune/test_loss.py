"""The loss leaves out what is not known, and weighs classes as it is told to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from vedette.train.finetune.loss import bce, entry_weights

TARGETS = np.array([[1, 0], [0, 0], [0, 1], [0, 0], [1, 0]], dtype=np.bool_)
KNOWN = np.array([[1, 1], [1, 1], [1, 1], [1, 0], [0, 1]], dtype=np.bool_)


def test_unknown_labels_change_nothing() -> None:
    weights = torch.from_numpy(entry_weights(TARGETS, KNOWN, "none"))
    targets = torch.from_numpy(TARGETS).float()
    logits = torch.randn(TARGETS.shape, generator=torch.Generator().manual_seed(1))
    other = torch.where(torch.from_numpy(KNOWN), logits, logits + 7)

    assert bce(logits, targets, weights) == bce(other, targets, weights)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[KNOWN], targets[KNOWN], reduction="sum"
    )
    torch.testing.assert_close(bce(logits, targets, weights), plain)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    weights = entry_weights(TARGETS, KNOWN, "balanced")

    for k in range(2):
        mine = KNOWN[:, k]
        theirs = compute_class_weight(
            "balanced", classes=np.array([False, True]), y=TARGETS[mine, k]
        )
        np.testing.assert_allclose(
            weights[mine, k], theirs[TARGETS[mine, k].astype(int)], rtol=1e-6
        )
        np.testing.assert_array_equal(weights[~mine, k], 0)
        # Both sides weigh the same.
        sides = [weights[mine & (TARGETS[:, k] == side), k].sum() for side in (True, False)]
        assert sides[0] == pytest.approx(sides[1])


def test_smoothing_moves_targets_towards_the_middle() -> None:
    one = torch.ones(1, 1)
    smooth = bce(torch.full((1, 1), 2.0), one, one, 0.2)

    p = torch.sigmoid(torch.tensor(2.0))
    torch.testing.assert_close(smooth, -(0.9 * p.log() + 0.1 * (1 - p).log()))

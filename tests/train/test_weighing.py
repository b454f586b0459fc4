"""What is not known weighs nothing, and classes weigh as scikit-learn has it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from vedette.train.weighing import ClassWeights, weighing

TARGETS = np.array([[1, 0], [0, 0], [0, 1], [0, 0], [1, 0]], dtype=np.bool_)
KNOWN = np.array([[1, 1], [1, 1], [1, 1], [1, 0], [0, 1]], dtype=np.bool_)


@pytest.mark.parametrize("given", ["none", "balanced"])
def test_what_is_not_known_weighs_nothing(given: ClassWeights) -> None:
    weights = weighing(TARGETS, KNOWN, given).of(TARGETS, KNOWN)

    assert weights.dtype == np.float32
    assert ((weights > 0) == KNOWN).all()
    if given == "none":
        assert (weights[KNOWN] == 1).all()


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    weights = weighing(TARGETS, KNOWN, "balanced").of(TARGETS, KNOWN)

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


def test_a_class_that_is_not_there_divides_by_nothing() -> None:
    none = np.zeros_like(TARGETS)

    found = weighing(none, KNOWN, "balanced")

    assert np.isfinite(found.safe).all()
    assert np.isfinite(found.unsafe).all()

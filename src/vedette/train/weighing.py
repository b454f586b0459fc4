"""How much safe and unsafe images of a label count in its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vedette.train.examples import Bools
from vedette.types import Float32

ClassWeights = Literal["none", "balanced"]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Weighing:
    """How much an image of each class counts for each label."""

    safe: Float64
    """float64 [labels]"""
    unsafe: Float64
    """float64 [labels]"""

    def of(self, targets: Bools, known: Bools) -> Float32:
        """float32 [n, labels]: 0 where an image's class is not known.

        Args:
            targets: bool [n, labels].
            known: bool [n, labels].
        """
        weights = np.where(targets, self.unsafe, self.safe)
        return (known * weights).astype(np.float32)


def weighing(targets: Bools, known: Bools, given: ClassWeights) -> Weighing:
    """What images count for in the loss of each label.

    ``balanced`` gives both classes of a label the same sum, n / (2 * images of the class), as
    scikit-learn's ``class_weight="balanced"`` does; n are the images whose class is known.

    Args:
        targets: bool [n, labels], of the images that are learned from.
        known: bool [n, labels].
        given: see above; ``none``: all count 1.
    """
    ones = np.ones(targets.shape[1])
    if given == "none":
        return Weighing(ones, ones)
    n = known.sum(axis=0)
    unsafe = (known & targets).sum(axis=0)
    return Weighing(n / np.maximum(2 * (n - unsafe), 1), n / np.maximum(2 * unsafe, 1))

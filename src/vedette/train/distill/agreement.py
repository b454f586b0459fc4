"""How far a student says what its teacher says."""

from __future__ import annotations

from typing import Any

import numpy as np

from vedette.bench.predictions import SHIPPED
from vedette.train.examples import Bools
from vedette.types import Float32


def agreement(teacher: Float32, student: Float32, labels: tuple[str, ...]) -> dict[str, Any]:
    """Shares of equal decisions and mean distances, as JSON values; None where there is no image.

    Args:
        teacher: float32 [n, labels], 0..1.
        student: the same, before calibration.
        labels: their names.
    """
    same = (teacher >= SHIPPED) == (student >= SHIPPED)
    apart = np.abs(teacher.astype(np.float64) - student)
    flags: tuple[Bools, Bools] = (
        np.any(teacher >= SHIPPED, axis=1),
        np.any(student >= SHIPPED, axis=1),
    )
    return {
        "images": len(teacher),
        "equal_decisions": _mean(flags[0] == flags[1]),
        "kappa": _kappa(flags[0], flags[1]),
        "mean_distance": _mean(apart),
        "labels": {
            label: {
                "equal_decisions": _mean(same[:, k]),
                "kappa": _kappa(teacher[:, k] >= SHIPPED, student[:, k] >= SHIPPED),
                "mean_distance": _mean(apart[:, k]),
                "teacher_flags": _mean(teacher[:, k] >= SHIPPED),
            }
            for k, label in enumerate(labels)
        },
    }


def _kappa(one: Bools, other: Bools) -> float | None:
    """Cohen's kappa: agreement beyond what the two shares of flagged images give by chance.

    0 for a student that flags nothing, however rarely its teacher flags; None where both say one
    thing about all images.
    """
    if not len(one):
        return None
    a, b = float(one.mean()), float(other.mean())
    chance = a * b + (1 - a) * (1 - b)
    return None if chance == 1 else round((float((one == other).mean()) - chance) / (1 - chance), 4)


def _mean(values: Any) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None

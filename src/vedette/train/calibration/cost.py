"""The threshold of least cost, where a miss costs so many times a false alarm."""

from __future__ import annotations

import math

import numpy as np

from vedette.train.calibration.thresholds import SHIPPED, Asked, Chosen, Float64

LEAST = 10
"""Images on either side: with fewer the least cost is chance."""


def for_cost(safe: Float64, bad: Float64, asked: Asked) -> Chosen:
    """The threshold of least expected cost for an image, in false alarms.

    The cost of a threshold is ``ratio * base_rate * miss rate + (1 - base_rate) * FPR``. It neither
    rises nor falls with the threshold, so no order statistic bounds it, and the threshold that
    did best on these images flatters itself. Of all those within one standard error of the best
    (Breiman et al. 1984) the one is taken that is nearest to ``1 / (1 + ratio)``, which is the best
    one where probabilities hold (Elkan 2001). What is promised holds for whatever threshold is
    chosen: a bound on its cost by the uniform distance of both distributions from what was seen
    (Dvoretzky, Kiefer and Wolfowitz, with Massart's constant, 1990).

    Args:
        safe: float64 [n], rising: probabilities as Records state them.
        bad: float64 [m], rising: those of unsafe images.
        asked: see there; its target is a cost.
    """
    n, m, ratio = len(safe), len(bad), asked.target.value
    best_in_theory = float(np.clip(round(1 / (1 + ratio), 6), 1e-6, 1.0))
    if min(n, m) < LEAST:
        told = (
            f"nothing is promised on {m:,} unsafe and {n:,} safe images: {LEAST} of each are "
            f"needed; {best_in_theory:g} is best where probabilities hold"
            if m + n
            else f"nothing is promised: no image to choose by, {LEAST} of each class are needed"
        )
        return Chosen(best_in_theory if m + n else SHIPPED, told, False, n + m)
    rate = m / (n + m) if asked.base_rate is None else asked.base_rate
    of_miss, of_alarm = ratio * rate, 1 - rate
    thresholds = np.unique(np.concatenate([safe, bad, [best_in_theory, 1.0]]))
    thresholds = thresholds[thresholds > 0]
    misses = np.searchsorted(bad, thresholds, side="left") / m
    alarms = 1 - np.searchsorted(safe, thresholds, side="left") / n
    costs = of_miss * misses + of_alarm * alarms
    best = int(costs.argmin())
    between_bad, between_safe = np.abs(misses - misses[best]), np.abs(alarms - alarms[best])
    error = np.sqrt(
        of_miss**2 * between_bad * (1 - between_bad) / m
        + of_alarm**2 * between_safe * (1 - between_safe) / n
    )
    alike = np.flatnonzero(costs - costs[best] <= error)
    at = int(alike[np.abs(thresholds[alike] - best_in_theory).argmin()])
    # One tail of each of the two, so that both hold together.
    tail = math.log(2 / (1 - asked.confidence)) / 2
    most = costs[at] + of_miss * math.sqrt(tail / m) + of_alarm * math.sqrt(tail / n)
    told = (
        f"a cost of {costs[at]:.4g} false alarms per image at a base rate of {rate:.3g} on {m:,} "
        f"unsafe and {n:,} safe images, with {100 * asked.confidence:.3g} % confidence at most "
        f"{min(most, of_miss + of_alarm):.4g}"
    )
    return Chosen(float(thresholds[at]), told, True, n + m)

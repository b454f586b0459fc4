"""Thresholds that keep what a user asks for, with a guarantee for finite samples.

FPR and recall: the threshold is an order statistic of the scores of the safe, or of the unsafe,
images. Of n exchangeable scores with k allowed above it, the share of all images above the
(k + 1)-th largest is at most Beta(k + 1, n - k) distributed, whatever the scores' distribution and
however many of them are tied; k is the largest number for which that stays below the target with
the confidence asked for. This is the Clopper-Pearson bound (1934) used to choose; and because the
bound belongs to the order statistic itself, choosing costs nothing. It is the conformal
predictor's guarantee given its calibration set (Vovk, "Conditional validity of inductive conformal
predictors", ACML 2012), and what Learn-then-Test (Angelopoulos et al. 2021) comes to for one
monotone risk, where hypotheses are tested in the order of falling thresholds.

Cost is no monotone function of the threshold: see :mod:`vedette.train.calibration.cost`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.train.calibration.targets import Target
from vedette.types import SCORE_DECIMALS, Float32

CONFIDENCE = 0.95
SHIPPED = 0.5
"""Where there is nothing to choose by."""
_STEPS = 10.0**SCORE_DECIMALS
_STEP = 1 / _STEPS
"""Between two scores of Records."""
_UNSURE = 1e-6
"""Nearer than this to the middle of two steps, a product of floats does not tell the nearer."""
Bools = NDArray[np.bool_]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A threshold, and what it promises."""

    value: float
    """Flagged is what reaches it, 0..1."""
    promised: str
    """In one sentence, for a person: what holds, how surely, on how many labels it rests."""
    kept: bool
    """Whether the target could be promised. False: too few labels, and this is the best there
    is."""
    n: int
    """Labels that it rests on."""

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {"value": self.value, "promised": self.promised, "kept": self.kept, "n": self.n}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a threshold is chosen for."""

    target: Target
    confidence: float = CONFIDENCE
    """0..1: how surely the target is kept; over the draw of the labelled images."""
    base_rate: float | None = None
    """Share of unsafe images where the threshold will be used; None: as among the labels. FPR and
    recall do not depend on it, costs do."""


def recorded(p: Float32) -> Float64:
    """Probabilities as a Record states them and a policy judges them: float64 [n], rounded.

    What :func:`round` gives: numpy's own rounding differs from it near the middle of two steps.
    """
    given = np.asarray(p, dtype=np.float64)
    steps = given * _STEPS
    out = np.rint(steps) / _STEPS
    for at in np.flatnonzero(np.abs(steps - np.floor(steps) - 0.5) < _UNSURE):
        out[at] = round(float(given[at]), SCORE_DECIMALS)
    return out


def choose(p: Float32, unsafe: Bools, asked: Asked) -> Chosen:
    """The threshold for one label.

    Args:
        p: float32 [n]: probabilities of exchangeable images (of near-duplicates only one), by a
            curve that does not fall, or as they are. That the curve was fitted on the same images
            takes nothing from the promise: it changes no order.
        unsafe: bool [n]
        asked: see there.
    """
    q = recorded(p)
    safe, bad = np.sort(q[~unsafe]), np.sort(q[unsafe])
    if asked.target.kind == "fpr":
        return _for_fpr(safe, asked)
    if asked.target.kind == "recall":
        return _for_recall(bad, asked)
    from vedette.train.calibration.cost import for_cost

    return for_cost(safe, bad, asked)


def allowed(n: int, rate: float, confidence: float) -> int:
    """How many of n may be on the wrong side, so that the true rate is surely at most ``rate``.

    The largest k with P(Binomial(n, rate) <= k) <= 1 - confidence; -1 where there is none.
    """
    low, high = -1, n - 1  # all n on the wrong side bounds nothing
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if _at_most(middle, n, rate) <= 1 - confidence else (low, middle - 1)
        )
    return low


def needed(rate: float, confidence: float) -> int:
    """The fewest images by which a rate can be promised: none of them on the wrong side."""
    return max(1, math.ceil(math.log(1 - confidence) / math.log1p(-rate) - 1e-9))


def bound(wrong: int, n: int, confidence: float) -> float:
    """Clopper-Pearson: the highest rate that so many wrong of n do not rule out, 0..1."""
    if wrong >= n:
        return 1.0
    low, high = wrong / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(wrong, n, middle) > 1 - confidence else (low, middle)
    return high


def _for_fpr(safe: Float64, asked: Asked) -> Chosen:
    rate, confidence, n = asked.target.value, asked.confidence, len(safe)
    if not n:
        return _blind("safe", asked)
    k = allowed(n, rate, confidence)
    # Above the (k + 1)-th largest: one step of what a Record can state.
    value = round(float(safe[n - 1 - max(k, 0)]) + _STEP, SCORE_DECIMALS)
    if value > 1:
        told = (
            f"FPR <= {_percent(rate)} cannot be had: {int((safe >= 1).sum())} of {n:,} safe images "
            "have the highest score there is"
        )
        return Chosen(1.0, told, False, n)
    flagged = int((safe >= value).sum())
    if k < 0:
        told = (
            f"FPR <= {_percent(bound(0, n, confidence))} with {_percent(confidence)} confidence on "
            f"{n:,} safe images, none of them flagged: {needed(rate, confidence):,} are needed "
            f"to promise {_percent(rate)}"
        )
        return Chosen(value, told, False, n)
    told = (
        f"FPR <= {_percent(rate)} with {_percent(confidence)} confidence on {n:,} safe images, "
        f"{flagged:,} of them flagged"
    )
    return Chosen(value, told, True, n)


def _for_recall(bad: Float64, asked: Asked) -> Chosen:
    rate, confidence, n = 1 - asked.target.value, asked.confidence, len(bad)
    if not n:
        return _blind("unsafe", asked)
    k = allowed(n, rate, confidence)
    value = float(bad[max(k, 0)])
    if value < _STEP:
        told = (
            f"recall >= {_percent(1 - rate)} cannot be had: {int((bad < _STEP).sum()):,} of {n:,} "
            "unsafe images have the lowest score there is"
        )
        return Chosen(_STEP, told, False, n)
    missed = int((bad < value).sum())
    if k < 0:
        told = (
            f"recall >= {_percent(1 - bound(0, n, confidence))} with {_percent(confidence)} "
            f"confidence on {n:,} unsafe images, none of them missed: "
            f"{needed(rate, confidence):,} are needed to promise {_percent(1 - rate)}"
        )
        return Chosen(value, told, False, n)
    told = (
        f"recall >= {_percent(1 - rate)} with {_percent(confidence)} confidence on {n:,} unsafe "
        f"images, {missed:,} of them missed"
    )
    return Chosen(value, told, True, n)


def _blind(which: str, asked: Asked) -> Chosen:
    rate = asked.target.value if which == "safe" else 1 - asked.target.value
    told = (
        f"nothing is promised: no {which} image to choose by, "
        f"{needed(rate, asked.confidence):,} are needed for {asked.target}"
    )
    return Chosen(SHIPPED, told, False, 0)


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _at_most(k: int, n: int, rate: float) -> float:
    """P(Binomial(n, rate) <= k)."""
    if k < 0:
        return 0.0
    if k >= n or rate <= 0:
        return 1.0
    if rate >= 1:
        return 0.0
    logs = _log_factorials(n)
    i = np.arange(k + 1)
    terms = logs[n] - logs[i] - logs[n - i] + i * math.log(rate) + (n - i) * math.log1p(-rate)
    top = float(terms.max())
    return min(1.0, math.exp(top) * float(np.exp(terms - top).sum()))


@lru_cache(maxsize=8)
def _log_factorials(n: int) -> Float64:
    return np.array([math.lgamma(i + 1) for i in range(n + 1)])

"""How often a threshold breaks its promise, over simulated calibration sets of known truth.

    python benchmarks/thresholds.py [SPLITS]

For each distribution of scores, number of labels and target: the share of the splits in which the
true FPR (or recall) of the chosen threshold misses the target, beside what is promised (5 %), for
Vedette's threshold and for the usual one, the empirical quantile. Then how many of the unsafe
images each finds. And what probabilities gain: the expected calibration error of each method on
fresh images, fitted on so many labels.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vedette.bench.metrics.calibration import equal_mass, expected_calibration_error
from vedette.calibrate import METHODS, sigmoid
from vedette.train.calibration.fit import fit, fit_auto
from vedette.train.calibration.targets import parse_target
from vedette.train.calibration.thresholds import Asked, choose, recorded
from vedette.types import Float32

SPLITS = 1_000
SHARE = 0.4
"""Of unsafe images."""
Bools = NDArray[np.bool_]
Draw = Callable[[np.random.Generator, int], tuple[Float32, Bools]]


def overconfident(rng: np.random.Generator, n: int) -> tuple[Float32, Bools]:
    unsafe = rng.random(n) < SHARE
    z = np.where(unsafe, 1.5, -1.5) + rng.normal(scale=1.6, size=n)
    return sigmoid(2.5 * z).astype(np.float32), unsafe


def heavy(rng: np.random.Generator, n: int) -> tuple[Float32, Bools]:
    """Most safe images far away, and a few that look quite unsafe."""
    unsafe = rng.random(n) < SHARE
    z = np.where(unsafe, 2.0, -4.0) + rng.standard_t(2, size=n)
    return sigmoid(z).astype(np.float32), unsafe


def tied(rng: np.random.Generator, n: int) -> tuple[Float32, Bools]:
    """Ten answers, no more."""
    p, unsafe = overconfident(rng, n)
    return (np.round(9 * p) / 10).astype(np.float32), unsafe


Above = Callable[[float], tuple[float, float]]
"""The true FPR and recall of a threshold on scores as a Record states them."""
_HALF = 5e-7
"""Of the last digit: what lies above ``threshold - _HALF`` is rounded to it or above it."""


def logit(threshold: float) -> float:
    """Where scores reach a threshold; beyond everything where no score does."""
    p = threshold - _HALF
    return math.log(p / (1 - p)) if 0 < p < 1 else math.copysign(math.inf, p)


def normal_above(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))


def student_above(z: float) -> float:
    """Of Student's t with two degrees of freedom."""
    return (
        0.5 - 0.5 * math.copysign(1, z) if math.isinf(z) else 0.5 - z / (2 * math.hypot(z, 2**0.5))
    )


def above_overconfident(threshold: float) -> tuple[float, float]:
    z = logit(threshold) / 2.5
    return normal_above((z + 1.5) / 1.6), normal_above((z - 1.5) / 1.6)


def above_heavy(threshold: float) -> tuple[float, float]:
    z = logit(threshold)
    return student_above(z + 4.0), student_above(z - 2.0)


def above_tied(threshold: float) -> tuple[float, float]:
    step = math.ceil(10 * (threshold - _HALF))  # the lowest answer that reaches it
    return above_overconfident((step - 0.5) / 9 + _HALF) if step > 0 else (1.0, 1.0)


def usual(q: NDArray[np.float64], unsafe: Bools, kind: str, value: float) -> float:
    """The lowest (or highest) threshold that keeps the target on these very labels."""
    if kind == "fpr":
        safe = np.sort(q[~unsafe])
        return float(safe[len(safe) - 1 - int(value * len(safe))]) + 1e-6
    return float(np.sort(q[unsafe])[int((1 - value) * unsafe.sum())])


def main() -> None:
    splits = int(sys.argv[1]) if len(sys.argv) > 1 else SPLITS
    started = time.perf_counter()
    print(f"{splits:,} splits each; promised: missed in at most 5 % of them\n")
    print(
        f"{'scores':<14} {'target':<12} {'labels':>6} {'kept':>6} {'missed':>8} {'usual':>8} "
        f"{'rate':>7} {'usual':>7}"
    )
    draws: dict[str, tuple[Draw, Above]] = {
        "overconfident": (overconfident, above_overconfident),
        "heavy tails": (heavy, above_heavy),
        "ties": (tied, above_tied),
    }
    for name, (draw, truth) in draws.items():
        for target in ("fpr<=0.05", "fpr<=0.01", "recall>=0.9", "recall>=0.95"):
            for n in (300, 1_000, 4_000):
                row(name, draw, truth, target, n, splits)
    print(f"\n{time.perf_counter() - started:.0f} s\n")
    calibration(max(1, splits // 20))


def row(name: str, draw: Draw, truth: Above, target: str, n: int, splits: int) -> None:
    asked = Asked(parse_target(target))
    kind, value = asked.target.kind, asked.target.value
    kept, missed, other = 0, 0, 0
    found, others = [], []
    for seed in range(1, splits + 1):
        p, unsafe = draw(np.random.default_rng(seed), n)
        chosen = choose(p, unsafe, asked)
        ours = truth(chosen.value)
        theirs = truth(usual(recorded(p), unsafe, kind, value))
        kept += chosen.kept
        if kind == "fpr":
            missed += chosen.kept and ours[0] > value
            other += theirs[0] > value
            found.append(ours[1])
            others.append(theirs[1])
        else:
            missed += chosen.kept and ours[1] < value
            other += theirs[1] < value
            found.append(ours[0])
            others.append(theirs[0])
    print(
        f"{name:<14} {target:<12} {n:>6,} {kept / splits:>6.0%} {missed / splits:>8.1%} "
        f"{other / splits:>8.1%} {np.mean(found):>7.3f} {np.mean(others):>7.3f}"
    )


def calibration(repeats: int) -> None:
    """ECE on fresh images, by method and number of labels."""
    fresh, truth = overconfident(np.random.default_rng(0), 50_000)
    print(f"ECE on 50,000 fresh images, mean of {repeats}; uncalibrated {ece(fresh, truth):.3f}")
    print(f"{'labels':>6}  " + "  ".join(f"{name:>11}" for name in (*METHODS, "auto")))
    for n in (50, 200, 1_000, 5_000):
        found: dict[str, list[float]] = {name: [] for name in (*METHODS, "auto")}
        for seed in range(1, repeats + 1):
            p, unsafe = overconfident(np.random.default_rng(seed), n)
            given = p.astype(np.float64)
            curves = {name: fit(name, given, unsafe) for name in METHODS}
            for name, curve in (*curves.items(), ("auto", fit_auto(given, unsafe))):
                assert curve is not None
                found[name].append(ece(curve(fresh), truth))
        print(f"{n:>6,}  " + "  ".join(f"{np.mean(one):>11.4f}" for one in found.values()))


def ece(p: NDArray[np.floating], unsafe: Bools) -> float:
    found = expected_calibration_error(unsafe, p, equal_mass(p))
    assert found is not None
    return found


if __name__ == "__main__":
    main()

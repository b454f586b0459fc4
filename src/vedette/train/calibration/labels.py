"""The labels of a model that was just trained: calibrated, with a threshold for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vedette.bench.evidence import Caveat
from vedette.calibrate import Calibration, Calibrator, sigmoid
from vedette.taxonomy import Category
from vedette.train.calibration.fit import LEAST, few, fitted
from vedette.train.calibration.policy_text import policy_text
from vedette.train.calibration.thresholds import Asked, Chosen, choose
from vedette.train.examples import Bools, Examples, Ints, Part
from vedette.types import Float32

if TYPE_CHECKING:
    from vedette.train.finishing import FinishOptions


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the part ``calibration`` told."""

    calibration: Calibration | None
    """By label; labels with too few images have no curve. None: no label has one."""
    thresholds: Mapping[str, Chosen]
    """On calibrated probabilities, by label."""
    policy: str
    """The folder's policy, as TOML: the thresholds, and in its comments what they promise."""
    caveats: Sequence[Caveat] = ()


def calibrated(
    examples: Examples, logits: Mapping[Part, Float32], name: str, options: FinishOptions
) -> Calibrated:
    """Fit a curve and choose a threshold for each label, on the part ``calibration`` alone.

    Of near-duplicates only the first counts: the promises are about images that know nothing of
    each other.

    Args:
        examples: the set.
        logits: float32 [rows of the part, labels], raw.
        name: of the model folder: the calibration's and the policy's.
        options: method, target.
    """
    rows = examples.rows("calibration")
    # As ``infer`` has them: float32.
    raw = sigmoid(logits["calibration"]).astype(np.float32)
    curves: dict[str, Calibrator] = {}
    few_of: dict[str, str] = {}
    falling: list[str] = []
    kept: dict[str, Ints] = {}
    for k, label in enumerate(examples.labels):
        mine = np.flatnonzero(examples.known[rows, k])
        alone = mine[first_of_each(examples.group[rows][mine], examples.targets[rows, k][mine])]
        kept[label] = alone
        unsafe = examples.targets[rows[alone], k]
        curve = fitted(options.calibration, raw[alone, k].astype(np.float64), unsafe)
        if curve is not None:
            curves[label] = curve
        elif options.calibration != "none" and few(unsafe):
            few_of[label] = f"{int(unsafe.sum())} and {int((~unsafe).sum())}"
        elif options.calibration != "none":
            falling.append(label)
    calibration = Calibration(told(curves, name), "", curves) if curves else None
    p = raw if calibration is None else calibration.probabilities(examples.labels, raw)
    asked = Asked(options.target)
    thresholds = {
        label: choose(p[kept[label], k], examples.targets[rows[kept[label]], k], asked)
        for k, label in enumerate(examples.labels)
    }
    policy = policy_text(
        name,
        by_category(examples.counts, thresholds),
        notes=(
            f"Thresholds for {options.target}.",
            "Each promise is for its category alone: several together flag more safe images.",
        ),
        calibrated=None if calibration is None else calibration.name,
    )
    caveats = _caveats(few_of, falling, thresholds, str(options.target))
    return Calibrated(calibration, thresholds, policy, caveats)


def first_of_each(group: Ints, unsafe: Bools) -> Ints:
    """Rows of the first image of each group of near-duplicates, of either class; rising."""
    _, first = np.unique(np.stack([group, unsafe.astype(np.int64)]), axis=1, return_index=True)
    return np.sort(first).astype(np.int64)


def told(curves: Mapping[str, Calibrator], name: str) -> str:
    """What a calibration is called: ``platt on 240 labels of NAME``."""
    methods = " and ".join(sorted({curve.method for curve in curves.values()}))
    return f"{methods} on {max(curve.n for curve in curves.values()):,} labels of {name}"


def by_category(
    counts: Mapping[str, Sequence[Category]], thresholds: Mapping[str, Chosen]
) -> dict[Category, Chosen]:
    """The threshold of each category; of several labels that count for one the lowest."""
    found: dict[Category, Chosen] = {}
    for label, categories in counts.items():
        for category in categories:
            chosen = thresholds[label]
            if category not in found or chosen.value < found[category].value:
                found[category] = chosen
    return found


def _caveats(
    few_of: Mapping[str, str],
    falling: Sequence[str],
    thresholds: Mapping[str, Chosen],
    target: str,
) -> list[Caveat]:
    """One for each kind, with all labels that it is about."""
    found = []
    if few_of:
        named = ", ".join(f"{label} ({counts})" for label, counts in few_of.items())
        message = (
            f"Too few unsafe and safe images in the part calibration for a curve, {LEAST} of each "
            f"are needed: {named}. Their probabilities are the model's own."
        )
        found.append(Caveat("too-few-to-calibrate", message))
    if falling:
        message = (
            f"Scores do not rise with the labels in the part calibration: {', '.join(falling)}. "
            "Their probabilities are the model's own."
        )
        found.append(Caveat("no-rising-curve", message))
    broken = [f"{label}: {one.promised}" for label, one in thresholds.items() if not one.kept]
    if broken:
        message = f"{target} is not promised. {'. '.join(broken)}."
        found.append(Caveat("threshold-not-promised", message))
    return found

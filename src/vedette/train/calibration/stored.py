"""Curves and thresholds for the categories of stored Records."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from vedette.bench.metrics.calibration import equal_mass, expected_calibration_error
from vedette.calibrate import Calibration, Calibrator, Float64, Method
from vedette.taxonomy import Category
from vedette.train.calibration.fit import FOLDS, LEAST, crossed, few, fitted
from vedette.train.calibration.labels import first_of_each, told
from vedette.train.calibration.records import Matched, columns
from vedette.train.calibration.targets import Target
from vedette.train.calibration.thresholds import CONFIDENCE, Asked, Chosen, choose, recorded
from vedette.train.examples import Bools

_LEAST_FOR_ECE = FOLDS * LEAST
"""Labels of either class: a curve on four fifths of fewer could not be fitted."""


@dataclass(frozen=True, slots=True)
class CalibrateOptions:
    """What a user may choose."""

    target: Target
    method: Literal["auto", "none"] | Method = "auto"
    confidence: float = CONFIDENCE
    base_rates: Mapping[Category, float] = field(default_factory=dict)
    """Share of unsafe images where it will be used; missing: as among the labels."""
    categories: tuple[Category, ...] | None = None
    """None: all that are labelled and covered."""
    name: str = "labels"
    """What the labels are called, for the calibration's name."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one category."""

    unsafe: int
    safe: int
    """Labels, of copies one."""
    curve: Calibrator | None
    why: str
    """Why there is no curve; ``""`` where there is one."""
    ece: tuple[float | None, float | None]
    """Expected calibration error before, and after by curves that did not see the image."""
    chosen: Chosen
    fpr: float | None
    """Share of these safe images that the threshold flags; None: there are none."""
    recall: float | None
    """Share of these unsafe images that it flags; None: there are none."""
    base_rate: float | None
    """As the user gave it."""

    @property
    def precision(self) -> float | None:
        """Share of unsafe images among the flagged ones, expected at the user's base rate."""
        if self.base_rate is None or self.fpr is None or self.recall is None:
            return None
        hits, alarms = self.base_rate * self.recall, (1 - self.base_rate) * self.fpr
        return hits / (hits + alarms) if hits + alarms > 0 else None


def calibrate_records(
    found: Matched, options: CalibrateOptions
) -> tuple[Calibration | None, dict[Category, Found]]:
    """A curve and a threshold for each category.

    Of copies only the first of either class counts.

    Returns:
        The calibration, by category; None where no category has a curve. And all that was found.

    Raises:
        UsageError: see :func:`vedette.train.calibration.records.columns`.
    """
    categories, targets, known = columns(found, options.categories)
    results: dict[Category, Found] = {}
    for k, category in enumerate(categories):
        mine = np.flatnonzero(known[:, k])
        alone = mine[first_of_each(found.group[mine], targets[mine, k])]
        p = recorded(found.p[alone, category.position])
        results[category] = _found(p, targets[alone, k], options, category)
    curves = {
        category.value: one.curve for category, one in results.items() if one.curve is not None
    }
    if not curves:
        return None, results
    body = {name: curve.as_json() for name, curve in curves.items()}
    digest = hashlib.sha256(json.dumps([found.model, body]).encode()).hexdigest()[:8]
    # With a digest: a scan is not resumed under another calibration of the same name.
    return Calibration(f"{told(curves, options.name)}, {digest}", found.model, curves), results


def shifted(curve: Calibrator, base_rate: float) -> Calibrator:
    """The curve for another share of unsafe images than its labels have.

    If only that share differs and unsafe images look as they do among the labels, log-odds differ
    by a constant (Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new
    a priori probabilities", 2002).
    """
    own = curve.positives / curve.n
    return replace(curve, shift=_logit(base_rate) - _logit(own))


def _found(p: Float64, unsafe: Bools, options: CalibrateOptions, category: Category) -> Found:
    base_rate = options.base_rates.get(category)
    positives = int(unsafe.sum())
    curve = fitted(options.method, p, unsafe)
    if curve is None:
        why = _why(options.method, unsafe)
        after = None
        used = p
    else:
        why = ""
        enough = min(positives, len(unsafe) - positives) >= _LEAST_FOR_ECE
        after = _ece(crossed(curve.method, p, unsafe), unsafe) if enough else None
        if base_rate is not None:
            curve = shifted(curve, base_rate)
        used = curve(p)
    scores = used.astype(np.float32)
    chosen = choose(scores, unsafe, Asked(options.target, options.confidence, base_rate))
    flagged = recorded(scores) >= chosen.value
    return Found(
        unsafe=positives,
        safe=len(unsafe) - positives,
        curve=curve,
        why=why,
        ece=(_ece(p, unsafe), after),
        chosen=chosen,
        fpr=_share(flagged[~unsafe]),
        recall=_share(flagged[unsafe]),
        base_rate=base_rate,
    )


def _why(method: str, unsafe: Bools) -> str:
    if method == "none":
        return "none was asked for"
    if few(unsafe):
        return f"too few labels for a curve, {LEAST} of either class are needed"
    return "its scores do not rise with its labels"


def _ece(p: Float64, unsafe: Bools) -> float | None:
    return expected_calibration_error(unsafe, p, equal_mass(p))


def _share(flagged: Bools) -> float | None:
    return float(flagged.mean()) if len(flagged) else None


def _logit(rate: float) -> float:
    return math.log(rate / (1 - rate))


def thresholds_of(results: Mapping[Category, Found]) -> dict[Category, Chosen]:
    """The threshold of each category."""
    return {category: one.chosen for category, one in results.items()}


def lines(results: Mapping[Category, Found]) -> Sequence[tuple[str, ...]]:
    """A table for a person: its head, then a row for each category."""
    head = ("category", "unsafe", "safe", "curve", "ECE", "after", "threshold", "FPR", "recall")
    by_rate = any(one.base_rate is not None for one in results.values())
    rows = [head + (("precision",) if by_rate else ())]
    for category, one in results.items():
        cells = (
            category.value,
            f"{one.unsafe:,}",
            f"{one.safe:,}",
            "-" if one.curve is None else one.curve.method,
            _shown(one.ece[0]),
            _shown(one.ece[1]),
            f"{one.chosen.value:g}",
            _shown(one.fpr),
            _shown(one.recall),
        )
        rows.append(cells + ((_shown(one.precision),) if by_rate else ()))
    return rows


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

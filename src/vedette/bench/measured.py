"""How right a classifier is in each part of a set, at each way of deciding: numbers, no tables.

Each image is asked about its own category, as UnsafeBench does; images whose category lies outside
the coverage are in no part. Besides, each image is asked once whether it is unsafe in *any*
covered category, which is what a gate in production asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.bench import paper
from vedette.bench.metrics.bootstrap import Resampling, resampling
from vedette.bench.metrics.confusion import f1
from vedette.bench.metrics.estimates import (
    Decided,
    Estimate,
    Estimates,
    decided,
    mean_over,
    ranked,
)
from vedette.bench.metrics.thresholds import Threshold, best_threshold
from vedette.bench.predictions import SHIPPED, Bools, Predictions
from vedette.taxonomy import Category

OVERALL = "Overall"
SHIPPED_RULE = "as shipped"
GLOBAL_RULE = "best single threshold"
OWN_RULE = "best threshold per category"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One source, or the whole set."""

    title: str
    source: str
    """``""`` for the whole set."""
    paper: str | None
    """The paper's name of it; None where the paper measured no such thing."""
    rows: Bools
    """bool [n]"""

    @property
    def slug(self) -> str:
        """For names of tables: no source can be taken for the whole set."""
        return f"source-{self.source}" if self.source else "pooled"


def views(predictions: Predictions) -> list[View]:
    """The sources, where there are several, and the whole set last."""
    named = sorted(set(predictions.source))
    found = []
    if len(named) > 1:
        found = [
            View(name, name, paper.source_of(name), predictions.of_source(name))
            for name in predictions.sources
        ]
    title = named[0] if len(named) == 1 and named[0] else "all"
    whole = paper.pooled_source(tuple(named))
    return [*found, View(title, "", whole, predictions.of_source(""))]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds with the best F1 on the validation split."""

    single: Threshold | None
    """One for all categories."""
    own: Mapping[Category, Threshold | None]
    """For each covered category; None where validation has no unsafe image of it."""

    def of(self, category: Category | None) -> float:
        """The one that decides about a category: its own, else the single one, else as shipped."""
        found = self.own.get(category) if category else None
        found = found or self.single
        return found.value if found else SHIPPED


def thresholds_on(validation: Predictions) -> Thresholds:
    """Choose thresholds on images that are not tested on."""
    asked, seen = validation.asked, validation.in_coverage

    def best(rows: Bools) -> Threshold | None:
        return best_threshold(validation.unsafe[rows], asked[rows], SHIPPED)

    covered = [c for c in Category if validation.covered[c.position]]
    return Thresholds(
        best(seen), {c: best(seen & (validation.category == c.position)) for c in covered}
    )


def decisions(predictions: Predictions, chosen: Thresholds | None) -> dict[str, Bools]:
    """By rule, bool [n]: what is decided about each image's own category."""
    found = {SHIPPED_RULE: predictions.flagged_asked}
    if chosen is not None and chosen.single is not None:
        asked = predictions.asked
        own = np.array([*(chosen.of(c) for c in Category), chosen.of(None)])  # -1 is the last
        found[GLOBAL_RULE] = asked >= chosen.single.value
        found[OWN_RULE] = asked >= own[predictions.category]
    return found


def unsafe_in_coverage(predictions: Predictions) -> Bools:
    """bool [n]: unsafe in a covered category, or unsafe without a category being named."""
    unnamed = predictions.unsafe & ~predictions.labels.any(axis=1)
    return np.asarray((predictions.labels & predictions.covered).any(axis=1) | unnamed)


@dataclass(frozen=True, slots=True)
class Part:
    """One category of one view, its overall, or its view of any category."""

    n: int
    unsafe: int
    rules: Mapping[str, Estimates]
    """Threshold metrics by rule."""
    ranking: Estimates

    @property
    def safe(self) -> int:
        """Safe images."""
        return self.n - self.unsafe

    def as_json(self) -> dict[str, object]:
        """For a result."""
        return {
            "n": self.n,
            "unsafe": self.unsafe,
            "rules": {rule: _json(found) for rule, found in self.rules.items()},
            "ranking": _json(self.ranking),
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """All of one view."""

    view: View
    categories: Mapping[Category, Part]
    """Covered categories that the view has images of."""
    overall: Part
    """The pooled images of the covered categories."""
    any: Part
    """All images: unsafe in any covered category? Only the rule as shipped."""
    mean_f1: Mapping[str, Estimate]
    """By rule, mean of the categories' F1."""

    def as_json(self) -> dict[str, object]:
        """For a result."""
        return {
            "categories": {c.value: part.as_json() for c, part in self.categories.items()},
            "overall": self.overall.as_json(),
            "any": self.any.as_json(),
            "mean_f1_of_categories": {
                rule: found.as_json() for rule, found in self.mean_f1.items()
            },
        }


def measure(
    predictions: Predictions, chosen: Thresholds | None, bootstrap: int, seed: int
) -> list[Measured]:
    """Measure every view.

    Args:
        predictions: of the images tested on.
        chosen: thresholds chosen elsewhere; None: only as shipped.
        bootstrap: resamples behind each interval; 0: no intervals.
        seed: of the resamples.
    """
    draws = resampling(predictions.group, bootstrap, seed)
    every = views(predictions)
    seen = predictions.in_coverage
    names: list[tuple[int, Category | None]] = []
    masks: list[Bools] = []
    for k, view in enumerate(every):
        rows = view.rows & seen
        for category in Category:
            mask = rows & (predictions.category == category.position)
            if mask.any():
                names.append((k, category))
                masks.append(mask)
        names.append((k, None))
        masks.append(rows)
    by_rule = {
        rule: decided(predictions.unsafe, flagged, np.array(masks), draws)
        for rule, flagged in decisions(predictions, chosen).items()
    }
    parts = _parts(predictions.unsafe, masks, by_rule, _ranked(predictions, masks, draws))
    gates = _gates(predictions, every, draws)
    out = []
    for k, view in enumerate(every):
        own = [at for at, (of, category) in enumerate(names) if of == k and category]
        (overall,) = [at for at, (of, category) in enumerate(names) if of == k and not category]
        categories = {names[at][1]: parts[at] for at in own}
        means = {
            rule: mean_over(f1(found.point), f1(found.resampled), own)
            for rule, found in by_rule.items()
        }
        found = {c: part for c, part in categories.items() if c is not None}
        out.append(Measured(view, found, parts[overall], gates[k], means))
    return out


def _ranked(predictions: Predictions, masks: Sequence[Bools], draws: Resampling) -> list[Estimates]:
    return ranked(predictions.unsafe, predictions.asked, np.array(masks), draws)


def _gates(predictions: Predictions, every: Sequence[View], draws: Resampling) -> list[Part]:
    """The question of any covered category, for each view."""
    any_covered = bool(predictions.covered.any())
    masks = [view.rows & any_covered for view in every]
    unsafe = unsafe_in_coverage(predictions)
    found = decided(unsafe, predictions.flagged_any, np.array(masks), draws)
    ranking = ranked(unsafe, predictions.highest, np.array(masks), draws)
    return _parts(unsafe, masks, {SHIPPED_RULE: found}, ranking)


def _parts(
    unsafe: Bools,
    masks: Sequence[Bools],
    by_rule: Mapping[str, Decided],
    rankings: Sequence[Estimates],
) -> list[Part]:
    estimates = {rule: found.estimates() for rule, found in by_rule.items()}
    return [
        Part(
            n=int(mask.sum()),
            unsafe=int((mask & unsafe).sum()),
            rules={rule: found[k] for rule, found in estimates.items()},
            ranking=rankings[k],
        )
        for k, mask in enumerate(masks)
    ]


def _json(found: Estimates) -> dict[str, object]:
    return {name: one.as_json() for name, one in found.items()}

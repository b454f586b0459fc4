"""What a part of a set has more of than the whole: Fisher's exact test, Holm over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.bench.image_statistics import NAMES
from vedette.bench.metrics.significance import holm
from vedette.bench.predictions import Bools, Predictions
from vedette.extras import require
from vedette.taxonomy import Category

Float64 = NDArray[np.float64]

_WIDE = 1.2
"""Width / height from which a picture is wide; below 1 / 1.2 it is tall."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a part has some property, beside how much of the whole."""

    what: str
    kind: str
    """``category``, ``source`` or ``style``"""
    here: float
    """Share of the part's images, 0..1."""
    overall: float
    """Share of the whole's images, 0..1."""
    p: float
    """That the part has as many by chance: one-sided, hypergeometric over groups of
    near-duplicates, adjusted after Holm."""


Properties = Mapping[tuple[str, str], Bools]
"""(kind, what): bool [n], which images have it."""


def properties(predictions: Predictions, statistics: Float64) -> Properties:
    """Categories, sources and styles of images.

    Styles are relative to these images: the lowest and the highest third of SNR, edge density and
    entropy, where thirds are apart at all.

    Args:
        predictions: n images.
        statistics: float64 [n, 4], as :func:`vedette.bench.image_statistics.statistics_of` gives.
    """
    found: dict[tuple[str, str], Bools] = {}
    for category in Category:
        found["category", category.value] = predictions.category == category.position
    for source in predictions.sources:
        found["source", source] = predictions.of_source(source)
    for column, title in enumerate(NAMES.values()):
        values, name = statistics[:, column], title.split(" (")[0]
        low, high = np.quantile(values, [1 / 3, 2 / 3]) if len(values) else (0.0, 0.0)
        if low < high:
            found["style", f"low {name}"] = values <= low
            found["style", f"high {name}"] = values >= high
    aspect = statistics[:, 3]
    found["style", "wide"] = aspect >= _WIDE
    found["style", "tall"] = aspect <= 1 / _WIDE
    found["style", "square"] = (aspect < _WIDE) & (aspect > 1 / _WIDE)
    return {key: member for key, member in found.items() if member.any()}


def shares(
    parts: Sequence[Bools], among: Bools, given: Properties, group: NDArray[np.int64]
) -> list[list[Share]]:
    """For each part the share of every property, most over-represented first.

    Near-duplicates count once in p: they are no independent draws.

    Args:
        parts: bool [n] each, within ``among``.
        among: bool [n], the whole that parts are compared with.
        given: of the n images.
        group: int64 [n], near-duplicates share a number.
    """
    hypergeom = require("scipy.stats", extra="bench").hypergeom
    asked = [(part, key) for part in parts for key in given]
    raw = []
    for part, key in asked:
        has = given[key]
        drawn, whole = _groups(group, part), _groups(group, among)
        hits, all_hits = _groups(group, part & has), _groups(group, among & has)
        raw.append(float(hypergeom.sf(hits - 1, whole, all_hits, drawn)))
    adjusted = holm(raw)
    out = []
    for number, part in enumerate(parts):
        start = number * len(given)
        own = [
            Share(
                what=what,
                kind=kind,
                here=float(given[kind, what][part].mean()),
                overall=float(given[kind, what][among].mean()),
                p=p,
            )
            for (kind, what), p in zip(given, adjusted[start : start + len(given)], strict=True)
        ]
        out.append(sorted(own, key=lambda one: (one.p, one.overall - one.here, one.what)))
    return out


def _groups(group: NDArray[np.int64], member: Bools) -> int:
    return len(np.unique(group[member]))

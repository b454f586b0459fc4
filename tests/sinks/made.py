"""Records for the sinks' tests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from vedette.taxonomy import Category
from vedette.types import (
    Action,
    Failure,
    FrameScore,
    Reason,
    Record,
    Region,
    Scores,
    UInt8,
    Verdict,
)


def made(
    key: str,
    action: Action = Action.ALLOW,
    scores: Mapping[Category, float] | None = None,
    *,
    reasons: tuple[Reason, ...] = (),
    regions: tuple[Region, ...] = (),
    failure: Failure | None = None,
    timeline: tuple[FrameScore, ...] = (),
) -> Record:
    """A Record as a scan would make it; by default one that was allowed, with one score."""
    if scores is None:
        scores = {} if failure else {Category.SEXUAL: 0.02}
    p = np.zeros(len(Category), dtype=np.float32)
    covered = np.zeros(len(Category), dtype=np.bool_)
    for category, value in scores.items():
        p[category.position], covered[category.position] = value, True
    return Record(
        key=key,
        sha256=hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest(),
        width=400,
        height=200,
        frames=len(timeline) or (1 if scores else 0),
        scores=Scores(p, covered) if scores else None,
        regions=regions,
        verdict=Verdict(action, reasons, "house@7"),
        failure=failure,
        models=("drawn@1",),
        times_ms={"decode": 1.0, "infer": 2.0},
        format="PNG",
        timeline=timeline,
    )


def flagged(key: str, action: Action, p: float, category: Category = Category.SEXUAL) -> Record:
    """A Record with one score, which reached a threshold."""
    return made(key, action, {category: p}, reasons=(Reason(category, p, 0.25),))


def failed(key: str, code: str = "truncated", message: str = "the file ends early") -> Record:
    """A Record of something that could not be scanned."""
    return made(key, Action.REVIEW, failure=Failure("decode", code, message))


def checkerboard(width: int, height: int, square: int) -> UInt8:
    """Pixels [height, width, 3] of black and white squares."""
    rows, columns = np.indices((height, width)) // square
    return np.repeat((((rows + columns) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)

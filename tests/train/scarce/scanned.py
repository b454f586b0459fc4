"""Records as a scan gives them, made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256 as sha256_of

import numpy as np

from vedette.policy import Policy, Rule
from vedette.taxonomy import Category
from vedette.types import Failure, Record, Scores

POLICY = Policy("half", "1", dict.fromkeys(Category, Rule(0.5, None)))


def record(
    key: str,
    p: Mapping[Category, float],
    *,
    sha256: str | None = None,
    failure: str | None = None,
    model: str = "one@1",
) -> Record:
    """A Record decided at one half; the categories of ``p`` are those that the model covers."""
    values, covered = np.zeros(len(Category), np.float32), np.zeros(len(Category), np.bool_)
    for category, value in p.items():
        values[category.position], covered[category.position] = value, True
    scores = Scores(values, covered) if p else None
    failed = Failure("decode", failure, "made so") if failure else None
    return Record(
        key=key,
        sha256=sha256 or sha256_of(key.encode()).hexdigest(),
        width=8,
        height=8,
        frames=1,
        scores=scores,
        regions=(),
        verdict=POLICY.decide(scores, (), failed),
        failure=failed,
        models=(model,),
        times_ms={},
    )

"""The chosen threshold is the best there is, and no image lies on it by chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.bench.metrics.confusion import threshold_metrics
from vedette.bench.metrics.thresholds import best_threshold

scored = st.lists(st.tuples(st.booleans(), st.floats(0, 1, width=32)), min_size=1, max_size=30)


@given(scored)
def test_no_threshold_is_better(rows: list[tuple[bool, float]]) -> None:
    unsafe = np.array([row[0] for row in rows])
    p = np.array([row[1] for row in rows], dtype=np.float32)

    found = best_threshold(unsafe, p)

    every = [threshold_metrics(unsafe, p >= one)["f1"] for one in p]
    if not unsafe.any():
        assert found is None
        return
    assert found is not None
    best = max(f1 for f1 in every if f1 is not None)
    assert found.f1 == pytest.approx(best)
    assert threshold_metrics(unsafe, p >= found.value)["f1"] == pytest.approx(best)


def test_it_lies_between_the_classes_and_near_the_shipped_one() -> None:
    unsafe = np.array([True, True, False, False])

    low = best_threshold(unsafe, np.array([0.3, 0.25, 0.1, 0.05]))
    shipped = best_threshold(unsafe, np.array([0.9, 0.8, 0.3, 0.1]))

    assert low is not None
    assert low.value == pytest.approx(0.175)
    assert shipped is not None
    assert (shipped.value, shipped.f1, shipped.n) == (0.5, 1.0, 4)

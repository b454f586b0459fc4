"""The sample: even over strata, and the same whatever the order of the set."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.bench.brightness import Brightness, items, predictions
from vedette.bench.predictions import Predictions
from vedette.bench.sample import sample


@pytest.fixture(scope="module")
def some() -> Predictions:
    given = items(60, 8, 6)
    return predictions(given, Brightness())


def strata(of: Predictions) -> Counter[tuple[str, bool]]:
    return Counter(zip(of.source, of.unsafe.tolist(), strict=True))


def test_strata_are_drawn_from_evenly(some: Predictions) -> None:
    rows = sample(some, 24, 7)

    assert rows.dtype == np.int64
    assert list(rows) == sorted(set(rows))
    assert set(strata(some.rows(rows)).values()) == {6}


def test_a_short_stratum_is_made_up_for_by_the_others(some: Predictions) -> None:
    few = some.rows([i for i in range(60) if not some.unsafe[i] or i in (0, 1)])
    rows = sample(few, 12, 7)

    assert len(rows) == 12
    assert sum(few.unsafe[rows]) == int(few.unsafe.sum()) <= 2


def test_the_order_of_the_set_does_not_matter(some: Predictions) -> None:
    turned = some.rows(np.random.default_rng(1).permutation(60))

    keys = {some.keys[row] for row in sample(some, 20, 7)}
    assert {turned.keys[row] for row in sample(turned, 20, 7)} == keys
    assert {some.keys[row] for row in sample(some, 20, 8)} != keys
    assert keys < {some.keys[row] for row in sample(some, 21, 7)}


def test_more_than_there_are_is_all(some: Predictions) -> None:
    assert sample(some, 1000, 7).tolist() == list(range(60))
    assert len(sample(some, 0, 7)) == 0


def test_only_those_that_may_be_drawn_are(some: Predictions) -> None:
    among = np.arange(60) % 7 == 0

    assert set(sample(some, 1000, 7, among)) == set(np.flatnonzero(among))
    assert len(sample(some, 10, 7, np.zeros(60, dtype=np.bool_))) == 0

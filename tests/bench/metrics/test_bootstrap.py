"""Resamples are of groups, seeded, paired; intervals cover what they should."""

from __future__ import annotations

import numpy as np
import pytest

from vedette.bench.metrics import bootstrap
from vedette.bench.metrics.bootstrap import interval, resampling
from vedette.bench.metrics.confusion import METRICS, counts_of
from vedette.bench.metrics.estimates import decided, ranked
from vedette.bench.metrics.ranking import RANK_METRICS, rank_metrics


def all_draws(groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    return np.concatenate([drawn for _, drawn in resampling(groups, count, seed).draws()])


def test_each_resample_draws_as_many_groups_as_there_are() -> None:
    drawn = all_draws(np.array([5, 5, 9, 2, 2, 2]), 400, 1)

    assert drawn.shape == (400, 3)
    assert (drawn.sum(axis=1) == 3).all()
    # Multinomial: mean 1, variance 2/3 for one of three groups.
    assert drawn[:, 0].mean() == pytest.approx(1, abs=0.15)
    assert drawn[:, 0].var() == pytest.approx(2 / 3, abs=0.15)


def test_sums_are_those_of_the_images_that_were_drawn() -> None:
    rng = np.random.default_rng(2)
    group = rng.integers(0, 20, 60)
    columns = rng.random((60, 5)) < 0.5
    draws = resampling(group, 50, 7)

    sums = draws.sums(columns)

    drawn = all_draws(group, 50, 7)
    np.testing.assert_array_equal(sums, drawn[:, draws.index] @ columns)


@pytest.mark.parametrize("slots", [2, 40])
def test_sums_by_slot_are_those_of_the_slots_images(slots: int) -> None:
    # 2 slots of 20 groups go through one product, 40 slots through one each.
    rng = np.random.default_rng(2)
    group, slot = rng.integers(0, 20, 90), rng.integers(0, slots, 90)
    columns = rng.random((90, 3)) < 0.5
    draws = resampling(group, 30, 7)

    sums = draws.sums_by_slot(columns, slot, slots, draws.draws)

    inside = np.hstack([columns & (slot == one)[:, None] for one in range(slots)])
    np.testing.assert_array_equal(sums.reshape(30, -1), draws.sums(inside))


def test_blocks_of_any_size_hold_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    group = np.arange(70)
    draws = resampling(group, 25, 3)
    whole = [np.concatenate([w for _, w in one()]) for one in (draws.draws, draws.swaps)]

    monkeypatch.setattr(bootstrap, "_BLOCK", 200)
    parts = [[w for _, w in one()] for one in (draws.draws, draws.swaps)]

    assert len(parts[0]) > 5
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, np.concatenate(other))


def test_the_seed_decides() -> None:
    group = np.arange(30)

    assert (all_draws(group, 20, 1) == all_draws(group, 20, 1)).all()
    assert (all_draws(group, 20, 1) != all_draws(group, 20, 2)).any()


def test_swaps_are_fair() -> None:
    (block,) = resampling(np.arange(100), 300, 1).swaps()

    assert set(np.unique(block[1])) == {0, 1}
    assert block[1].mean() == pytest.approx(0.5, abs=0.02)


def test_an_interval_is_of_percentiles_without_the_undefined() -> None:
    values = np.append(np.arange(1001.0), [np.nan] * 10)

    found = interval(values)

    assert (found.low, found.high) == (25, 975)
    assert interval(np.array([1.0, np.nan, np.nan])).low is None
    assert interval(np.zeros(0)).high is None


def test_copies_of_images_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(6)
    unsafe, flagged = rng.random((2, 100)) < 0.5
    once = resampling(np.arange(100), 400, 1)
    five = resampling(np.tile(np.arange(100), 5), 400, 1)
    every = np.ones((1, 100), np.bool_)

    single = decided(unsafe, flagged, every, once).estimates()
    copied = decided(np.tile(unsafe, 5), np.tile(flagged, 5), np.tile(every, 5), five).estimates()

    assert single == copied


def test_intervals_of_parts_are_those_of_resampled_images() -> None:
    rng = np.random.default_rng(8)
    n = 120
    unsafe, p = rng.random(n) < 0.4, np.round(rng.random(n), 2)
    flagged, group = p > 0.5, rng.integers(0, 50, n)
    parts = np.stack([np.ones(n, np.bool_), rng.random(n) < 0.5])
    draws = resampling(group, 40, 5)

    rates, ranks = decided(unsafe, flagged, parts, draws), ranked(unsafe, p, parts, draws)

    estimates = rates.estimates()
    drawn = np.concatenate([weights for _, weights in draws.draws()])
    for k, part in enumerate(parts):
        again = [np.repeat(np.arange(n), w * part) for w in drawn[:, draws.index].astype(int)]
        for name, metric in METRICS.items():
            values = [float(metric(counts_of(unsafe[at], flagged[at]))) for at in again]
            low, high = np.percentile(values, (2.5, 97.5))
            found = estimates[k][name]
            assert (found.low, found.high) == pytest.approx((low, high))
        for name in RANK_METRICS:
            curves = [rank_metrics(unsafe[at], p[at])[name] for at in again]
            low, high = np.percentile([value for value in curves if value is not None], (2.5, 97.5))
            assert (ranks[k][name].low, ranks[k][name].high) == pytest.approx((low, high))


def test_nine_in_ten_intervals_and_more_hold_the_truth() -> None:
    rng = np.random.default_rng(9)
    inside = 0
    for seed in range(100):
        unsafe = rng.random(300) < 0.4
        flagged = unsafe ^ (rng.random(300) < 0.2)
        draws = resampling(np.arange(300), 300, seed)
        (found,) = decided(unsafe, flagged, np.ones((1, 300), np.bool_), draws).estimates()
        assert found["recall"].low is not None
        assert found["recall"].high is not None
        inside += found["recall"].low <= 0.8 <= found["recall"].high

    assert 88 <= inside <= 99


def test_float32_is_left_where_it_would_round() -> None:
    assert resampling(np.arange(1000), 1, 0).exact
    assert not resampling(np.append(np.arange(20_000), np.zeros(1000, np.int64)), 1, 0).exact


def test_nothing_gives_no_resamples() -> None:
    draws = resampling(np.zeros(0, np.int64), 100, 1)

    assert draws.sums(np.zeros((0, 2), np.bool_)).shape == (0, 2)
    nothing = np.zeros(0, np.bool_)
    (found,) = decided(nothing, nothing, nothing[None], draws).estimates()
    assert {one.value for one in found.values()} == {None}

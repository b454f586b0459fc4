"""A threshold keeps what it promises, on scores whose true distribution is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm

from tests.train.calibration.planted import Bools, smooth, tied, true_tied
from vedette.calibrate import METHODS, log_odds
from vedette.train.calibration.fit import fit
from vedette.train.calibration.targets import Target, parse_target
from vedette.train.calibration.thresholds import (
    Asked,
    allowed,
    bound,
    choose,
    needed,
    recorded,
)
from vedette.types import Float32

PROFILE = settings(deadline=None, derandomize=True, database=None, max_examples=80)
SPLITS = 1_000
MOST = int(binom.ppf(0.999, SPLITS, 0.05))
"""Of so many splits, how often a promise of 95 % may be broken by chance of the test itself."""


def true_smooth(threshold: float) -> tuple[float, float]:
    """FPR and recall of a threshold on ``smooth``, exactly."""
    logit = float(log_odds(threshold)) / 2.5
    return float(norm.sf(logit, -1.5, 1.6)), float(norm.sf(logit, 1.5, 1.6))


Drawn = Callable[[int, float, int], tuple[Float32, Bools]]
True_ = Callable[[float], tuple[float, float]]
PLANTED = [pytest.param(smooth, true_smooth, id="smooth"), pytest.param(tied, true_tied, id="tied")]


@pytest.mark.parametrize(("drawn", "truth"), PLANTED)
@pytest.mark.parametrize(("target", "n"), [("fpr<=0.05", 400), ("fpr<=0.02", 700)])
def test_over_1000_splits_the_stated_fpr_is_exceeded_no_more_often_than_promised(
    drawn: Drawn, truth: True_, target: str, n: int
) -> None:
    asked = Asked(parse_target(target))
    broken = 0
    for seed in range(SPLITS):
        p, unsafe = drawn(n, 0.4, seed)
        chosen = choose(p, unsafe, asked)
        assert chosen.kept
        broken += truth(chosen.value)[0] > asked.target.value

    assert broken <= MOST
    if drawn is smooth:  # a threshold of 1 would keep any promise: this one is as low as may be
        assert broken >= 5


@pytest.mark.parametrize(("drawn", "truth"), PLANTED)
def test_over_1000_splits_the_stated_recall_is_missed_no_more_often_than_promised(
    drawn: Drawn, truth: True_
) -> None:
    asked = Asked(parse_target("recall>=0.9"))
    broken = sum(
        truth(choose(*drawn(500, 0.4, seed), asked).value)[1] < 0.9 for seed in range(SPLITS)
    )

    assert broken <= MOST


@pytest.mark.parametrize("method", METHODS)
def test_a_curve_fitted_on_the_same_images_takes_nothing_from_the_promise(method: str) -> None:
    asked = Asked(parse_target("fpr<=0.05"))
    known = next(one for one in METHODS if one == method)
    grid = np.sort(smooth(4000, 0.0, 99_999)[0])  # scores to look the threshold up among
    broken = 0
    for seed in range(300):
        p, unsafe = smooth(300, 0.4, seed)
        curve = fit(known, p.astype(np.float64), unsafe)
        assert curve is not None
        chosen = choose(curve(p).astype(np.float32), unsafe, asked)
        # The lowest score of the model itself that is flagged, and its true FPR.
        at = int(np.searchsorted(recorded(curve(grid).astype(np.float32)), chosen.value))
        broken += at < len(grid) and true_smooth(float(grid[at]))[0] > 0.05

    assert broken <= int(binom.ppf(0.999, 300, 0.05))


@PROFILE
@given(
    st.integers(1, 3000),
    st.sampled_from([0.001, 0.01, 0.05, 0.3]),
    st.sampled_from([0.5, 0.9, 0.95, 0.999]),
)
def test_allowed_is_the_largest_number_that_keeps_the_promise(
    n: int, rate: float, confidence: float
) -> None:
    k = allowed(n, rate, confidence)

    assert -1 <= k < n
    if k >= 0:
        assert binom.cdf(k, n, rate) <= (1 - confidence) * (1 + 1e-6)
    if k + 1 < n:
        assert binom.cdf(k + 1, n, rate) > (1 - confidence) * (1 - 1e-6)


@PROFILE
@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_bound_is_clopper_and_pearsons(n: int, share: float, confidence: float) -> None:
    wrong = int(share * n)
    wanted = 1.0 if wrong == n else float(beta.ppf(confidence, wrong + 1, n - wrong))

    assert bound(wrong, n, confidence) == pytest.approx(wanted, abs=1e-9)


@PROFILE
@given(
    st.lists(
        st.one_of(
            st.floats(0, 1, width=32),
            st.integers(0, 10**6 - 1).map(lambda step: (step + 0.5) / 10**6),
        )
    )
)
def test_scores_are_rounded_as_a_record_rounds_them(values: list[float]) -> None:
    assert recorded(np.array(values)).tolist() == [round(value, 6) for value in values]


def test_how_many_are_needed() -> None:
    assert needed(0.01, 0.95) == 299
    assert needed(0.05, 0.95) == 59
    assert allowed(299, 0.01, 0.95) == 0
    assert allowed(298, 0.01, 0.95) == -1


def test_too_few_labels_are_told_with_how_many_there_must_be() -> None:
    p = np.linspace(0.1, 0.6, 31, dtype=np.float32)
    unsafe = np.arange(31) == 30

    chosen = choose(p, unsafe, Asked(parse_target("fpr<=0.01")))

    assert (chosen.kept, chosen.n) == (False, 30)
    assert "299 are needed to promise 1 %" in chosen.promised
    assert "FPR <= 9.5 %" in chosen.promised
    assert chosen.value == pytest.approx(float(recorded(p[~unsafe]).max()) + 1e-6)


def test_no_label_of_a_side_promises_nothing() -> None:
    p = np.array([0.2, 0.7], dtype=np.float32)
    for text, unsafe in (("fpr<=0.1", [True, True]), ("recall>=0.9", [False, False])):
        chosen = choose(p, np.array(unsafe), Asked(parse_target(text)))
        assert (chosen.value, chosen.kept, chosen.n) == (0.5, False, 0)
    nothing = choose(p[:0], np.zeros(0, dtype=np.bool_), Asked(parse_target("cost=3:1")))
    assert (nothing.value, nothing.kept) == (0.5, False)


def test_safe_images_at_the_highest_score_cannot_be_kept_out() -> None:
    p = np.array([1.0] * 100 + [0.1] * 900, dtype=np.float32)
    chosen = choose(p, np.zeros(1000, dtype=np.bool_), Asked(parse_target("fpr<=0.01")))

    assert (chosen.value, chosen.kept) == (1.0, False)
    assert "100 of 1,000 safe images" in chosen.promised


def test_unsafe_images_at_the_lowest_score_cannot_be_found() -> None:
    p = np.array([0.0] * 100 + [0.9] * 900, dtype=np.float32)
    chosen = choose(p, np.ones(1000, dtype=np.bool_), Asked(parse_target("recall>=0.95")))

    assert (chosen.value, chosen.kept) == (1e-6, False)
    assert "100 of 1,000 unsafe images" in chosen.promised


SCORED = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), max_size=80)
RATES = st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.4, 0.7])


@PROFILE
@given(SCORED, RATES, RATES)
def test_thresholds_are_monotone_in_the_target(
    scored: list[tuple[float, bool]], one: float, other: float
) -> None:
    p = np.array([value for value, _ in scored], dtype=np.float32)
    unsafe = np.array([label for _, label in scored], dtype=np.bool_)
    low, high = sorted((one, other))

    def value(target: Target) -> float:
        found = choose(p, unsafe, Asked(target))
        assert 0 < found.value <= 1
        return found.value

    assert value(Target("fpr", low)) >= value(Target("fpr", high))
    assert value(Target("recall", low)) >= value(Target("recall", high))


@PROFILE
@given(SCORED, RATES)
def test_fpr_and_recall_do_not_depend_on_the_base_rate_nor_on_the_other_class(
    scored: list[tuple[float, bool]], rate: float
) -> None:
    p = np.array([value for value, _ in scored], dtype=np.float32)
    unsafe = np.array([label for _, label in scored], dtype=np.bool_)

    for target, own in ((Target("fpr", rate), ~unsafe), (Target("recall", rate), unsafe)):
        whole = choose(p, unsafe, Asked(target))
        assert whole == choose(p, unsafe, Asked(target, base_rate=0.001))
        assert whole == choose(p[own], unsafe[own], Asked(target))


def test_what_reaches_the_threshold_is_as_promised_on_the_labels_themselves() -> None:
    p, unsafe = smooth(2000, 0.3, 8)
    fpr = choose(p, unsafe, Asked(parse_target("fpr<=0.03")))
    recall = choose(p, unsafe, Asked(parse_target("recall>=0.8")))

    q = recorded(p)
    assert 0.015 < (q[~unsafe] >= fpr.value).mean() <= 0.03
    assert 0.8 <= (q[unsafe] >= recall.value).mean() < 0.88
    # One step lower, and one safe image more would be flagged.
    k = allowed(int((~unsafe).sum()), 0.03, 0.95)
    assert (q[~unsafe] >= fpr.value - 1e-6).sum() == k + 1 > (q[~unsafe] >= fpr.value).sum()


def test_a_miss_that_costs_more_lowers_the_threshold() -> None:
    p, unsafe = smooth(3000, 0.3, 8)
    values = [choose(p, unsafe, Asked(Target("cost", ratio))).value for ratio in (0.1, 1, 10, 100)]

    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4


def test_where_probabilities_hold_the_cost_threshold_is_near_the_theoretical_one() -> None:
    far, flattered = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        q = recorded(rng.random(400).astype(np.float32))
        unsafe = rng.random(400) < q
        far.append(abs(choose(q.astype(np.float32), unsafe, Asked(Target("cost", 4))).value - 0.2))
        costs = [4 * (unsafe & (q < at)).sum() + (~unsafe & (q >= at)).sum() for at in q]
        flattered.append(abs(q[int(np.argmin(costs))] - 0.2))

    assert np.median(far) < 0.005
    assert np.mean(far) < 0.5 * np.mean(flattered)


def test_the_bound_on_the_cost_holds_over_1000_splits() -> None:
    asked = Asked(Target("cost", 5), base_rate=0.1)
    broken = 0
    for seed in range(SPLITS):
        chosen = choose(*smooth(200, 0.4, seed), asked)
        fpr, recall = true_smooth(chosen.value)
        most = float(chosen.promised.rsplit(" ", 1)[1])
        broken += 5 * 0.1 * (1 - recall) + 0.9 * fpr > most * (1 + 1e-3)

    assert broken <= MOST


def test_a_rarer_harm_raises_the_cost_threshold() -> None:
    p, unsafe = smooth(3000, 0.3, 8)
    target = Target("cost", 10)

    rare = choose(p, unsafe, Asked(target, base_rate=0.001)).value
    assert rare > choose(p, unsafe, Asked(target, base_rate=0.3)).value

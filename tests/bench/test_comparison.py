"""Comparisons are paired, adjusted, and refuse what cannot be compared."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from tests.bench.scored import SEEN, cell_of, scored, table_named
from vedette.bench.comparison import compare
from vedette.bench.evidence import Evidence
from vedette.bench.metrics.bootstrap import resampling
from vedette.bench.metrics.confusion import counts_of, f1
from vedette.bench.metrics.significance import holm, mcnemar
from vedette.bench.predictions import Predictions
from vedette.bench.result import DataCard, Result
from vedette.errors import UsageError
from vedette.taxonomy import Category


def result(
    name: str, predictions: Predictions, task: str = "effectiveness", stand_in: bool = False
) -> Result:
    return Result(
        task=task,
        model={"name": name},
        data=DataCard("pictures", "0" * 64, len(predictions), stand_in=stand_in),
        options={},
        predictions=predictions,
        evidence=Evidence({}),
        versions={},
    )


def pairs_of(evidence: Evidence) -> list[dict[str, Any]]:
    found = evidence.metrics["pairs"]
    assert isinstance(found, list)
    return found


def three() -> list[Predictions]:
    return [scored(seed=seed, noise=noise) for seed, noise in ((1, 0.1), (2, 0.25), (3, 0.6))]


def test_each_pair_is_tested_on_its_images_and_all_are_adjusted_together() -> None:
    every = three()

    evidence = compare([result(f"m{k}", one) for k, one in enumerate(every)], bootstrap=200)

    found = pairs_of(evidence)
    assert [(one["first"], one["second"]) for one in found] == [
        *(("m0", "m1"), ("m0", "m2"), ("m1", "m2"))
    ]
    seen = every[0].in_coverage
    right = [(one.flagged_asked == one.unsafe)[seen] for one in every]
    plain = [mcnemar(right[a], right[b]).exact for a, b in ((0, 1), (0, 2), (1, 2))]
    assert [one["p_exact"] for one in found] == plain
    assert [one["p_exact_holm"] for one in found] == holm(plain)
    permuted = [one["p_permutation"] for one in found]
    assert [one["p_permutation_holm"] for one in found] == holm(permuted)
    assert found[1]["p_exact_holm"] < 0.01
    assert permuted[1] < 0.01
    assert found[1]["difference"]["low"] > 0


def test_the_interval_is_of_the_same_resamples_for_both() -> None:
    one, other = three()[:2]

    evidence = compare([result("a", one), result("b", other)], bootstrap=100, seed=3)

    (found,) = pairs_of(evidence)
    draws = resampling(one.group, 100, 3)
    drawn = np.concatenate([weights for _, weights in draws.draws()])[:, draws.index]
    values = []
    for weights in drawn.astype(int):
        at = np.repeat(np.arange(len(one)), weights * one.in_coverage)
        a, b = (f1(counts_of(x.unsafe[at], x.flagged_asked[at])) for x in (one, other))
        values.append(float(a - b))
    low, high = np.percentile(values, (2.5, 97.5))
    assert found["difference"]["low"] == pytest.approx(low)
    assert found["difference"]["high"] == pytest.approx(high)
    assert found["difference"]["value"] == pytest.approx(found["f1_first"] - found["f1_second"])


def test_the_permutation_test_swaps_answers_of_groups() -> None:
    one, other = three()[:2]

    evidence = compare([result("a", one), result("b", other)], bootstrap=60, seed=3)

    (found,) = pairs_of(evidence)
    draws = resampling(one.group, 60, 3)
    swapped = np.concatenate([block for _, block in draws.swaps()])[:, draws.index] > 0
    seen = one.in_coverage
    reached = 0
    for swap in swapped:
        a = np.where(swap, other.flagged_asked, one.flagged_asked)[seen]
        b = np.where(swap, one.flagged_asked, other.flagged_asked)[seen]
        unsafe = one.unsafe[seen]
        difference = float(f1(counts_of(unsafe, a)) - f1(counts_of(unsafe, b)))
        reached += abs(difference) >= abs(found["difference"]["value"]) - 1e-9
    assert found["p_permutation"] == pytest.approx((reached + 1) / 61)


def test_models_that_say_the_same_do_not_differ() -> None:
    evidence = compare([result("a", scored()), result("a", scored())], bootstrap=100)

    (found,) = pairs_of(evidence)
    assert (found["first"], found["second"]) == ("a", "a (2)")
    assert found["difference"] == {"value": 0, "low": 0, "high": 0}
    assert found["p_exact"] == found["p_exact_holm"] == found["p_permutation"] == 1
    assert found["chi_square"] is None


def test_a_pair_is_compared_where_both_can_be_asked() -> None:
    wide, narrow = scored(), scored(seed=1, covered=(Category.SEXUAL, Category.POLITICAL))

    evidence = compare([result("wide", wide), result("narrow", narrow)], bootstrap=50)

    (found,) = pairs_of(evidence)
    rows = wide.category == Category.SEXUAL.position
    assert found["n"] == rows.sum()
    assert found["f1_first"] == f1(counts_of(wide.unsafe[rows], wide.flagged_asked[rows]))
    table = table_named(evidence, "comparison-categories")
    assert cell_of(table, "wide / narrow", "Sexual").value == found["difference"]["value"]
    assert cell_of(table, "wide / narrow", "Hate").value is None
    models = table_named(evidence, "comparison-models")
    assert cell_of(models, "wide", "Images").value == wide.in_coverage.sum()
    assert cell_of(models, "narrow", "Images").value == rows.sum()


def test_models_without_a_common_category() -> None:
    one, other = scored(covered=SEEN[:1]), scored(covered=SEEN[1:])

    evidence = compare([result("a", one), result("b", other)], bootstrap=20)

    (found,) = pairs_of(evidence)
    assert found["n"] == 0
    assert found["difference"] == {"value": None, "low": None, "high": None}
    assert found["p_permutation"] is found["p_permutation_holm"] is None
    json.dumps(asdict(evidence), allow_nan=False)


def test_images_that_only_some_scored_are_left_out_and_told() -> None:
    one, other = scored(), scored(seed=1)
    fewer = other.rows(np.arange(100, len(other))[::-1])  # and in another order

    evidence = compare([result("a", one), result("b", fewer)], bootstrap=20)

    (caveat,) = [one for one in evidence.warnings if one.code == "partial-overlap"]
    assert "140 images" in caveat.message
    assert "of 240" in caveat.message
    same = compare([result("a", one.rows(range(100, 240))), result("b", fewer)], bootstrap=20)
    assert evidence.metrics == same.metrics


def test_what_cannot_be_compared_is_refused() -> None:
    one = result("a", scored())
    elsewhere = scored(labels=1)  # the same keys, other bytes
    relabelled = replace(scored(), unsafe=~scored().unsafe)

    for others, told in (
        ([], "needs two"),
        ([result("b", scored(), task="robustness")], "1 of 2 results"),
        ([result("b", elsewhere)], "no image in common"),
        ([result("b", relabelled)], "other labels"),
        ([result("b", scored(n=0))], "no image in common"),
    ):
        with pytest.raises(UsageError, match=told) as raised:
            compare([one, *others], bootstrap=20)
        assert raised.value.hint


def test_stand_ins_and_near_duplicates_are_told() -> None:
    found = compare(
        [result("a", scored(), stand_in=True), result("b", scored(seed=1), stand_in=True)],
        bootstrap=20,
    )

    assert [caveat.code for caveat in found.warnings] == ["stand-in", "near-duplicates"]
    assert "120 of 240" in found.warnings[1].message


def test_twice_the_same_and_without_resamples() -> None:
    every = [result(f"m{k}", one) for k, one in enumerate(three())]

    first, second = (compare(every, bootstrap=50) for _ in range(2))

    assert json.dumps(asdict(first), allow_nan=False) == json.dumps(asdict(second))
    bare = pairs_of(compare(every, bootstrap=0))[0]
    assert bare["difference"]["low"] is None
    assert bare["p_permutation"] is None
    assert bare["p_exact"] == pairs_of(first)[0]["p_exact"]

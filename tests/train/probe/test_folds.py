"""Folds: every image held out once, near-duplicates together; metrics of what was held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from tests.train.sets import planted
from vedette.errors import UsageError
from vedette.train.probe.folds import cross_validated, folds_of, out_of_fold
from vedette.train.probe.samples import Samples, samples_of

DATA, FEATURES = planted()
ROWS = DATA.examples.rows("train")


@given(count=st.integers(2, 9), copies=st.integers(1, 6), seed=st.integers(0, 99))
def test_each_image_is_held_out_once_and_groups_stay_whole(
    count: int, copies: int, seed: int
) -> None:
    examples = replace(DATA.examples, group=np.arange(len(DATA.examples)) // copies)

    fold = folds_of(examples, ROWS, count, seed)

    assert set(fold.tolist()) == set(range(count))
    for group in np.unique(examples.group[ROWS]):
        assert len(set(fold[examples.group[ROWS] == group].tolist())) == 1
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= 3 * copies + count


def test_more_folds_than_groups_are_refused() -> None:
    examples = replace(DATA.examples, group=np.zeros(len(DATA.examples), dtype=np.int64))

    with pytest.raises(UsageError) as caught:
        folds_of(examples, ROWS, 2, 7)

    assert caught.value.code == "too_few_labels"


def test_an_image_is_judged_by_the_training_that_has_not_seen_it() -> None:
    samples = samples_of(DATA.examples, FEATURES, unit=False).at(ROWS)
    fold = folds_of(DATA.examples, ROWS, 4, 7)
    seen: list[set[bytes]] = []

    def train(number: int, others: Samples):  # type: ignore[no-untyped-def]
        assert len(others) == (fold != number).sum()
        seen.append({row.tobytes() for row in others.x})

        def judge(x: np.ndarray) -> np.ndarray:
            assert not {row.tobytes() for row in x} & seen[-1]
            return np.full((len(x), len(others.labels)), float(number))

        return judge

    found = out_of_fold(samples, fold, train)

    assert len(seen) == 4
    assert (found == fold[:, None]).all()


def test_metrics_are_those_of_the_decisions_at_one_half() -> None:
    samples = samples_of(DATA.examples, FEATURES, unit=False).at(ROWS)
    logits = np.random.default_rng(0).normal(size=samples.targets.shape).astype(np.float32)

    found = cross_validated(samples, logits, DATA.examples.group[ROWS], 7)

    its = [f1_score(samples.targets[:, k], logits[:, k] >= 0) for k in range(3)]
    for k, label in enumerate(samples.labels):
        estimate = found["labels"][label]["f1"]
        assert estimate["value"] == pytest.approx(its[k])
        assert estimate["low"] < estimate["value"] < estimate["high"]
    assert found["macro_f1"]["value"] == pytest.approx(np.mean(its))

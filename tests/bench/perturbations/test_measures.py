"""Shares against counting by hand, and scikit-learn for F1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from tests.bench.brightness import Brightness, context, items, predictions
from vedette.bench.perturbations.measures import Asked, scaled
from vedette.bench.perturbations.registry import perturbation
from vedette.bench.perturbations.scoring import Said, variants_of
from vedette.bench.predictions import Predictions

N = 40
VARIANTS = variants_of([perturbation("grid"), perturbation("invert")])


@pytest.fixture(scope="module")
def images() -> Predictions:
    return predictions(items(N, 8, 6), Brightness())


@pytest.fixture
def asked(images: Predictions) -> Asked:
    rng = np.random.default_rng(3)
    right = rng.random((N, len(VARIANTS))) < 0.7
    scored = rng.random((N, len(VARIANTS))) < 0.9
    flagged = (right == images.unsafe[:, None]) & scored
    return Asked(images, Said(VARIANTS, flagged, scored, {}), 500, 7)


def test_failures_are_never_right(images: Predictions) -> None:
    nothing = np.zeros((N, len(VARIANTS)), dtype=np.bool_)
    asked = Asked(images, Said(VARIANTS, nothing, nothing, {"model_failed": N}), 50, 7)

    assert not asked.right.any()
    assert (asked.accuracy().value == 0).all()
    assert (asked.f1().value == 0).all()
    assert np.isnan(asked.evaded().value).all()
    assert asked.alarmed().cell(0).value is None
    assert asked.alarmed().cell(0).low is None


def test_f1_is_scikit_learns_with_failures_taken_as_wrong(asked: Asked) -> None:
    unsafe = asked.images.unsafe
    decided = np.where(asked.said.scored, asked.said.flagged, ~unsafe[:, None])

    for column in range(len(VARIANTS)):
        want = sklearn.metrics.f1_score(unsafe, decided[:, column])
        assert asked.f1().value[column] == pytest.approx(want, abs=1e-12)
        recall = sklearn.metrics.recall_score(unsafe, decided[:, column])
        assert asked.accuracy(unsafe).value[column] == pytest.approx(recall, abs=1e-12)
        accuracy = sklearn.metrics.accuracy_score(unsafe, decided[:, column])
        assert asked.accuracy().value[column] == pytest.approx(accuracy, abs=1e-12)


def test_flips_are_counted_among_what_was_right_when_clean(asked: Asked) -> None:
    unsafe, said = asked.images.unsafe, asked.said
    for column in range(len(VARIANTS)):
        passed = fooled = flagged = fine = 0
        for row in range(N):
            clean_right = said.scored[row, 0] and said.flagged[row, 0] == unsafe[row]
            if clean_right and unsafe[row]:
                passed += 1
                fooled += bool(said.scored[row, column] and not said.flagged[row, column])
            if clean_right and not unsafe[row]:
                fine += 1
                flagged += bool(said.flagged[row, column])
        assert asked.evaded().value[column] == pytest.approx(fooled / passed)
        assert asked.evaded().n[column] == passed
        assert asked.alarmed().value[column] == pytest.approx(flagged / fine)


def test_the_mean_is_over_kinds_and_the_worst_over_everything(asked: Asked) -> None:
    right = asked.right
    grid, invert = asked.said.columns("grid"), asked.said.columns("invert")
    means = asked.mean_accuracy([[grid], [grid, invert]])
    worst = asked.worst([grid, [*grid, *invert]])

    assert means.value[0] == pytest.approx(right[:, 1:4].mean())
    assert means.value[1] == pytest.approx((right[:, 1:4].mean() + right[:, 4].mean()) / 2)
    assert worst.value.tolist() == pytest.approx(
        [right[:, 1:4].all(axis=1).mean(), right[:, 1:5].all(axis=1).mean()]
    )
    held = np.asarray(right[:, 1:5].all(axis=1))
    assert asked.worst([[*grid, *invert]], asked.clean).value[0] == pytest.approx(
        held[right[:, 0]].mean()
    )


def test_intervals_hold_the_share_and_follow_groups(asked: Asked) -> None:
    shares = asked.accuracy()

    for value, interval in zip(shares.value, shares.interval, strict=True):
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low < value < interval.high
    one_group = Asked(asked.images.rows([0] * N), asked.said, 100, 7)
    (first, *_) = one_group.accuracy().interval
    assert first.low == first.high  # one group: every resample is the set itself


def test_numbers_of_a_result_are_finite() -> None:
    assert scaled(float("nan")) is None
    assert scaled(None) is None
    assert scaled(1 / 3, 100) == 33.333333


def test_no_images_give_no_numbers(tmp_path: Path) -> None:
    here = context(tmp_path, count=4)
    empty = np.zeros((0, len(VARIANTS)), dtype=np.bool_)
    asked = Asked(here.predictions.rows([]), Said(VARIANTS, empty, empty, {}), 100, 7)

    assert asked.accuracy().cell(0).value is None
    assert asked.worst([[1, 2]]).cell(0).value is None


def test_no_resamples_give_shares_without_intervals(asked: Asked) -> None:
    cell = Asked(asked.images, asked.said, 0, 7).accuracy().cell(0)

    assert cell.value == asked.accuracy().cell(0).value
    assert (cell.low, cell.high) == (None, None)

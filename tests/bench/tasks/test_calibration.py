"""Calibration: honest probabilities, boastful ones, and sets that lack something."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from tests.bench.scored import SEEN, cell_of, context, scored, table_named, uncategorised
from vedette.bench.predictions import Predictions
from vedette.bench.tasks.calibration import TASK
from vedette.taxonomy import Category


def honest(n: int = 3000) -> Predictions:
    """Images that are unsafe as often as is said."""
    rng = np.random.default_rng(5)
    found = scored(n)
    p = rng.random(n)
    unsafe = rng.random(n) < p
    labels = np.zeros_like(found.labels)
    labels[np.flatnonzero(unsafe), found.category[unsafe]] = True
    every = np.repeat(p[:, None], len(Category), axis=1).astype(np.float32) * found.covered
    return replace(
        found, p=every, unsafe=unsafe, labels=labels, flagged=(every >= 0.5) & found.covered
    )


def test_honest_probabilities_are_calibrated_and_exaggerated_ones_are_not(tmp_path: Path) -> None:
    true = honest()
    boastful = replace(true, p=np.where(true.p > 0.5, 1, 0).astype(np.float32) * true.covered)

    good, bad = (TASK.run(context(one, tmp_path)) for one in (true, boastful))

    row = "all (pooled)"
    errors = [cell_of(table_named(one, "calibration"), row, "ECE").value for one in (good, bad)]
    assert isinstance(errors[0], float)
    assert errors[0] < 0.05
    assert errors[1] == pytest.approx(0.25, abs=0.03)
    brier = cell_of(table_named(good, "calibration"), row, "Brier score")
    assert brier.value == pytest.approx(1 / 6, abs=0.01)
    assert brier.low is not None
    assert brier.high is not None
    assert brier.low < 1 / 6 < brier.high


def test_rows_are_sources_and_covered_categories(tmp_path: Path) -> None:
    evidence = TASK.run(context(scored(), tmp_path))

    assert list(table_named(evidence, "calibration").rows) == ["Laion5B", "Lexica", "all (pooled)"]
    names = [*(c.value for c in SEEN), "Overall"]
    assert list(table_named(evidence, "calibration-categories").rows) == names
    assert {figure.name for figure in evidence.figures} == {
        *("reliability-source-Laion5B", "reliability-source-Lexica", "reliability-pooled"),
        "review",
    }


def test_people_who_review_the_doubtful_leave_fewer_errors(tmp_path: Path) -> None:
    predictions = honest()

    evidence = TASK.run(context(predictions, tmp_path))

    table = table_named(evidence, "review-pooled")
    none, some = table.rows["0.5 \u00b1 0"], table.rows["0.5 \u00b1 0.2"]
    seen = predictions.in_coverage
    wrong = (predictions.unsafe != predictions.flagged_asked)[seen]
    far = np.abs(predictions.asked[seen].astype(np.float64) - 0.5).round(6) >= 0.2
    assert none[0].value == 0
    assert none[1].value == pytest.approx(wrong.mean())
    assert some[0].value == pytest.approx(1 - far.mean())
    assert some[1].value == pytest.approx(wrong[far].mean())
    (figure,) = [figure for figure in evidence.figures if figure.name == "review"]
    pooled = figure.series[-1]
    assert len(pooled.x) <= 200
    assert pooled.x[0] == 0
    assert pooled.y[0] == pytest.approx(wrong.mean(), abs=1e-6)


def test_a_classifier_with_a_threshold_of_its_own_is_told(tmp_path: Path) -> None:
    predictions = scored()
    own = replace(predictions, flagged=(predictions.p >= 0.3) & predictions.covered)

    plain, moved = (TASK.run(context(one, tmp_path)) for one in (predictions, own))

    assert "own-threshold" not in {caveat.code for caveat in plain.warnings}
    assert "own-threshold" in {caveat.code for caveat in moved.warnings}


def test_twice_the_same_and_json(tmp_path: Path) -> None:
    first, second = (TASK.run(context(scored(), tmp_path)) for _ in range(2))

    assert json.dumps(asdict(first), allow_nan=False) == json.dumps(asdict(second))


def test_sets_that_lack_something(tmp_path: Path) -> None:
    for predictions in (scored(n=0), scored(covered=()), scored(n=1), uncategorised(scored())):
        evidence = TASK.run(context(predictions, tmp_path))
        json.dumps(asdict(evidence), allow_nan=False)
    assert TASK.fits(context(scored(n=0), tmp_path)) is not None
    assert TASK.fits(context(uncategorised(scored()), tmp_path)) is None

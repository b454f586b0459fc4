"""The corruptions task from a context to evidence that a result can hold."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.bench.brightness import Brightness, context
from vedette.bench.evidence import Evidence
from vedette.bench.perturbations.registry import perturbations
from vedette.bench.predictor import PredictorCard
from vedette.bench.tasks.base import BenchOptions
from vedette.bench.tasks.corruptions import ALL, FAMILIES, TASK
from vedette.errors import VedetteError

KINDS = [kind for kind in perturbations().values() if kind.family in FAMILIES]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return TASK.run(context(tmp_path_factory.mktemp("state")))


def as_text(evidence: Evidence) -> str:
    return json.dumps(dataclasses.asdict(evidence), allow_nan=False)


def test_every_kind_and_severity_is_measured(evidence: Evidence) -> None:
    kinds = evidence.metrics["kinds"]

    assert isinstance(kinds, dict)
    assert set(kinds) == {kind.name for kind in KINDS}
    for kind in KINDS:
        levels = [one["level"] for one in kinds[kind.name]["severities"]]
        assert levels == list(kind.levels)
        for one in kinds[kind.name]["severities"]:
            assert set(one) == {
                *("level", "accuracy", "f1", "recall", "unsafe_to_safe", "safe_to_unsafe", "failed")
            }
    assert evidence.metrics["images"] == 6


def test_what_keeps_brightness_keeps_the_decision_and_the_negative_turns_it(
    evidence: Evidence,
) -> None:
    kinds = evidence.metrics["kinds"]
    clean = evidence.metrics["clean"]
    assert isinstance(kinds, dict)
    assert isinstance(clean, dict)

    assert kinds["flip"]["mean_accuracy"] == clean["accuracy"] > 0.5
    assert kinds["flip"]["severities"][0]["unsafe_to_safe"] == 0
    assert kinds["invert"]["severities"][0]["unsafe_to_safe"] > 0


def test_the_worst_of_all_is_the_worst(evidence: Evidence) -> None:
    families = evidence.metrics["families"]
    assert isinstance(families, dict)

    assert set(families) == {*FAMILIES, ALL}
    for family in FAMILIES:
        assert families[ALL]["worst_of_all"] <= families[family]["worst_of_all"]
        assert families[family]["worst_of_all"] <= families[family]["mean_accuracy"]
    (worst,) = [figure for figure in evidence.figures if figure.name == "corruptions-worst"]
    for series in worst.series:
        assert list(series.y) == sorted(series.y, reverse=True)
        assert series.x[0] == 0


def test_there_is_a_table_for_each_family_with_intervals(evidence: Evidence) -> None:
    tables = {table.name: table for table in evidence.tables}

    assert set(tables) == {
        "corruptions",
        *(f"corruptions-{family}{end}" for family in FAMILIES for end in ("", "-detail")),
    }
    assert tables["corruptions"].rows[ALL][1].value == sum(len(kind.levels) for kind in KINDS)
    grid = tables["corruptions-evasion"].rows["grid"]
    assert [cell.value is None for cell in grid] == [False] * 3 + [True] * 2 + [False]
    assert grid[0].low is not None
    assert grid[0].n == 6
    assert "fog 5 (5)" in tables["corruptions-weather-detail"].rows


def test_two_runs_are_equal_and_so_is_one_that_was_stopped(
    evidence: Evidence, tmp_path: Path
) -> None:
    left = [400]

    def habit(key: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise VedetteError("the cost cap is reached")

    with pytest.raises(VedetteError, match="cost cap"):
        TASK.run(context(tmp_path, Brightness(habit)))

    assert as_text(TASK.run(context(tmp_path))) == as_text(evidence)


def test_failures_are_wrong_and_told(tmp_path: Path) -> None:
    predictor = Brightness(fails=lambda key: key.endswith("#flip@1"))
    whole = context(tmp_path, predictor)
    failed = dataclasses.replace(whole.predictions, failed=(("x.png", "corrupt"),))
    evidence = TASK.run(dataclasses.replace(whole, predictions=failed))
    kinds = evidence.metrics["kinds"]
    assert isinstance(kinds, dict)

    assert kinds["flip"]["severities"][0]["accuracy"] == 0
    assert kinds["flip"]["severities"][0]["failed"] == 6
    assert [caveat.code for caveat in evidence.warnings] == ["not-scored"] * 2
    assert "6 of" in evidence.warnings[0].message
    assert "model_failed: 6" in evidence.warnings[0].message
    assert "1 images of the set" in evidence.warnings[1].message


def test_an_honest_run_warns_of_nothing(evidence: Evidence) -> None:
    assert list(evidence.warnings) == []


def test_a_set_without_sources_or_safe_images_is_measured(tmp_path: Path) -> None:
    whole = context(tmp_path, options=BenchOptions(images=2, bootstrap=20))
    only = whole.predictions.rows(whole.predictions.unsafe)
    bare = dataclasses.replace(only, source=("",) * len(only))
    evidence = TASK.run(dataclasses.replace(whole, predictions=bare))

    as_text(evidence)
    clean = evidence.metrics["clean"]
    assert isinstance(clean, dict)
    assert clean["safe_to_unsafe"] is None


def test_it_says_where_it_does_not_fit(tmp_path: Path) -> None:
    here = context(tmp_path)
    from_file = PredictorCard("p.csv", "p.csv@1", here.card.covered, kind="predictions")
    blind = dataclasses.replace(here.predictions, covered=np.zeros_like(here.predictions.covered))

    assert TASK.fits(here) is None
    assert "file of predictions" in str(TASK.fits(dataclasses.replace(here, card=from_file)))
    assert "coverage" in str(TASK.fits(dataclasses.replace(here, predictions=blind)))

"""The artistic case study: percent correct over strength, and over grids."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.bench.brightness import Brightness, context
from vedette.bench.evidence import Evidence
from vedette.bench.tasks.base import BenchOptions
from vedette.bench.tasks.styles import TASK

STYLES = ("cartoon", "oil-paint", "pencil-sketch")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    options = BenchOptions(images=12, bootstrap=100)
    return TASK.run(context(tmp_path_factory.mktemp("state"), count=24, options=options))


def test_strengths_run_from_the_original_to_0_6(evidence: Evidence) -> None:
    (figure,) = [figure for figure in evidence.figures if figure.name == "styles"]

    assert tuple(series.name for series in figure.series) == STYLES
    for series in figure.series:
        assert list(series.x) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
        assert all(0 <= y <= 100 for y in series.y)
        assert series.low is not None
    assert len({series.y[0] for series in figure.series}) == 1  # one original


def test_a_sketch_on_white_paper_makes_dark_pictures_bright(evidence: Evidence) -> None:
    styles = evidence.metrics["styles"]
    assert isinstance(styles, dict)

    assert styles["pencil-sketch"]["all"]["0.6"] < styles["pencil-sketch"]["all"]["0.0"]
    assert styles["oil-paint"]["all"]["0.6"] == styles["oil-paint"]["all"]["0.0"]


def test_grids_keep_what_brightness_sees(evidence: Evidence) -> None:
    grid = evidence.metrics["grid"]
    assert isinstance(grid, dict)

    assert list(grid["all"]) == ["1×1", "2×2", "3×3", "4×4"]
    assert len(set(grid["all"].values())) == 1
    assert set(grid) == {"all", "unsafe", "safe", "Laion5B", "Lexica"}
    (table,) = [table for table in evidence.tables if table.name == "grids"]
    assert table.rows["unsafe"][0].n is not None
    assert table.rows["unsafe"][0].n < 12


def test_two_runs_are_equal_to_the_bit(tmp_path: Path) -> None:
    runs = [
        json.dumps(dataclasses.asdict(TASK.run(context(tmp_path / name))), allow_nan=False)
        for name in ("one", "other")
    ]

    assert runs[0] == runs[1]


def test_failures_are_told(tmp_path: Path) -> None:
    predictor = Brightness(fails=lambda key: "#cartoon@" in key)
    evidence = TASK.run(context(tmp_path, predictor))
    styles = evidence.metrics["styles"]
    assert isinstance(styles, dict)

    assert [caveat.code for caveat in evidence.warnings] == ["not-scored"]
    assert styles["cartoon"]["all"]["0.1"] == 0

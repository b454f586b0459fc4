"""Effectiveness: the numbers, their form, and sets that lack something."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from tests.bench.scored import SEEN, cell_of, context, scored, table_named, uncategorised
from vedette.bench import paper
from vedette.bench.evidence import Evidence
from vedette.bench.measured import GLOBAL_RULE, OWN_RULE, SHIPPED_RULE, thresholds_on
from vedette.bench.predictions import Predictions
from vedette.bench.tasks.base import BenchOptions
from vedette.bench.tasks.effectiveness import TASK
from vedette.extras import require
from vedette.taxonomy import Category


def run(predictions: Predictions, state: Path, validation: Predictions | None = None) -> Evidence:
    return TASK.run(context(predictions, state, validation=validation))


def f1_of(unsafe: np.ndarray, flagged: np.ndarray) -> float:
    return float(require("sklearn.metrics", extra="dev").f1_score(unsafe, flagged))


def codes(evidence: Evidence) -> set[str]:
    return {caveat.code for caveat in evidence.warnings}


def test_every_cell_is_the_f1_of_its_images(tmp_path: Path) -> None:
    predictions = scored()

    evidence = run(predictions, tmp_path)

    for slug, rows in (
        ("source-Laion5B", predictions.of_source("Laion5B")),
        ("source-Lexica", predictions.of_source("Lexica")),
        ("pooled", predictions.of_source("")),
    ):
        table = table_named(evidence, f"f1-{slug}")
        assert table.like == "Table 4"
        assert list(table.columns) == [*(c.value for c in Category), "Overall"]
        for category in Category:
            found = cell_of(table, SHIPPED_RULE, category.value)
            own = rows & (predictions.category == category.position)
            if category not in SEEN:
                assert found.value is None
                continue
            flagged = predictions.flagged[own, category.position]
            assert found.value == pytest.approx(f1_of(predictions.unsafe[own], flagged))
            assert found.n == own.sum()
            assert isinstance(found.value, float)
            assert found.low is not None
            assert found.high is not None
            assert found.low <= found.value <= found.high
        overall = cell_of(table, SHIPPED_RULE, "Overall")
        seen = rows & predictions.in_coverage
        assert overall.n == seen.sum() < rows.sum()
        expected = f1_of(predictions.unsafe[seen], predictions.flagged_asked[seen])
        assert overall.value == pytest.approx(expected)


def test_the_papers_numbers_stand_beside_those_of_the_same_model_and_source(
    tmp_path: Path,
) -> None:
    evidence = run(scored(), tmp_path)
    other = TASK.run(context(scored(), tmp_path, name="falconsai"))

    found = cell_of(table_named(evidence, "f1-source-Lexica"), SHIPPED_RULE, "Sexual")
    assert found.paper == 0.815
    assert cell_of(table_named(evidence, "f1-pooled"), SHIPPED_RULE, "Sexual").paper == 0.757
    # The paper gives no number for Spam, nor overall, of this model.
    cells = table_named(evidence, "f1-pooled").rows[SHIPPED_RULE]
    assert sum(cell.paper is not None for cell in cells) == len(SEEN)
    for table in other.tables:
        assert all(cell.paper is None for row in table.rows.values() for cell in row)


def test_the_gate_asks_every_image_about_all_that_is_covered(tmp_path: Path) -> None:
    predictions = scored()

    evidence = run(predictions, tmp_path)

    table = table_named(evidence, "metrics-pooled")
    at = [c.position for c in SEEN]
    unsafe = np.asarray(predictions.labels[:, at].any(axis=1))
    flagged = np.asarray(predictions.flagged[:, at].any(axis=1))
    found = cell_of(table, "Any covered category", "F1")
    assert found.n == len(predictions)  # those of the uncovered category are safe here
    assert found.value == pytest.approx(f1_of(unsafe, flagged))
    auroc = require("sklearn.metrics", extra="dev").roc_auc_score
    rank = cell_of(table, "Any covered category", "AUROC").value
    assert rank == pytest.approx(auroc(unsafe, predictions.p[:, at].max(1)))


def test_thresholds_come_from_validation_and_all_are_shown(tmp_path: Path) -> None:
    predictions, validation = scored(), scored(seed=1, labels=1)

    evidence = run(predictions, tmp_path, validation)

    table = table_named(evidence, "f1-pooled")
    assert list(table.rows) == [SHIPPED_RULE, GLOBAL_RULE, OWN_RULE]
    chosen = thresholds_on(validation)
    assert chosen.single is not None
    for category in SEEN:
        rows = predictions.category == category.position
        unsafe, p = predictions.unsafe[rows], predictions.p[rows, category.position]
        own = chosen.of(category)
        assert cell_of(table, OWN_RULE, category.value).value == pytest.approx(
            f1_of(unsafe, p >= own)
        )
        assert cell_of(table, GLOBAL_RULE, category.value).value == pytest.approx(
            f1_of(unsafe, p >= chosen.single.value)
        )
        assert cell_of(table, OWN_RULE, category.value).paper is None
        shown = cell_of(table_named(evidence, "thresholds"), category.value, "Best on validation")
        assert shown.value == own


def test_a_category_that_validation_lacks_takes_the_single_threshold(tmp_path: Path) -> None:
    validation = scored(labels=1)
    validation = validation.rows(validation.category != Category.HATE.position)

    evidence = run(scored(), tmp_path, validation)

    chosen = thresholds_on(validation)
    assert chosen.single is not None
    assert chosen.of(Category.HATE) == chosen.single.value
    table = table_named(evidence, "thresholds")
    assert cell_of(table, "Hate", "Best on validation").value is None


def test_without_validation_it_says_so(tmp_path: Path) -> None:
    evidence = run(scored(), tmp_path)

    table = table_named(evidence, "f1-pooled")
    assert list(table.rows) == [SHIPPED_RULE]
    assert "no validation split" in table.caption
    assert evidence.metrics["thresholds"] is None


def test_the_official_protocol_gives_table_4_alone(tmp_path: Path) -> None:
    options = BenchOptions(protocol="official", bootstrap=200)

    evidence = TASK.run(context(scored(), tmp_path, options=options, validation=scored(labels=1)))

    assert {table.like for table in evidence.tables} == {"Table 4"}
    assert not evidence.figures
    for table in evidence.tables:
        assert list(table.rows) == [SHIPPED_RULE]
        assert all(cell.low is None for cell in table.rows[SHIPPED_RULE])
    both = [table_named(one, "f1-pooled") for one in (evidence, run(scored(), tmp_path))]
    values = [[cell.value for cell in table.rows[SHIPPED_RULE]] for table in both]
    assert values[0] == values[1]


def test_curves_and_bars(tmp_path: Path) -> None:
    evidence = run(scored(n=2000), tmp_path)

    figures = {figure.name: figure for figure in evidence.figures}
    assert set(figures) == {"f1"} | {
        f"{kind}-{slug}"
        for kind in ("roc", "pr")
        for slug in ("source-Laion5B", "source-Lexica", "pooled")
    }
    for series in figures["roc-pooled"].series:
        assert len(series.x) <= 200
        assert (series.x[-1], series.y[-1]) == (1, 1)
    assert {series.name for series in figures["f1"].series} == {"Laion5B", "Lexica", "all"}
    assert all(series.low is not None for series in figures["f1"].series)


def test_twice_the_same(tmp_path: Path) -> None:
    first, second = (run(scored(), tmp_path, scored(labels=1)) for _ in range(2))

    assert json.dumps(asdict(first), allow_nan=False) == json.dumps(asdict(second))


def test_what_was_not_scored_is_told(tmp_path: Path) -> None:
    evidence = run(scored(), tmp_path)

    (caveat,) = [one for one in evidence.warnings if one.code == "not-scored"]
    assert "1 of 241" in caveat.message
    assert evidence.metrics["not_scored"] == 1


def test_a_set_without_categories_has_only_an_overall(tmp_path: Path) -> None:
    predictions = uncategorised(scored())

    evidence = run(predictions, tmp_path, predictions)

    assert "no-categories" in codes(evidence)
    cells = table_named(evidence, "f1-pooled").rows[SHIPPED_RULE]
    assert [cell.value for cell in cells[:-1]] == [None] * len(Category)
    expected = f1_of(predictions.unsafe, predictions.flagged_any)
    assert cells[-1].value == pytest.approx(expected)
    # Unsafe without a category is unsafe to the gate, too.
    gate = cell_of(table_named(evidence, "metrics-pooled"), "Any covered category", "F1")
    assert gate.value == cells[-1].value


@pytest.mark.parametrize("sources", [("Lexica",), ("",)])
def test_one_source_gets_one_table(tmp_path: Path, sources: tuple[str, ...]) -> None:
    evidence = run(scored(sources=sources), tmp_path)

    (table,) = [table for table in evidence.tables if table.like == "Table 4"]
    assert table.title == f"F1: {sources[0] or 'all'}"
    # One of the paper's sources is compared with itself; a set of unknown origin with nothing.
    printed = paper.f1("lexica", "MultiHeaded", Category.HATE) if sources[0] else None
    assert cell_of(table, SHIPPED_RULE, "Hate").paper == printed
    assert evidence.metrics["sources"] == {}


def test_a_category_of_one_class_is_told(tmp_path: Path) -> None:
    predictions = scored()
    kept = predictions.unsafe | (predictions.category != Category.SEXUAL.position)

    evidence = run(predictions.rows(kept), tmp_path)

    (caveat,) = [one for one in evidence.warnings if one.code == "one-class"]
    assert "Sexual" in caveat.message
    table = table_named(evidence, "metrics-pooled")
    assert cell_of(table, "Sexual", "AUROC").value is None
    assert cell_of(table, "Sexual", "FPR").value is None


def test_few_images_are_told(tmp_path: Path) -> None:
    assert "few-images" in codes(run(scored(n=40), tmp_path))
    assert "few-images" not in codes(run(scored(n=400), tmp_path))


def test_sets_that_cannot_be_asked(tmp_path: Path) -> None:
    empty = context(scored(n=0), tmp_path)
    blind = context(scored(covered=()), tmp_path)
    elsewhere = context(scored(covered=(Category.POLITICAL,)), tmp_path)

    assert "no image" in (TASK.fits(empty) or "")
    for one in (blind, elsewhere):
        assert "sees none" in (TASK.fits(one) or "")
    assert TASK.fits(context(scored(), tmp_path)) is None
    for one in (empty, blind, elsewhere):  # and if it is asked nevertheless
        evidence = TASK.run(replace(one, validation=one.predictions))
        json.dumps(asdict(evidence), allow_nan=False)
        cells = table_named(evidence, "f1-pooled").rows[SHIPPED_RULE]
        assert {cell.value for cell in cells} == {None}

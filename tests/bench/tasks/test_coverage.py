"""Coverage: every card, and the paper's Table 3 beside ours."""

from __future__ import annotations

from pathlib import Path

from tests.bench.scored import SEEN, cell_of, context, scored, table_named
from vedette.bench import paper
from vedette.bench.tasks.coverage import TASK, coverage_table
from vedette.models.registry import entries
from vedette.taxonomy import Category


def test_every_card_and_the_one_under_test_has_a_row(tmp_path: Path) -> None:
    evidence = TASK.run(context(scored(), tmp_path, name="mine"))

    table = table_named(evidence, "coverage")
    assert table.like == "Table 3"
    assert list(table.rows) == ["mine", *entries()]
    assert [cell.value for cell in table.rows["mine"]] == [
        1 if category in SEEN else None for category in Category
    ]
    assert cell_of(table, "q16", "Violence").value == 1
    assert cell_of(table, "q16", "Spam").value is None


def test_a_model_of_the_registry_under_test_has_one_row(tmp_path: Path) -> None:
    same = scored(covered=entries()["nudenet"].card.covered)

    alike = TASK.run(context(same, tmp_path, name="nudenet"))
    other = TASK.run(context(scored(), tmp_path, name="nudenet"))

    assert set(table_named(alike, "coverage").rows) == set(entries())
    assert "nudenet (registry)" in table_named(other, "coverage").rows


def test_the_papers_row_stands_beside(tmp_path: Path) -> None:
    table = table_named(TASK.run(context(scored(), tmp_path)), "coverage")

    assert [cell.paper for cell in table.rows["q16"]] == [
        1.0 if category in paper.coverage()["Q16"] else None for category in Category
    ]
    assert all(cell.paper is None for cell in table.rows["falconsai"])


def test_a_coverage_that_differs_from_the_papers_says_so() -> None:
    table = coverage_table({"nudenet": (Category.HATE,)})

    assert cell_of(table, "nudenet", "Sexual").note == "the paper: 1"
    assert cell_of(table, "nudenet", "Hate").note == "the paper: \u2013"
    assert cell_of(table, "nudenet", "Spam").note == ""


def test_it_needs_no_image(tmp_path: Path) -> None:
    empty = context(scored(n=0, covered=()), tmp_path, name="blind")

    assert TASK.fits(empty) is None
    cells = table_named(TASK.run(empty), "coverage").rows["blind"]
    assert {cell.value for cell in cells} == {None}

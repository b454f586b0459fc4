"""Tables of several results as one, and how a cell is worded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.report.made import table_4, thresholds
from vedette.bench.evidence import Cell, Table
from vedette.bench.report.tables import (
    MOST_COLUMNS,
    MOST_ROWS,
    below,
    grids,
    interval,
    is_number,
    number,
    plain,
    remarks,
    shown,
)


def test_rows_of_several_models_stand_below_each_other() -> None:
    (grid,) = grids([("a", table_4("a")), ("b", table_4("b", 0.1))])

    assert grid.names == ("model", "source")
    assert [row.names for row in grid.rows] == [
        ("a", "Laion5B"),
        ("b", "Laion5B"),
        ("a", "Lexica"),
        ("b", "Lexica"),
    ]
    assert [row.first for row in grid.rows] == [True, False, True, False]
    assert grid.rows[1].cells[0].value == pytest.approx(0.52)


def test_a_table_that_is_not_by_model_stays_one_for_each() -> None:
    first, second = grids([("a", thresholds()), ("b", thresholds("Another caption."))])

    assert (first.title, second.title) == ("Thresholds (a)", "Thresholds (b)")
    assert [grid.title for grid in grids([("a", thresholds())])] == ["Thresholds"]


def test_tables_of_one_name_and_other_columns_are_not_merged() -> None:
    def table(column: str) -> Table:
        return Table("t", "T", [column], {"r": [Cell(1)]}, model_is_row=True)

    assert [grid.columns for grid in grids([("a", table("x")), ("b", table("y"))])] == [
        ["x"],
        ["y"],
    ]


def test_tables_keep_the_order_they_came_in() -> None:
    def table(name: str) -> Table:
        return Table(name, name, ["c"], {"r": [Cell(1)]}, model_is_row=True)

    found = grids([("a", table("z")), ("a", table("y")), ("b", table("y")), ("b", table("x"))])

    assert [grid.title for grid in found] == ["z", "y", "x"]


def test_a_cell_has_number_interval_and_the_papers_number() -> None:
    cell = Cell(0.6912, 0.6389, 0.7312, paper=0.63, n=1200, note="pooled")

    assert shown(cell) == "0.69"
    assert interval(cell) == "[0.64, 0.73]"
    assert below(cell, with_n=True) == ["paper 0.63", "n 1,200", "pooled"]
    assert plain(cell) == "0.69 [0.64, 0.73] (paper 0.63, pooled)"


def test_what_is_outside_the_coverage_is_a_dash_and_never_zero() -> None:
    cell = Cell(None, 0.1, 0.2, n=3)

    assert plain(cell) == "\u2013"
    assert below(cell, with_n=True) == []
    assert plain(Cell(0.0)) == "0.00"
    assert plain(Cell(0)) == "0"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "0.50"),
        (0.0049, "0.005"),
        (0.00031, "0.0003"),
        (1e-12, "1e-12"),
        (-0.25, "-0.25"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (12_932, "12,932"),
        (3e9, "3e+09"),
        (10**400, "inf"),
    ],
)
def test_numbers_are_short(value: float, words: str) -> None:
    if value == 10**400:
        with pytest.raises(OverflowError):  # checked.py keeps it out
            number(value)
        return
    assert number(value) == words


@given(st.floats(-1e300, 1e300))
def test_no_number_is_told_far_off(value: float) -> None:
    told = float(number(value).replace(",", ""))

    assert math.isclose(told, value, rel_tol=0.5, abs_tol=0.005)


def test_one_n_for_all_is_said_once() -> None:
    one = Table("t", "T", ["a", "b"], {"r": [Cell(1.0, n=500), Cell(0.5, n=500)]})
    two = Table("t", "T", ["a", "b"], {"r": [Cell(1.0, n=500), Cell(0.5, n=400)]})

    assert remarks(grids([("m", one)])[0]) == ["The numbers rest on 500 images."]
    assert remarks(grids([("m", two)])[0]) == []


def test_huge_tables_are_cut_and_say_so() -> None:
    cells = [Cell(i) for i in range(MOST_COLUMNS + 5)]
    table = Table(
        "t",
        "T",
        [str(i) for i in range(len(cells))],
        dict.fromkeys(map(str, range(MOST_ROWS + 7)), cells),
    )

    (grid,) = grids([("m", table)])

    assert len(grid.rows) == MOST_ROWS
    assert {len(row.cells) for row in grid.rows} == {len(grid.columns)} == {MOST_COLUMNS}
    assert remarks(grid) == [
        "7 more rows are in the result, not here.",
        "5 more columns are in the result, not here.",
    ]


def test_columns_of_words_are_told_from_numbers() -> None:
    (grid,) = grids([("m", thresholds())])

    assert [is_number(grid, column) for column in range(4)] == [True, True, False, True]


def test_a_table_that_is_the_same_for_all_comes_once() -> None:
    other = thresholds("Another caption.")

    assert [one.title for one in grids([("a", thresholds()), ("b", thresholds())])] == [
        "Thresholds"
    ]
    assert [
        one.title for one in grids([("a", thresholds()), ("b", thresholds()), ("c", other)])
    ] == ["Thresholds (a, b)", "Thresholds (c)"]


def test_a_row_that_rests_on_one_n_has_it_once() -> None:
    table = Table(
        "t", "T", ["a", "b"], {"r": [Cell(1.0, n=5), Cell(None)], "s": [Cell(1.0, n=6), Cell(2.0)]}
    )

    (grid,) = grids([("m", table)])

    assert [row.n for row in grid.rows] == [5, 6]
    assert grid.n is None


def test_columns_may_each_rest_on_an_n_of_their_own() -> None:
    rows = {name: [Cell(1.0, n=20), Cell(0.5, n=10), Cell(0)] for name in "ab"}
    mixed = {"a": [Cell(1.0, n=20), Cell(0.5, n=10)], "b": [Cell(1.0, n=10), Cell(0.5, n=10)]}

    assert grids([("m", Table("t", "T", list("xyz"), rows))])[0].column_ns == [20, 10, None]
    assert grids([("m", Table("t", "T", list("xy"), mixed))])[0].column_ns is None

"""Tables of several results as one grid each, and how a cell is worded in every kind of report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from vedette.bench.evidence import Cell, Table

NOTHING = "\u2013"
"""Stands where there is no number: outside the coverage, or nothing to measure it on."""
MOST_ROWS = 300
"""Rows of a grid; it says how many more there are."""
MOST_COLUMNS = 48
_PLAIN = 10_000_000
"""From here on a float is written with an exponent."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a grid."""

    names: tuple[str, ...]
    """Of what it is about: the model's and the row's own, or one of them."""
    cells: Sequence[Cell]
    first: bool = False
    """Whether it begins a group of rows that belong together."""

    @property
    def n(self) -> int | None:
        """Images that every cell rests on, where it is the same number for all; else None."""
        return _one_n([self])


@dataclass(frozen=True, slots=True)
class Grid:
    """One table as reports draw it."""

    title: str
    names: tuple[str, ...]
    """Heads of the columns with the rows' names."""
    columns: Sequence[str]
    rows: Sequence[Row]
    caption: str = ""
    like: str = ""
    left_out: int = 0
    """Rows that are not here, of which there were too many."""
    columns_left_out: int = 0
    subject: str = ""
    """Its title without the model's name."""
    of_models: bool = False
    """Whether models stand below each other in it."""

    @property
    def n(self) -> int | None:
        """Images that every cell rests on, where it is the same number for all; else None."""
        return _one_n(self.rows)

    @property
    def column_ns(self) -> list[int | None] | None:
        """The same for each column, where rows have different ones but columns do not."""
        if self.n is not None or all(row.n is not None for row in self.rows):
            return None
        found = [_ns([row.cells[at]] for row in self.rows) for at in range(len(self.columns))]
        if any(len(numbers) > 1 for numbers in found):
            return None
        return [next(iter(numbers), None) for numbers in found]


def _one_n(rows: Sequence[Row]) -> int | None:
    numbers = _ns(row.cells for row in rows)
    return next(iter(numbers)) if len(numbers) == 1 else None


def _ns(lines: Iterable[Sequence[Cell]]) -> set[int]:
    """What the cells rest on that have a number and say so; counts themselves do not."""
    return {
        cell.n for line in lines for cell in line if cell.value is not None and cell.n is not None
    }


def grids(tables: Sequence[tuple[str, Table]]) -> list[Grid]:
    """The tables of several models, those of one name together, in the order they came in.

    A table that is the same for several models, because it is about the data, comes once.

    Args:
        tables: each with its model's label, which is unique.
    """
    by_name: dict[str, list[tuple[str, Table]]] = {}
    for label, table in tables:
        by_name.setdefault(table.name, []).append((label, table))
    models = len({label for label, _ in tables})
    out = []
    for group in by_name.values():
        merged: dict[tuple[str, ...], list[tuple[str, Table]]] = {}
        alike: list[tuple[list[str], Table]] = []
        for label, table in group:
            if table.model_is_row:
                merged.setdefault(tuple(table.columns), []).append((label, table))
                continue
            same = next((labels for labels, one in alike if one == table), None)
            if same is None:
                alike.append(([label], table))
            else:
                same.append(label)
        out += [_bounded(_models_as_rows(one)) for one in merged.values()]
        for labels, table in alike:
            whose = ", ".join(labels) if len(labels) < models else ""
            out.append(_bounded(_of_some(whose, table)))
    return out


def _models_as_rows(group: Sequence[tuple[str, Table]]) -> Grid:
    """Rows of one name below each other: that is what a reader compares."""
    table = group[0][1]
    names = dict.fromkeys(name for _, one in group for name in one.rows)
    rows = []
    for name in names:
        found = [(label, one.rows[name]) for label, one in group if name in one.rows]
        rows += [
            Row((label, name), cells, place == 0) for place, (label, cells) in enumerate(found)
        ]
    return Grid(
        title=table.title,
        names=("model", table.row),
        columns=table.columns,
        rows=rows,
        caption=table.caption,
        like=table.like,
        subject=table.title,
        of_models=True,
    )


def _of_some(whose: str, table: Table) -> Grid:
    rows = [Row((name,), cells) for name, cells in table.rows.items()]
    title = f"{table.title} ({whose})" if whose else table.title
    return Grid(
        title=title,
        names=(table.row,),
        columns=table.columns,
        rows=rows,
        caption=table.caption,
        like=table.like,
        subject=table.title,
    )


def _bounded(grid: Grid) -> Grid:
    rows = grid.rows[:MOST_ROWS]
    more = len(grid.columns) - MOST_COLUMNS
    if more > 0:
        rows = [replace(row, cells=row.cells[:MOST_COLUMNS]) for row in rows]
    return replace(
        grid,
        rows=rows,
        columns=grid.columns[:MOST_COLUMNS],
        left_out=len(grid.rows) - len(rows),
        columns_left_out=max(0, more),
    )


def number(value: float | int) -> str:
    """A number for a person: two decimals where that says something."""
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else f"{float(value):.3g}"
    size = abs(value)
    if size >= _PLAIN:
        return f"{value:.3g}"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if 0 < size < 0.005:
        return f"{value:.1g}"
    return f"{value:.2f}"


def shown(cell: Cell) -> str:
    """Its value."""
    if cell.value is None:
        return NOTHING
    return cell.value if isinstance(cell.value, str) else number(cell.value)


def interval(cell: Cell) -> str:
    """``[0.64, 0.73]``; empty where there is none."""
    if cell.value is None or cell.low is None or cell.high is None:
        return ""
    return f"[{number(cell.low)}, {number(cell.high)}]"


def below(cell: Cell, *, with_n: bool) -> list[str]:
    """What stands below the value: the paper's number, the images it rests on, a note."""
    said = []
    if cell.paper is not None:
        said.append(f"paper {number(cell.paper)}")
    if with_n and cell.n is not None and cell.value is not None:
        said.append(f"n {cell.n:,}")
    if cell.note:
        said.append(cell.note)
    return said


def plain(cell: Cell) -> str:
    """All of a cell but its n, on one line."""
    parts = [shown(cell), interval(cell)]
    parts += [f"({', '.join(said)})"] if (said := below(cell, with_n=False)) else []
    return " ".join(part for part in parts if part)


def is_number(grid: Grid, column: int) -> bool:
    """Whether a column holds numbers, which are aligned to the right."""
    return not any(isinstance(row.cells[column].value, str) for row in grid.rows)


def remarks(grid: Grid) -> list[str]:
    """What a reader must know of the whole grid, besides its caption."""
    said = []
    if grid.n is not None:
        said.append(f"The numbers rest on {grid.n:,} images.")
    if grid.left_out:
        said.append(f"{grid.left_out:,} more rows are in the result, not here.")
    if grid.columns_left_out:
        said.append(f"{grid.columns_left_out:,} more columns are in the result, not here.")
    return said

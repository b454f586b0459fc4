"""What a task shows: tables, figures and warnings, in a form that any report can draw.

They are plain data and stand in the result's JSON, so that a report needs neither the task's code
nor the pictures to show what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a table, with what says how far it can be trusted."""

    value: float | int | str | None
    """None is printed as "–": outside the coverage, or nothing to measure it on."""
    low: float | None = None
    """Of the 95 % interval."""
    high: float | None = None
    """Of the 95 % interval."""
    paper: float | None = None
    """What UnsafeBench printed for the same measurement; None where there is none."""
    n: int | None = None
    """Images that it rests on."""
    note: str = ""
    """For a person, a few words."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    name: str
    """Unique within a result; reports put tables of one name from several models together."""
    title: str
    columns: Sequence[str]
    """Names of the cells' columns; the first column, with the rows' names, is not counted."""
    rows: Mapping[str, Sequence[Cell]]
    """By the row's name, one Cell for each column."""
    row: str = ""
    """What the rows are: ``category``, ``attack``."""
    caption: str = ""
    """How it was measured, its units, and what it must not be taken for."""
    like: str = ""
    """The paper's table that it has the form of: ``Table 4``."""
    model_is_row: bool = False
    """Whether a report over several models may put their rows below each other, as the paper does,
    each row with its model's name before it."""

    def __post_init__(self) -> None:
        for name, cells in self.rows.items():
            if len(cells) != len(self.columns):
                raise ValueError(f"{self.name}, {name}: {len(cells)} cells, not one per column")


@dataclass(frozen=True, slots=True)
class Series:
    """One line, cloud or set of bars."""

    name: str
    x: Sequence[float | str]
    y: Sequence[float]
    low: Sequence[float] | None = None
    """Of the 95 % intervals."""
    high: Sequence[float] | None = None
    """Of the 95 % intervals."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One plot, as numbers."""

    name: str
    title: str
    kind: Literal["lines", "bars", "scatter", "density", "images"]
    """``density``: x are the edges or centres of bins, y their shares. ``images``: see
    ``keys``."""
    series: Sequence[Series] = ()
    x: str = ""
    """Label of the axis, with its unit."""
    y: str = ""
    """Label of the axis, with its unit."""
    caption: str = ""
    like: str = ""
    """The paper's figure that it has the form of: ``Figure 4``."""
    diagonal: bool = False
    """Whether y = x is drawn for comparison."""
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For ``images``: keys of pictures of the data set, by the heading that they stand under. A
    report that has the data shows them, blurred."""


@dataclass(frozen=True, slots=True)
class Caveat:
    """A reason to trust the result less. Reports show all of them on top."""

    code: str
    """Short and stable: ``masked-gradients``, ``overlap-with-training``."""
    message: str
    """One or two sentences for a person: what was seen, and what it means."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a task found."""

    metrics: Mapping[str, object]
    """The numbers in the task's own structure: JSON values, no NaN; None where undefined."""
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    warnings: Sequence[Caveat] = ()

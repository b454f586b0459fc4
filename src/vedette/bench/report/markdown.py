"""The report as Markdown: the same words and tables; figures as their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vedette.bench.evidence import Cell, Series
from vedette.bench.report.document import MOST_WARNINGS, Document, Section, clipped
from vedette.bench.report.figures import Panel, Pictures, Plot, described
from vedette.bench.report.tables import (
    Grid,
    Row,
    below,
    interval,
    is_number,
    number,
    remarks,
    shown,
)
from vedette.sinks.base import replacing
from vedette.text import printable

_POINTS = 24
"""Points of a series up to which its numbers are listed."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")


def write_markdown(document: Document, path: Path) -> None:
    """Write it; the same document gives the same file.

    Raises:
        VedetteError: ``write_failed``.
    """
    with replacing(path) as temporary:
        temporary.write_text("".join(markdown(document)), encoding="utf-8", newline="\n")


def markdown(document: Document) -> Iterator[str]:
    """The text, piece by piece."""
    yield f"# {_text(document.title)}\n\n"
    if document.lead:
        yield f"{_text(document.lead)}\n\n"
    for notice in document.notices:
        yield f"> **{_text(notice)}**\n\n"
    yield from _warnings(document)
    yield "## Contents\n\n"
    for section in document.sections:
        yield f"- {_heading(section)}\n"
    yield "- What was run\n\n" if document.about else "\n"
    for section in document.sections:
        yield from _section(section)
    if document.about:
        yield "## What was run\n\n"
        for grid in document.about:
            yield from _table(grid)


def _warnings(document: Document) -> Iterator[str]:
    if not document.warnings:
        if document.judged:
            yield "No task found a reason to trust its numbers less.\n\n"
        return
    yield "## Warnings\n\n"
    for one in document.warnings[:MOST_WARNINGS]:
        who = f" ({_text('; '.join(one.who))})" if one.who else ""
        yield f"- **{_text(one.code)}**: {_text(one.message)}{who}\n"
    left = len(document.warnings) - MOST_WARNINGS
    yield f"- {left:,} more warnings are in the results.\n\n" if left > 0 else "\n"


def _heading(section: Section) -> str:
    return _text(f"{section.title} ({section.aside})" if section.aside else section.title)


def _section(section: Section) -> Iterator[str]:
    yield f"## {_heading(section)}\n\n"
    if section.reading:
        said = "\n\n".join(map(_text, section.reading))
        yield f"**How to read this.** {said}\n\n"
    if not (section.tables or section.figures):
        yield "The results of this task have no tables and no figures.\n\n"
    for grid in section.tables:
        yield from _table(grid)
    for figure in section.figures:
        if isinstance(figure, Pictures):
            yield from _pictures(figure)
        else:
            yield from _plot(figure)


def _title(title: str, like: str) -> str:
    source = f" (as the paper's {like})" if like else ""
    return f"### {_text(title + source)}\n\n"


def _table(grid: Grid) -> Iterator[str]:
    yield _title(grid.title, grid.like)
    said = " ".join(_text(one) for one in (grid.caption, *remarks(grid)) if one)
    yield f"{said}\n\n" if said else ""
    if not grid.rows:
        yield "It has no rows.\n\n"
        return
    marks = ["---:" if is_number(grid, i) else "---" for i in range(len(grid.columns))]
    by_column = grid.column_ns
    heads = [_text(name) for name in (*grid.names, *grid.columns)]
    for place, n in enumerate(by_column or (), start=len(grid.names)):
        heads[place] += f"<br>n {n:,}" if n is not None else ""
    yield _line(heads)
    yield _line([*("---" for _ in grid.names), *marks])
    for row in grid.rows:
        yield _row(row, with_n=grid.n is None and by_column is None)
    yield "\n"


def _row(row: Row, *, with_n: bool) -> str:
    names = [_text(name) for name in row.names]
    if with_n and row.n is not None:
        names[-1] += f"<br>n {row.n:,}"
        with_n = False
    return _line([*names, *(_cell(cell, with_n=with_n) for cell in row.cells)])


def _cell(cell: Cell, *, with_n: bool) -> str:
    first = " ".join(part for part in (shown(cell), interval(cell)) if part)
    return "<br>".join(_text(part) for part in (first, *below(cell, with_n=with_n)))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _plot(plot: Plot) -> Iterator[str]:
    figure = plot.figure
    yield _title(figure.title, figure.like)
    said = " ".join(_text(one) for one in (figure.caption, plot.left_out) if one)
    yield f"{said}\n\n" if said else ""
    panels = [panel for panel in plot.panels if any(len(one.y) for one in panel.series)]
    if not panels:
        yield "There is nothing to draw: it has no points.\n\n"
    for panel in panels:
        yield from _panel(plot, panel)


def _panel(plot: Plot, panel: Panel) -> Iterator[str]:
    """The numbers of what has few; of others where they lie."""
    few = all(len(one.x) == len(one.y) <= _POINTS for one in panel.series)
    if plot.figure.kind not in ("lines", "bars") or not few:
        yield f"{_text(described(plot, panel))}. The HTML page draws it.\n\n"
        return
    if panel.title:
        yield f"**{_text(panel.title)}**\n\n"
    points = list(dict.fromkeys(x for one in panel.series for x in one.x))
    yield _line([_text(plot.figure.x or "x"), *(_text(one.name or "y") for one in panel.series)])
    yield _line(["---", *("---:" for _ in panel.series)])
    looked_up = [_by_x(one) for one in panel.series]
    for x in points:
        word = x if isinstance(x, str) else f"{x:g}"
        yield _line([_text(word), *(_text(found.get(x, "")) for found in looked_up)])
    yield "\n"


def _by_x(series: Series) -> dict[float | str, str]:
    found = {}
    for i, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        low = series.low[i] if series.low is not None else None
        high = series.high[i] if series.high is not None else None
        cell = Cell(y, low, high)
        found[x] = f"{shown(cell)} {interval(cell)}".strip()
    return found


def _pictures(pictures: Pictures) -> Iterator[str]:
    yield _title(pictures.title, pictures.figure.like)
    if pictures.figure.caption:
        yield f"{_text(pictures.figure.caption)}\n\n"
    if not any(keys for _, keys, _ in pictures.groups):
        yield "There are no such pictures.\n\n"
    for heading, keys, more in pictures.groups:
        rest = f", and {number(more)} more" if more else ""
        yield f"- {_text(heading)}: {', '.join(_text(key) for key in keys)}{rest}\n"
    yield "\n"


def _text(value: str) -> str:
    """Text from outside as Markdown that says just that, on one line."""
    return _SPECIAL.sub(r"\\\1", printable(clipped(value)))

"""The report in short, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vedette.bench.report.document import Document, Section, clipped
from vedette.bench.report.tables import Grid, plain, remarks
from vedette.text import printable

_WIDTH = 100
"""Characters of a line; further columns go into a table of their own below."""
_NAME = 32
"""Characters of a name in a table."""
_WARNINGS = 12


def lines(document: Document, *, whole: bool) -> Iterator[str]:
    """Notices and warnings, then tables; every line can be printed.

    Args:
        document: what is told.
        whole: every table; else the main one of each section.
    """
    for notice in document.notices:
        yield printable(clipped(notice))
    for one in document.warnings[:_WARNINGS]:
        who = f" ({'; '.join(one.who)})" if one.who else ""
        yield printable(f"warning: {clipped(one.code)}: {clipped(one.message)}{clipped(who)}")
    if len(document.warnings) > _WARNINGS:
        yield f"warning: {len(document.warnings) - _WARNINGS:,} more"
    for section in document.sections:
        yield from _section(section, whole=whole)


def _section(section: Section, *, whole: bool) -> Iterator[str]:
    tables = section.tables if whole else _main(section.tables)
    yield ""
    aside = f" ({section.aside})" if section.aside else ""
    yield printable(clipped(section.title + aside))
    for grid in tables:
        yield ""
        yield from table(grid, whole=whole)
    others = [
        f"{n:,} {noun}{'' if n == 1 else 's'}"
        for n, noun in (
            (len(section.tables) - len(tables), "table"),
            (len(section.figures), "figure"),
        )
        if n
    ]
    if others:
        yield f"(not shown here: {', '.join(others)}; --html or --markdown has them)"


def _main(tables: Sequence[Grid]) -> Sequence[Grid]:
    """Those of the paper with models below each other; else the first with models."""
    of_models = [grid for grid in tables if grid.of_models]
    return [grid for grid in of_models if grid.like] or of_models[:1]


def table(grid: Grid, *, whole: bool = True) -> Iterator[str]:
    """One table, in as many blocks as it takes for each to fit.

    Args:
        grid: the table.
        whole: every block; else the last columns that fit, where the paper's tables sum up.
    """
    like = f" (as the paper's {grid.like})" if grid.like else ""
    yield printable(clipped(grid.title + like))
    yield from remarks(grid)
    names = [[_cut(name) for name in grid.names]]
    names += [[_cut(name) for name in row.names] for row in grid.rows]
    left = _columns(names)
    width = max(map(len, left))
    columns = [
        _aligned([_cut(column), *(_word(plain(row.cells[place])) for row in grid.rows)])
        for place, column in enumerate(grid.columns)
    ]
    blocks = list(_blocks(columns if whole else columns[::-1], _WIDTH - width))
    if not whole and len(blocks) > 1:
        left_out = len(columns) - len(blocks[0])
        yield from _joined(left, blocks[0][::-1])
        yield f"({left_out:,} more column{'' if left_out == 1 else 's'})"
        return
    for block in blocks:
        yield from _joined(left, block if whole else block[::-1])


def _blocks(columns: Sequence[list[str]], room: int) -> Iterator[list[list[str]]]:
    """The columns in as many blocks as it takes; there is one even without columns."""
    block: list[list[str]] = []
    used = 0
    for cells in columns:
        if block and used + 2 + len(cells[0]) > room:
            yield block
            block, used = [], 0
        block.append(cells)
        used += 2 + len(cells[0])
    yield block


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows' names as one text each, aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]


def _aligned(cells: Sequence[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.rjust(width) for cell in cells]


def _joined(left: Sequence[str], block: Sequence[Sequence[str]]) -> Iterator[str]:
    for place, name in enumerate(left):
        yield "  ".join([name, *(column[place] for column in block)]).rstrip()


def _cut(name: str) -> str:
    return _word(name, _NAME)


def _word(text: str, most: int = 60) -> str:
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"

"""Tables 2 and 9 as text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vedette.data.stats import Label, Statistics
from vedette.taxonomy import Category

_WIDTH = 100
"""Characters of a line; further columns go into a table of their own below."""


def table_2(statistics: Statistics) -> Iterator[str]:
    """Images by source: safe, unsafe, what is neither, and all."""
    columns: dict[str, tuple[Label, ...]] = {
        "safe": (Label.SAFE, Label.SAFE_NO_CATEGORY),
        "unsafe": (Label.UNSAFE, Label.UNSAFE_NO_CATEGORY),
        "unlabelled": (Label.UNLABELLED,),
        "failed": (Label.FAILED,),
    }
    met = statistics.labels()
    columns = {name: labels for name, labels in columns.items() if set(labels) & set(met)}
    columns["all"] = tuple(Label)
    sources = statistics.sources()
    body = {
        source: [statistics.of(source, *labels) for labels in columns.values()]
        for source in sources
    }
    body["all"] = [sum(column) for column in zip(*body.values(), strict=True)] or [0] * len(columns)
    yield "Table 2: images by source"
    table: list[list[str | int]] = [["source", *columns]]
    table += [[name, *row] for name, row in body.items()]
    yield from _aligned(table)


def table_9(statistics: Statistics) -> Iterator[str]:
    """Images by category: a column for each source and label."""
    columns: list[list[str | int]] = [
        [source, _words(label), *tally.categories, tally.total]
        for source, label, tally in statistics.rows()
    ]
    head: list[str | int] = ["", "category", *(category.value for category in Category), "total"]
    yield "Table 9: images by category"
    for block in _blocks(columns):
        yield from _aligned([list(row) for row in zip(head, *block, strict=True)])


def _blocks(columns: list[list[str | int]]) -> Iterator[list[list[str | int]]]:
    """The columns in as many tables as it takes for each to fit."""
    first = max(len(category) for category in Category)
    block: list[list[str | int]] = []
    used = first
    for column in columns:
        width = 2 + max(len(_cell(value)) for value in column)
        if block and used + width > _WIDTH:
            yield block
            block, used = [], first
        block.append(column)
        used += width
    if block:
        yield block


def _words(label: Label) -> str:
    return label.value.replace("_no_category", ", none")


def _aligned(rows: Sequence[Sequence[str | int]]) -> Iterator[str]:
    """The first column to the left, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        first, *others = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *others]).rstrip()


def _cell(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value

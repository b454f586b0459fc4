"""Whether a result has the form that reports rely on: a file may come from anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from vedette.bench.evidence import Cell, Evidence, Figure, Series, Table
from vedette.bench.result import Result
from vedette.errors import UsageError

_KINDS = ("lines", "bars", "scatter", "density", "images")


def check(result: Result) -> None:
    """Refuse a result whose values are not of the types that they are declared with.

    The reader of results looks at its form only; one text in place of a number must not end a
    report in a defect.

    Raises:
        UsageError: ``bad_result``, with the first that is wrong.
    """
    data = result.data
    wrong = [
        f"data.{name} is no {kind.__name__}"
        for name, value, kind in (
            ("given", data.given, str),
            ("sha256", data.sha256, str),
            ("images", data.images, int),
            ("stand_in", data.stand_in, bool),
            ("set_id", data.set_id, str),
            ("split", data.split, str),
            ("facts", data.facts, dict),
        )
        if not isinstance(value, kind)
    ]
    for found in (*wrong, *_evidence(result.evidence)):
        raise UsageError(
            f"the result of {result.task} for {result.name} cannot be shown: {found}",
            code="bad_result",
        )


def _evidence(evidence: Evidence) -> Iterator[str]:
    for caveat in evidence.warnings:
        yield from _texts("a warning", caveat.code, caveat.message)
    for table in evidence.tables:
        yield from _table(table)
    for figure in evidence.figures:
        yield from _figure(figure)


def _table(table: Table) -> Iterator[str]:
    what = f"table {table.name!r}"
    yield from _texts(what, table.name, table.title, table.row, table.caption, table.like)
    yield from _texts(what, *table.columns, *table.rows)
    if table.model_is_row not in (True, False):
        yield f"{what}: model_is_row is neither true nor false"
    for cells in table.rows.values():
        for cell in cells:
            yield from _cell(what, cell)


def _cell(what: str, cell: Cell) -> Iterator[str]:
    if not (cell.value is None or isinstance(cell.value, str) or _finite(cell.value)):
        yield f"{what}: a value is neither number nor text"
    if not all(one is None or _finite(one) for one in (cell.low, cell.high, cell.paper)):
        yield f"{what}: an interval or the paper's value is no number"
    if not (cell.n is None or (isinstance(cell.n, int) and not isinstance(cell.n, bool))):
        yield f"{what}: n is no count"
    yield from _texts(what, cell.note)


def _figure(figure: Figure) -> Iterator[str]:
    what = f"figure {figure.name!r}"
    yield from _texts(what, figure.name, figure.title, figure.x, figure.y)
    yield from _texts(what, figure.caption, figure.like)
    if figure.kind not in _KINDS:
        yield f"{what}: kind {figure.kind!r}, not one of {', '.join(_KINDS)}"
    for series in figure.series:
        yield from _series(what, series, edges=figure.kind == "density")
    yield from _keys(what, figure.keys)


def _keys(what: str, given: object) -> Iterator[str]:
    if not isinstance(given, Mapping):
        yield f"{what}: keys do not stand under headings"
        return
    for heading, keys in given.items():
        if isinstance(keys, str) or not isinstance(keys, Sequence):
            yield f"{what}: keys are no list"
        else:
            yield from _texts(what, heading, *keys)


def _series(what: str, series: Series, *, edges: bool) -> Iterator[str]:
    yield from _texts(what, series.name)
    given: list[object] = [series.x, series.y]
    given += [one for one in (series.low, series.high) if one is not None]
    lists = [one for one in given if isinstance(one, Sequence) and not isinstance(one, str)]
    if len(lists) != len(given):
        yield f"{what}: a series is no list"
        return
    x, *values = lists
    if not all(isinstance(one, str) or _finite(one) for one in x):
        yield f"{what}: an x is neither number nor text"
    if not all(one is None or _finite(one) for line in values for one in line):
        yield f"{what}: a y is no number"
    if any(len(line) != len(series.y) for line in values):
        yield f"{what}: intervals and points differ in number"
    if len(x) - len(series.y) not in ((0, 1) if edges else (0,)):
        yield f"{what}: {len(x)} x, {len(series.y)} y"


def _texts(what: str, *values: object) -> Iterator[str]:
    if not all(isinstance(value, str) for value in values):
        yield f"{what}: a name or a caption is no text"


def _finite(value: object) -> bool:
    """Whether it is a number that a float can hold; JSON knows larger ones."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False

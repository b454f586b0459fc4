"""The report as one self-contained page: no script, no request, every text escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

from vedette.bench.evidence import Cell
from vedette.bench.report.document import MOST_WARNINGS, Document, Section, clipped
from vedette.bench.report.figures import Pictures, Plot, described
from vedette.bench.report.plots import svgs
from vedette.bench.report.style import head
from vedette.bench.report.tables import (
    NOTHING,
    Grid,
    Row,
    below,
    interval,
    is_number,
    remarks,
    shown,
)
from vedette.bench.report.thumbnails import Thumbnail
from vedette.sinks.base import replacing
from vedette.sinks.html_parts import text

LONG = 20
"""Rows from which on a table scrolls by itself."""


def write_page(document: Document, path: Path) -> None:
    """Write the page; the same document gives the same file.

    Raises:
        VedetteError: ``write_failed``.
        MissingExtraError: it has plots, and matplotlib is not installed.
    """
    with replacing(path) as temporary:
        temporary.write_text("".join(page(document)), encoding="utf-8", newline="\n")


def page(document: Document) -> Iterator[str]:
    """The page's HTML, piece by piece."""
    yield head(text(document.title))
    yield f"<header>\n<h1>{text(document.title)}</h1>\n"
    if document.lead:
        yield f'<p class="muted">{text(document.lead)}</p>\n'
    yield "</header>\n"
    for notice in document.notices:
        yield f'<div class="notice" role="note">{text(clipped(notice))}</div>\n'
    yield from _warnings(document)
    yield _contents(document)
    for section in document.sections:
        yield from _section(document, section)
    if document.about:
        yield '<section id="about">\n<h2>What was run</h2>\n'
        for grid in document.about:
            yield from _table(grid)
        yield "</section>\n"
    yield "</main>\n</body>\n</html>\n"


def _warnings(document: Document) -> Iterator[str]:
    if not document.warnings:
        if document.judged:
            yield '<p class="note">No task found a reason to trust its numbers less.</p>\n'
        return
    count = f"{len(document.warnings):,} reason{'' if len(document.warnings) == 1 else 's'}"
    yield '<section id="warnings">\n'
    yield f"<h2>Warnings <small>{count} to trust these numbers less</small></h2>\n"
    for one in document.warnings[:MOST_WARNINGS]:
        who = f'<p class="who">{text(_who(one.who))}</p>' if one.who else ""
        yield (
            f'<div class="note warn" role="note"><p><b><code>{text(clipped(one.code))}</code></b> '
            f"{text(clipped(one.message))}</p>{who}</div>\n"
        )
    left = len(document.warnings) - MOST_WARNINGS
    if left > 0:
        yield f'<p class="note warn">{left:,} more warnings are in the results.</p>\n'
    yield "</section>\n"


def _who(names: Sequence[str]) -> str:
    more = f"; and {len(names) - 12:,} more" if len(names) > 12 else ""
    return "; ".join(names[:12]) + more


def _contents(document: Document) -> str:
    links = [("warnings", "Warnings")] if document.warnings else []
    for section in document.sections:
        aside = f" ({section.aside})" if section.aside else ""
        links.append((section.anchor, section.title + aside))
    links += [("about", "What was run")] if document.about else []
    items = "".join(
        f'<li><a href="#{anchor}">{text(clipped(title))}</a></li>\n' for anchor, title in links
    )
    return f'<nav aria-label="Contents">\n<ul>\n{items}</ul>\n</nav>\n'


def _section(document: Document, section: Section) -> Iterator[str]:
    aside = f" <small>{text(section.aside)}</small>" if section.aside else ""
    yield f'<section id="{section.anchor}">\n<h2>{text(clipped(section.title))}{aside}</h2>\n'
    if section.reading:
        said = "</p>\n<p>".join(text(clipped(sentence)) for sentence in section.reading)
        yield f'<div class="reading"><p><b>How to read this.</b> {said}</p></div>\n'
    if not (section.tables or section.figures):
        yield '<p class="muted">The results of this task have no tables and no figures.</p>\n'
    for grid in section.tables:
        yield from _table(grid)
    if section.figures:
        yield '<div class="plots">\n'
        for figure in section.figures:
            if isinstance(figure, Pictures):
                yield from _pictures(document, figure)
            else:
                yield from _plot(figure)
        yield "</div>\n"
    yield "</section>\n"


def _like(like: str) -> str:
    return f" <small>as the paper's {text(clipped(like))}</small>" if like else ""


def _table(grid: Grid) -> Iterator[str]:
    yield f"<h3>{text(clipped(grid.title))}{_like(grid.like)}</h3>\n"
    said = [grid.caption, *remarks(grid)]
    if any(said):
        told = " ".join(text(clipped(one)) for one in said if one)
        yield f'<p class="caption">{told}</p>\n'
    if not grid.rows:
        yield '<p class="muted">It has no rows.</p>\n'
        return
    numbers = [is_number(grid, column) for column in range(len(grid.columns))]
    heads = "".join(f'<th scope="col">{text(clipped(name))}</th>' for name in grid.names)
    by_column = grid.column_ns
    for place, (name, numeric) in enumerate(zip(grid.columns, numbers, strict=True)):
        n = by_column[place] if by_column else None
        once = f"<small>n {n:,}</small>" if n is not None else ""
        kind = "n" if numeric else "words"
        heads += f'<th scope="col" class="{kind}">{text(clipped(name))}{once}</th>'
    with_n = grid.n is None and by_column is None
    title = text(clipped(grid.title))
    long = " long" if len(grid.rows) > LONG else ""
    yield f'<div class="scroll{long}" tabindex="0" role="region" aria-label="{title}">\n'
    yield f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n"
    for row in grid.rows:
        yield _row(row, numbers, with_n=with_n, grouped=grid.of_models)
    yield "</tbody>\n</table></div>\n"


def _row(row: Row, numbers: Sequence[bool], *, with_n: bool, grouped: bool) -> str:
    once = f"<small>n {row.n:,}</small>" if with_n and row.n is not None else ""
    each = with_n and row.n is None
    heads = "".join(f'<th scope="row">{text(clipped(name))}</th>' for name in row.names[:-1])
    heads += f'<th scope="row">{text(clipped(row.names[-1]))}{once}</th>'
    cells = "".join(
        f'<td class="{"n" if numeric else "words"}">{_cell(cell, with_n=each)}</td>'
        for cell, numeric in zip(row.cells, numbers, strict=True)
    )
    first = ' class="first"' if grouped and row.first else ""
    return f"<tr{first}>{heads}{cells}</tr>\n"


def _cell(cell: Cell, *, with_n: bool) -> str:
    between = interval(cell)
    within = f' <span class="ci">{text(between)}</span>' if between else ""
    said = "".join(f"<small>{text(clipped(one))}</small>" for one in below(cell, with_n=with_n))
    return f"<span>{text(clipped(shown(cell)))}</span>{within}{said}"


def _plot(plot: Plot) -> Iterator[str]:
    figure = plot.figure
    drawn = svgs(plot)
    yield f'<figure class="plot{" wide" if len(drawn) > 1 else ""}">\n'
    yield f"<h3>{text(clipped(figure.title))}{_like(figure.like)}</h3>\n"
    yield '<div class="panels">\n' if len(drawn) > 1 else "<div>\n"
    for panel, svg in drawn:
        data = base64.b64encode(svg).decode()
        alt = text(clipped(described(plot, panel)))
        yield f'<img src="data:image/svg+xml;base64,{data}" alt="{alt}">\n'
    yield "</div>\n"
    if not drawn:
        yield '<p class="muted">There is nothing to draw: it has no points.</p>\n'
    said = [figure.caption, plot.left_out]
    told = " ".join(text(clipped(one)) for one in said if one)
    yield f'<figcaption class="caption">{told}</figcaption>\n</figure>\n' if told else "</figure>\n"


def _pictures(document: Document, pictures: Pictures) -> Iterator[str]:
    figure = pictures.figure
    title = text(clipped(pictures.title))
    yield f'<figure class="plot wide">\n<h3>{title}{_like(figure.like)}</h3>\n'
    if not any(keys for _, keys, _ in pictures.groups):
        yield '<p class="muted">There are no such pictures.</p>\n'
    for heading, keys, more in pictures.groups:
        yield f"<h4>{text(clipped(heading))}</h4>\n"
        if document.thumbnails is None:
            items = "".join(f'<li class="key">{text(clipped(key))}</li>\n' for key in keys)
            yield f'<ul class="keys">\n{items}</ul>\n'
        else:
            yield '<ul class="pictures">\n'
            for key in keys:
                found = document.thumbnails.get((key, document.hashes.get(key, "")))
                yield f"<li>{_thumbnail(found)}{text(clipped(key))}</li>\n"
            yield "</ul>\n"
        if more:
            yield f'<p class="muted">and {more:,} more, which the result names</p>\n'
    said = figure.caption
    if document.thumbnails is None:
        said = f"{said} Keys only: give --data for blurred pictures.".strip()
    yield f'<figcaption class="caption">{text(clipped(said))}</figcaption>\n</figure>\n'


def _thumbnail(found: Thumbnail | None) -> str:
    if found is None:
        return f'<div class="absent">{NOTHING}</div>'
    if not found.uri:
        return f'<div class="absent">{text(found.missing)}</div>'
    return f'<img src="{found.uri}" width="{found.width}" height="{found.height}" alt="blurred">'

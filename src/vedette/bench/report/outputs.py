"""Where a report is written to, by the names of the files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vedette.bench.report.document import Document
from vedette.bench.report.figures import Pictures
from vedette.bench.report.markdown import write_markdown
from vedette.bench.report.page import write_page
from vedette.errors import UnknownNameError
from vedette.extras import require
from vedette.sinks.base import check_places

HTML = (".html", ".htm")
MARKDOWN = (".md", ".markdown")


def check_outputs(html: Path | None, markdown: Path | None, *, overwrite: bool) -> list[Path]:
    """The files that will be written, refused before any work where they cannot be.

    Raises:
        UsageError: ``output_exists``, or two outputs in one file.
        VedetteError: ``write_failed``.
        MissingExtraError: the page needs matplotlib for its plots.
    """
    places = [path for path in (html, markdown) if path is not None]
    check_places(places, overwrite=overwrite)
    if html is not None:
        require("matplotlib", extra="plots")
    return places


def kind_of(path: Path, more: Iterable[str] = ()) -> str:
    """``html``, ``markdown``, or one of ``more`` (suffixes) without its dot.

    Raises:
        UnknownNameError: the name ends in something else.
    """
    suffix = path.suffix.lower()
    if suffix in HTML:
        return "html"
    if suffix in MARKDOWN:
        return "markdown"
    if suffix in more:
        return suffix.removeprefix(".")
    known = (*HTML, *MARKDOWN, *more)
    raise UnknownNameError("output format", path.suffix or path.name, known)


def write_outputs(document: Document, html: Path | None, markdown: Path | None) -> None:
    """Write what was asked for.

    Raises:
        VedetteError: ``write_failed``.
    """
    if html is not None:
        write_page(document, html)
    if markdown is not None:
        write_markdown(document, markdown)


def has_pictures(document: Document) -> bool:
    """Whether a data set would add anything."""
    return any(isinstance(figure, Pictures) for one in document.sections for figure in one.figures)

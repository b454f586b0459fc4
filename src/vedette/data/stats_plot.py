"""The counts of a set as a figure: stacked bars by category and source, safe beside unsafe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vedette.data.stats import Label, Statistics, Tally
from vedette.errors import UnknownNameError
from vedette.extras import require
from vedette.sinks.base import replacing
from vedette.taxonomy import Category

SUFFIXES = (".png", ".svg")
# Okabe and Ito's colours: told apart with any colour vision, and in grey.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_OTHER = "#999999"


def check_suffix(path: Path) -> None:
    """Refuse what no figure can be written to; ask for matplotlib before there is work.

    Raises:
        UnknownNameError: neither .png nor .svg.
        MissingExtraError: matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UnknownNameError("output format", path.suffix or path.name, SUFFIXES)
    require("matplotlib", extra="plots")


def write_plot(statistics: Statistics, path: Path, notice: str | None = None) -> None:
    """Write the figure: the same counts give the same bytes.

    Args:
        statistics: the counts.
        path: ends in .png or .svg.
        notice: what else must be said, under the title: that the pictures are drawn ones.

    Raises:
        VedetteError: ``write_failed``.
    """
    matplotlib = require("matplotlib", extra="plots")
    figures = require("matplotlib.figure", extra="plots")
    settings = {"svg.hashsalt": "vedette", "font.size": 9.0, "text.parse_math": False}
    with matplotlib.rc_context(settings):  # a Figure of its own: no display, no global state
        figure = figures.Figure(figsize=(10, 5.2), layout="constrained")
        figure.suptitle("\n".join(_title(statistics, notice)))
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        _bars(panels[0], statistics, Label.SAFE, Label.SAFE_NO_CATEGORY)
        _bars(panels[1], statistics, Label.UNSAFE, Label.UNSAFE_NO_CATEGORY)
        panels[0].invert_yaxis()
        figure.legend(
            *panels[0].get_legend_handles_labels(),
            title="source",
            loc="outside right upper",
            frameon=False,
        )
        figure.supxlabel("images")
        suffix = path.suffix.lower().removeprefix(".")
        metadata = {"Date": None} if suffix == "svg" else {"Software": None}
        with replacing(path) as temporary:
            figure.savefig(temporary, format=suffix, dpi=120, metadata=metadata)


def _title(statistics: Statistics, notice: str | None) -> Iterator[str]:
    yield f"Images by category and source ({statistics.total:,} in all)"
    if notice:
        yield notice
    left_out = {
        label: sum(statistics.of(source, label) for source in statistics.sources())
        for label in (Label.UNLABELLED, Label.FAILED)
    }
    if any(left_out.values()):
        yield "not drawn: " + ", ".join(f"{n:,} {label}" for label, n in left_out.items() if n)


def _bars(panel: Any, statistics: Statistics, label: Label, without: Label) -> None:
    """One bar a category, and one for those without, if any are; in it one part a source."""
    names = [category.value for category in Category]
    if {Label.SAFE_NO_CATEGORY, Label.UNSAFE_NO_CATEGORY} & set(statistics.labels()):
        names.append("no category")
    left = [0] * len(names)
    for source, colour, rows in _series(statistics):
        tally = rows.get(label, Tally())
        counts = [*tally.categories, rows.get(without, Tally()).total][: len(names)]
        panel.barh(names, counts, left=left, color=colour, label=source, height=0.75)
        left = [a + b for a, b in zip(left, counts, strict=True)]
    for place, total in enumerate(left):
        panel.annotate(
            f"{total:,}", (total, place), (3, 0), textcoords="offset points", va="center"
        )
    panel.set_title(label.value)
    panel.margins(x=0.12)
    panel.spines[["top", "right"]].set_visible(False)


def _series(statistics: Statistics) -> Iterator[tuple[str, str, dict[Label, Tally]]]:
    """Each source with its colour and counts; past the colours there are, all in one."""
    sources = statistics.sources()
    shown = sources if len(sources) <= len(_COLOURS) else sources[: len(_COLOURS) - 1]
    for source, colour in zip(shown, _COLOURS, strict=False):
        yield source, colour, _rows(statistics, [source])
    if len(shown) < len(sources):
        rest = sources[len(shown) :]
        yield f"{len(rest)} others", _OTHER, _rows(statistics, rest)


def _rows(statistics: Statistics, sources: list[str]) -> dict[Label, Tally]:
    """The counts of these sources together."""
    found: dict[Label, Tally] = {}
    for source, label, tally in statistics.rows():
        if source in sources:
            whole = found.setdefault(label, Tally())
            whole.categories = [
                a + b for a, b in zip(whole.categories, tally.categories, strict=True)
            ]
            whole.total += tally.total
    return found

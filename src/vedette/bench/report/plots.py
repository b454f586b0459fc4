"""Panels drawn with matplotlib, as SVG that follows the reader's light or dark colours."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

from vedette.bench.evidence import Series
from vedette.bench.report.figures import Panel, Plot
from vedette.extras import require
from vedette.text import printable

# Okabe and Ito's colours: told apart with any colour vision, on white and on black.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
_STYLES = ("-", "--", ":", "-.")
_MARKS = "osD^vPX*"
_HATCHES = ("", "//", "..", "xx")
_INK = "#1b2027"
"""Of text and axes while drawing; replaced by the colour that suits the page."""
_FOLLOW = "<style>svg{color:#1b2027}@media(prefers-color-scheme:dark){svg{color:#e5e9ef}}</style>"
_GREY = "#8a939e"
_NAME = 36
"""Characters of a name in a legend or at a tick."""
_MANY = 400
"""Points from which on a scatter's are small and see-through."""
_SETTINGS = {
    "svg.hashsalt": "vedette",
    "svg.fonttype": "none",  # the reader's own fonts: they have letters that matplotlib's lack
    "text.parse_math": False,
    "font.size": 9.0,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GREY,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10.0,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "hatch.linewidth": 0.6,
}

Limits = tuple[float, float]


def svgs(plot: Plot) -> list[tuple[Panel, bytes]]:
    """Each panel that has something to draw, as the text of an SVG file.

    The same plot gives the same bytes. Panels of a plot share their scales, a scatter's excepted:
    what is compared must look comparable.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    panels = [panel for panel in plot.panels if any(len(one.y) for one in panel.series)]
    if not panels:
        return []
    names = list(dict.fromkeys(one.name for panel in panels for one in panel.series))
    reach = None if plot.figure.kind == "scatter" else _reach(plot, panels)
    return [(panel, _svg(plot, panel, names, reach)) for panel in panels]


def _svg(plot: Plot, panel: Panel, names: Sequence[str], reach: Limits | None) -> bytes:
    matplotlib = require("matplotlib", extra="plots")
    figures = require("matplotlib.figure", extra="plots")
    places = _places(panel.series, plot.figure.kind)
    lying = plot.figure.kind == "bars" and _wants_rows(places)
    height = max(2.2, 0.9 + len(places or ()) * 0.24) if lying else 3.3
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # Letters that matplotlib's own font lacks are drawn by the reader's.
        warnings.filterwarnings("ignore", message="Glyph")
        figure = figures.Figure(figsize=(5.4, height + _legend_height(panel)), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=_GREY, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        _draw(axes, plot, panel, names, lying)
        x, y = plot.figure.x, plot.figure.y
        axes.set_xlabel(_cut(y if lying else x, 70))
        axes.set_ylabel(_cut(x if lying else y, 44))
        if panel.title:
            axes.set_title(_cut(panel.title, 60), loc="left")
        if reach is None and plot.figure.kind == "bars" and not _heights(panel):
            reach = (0.0, 1.0)  # else matplotlib centres on nothing
        if reach is not None:
            (axes.set_xlim if lying else axes.set_ylim)(*reach)
        _add_legend(figure, axes, panel)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return _coloured(stream.getvalue())


def _coloured(svg: bytes) -> bytes:
    """The same with text and axes in the page's own colour, light or dark."""
    text = svg.decode()
    start = text.index(">", text.index("<svg")) + 1
    return (text[:start] + _FOLLOW + text[start:].replace(_INK, "currentColor")).encode()


def _draw(axes: Any, plot: Plot, panel: Panel, names: Sequence[str], lying: bool) -> None:
    kind = plot.figure.kind
    places = _places(panel.series, kind)
    if plot.figure.diagonal:
        axes.axline((0, 0), slope=1, color=_GREY, linestyle="--", linewidth=1)
    for place, series in enumerate(panel.series):
        look = names.index(series.name)
        label = _cut(series.name, _NAME) or "\u2013"
        if label.startswith("_"):  # by which matplotlib knows what has no place in a legend
            label = f" {label}"
        y = [math.nan if value is None else float(value) for value in series.y]
        if kind == "bars":
            width = 0.8 / len(panel.series)
            at = [x - 0.4 + (place + 0.5) * width for x in _at(series, places)]
            _bars(axes, series, (at, y, width), look, label, lying)
        elif kind == "density":
            _density(axes, _at(series, places), y, look, label)
        elif kind == "scatter":
            _scatter(axes, series, _at(series, places), y, look, label)
        else:
            _line(axes, series, _at(series, places), y, look, label)
    if places is not None:
        words = [_cut(word, _NAME) for word in places]
        if lying:
            axes.set_yticks(range(len(words)), words)
            axes.invert_yaxis()
        else:
            long = sum(map(len, words)) > 60
            turned = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if long else {}
            axes.set_xticks(range(len(words)), words, **turned)


def _line(axes: Any, series: Series, x: list[float], y: list[float], look: int, label: str) -> None:
    colour, style = _COLOURS[look % len(_COLOURS)], _STYLES[look // len(_COLOURS) % len(_STYLES)]
    mark = _MARKS[look % len(_MARKS)] if len(x) <= 40 else ""
    axes.plot(x, y, style, color=colour, marker=mark, markersize=4, linewidth=1.6, label=label)
    if series.low is not None and series.high is not None:
        low, high = _floats(series.low), _floats(series.high)
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def _scatter(
    axes: Any, series: Series, x: list[float], y: list[float], look: int, label: str
) -> None:
    colour, mark = _COLOURS[look % len(_COLOURS)], _MARKS[look % len(_MARKS)]
    many = len(x) > _MANY
    size, alpha = (6, 0.45) if many else (18, 0.8)
    axes.scatter(x, y, s=size, alpha=alpha, color=colour, marker=mark, linewidths=0, label=label)
    errors = _errors(series, y)
    if errors is not None and not many:
        axes.errorbar(x, y, yerr=errors, fmt="none", ecolor=colour, alpha=0.6, linewidth=0.9)


def _density(axes: Any, x: list[float], y: list[float], look: int, label: str) -> None:
    colour, style = _COLOURS[look % len(_COLOURS)], _STYLES[look % len(_STYLES)]
    if len(x) == len(y) + 1:
        axes.stairs(y, x, color=colour, fill=True, alpha=0.12)
        axes.stairs(y, x, color=colour, linestyle=style, linewidth=1.6, label=label)
    else:
        axes.fill_between(x, y, color=colour, alpha=0.12, linewidth=0)
        axes.plot(x, y, style, color=colour, linewidth=1.6, label=label)


def _bars(
    axes: Any,
    series: Series,
    sizes: tuple[list[float], list[float], float],
    look: int,
    label: str,
    lying: bool,
) -> None:
    """Bars of one series; ``sizes``: their middles, their lengths, their width."""
    at, y, width = sizes
    colour = _COLOURS[look % len(_COLOURS)]
    hatch = _HATCHES[look // len(_COLOURS) % len(_HATCHES)]
    (axes.barh if lying else axes.bar)(at, y, width * 0.92, color=colour, hatch=hatch, label=label)
    errors = _errors(series, y)
    if errors is not None:
        ends = {"fmt": "none", "ecolor": _INK, "elinewidth": 0.9, "capsize": 1.5}
        if lying:
            axes.errorbar(y, at, xerr=errors, **ends)
        else:
            axes.errorbar(at, y, yerr=errors, **ends)


def _heights(panel: Panel) -> bool:
    """Whether any bar is longer than nothing, its interval included."""
    return any(
        value
        for one in panel.series
        for line in (one.y, one.low or (), one.high or ())
        for value in line
    )


def _errors(series: Series, y: list[float]) -> list[list[float]] | None:
    """Lengths of the error bars below and above; nothing where the value lies outside."""
    if series.low is None or series.high is None:
        return None
    low, high = _floats(series.low), _floats(series.high)
    return [
        [max(0.0, a - b) for a, b in zip(y, low, strict=True)],
        [max(0.0, b - a) for a, b in zip(y, high, strict=True)],
    ]


def _places(series: Sequence[Series], kind: str) -> list[str] | None:
    """The words along x, where it has words; bars stand at words always."""
    if kind != "bars" and not any(isinstance(x, str) for one in series for x in one.x):
        return None
    return list(dict.fromkeys(_word(x) for one in series for x in one.x))


def _at(series: Series, places: Sequence[str] | None) -> list[float]:
    if places is None:
        return [float(x) for x in series.x]
    index = {word: float(place) for place, word in enumerate(places)}
    return [index[_word(x)] for x in series.x]


def _word(x: float | str) -> str:
    return x if isinstance(x, str) else f"{x:g}"


def _wants_rows(places: Sequence[str] | None) -> bool:
    """Whether bars lie, so that their names can be read."""
    return places is not None and (len(places) > 8 or max(map(len, places), default=0) > 10)


def _floats(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def _reach(plot: Plot, panels: Sequence[Panel]) -> Limits | None:
    """One scale of y for several panels; None where each finds its own."""
    if len(panels) < 2:
        return None
    values = [
        float(value)
        for panel in panels
        for one in panel.series
        for line in (one.y, one.low or (), one.high or ())
        for value in line
        if value is not None
    ]
    if not values:
        return None
    low, high = min(values), max(values)
    if plot.figure.kind in ("bars", "density"):
        low, high = min(0.0, low), max(0.0, high)
    room = (high - low or abs(high) or 1.0) * 0.05
    return (low - room if low < 0 or plot.figure.kind == "lines" else low), high + room


def _legend_height(panel: Panel) -> float:
    """Inches."""
    return 0.0 if _no_legend(panel) else 0.18 * math.ceil(len(panel.series) / 2)


def _no_legend(panel: Panel) -> bool:
    return len(panel.series) == 1 and not panel.series[0].name


def _add_legend(figure: Any, axes: Any, panel: Panel) -> None:
    if _no_legend(panel):
        return
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False, fontsize=8)


def _cut(text: str, most: int) -> str:
    """Short enough for its place, and with nothing in it that XML cannot hold."""
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"

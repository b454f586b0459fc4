"""Figures of several results as panels to draw: one panel for all models, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vedette.bench.evidence import Figure, Series

COLOURS = 7
"""Series in one panel that colour alone can tell apart."""
MOST_PANELS = 12
MOST_SERIES = 24
MOST_POINTS = 3000
"""Points drawn of one series; evenly chosen where there are more."""
MOST_BARS = 60
MOST_KEYS = 24
"""Pictures shown or listed under one heading."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes."""

    title: str
    """Whose it is; empty where that goes without saying."""
    series: Sequence[Series]


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure as reports draw it."""

    figure: Figure
    """For its words; its series are in the panels."""
    panels: Sequence[Panel]
    left_out: str = ""
    """What is not drawn, in words."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Keys of pictures, of one model."""

    figure: Figure
    title: str
    groups: Sequence[tuple[str, Sequence[str], int]]
    """Heading, keys, and how many more keys there are."""


def plots(figures: Sequence[tuple[str, Figure]]) -> list[Plot | Pictures]:
    """The figures of several models, those of one name together, in the order they came in.

    Lines and bars of several models share a panel while colours last. Densities and clouds are
    hidden by each other, so that each model has a panel of its own; so has every kind once there
    are more series than colours. Panels that are the same, because they are about the data, are
    drawn once.

    Args:
        figures: each with its model's label.
    """
    groups: dict[tuple[str, str], list[tuple[str, Figure]]] = {}
    for label, figure in figures:
        groups.setdefault((figure.name, figure.kind), []).append((label, figure))
    several = len({label for label, _ in figures}) > 1
    out: list[Plot | Pictures] = []
    figures = [
        (label, replace(one, caption=" ".join(one.caption.split()))) for label, one in figures
    ]
    for (_, kind), group in groups.items():
        if kind == "images":
            out += [_pictures(label if several else "", figure) for label, figure in group]
        else:
            out.append(_plot(group, several))
    return out


def _plot(group: Sequence[tuple[str, Figure]], several: bool) -> Plot:
    figure = group[0][1]
    together = figure.kind in ("lines", "bars")
    if together and several and sum(len(one.series) for _, one in group) <= COLOURS:
        series = [_of(label, one, series) for label, one in group for series in one.series]
        panels = [Panel("", series)]
    else:
        alike: list[tuple[list[str], Sequence[Series]]] = []
        for label, one in group:
            same = next((labels for labels, series in alike if series == one.series), None)
            if same is None:
                alike.append(([label], one.series))
            else:
                same.append(label)
        whole = several and len(alike) > 1
        panels = [Panel(", ".join(labels) if whole else "", series) for labels, series in alike]
    said = []
    if len(panels) > MOST_PANELS:
        said.append(f"{len(panels) - MOST_PANELS:,} more models")
    most = MOST_BARS if figure.kind == "bars" else MOST_POINTS
    chosen = panels[:MOST_PANELS]
    series_left = sum(max(0, len(panel.series) - MOST_SERIES) for panel in chosen)
    if series_left:
        said.append(f"{series_left:,} more series")
    drawn = [panel.series[:MOST_SERIES] for panel in chosen]
    thin = [[_thinned(series, most, figure.kind) for series in panel] for panel in drawn]
    points = sum(len(one.y) for panel in drawn for one in panel) - sum(
        len(one.y) for panel in thin for one in panel
    )
    if points:
        said.append(f"{points:,} more {'bars' if figure.kind == 'bars' else 'points'}")
    bounded = [
        Panel(panel.title, series) for panel, series in zip(chosen, thin, strict=True) if series
    ]
    return Plot(figure, bounded, f"Not drawn: {', '.join(said)}." if said else "")


def _of(label: str, figure: Figure, series: Series) -> Series:
    alone = len(figure.series) == 1
    return replace(series, name=label if alone else f"{label}: {series.name}")


def _thinned(series: Series, most: int, kind: str) -> Series:
    """At most so many points. The first bars, for they come in order; of a line every so many."""
    n = len(series.y)
    if n <= most:
        return series
    step = 1 if kind == "bars" else -(-n // most)
    at = range(0, n, step)[:most]

    def those(values: Sequence[Any]) -> list[Any]:
        return [values[i] for i in at]

    return replace(
        series,
        x=those(series.x),
        y=those(series.y),
        low=None if series.low is None else those(series.low),
        high=None if series.high is None else those(series.high),
    )


def _pictures(label: str, figure: Figure) -> Pictures:
    groups = [
        (heading, list(keys[:MOST_KEYS]), max(0, len(keys) - MOST_KEYS))
        for heading, keys in list(figure.keys.items())[:MOST_SERIES]
    ]
    return Pictures(figure, f"{figure.title} ({label})" if label else figure.title, groups)


def described(plot: Plot, panel: Panel) -> str:
    """The panel in words, for who cannot see it: what it shows and from where to where."""
    figure = plot.figure
    parts = [f"{figure.title}{f', {panel.title}' if panel.title else ''}: {figure.kind}"]
    parts += [f"{figure.y or 'values'} by {figure.x}" if figure.x else figure.y]
    for series in panel.series[:COLOURS]:
        values = [value for value in series.y if value is not None]
        reach = f"{min(values):.3g} to {max(values):.3g}" if values else "nothing"
        parts.append(f"{series.name or 'series'} {reach}")
    more = len(panel.series) - COLOURS
    parts += [f"and {more} more"] if more > 0 else []
    return "; ".join(part for part in parts if part)

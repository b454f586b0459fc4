"""Figures of several results: what is drawn together, and what is left out."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.bench.report.made import HOSTILE, every_figure
from vedette.bench.evidence import Figure, Series
from vedette.bench.report.figures import (
    COLOURS,
    MOST_BARS,
    MOST_KEYS,
    MOST_PANELS,
    MOST_POINTS,
    MOST_SERIES,
    Pictures,
    Plot,
    described,
    plots,
)
from vedette.bench.report.plots import svgs


def one(figure: Figure) -> Plot:
    (plot,) = plots([("m", figure)])
    assert isinstance(plot, Plot)
    return plot


def named(name: str) -> list[Plot]:
    both = [(label, f) for label, seed in (("a", 0), ("b", 1)) for f in every_figure(seed)]
    return [p for p in plots(both) if isinstance(p, Plot) and p.figure.name == name]


def test_lines_of_several_models_share_a_panel_under_their_names() -> None:
    (plot,) = named("reliability")
    (panel,) = plot.panels
    assert [series.name for series in panel.series] == ["a", "b"]

    (plot,) = named("strength")
    (panel,) = plot.panels
    assert [series.name for series in panel.series][:2] == ["a: oil paint", "a: sketch"]


@pytest.mark.parametrize("name", ["tsne", "confidence"])
def test_clouds_and_densities_have_a_panel_for_each_model(name: str) -> None:
    (plot,) = named(name)

    assert [panel.title for panel in plot.panels] == ["a", "b"]


def test_more_series_than_colours_are_drawn_apart() -> None:
    def figure(top: float) -> Figure:
        series = [Series(f"s{i}", [0.0, 1.0], [0.0, top]) for i in range(COLOURS)]
        return Figure("f", "F", "lines", series)

    (plot,) = plots([("a", figure(1.0)), ("b", figure(2.0))])

    assert isinstance(plot, Plot)
    assert [panel.title for panel in plot.panels] == ["a", "b"]


@pytest.mark.parametrize("figure", every_figure()[:6], ids=lambda f: f.name)
def test_every_kind_is_drawn_as_well_formed_svg_and_twice_the_same(figure: Figure) -> None:
    ((panel, svg),) = svgs(one(figure))

    assert svg == svgs(one(figure))[0][1]
    root = ElementTree.fromstring(svg)
    words = " ".join(root.itertext())
    for label in (figure.x, figure.y, *(s.name for s in panel.series)):
        assert label in words
    text = svg.decode()
    assert "prefers-color-scheme:dark" in text
    assert "#1b2027" not in text.split("</style>", 1)[1]
    assert not re.search(r'(?:href|src)="(?!#)', text)


def test_points_of_a_line_lie_where_they_were_measured() -> None:
    ((_, svg),) = svgs(
        one(Figure("f", "F", "lines", [Series("s", [0.0, 1.0, 2.0], [0.0, 1.0, 0.0])]))
    )
    paths = re.findall(
        r'<path d="M ([\d.]+) ([\d.]+) \nL ([\d.]+) ([\d.]+) \nL ([\d.]+) ([\d.]+) \n"',
        svg.decode(),
    )
    x0, y0, x1, y1, x2, y2 = map(float, paths[0])

    assert x1 - x0 == pytest.approx(x2 - x1, rel=1e-4)
    assert y0 == pytest.approx(y2)
    assert y1 < y0  # upwards


def test_bars_are_as_long_as_their_values() -> None:
    figure = Figure("f", "F", "bars", [Series("s", ["a", "b"], [0.25, 1.0])])
    text = svgs(one(figure))[0][1].decode()
    bars = re.findall(
        r"M [\d.]+ ([\d.]+) \nL [\d.]+ [\d.]+ \nL [\d.]+ ([\d.]+) \nL [\d.]+ [\d.]+ \nz\n\" clip",
        text,
    )
    short, long = (float(bottom) - float(top) for bottom, top in bars)

    assert long == pytest.approx(4 * short, rel=1e-3)


def test_panels_of_several_models_share_one_scale() -> None:
    def density(top: float) -> Figure:
        return Figure("d", "D", "density", [Series("s", [0.0, 0.5, 1.0], [top, top / 2])])

    (plot,) = plots([("a", density(1.0)), ("b", density(8.0))])
    assert isinstance(plot, Plot)
    ticks = [re.findall(r"<text[^>]*>([\d.]+)</text>", svg.decode()) for _, svg in svgs(plot)]

    assert ticks[0] == ticks[1]
    assert "8" in ticks[0]


@pytest.mark.parametrize(
    "figure",
    [
        Figure("f", "F", "lines"),
        Figure("f", "F", "bars", [Series("s", [], [])]),
        Figure("f", "F", "density", [Series("s", [], [])]),
    ],
    ids=["no series", "empty bars", "empty density"],
)
def test_a_figure_without_points_draws_nothing(figure: Figure) -> None:
    assert svgs(one(figure)) == []


@pytest.mark.parametrize(
    "series",
    [
        Series("one point", [0.5], [0.5], [0.6], [0.4]),  # an interval the wrong way round
        Series("a gap", [0.0, 1.0, 2.0], [0.0, None, 1.0]),  # type: ignore[list-item]
        Series("words and numbers", ["a", 1.0], [0.0, 1.0]),
        Series("all alike", [1.0, 1.0], [1.0, 1.0]),
        Series("huge", [0.0, 1.0], [-1e300, 1e300]),
        Series("$x_{broken$ 日本語 \udce9 & <b>\x00", [0.0, 1.0], [1.0, 2.0]),
        Series("_hidden", [0.0, 1.0], [1.0, 2.0]),
        Series("", ["", "\n"], [1.0, 2.0]),
    ],
    ids=lambda s: s.name[:12],
)
@pytest.mark.parametrize("kind", ["lines", "bars", "scatter", "density"])
def test_odd_series_are_drawn_all_the_same(series: Series, kind: str) -> None:
    figure = Figure("f", HOSTILE, kind, [series], HOSTILE, HOSTILE)  # type: ignore[arg-type]

    ((_, svg),) = svgs(one(figure))

    words = "".join(ElementTree.fromstring(svg).itertext())
    if series.name.startswith("$"):
        assert "日本語" in words
        assert "\\udce9" in words
    if series.name == "_hidden":
        assert "_hidden" in words


def test_what_is_too_much_is_left_out_and_said() -> None:
    many = MOST_POINTS * 2 + 1
    line = Series("s", [float(i) for i in range(many)], [0.0] * many)
    plot = one(Figure("f", "F", "lines", [line] * (MOST_SERIES + 2)))
    (panel,) = plot.panels
    assert len(panel.series) == MOST_SERIES
    assert all(len(s.y) <= MOST_POINTS for s in panel.series)
    assert plot.left_out.startswith("Not drawn: 2 more series, ")

    bars = one(Figure("f", "F", "bars", [Series("s", list(map(str, range(99))), [1.0] * 99)]))
    assert list(bars.panels[0].series[0].x) == list(map(str, range(MOST_BARS)))
    assert bars.left_out == f"Not drawn: {99 - MOST_BARS} more bars."

    clouds = [
        (str(i), Figure("f", "F", "scatter", [Series("s", [1.0], [float(i)])]))
        for i in range(MOST_PANELS + 3)
    ]
    (plots_of_many,) = plots(clouds)
    assert isinstance(plots_of_many, Plot)
    assert plots_of_many.left_out == "Not drawn: 3 more models."


def test_a_density_keeps_its_last_edge() -> None:
    (plot,) = named("confidence")

    assert all(len(s.x) == len(s.y) + 1 for panel in plot.panels for s in panel.series)


def test_a_plot_that_is_the_same_for_all_is_drawn_once() -> None:
    (plot,) = plots([("a", every_figure()[5]), ("b", every_figure()[5])])

    assert isinstance(plot, Plot)
    assert [panel.title for panel in plot.panels] == [""]


def test_keys_are_bounded() -> None:
    keys = [f"k{i}" for i in range(MOST_KEYS + 4)]

    (found,) = plots([("m", Figure("f", "F", "images", keys={"h": keys, "none": []}))])

    assert isinstance(found, Pictures)
    assert found.groups == [("h", keys[:MOST_KEYS], 4), ("none", [], 0)]


def test_the_words_for_who_cannot_see_tell_the_values() -> None:
    plot = one(Figure("f", "Title", "lines", [Series("s", [0.0, 1.0], [0.25, 0.75])], "x", "y"))

    assert described(plot, plot.panels[0]) == "Title: lines; y by x; s 0.25 to 0.75"

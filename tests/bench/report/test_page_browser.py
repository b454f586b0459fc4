"""The page in a real browser: what it shows, and that nothing leaves it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.bench.report.made import folder, two
from tests.sinks.browser import Browser
from vedette.bench.report.document import document
from vedette.bench.report.page import write_page
from vedette.bench.report.thumbnails import thumbnails
from vedette.data.opening import SourceOptions, open_source
from vedette.settings import Settings


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with the page of two models, with pictures, open."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs a browser: apt-get install chromium")
    root = tmp_path_factory.mktemp("page")
    told = document(two(prefix=True))
    _, source = open_source(str(folder(root / "set")), "auto", SourceOptions())
    shown = thumbnails(told.wanted(), source, Settings())
    write_page(replace(told, thumbnails=shown), root / "page.html")
    with Browser(chromium, tmp_path_factory.mktemp("profile")) as running:
        running.open(root / "page.html")
        yield running


def resize(page: Browser, width: int) -> None:
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=1,
        mobile=False,
    )


def test_its_policy_lets_style_and_plots_through_and_nothing_complains(page: Browser) -> None:
    assert page.value("getComputedStyle(document.querySelector('.plots')).display") == "grid"
    assert page.complaints == []


def test_it_asks_for_nothing_but_itself(page: Browser) -> None:
    asked = [url for url in page.requests if not url.startswith("data:")]

    assert asked == [page.value("location.href")]


def test_every_picture_and_plot_is_drawn_and_has_words(page: Browser) -> None:
    broken = "[...document.images].filter((i) => !i.complete || !i.naturalWidth || !i.alt).length"

    assert page.value("document.images.length") > 12
    assert page.value(broken) == 0


def test_links_lead_to_the_sections(page: Browser) -> None:
    dead = "[...document.querySelectorAll('nav a')].filter((a) => !document.querySelector(a.hash))"

    assert page.value("document.querySelectorAll('nav a').length") == 4
    assert page.value(f"{dead}.length") == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_it_never_scrolls_sideways_as_a_whole(page: Browser, width: int) -> None:
    resize(page, width)

    assert page.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("scheme", "bright"), [("light", True), ("dark", False)])
def test_plots_follow_the_colours_of_the_page(page: Browser, scheme: str, bright: bool) -> None:
    resize(page, 1280)
    page.call(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )

    plot = page.picture(".plot img")

    assert (float(plot.mean()) > 128) == bright  # the card's colour shines through


def test_a_picture_stays_blurred_with_all_styles_off(page: Browser) -> None:
    page.value("document.querySelectorAll('style').forEach((style) => style.remove())")
    shown = page.picture(".pictures img").astype(float)

    assert max(abs(shown[1:] - shown[:-1]).max(), abs(shown[:, 1:] - shown[:, :-1]).max()) < 30

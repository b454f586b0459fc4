"""The report page in a real browser: what it shows, hides, runs and asks for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sinks.browser import Browser
from tests.sinks.made import checkerboard, failed, flagged, made
from vedette.sinks.html import ReportOptions, write_html
from vedette.taxonomy import Category
from vedette.types import Action, Record, Region, UInt8

_BLURRED, _SHARP = 15, 80
"""Standard deviation of the pixels of a checkerboard: at most, at least."""


def board(record: Record) -> UInt8:
    del record
    return checkerboard(400, 200, 20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with Browser(chromium, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Browser:
    """A browser with a report of three flagged pictures open."""
    records = [
        flagged("a.png", Action.BLOCK, 0.9),
        flagged("b.png", Action.REVIEW, 0.6, Category.VIOLENCE),
        flagged("c.png", Action.REVIEW, 0.5),
        failed("d.png"),
        made("e.png"),
    ]
    write_html(records, tmp_path / "r.html", ReportOptions(thumbnails=board))
    browser.open(tmp_path / "r.html")
    return browser


def contrast(page: Browser, selector: str = ".thumb") -> float:
    return float(page.picture(selector).std())


def test_its_policy_lets_its_own_style_and_script_through(page: Browser) -> None:
    assert page.value("document.documentElement.dataset.ready") == "1"
    assert page.value("getComputedStyle(document.querySelector('.cards')).display") == "grid"
    assert page.complaints == []


def test_it_asks_for_nothing_but_itself(page: Browser) -> None:
    asked = [url for url in page.requests if not url.startswith("data:")]
    assert asked == [page.value("location.href")]


def test_it_shows_the_cards(page: Browser) -> None:
    keys = page.value("[...document.querySelectorAll('.card .key')].map((e) => e.textContent)")
    assert keys == ["a.png", "b.png", "c.png"]
    assert page.value("document.getElementById('shown').textContent") == "3 of 3 shown"


def test_a_picture_is_blurred_until_it_is_clicked_and_again_after(page: Browser) -> None:
    assert contrast(page) < _BLURRED
    page.click(".thumb")
    assert contrast(page) > _SHARP
    assert page.value("document.querySelectorAll('[aria-pressed=true]').length") == 1
    page.click(".thumb")
    assert contrast(page) < _BLURRED


@pytest.mark.parametrize(("key", "code", "text"), [("Enter", 13, "\r"), (" ", 32, " ")])
def test_the_keyboard_shows_a_picture_and_escape_hides_it(
    page: Browser, key: str, code: int, text: str
) -> None:
    page.value("document.querySelector('.thumb').focus()")
    page.press(key, code, text)
    assert contrast(page) > _SHARP
    page.press("Escape", 27)
    assert contrast(page) < _BLURRED


def test_one_button_hides_all_pictures(page: Browser) -> None:
    page.value("document.querySelectorAll('.thumb').forEach((thumb) => thumb.click())")
    assert page.value("document.querySelectorAll('[aria-pressed=true]').length") == 3
    page.click("#hide")
    assert page.value("document.querySelectorAll('[aria-pressed=true]').length") == 0


def test_pictures_stay_blurred_without_javascript(page: Browser, tmp_path: Path) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(tmp_path / "r.html")
        assert page.value("document.documentElement.dataset.ready") is None
        assert contrast(page) < _BLURRED
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_pictures_stay_blurred_in_print(page: Browser) -> None:
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert contrast(page) < _BLURRED
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


def test_filters_leave_the_cards_that_fit_and_veil_their_pictures(page: Browser) -> None:
    def keys() -> object:
        return page.value(
            "[...document.querySelectorAll('.card:not([hidden]) .key')].map((e) => e.textContent)"
        )

    page.click(".thumb")
    page.click("label[for=action-review]")
    assert keys() == ["b.png", "c.png"]
    page.value(
        f"category.value = '{Category.VIOLENCE.position}'; "
        "category.dispatchEvent(new Event('change'))"
    )
    assert keys() == ["b.png"]
    assert page.value("document.getElementById('shown').textContent") == "1 of 3 shown"
    page.click("label[for=action-]")
    page.value("category.value = ''; category.dispatchEvent(new Event('change'))")
    assert keys() == ["a.png", "b.png", "c.png"]
    assert page.value("document.querySelectorAll('[aria-pressed=true]').length") == 0


def test_boxes_lie_where_the_regions_are(browser: Browser, tmp_path: Path) -> None:
    region = Region("SHAPE", 0.9, (100, 50, 200, 100))  # the middle of 400 x 200
    record = made("a.png", Action.REVIEW, regions=(region,))
    # Pixels of another shape than the original, as rounding makes them, only more so.
    options = ReportOptions(thumbnails=lambda _: checkerboard(200, 200, 20))
    write_html([record], tmp_path / "r.html", options)
    browser.open(tmp_path / "r.html")
    ratios = browser.value(
        "(() => { const a = document.querySelector('.frame').getBoundingClientRect(),"
        " b = document.querySelector('.boxes rect').getBoundingClientRect();"
        " return [(b.x - a.x) / a.width, (b.y - a.y) / a.height,"
        " b.width / a.width, b.height / a.height]; })()"
    )
    assert ratios == pytest.approx([0.25, 0.25, 0.5, 0.5], abs=0.02)


def test_what_got_past_escaping_would_still_not_run_or_load(page: Browser, tmp_path: Path) -> None:
    written = (tmp_path / "r.html").read_text(encoding="utf-8")
    hostile = (
        "<script>document.title = 'run'</script>"
        "<img src=x.png onerror=\"document.title = 'run'\">"
        "<img src='https://example.invalid/x.png'><p id=p style='display: none'>p</p>"
    )
    (tmp_path / "h.html").write_text(written.replace("<main>", f"<main>{hostile}"), "utf-8")
    page.open(tmp_path / "h.html")
    assert page.value("document.title") == "Vedette report"
    assert page.value("getComputedStyle(p).display") == "block"
    assert page.value("document.documentElement.dataset.ready") == "1"
    refused = [line for line in page.complaints if "Content Security Policy" in line]
    assert len(refused) >= 4, page.complaints

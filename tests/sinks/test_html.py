"""The report page as a file: what it says, what it escapes, what it leaves out and tells of."""

from __future__ import annotations

import base64
import dataclasses
import gc
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sinks.made import checkerboard, failed, flagged, made
from tests.sinks.parsed import Page
from vedette import Scanner
from vedette.errors import CODES, VedetteError
from vedette.sinks.html import ReportOptions, write_html
from vedette.taxonomy import Category
from vedette.types import Action, Failure, FrameScore, Reason, Record, Region, UInt8

_HOSTILE = (
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>',
    "' onclick='alert(1)",
    "</style><style>*{display:none}</style>",
    "</title></head><body onload=alert(1)>",
    "a&lt;b&amp;c",
    "-->]]><!--",
)


def written(
    folder: Path, records: Iterable[Record], options: ReportOptions | None = None
) -> tuple[str, Page]:
    path = folder / "report.html"
    write_html(records, path, options or ReportOptions())
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def counts(text: str) -> dict[str, str]:
    names = ("total", "allow", "review", "block", "failed")
    return {
        name: text.split(f'id="count-{name}"><b>')[1].split("</b>")[0].strip() for name in names
    }


def mixed() -> list[Record]:
    return [
        made("fine.png"),
        made("fine too.png"),
        flagged("look.png", Action.REVIEW, 0.4),
        flagged("bad.png", Action.BLOCK, 0.9, Category.VIOLENCE),
        failed("cut.png"),
    ]


def test_counts_models_and_policy(tmp_path: Path) -> None:
    text, page = written(tmp_path, mixed(), ReportOptions(title="Uploads & more"))
    assert counts(text) == {"total": "5", "allow": "2", "review": "2", "block": "1", "failed": "1"}
    assert "<title>Uploads &amp; more</title>" in text
    assert "drawn@1" in page.text
    assert "house@7" in page.text
    assert len(page.with_class("card")) == 2


def test_a_real_scan(tmp_path: Path) -> None:
    pictures = [np.full((40, 60, 3), shade, dtype=np.uint8) for shade in (0, 90, 180, 255)]
    with Scanner(model="dummy", policy="strict") as scanner:
        records = [*scanner.scan_many(pictures), scanner.scan(b"not a picture")]
    text, page = written(tmp_path, records)
    assert counts(text)["total"] == "5"
    assert counts(text)["failed"] == "1"
    assert "All 11 categories were looked for." in page.text
    assert len(page.with_class("histogram")) == len(Category)
    page.assert_harmless()


@pytest.mark.parametrize("hostile", _HOSTILE)
def test_hostile_text_stays_text_wherever_it_comes_from(tmp_path: Path, hostile: str) -> None:
    record = dataclasses.replace(
        flagged(hostile, Action.BLOCK, 0.9),
        models=(hostile,),
        format=hostile,
        sha256=hostile,
        regions=(Region(hostile, 0.9, (1, 2, 3, 4)),),
        failure=Failure(hostile, "truncated", hostile),
    )
    verdict = dataclasses.replace(
        record.verdict,
        reasons=(Reason(Category.SEXUAL, 0.9, 0.5, hostile, hostile),),
        policy=hostile,
    )
    options = ReportOptions(hostile, lambda _: checkerboard(20, 20, 5))
    text, page = written(tmp_path, [dataclasses.replace(record, verdict=verdict)], options)
    page.assert_harmless()
    assert page.text.count(hostile) >= 10
    assert "<script>alert" not in text


@given(st.text(st.characters()), st.text(st.characters()))
@settings(max_examples=40, deadline=None, database=None)
def test_any_text_stays_text(
    tmp_path_factory: pytest.TempPathFactory, key: str, message: str
) -> None:
    record = flagged(key, Action.REVIEW, 0.5)
    record = dataclasses.replace(record, failure=Failure("decode", "corrupt", message))
    _, page = written(tmp_path_factory.getbasetemp(), [record])
    page.assert_harmless()
    assert len(page.with_class("key")) == 2


def test_characters_that_disguise_a_name_are_spelt_out(tmp_path: Path) -> None:
    text, page = written(tmp_path, [flagged("a\u202egpj.exe\n\udcff", Action.REVIEW, 0.5)])
    assert "\u202e" not in text
    assert "a\\u202egpj.exe\\n\\udcff" in page.text


def test_nothing_on_it_leads_outside(tmp_path: Path) -> None:
    options = ReportOptions(thumbnails=lambda _: checkerboard(20, 20, 5))
    text, page = written(tmp_path, mixed(), options)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "url(" not in text
    page.assert_harmless()
    policy = next(attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_second_run_gives_the_same_file(tmp_path: Path) -> None:
    options = ReportOptions(thumbnails=lambda _: checkerboard(500, 300, 40))
    records = [*mixed(), *(dataclasses.replace(r, models=("b", "a", "c")) for r in mixed())]
    write_html(records, tmp_path / "1.html", options)
    write_html(iter(records), tmp_path / "2.html", options)
    assert (tmp_path / "1.html").read_bytes() == (tmp_path / "2.html").read_bytes()


def test_thumbnails_are_small_jpegs_of_flagged_pictures_only(tmp_path: Path) -> None:
    asked: list[str] = []

    def pixels(record: Record) -> UInt8 | None:
        asked.append(record.key)
        return checkerboard(960, 480, 80) if record.key == "bad.png" else None

    _, page = written(tmp_path, mixed(), ReportOptions(thumbnails=pixels))
    assert asked == ["bad.png", "look.png"]
    assert "no picture" in page.text
    (image,) = [attrs for tag, attrs in page.tags if tag == "img"]
    kind, _, data = image["src"].partition(",")
    assert kind == "data:image/jpeg;base64"
    with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (240, 120))
        assert picture.getexif() == {}
    assert (image["width"], image["height"]) == ("240", "120")
    (button,) = [attrs for tag, attrs in page.tags if tag == "button" and "aria-pressed" in attrs]
    assert button["aria-pressed"] == "false"


def test_a_small_picture_is_not_enlarged(tmp_path: Path) -> None:
    options = ReportOptions(thumbnails=lambda _: checkerboard(30, 2, 1))
    _, page = written(tmp_path, [flagged("a.png", Action.BLOCK, 0.9)], options)
    (image,) = [attrs for tag, attrs in page.tags if tag == "img"]
    assert (image["width"], image["height"]) == ("30", "2")


def test_without_thumbnails_there_is_no_picture(tmp_path: Path) -> None:
    text, page = written(tmp_path, mixed(), ReportOptions(thumbnails=None))
    assert "data:image" not in text
    assert "img" not in [tag for tag, _ in page.tags]
    assert "Hide all pictures" not in page.text
    assert len(page.with_class("card")) == 2


def test_the_severest_are_listed_and_the_rest_is_told(tmp_path: Path) -> None:
    records = [
        flagged("r9", Action.REVIEW, 0.9),
        flagged("b5", Action.BLOCK, 0.5),
        flagged("r8", Action.REVIEW, 0.8),
        flagged("b6", Action.BLOCK, 0.6),
        flagged("b5 later", Action.BLOCK, 0.5),
        *(failed(f"cut {index}") for index in range(5)),
        failed("odd", "corrupt"),
    ]
    text, page = written(tmp_path, records, ReportOptions(most_items=3))
    names = [name for name in ("b6", "b5", "b5 later", "r9", "r8") if f">{name}</bdi>" in text]
    assert names == ["b6", "b5", "b5 later"]
    assert text.index(">b6<") < text.index(">b5<") < text.index(">b5 later<")
    assert "2 more flagged images are not listed here." in page.text
    assert "2 more files are not listed here." in page.text
    assert "1 more file is not listed here." in page.text
    assert counts(text)["failed"] == "6"
    assert "All (3)" in page.text


def test_nothing_is_listed_where_nothing_is_asked_for(tmp_path: Path) -> None:
    _, page = written(tmp_path, mixed(), ReportOptions(most_items=0))
    assert page.with_class("card") == []
    assert "2 more flagged images are not listed here." in page.text
    assert "No image reached" not in page.text


def test_no_more_is_kept_of_the_records_than_is_listed(tmp_path: Path) -> None:
    alive = 0

    def many() -> Iterator[Record]:
        nonlocal alive
        for index in range(2000):
            yield flagged(str(index), Action.REVIEW, index / 2000)
            yield failed(f"cut {index}")
        alive = sum(type(thing) is Record for thing in gc.get_objects())

    before = sum(type(thing) is Record for thing in gc.get_objects())
    text, _ = written(tmp_path, many(), ReportOptions(most_items=10))
    assert counts(text)["total"] == "4,000"
    assert alive - before <= 2 * 10 + 2


def test_categories_that_were_not_looked_for_are_named(tmp_path: Path) -> None:
    _, page = written(tmp_path, [made("a", scores={Category.SEXUAL: 0.1})])
    sentence = page.text.split("Not looked for:")[1].split("An allowed image")[0]
    for category in Category:
        assert (category.value in sentence) == (category is not Category.SEXUAL)


def test_categories_that_were_looked_for_in_some_images_are_named(tmp_path: Path) -> None:
    both = {Category.SEXUAL: 0.1, Category.SPAM: 0.2}
    records = [made("a", scores=both), made("b", scores={Category.SEXUAL: 0.1}), failed("c")]
    _, page = written(tmp_path, records)
    assert "Not looked for in some images: Spam (in 1 image)." in page.text
    assert "Spam" not in page.text.split("Not looked for:")[1].split(".")[0]


def test_failures_are_listed_with_code_message_and_hint(tmp_path: Path) -> None:
    records = [
        failed("a.png", "truncated", "it ends at line 7"),
        failed("b.txt", "unsupported_format", "it is text"),
        failed("c.txt", "unsupported_format", "it is a poem"),
    ]
    text, page = written(tmp_path, records)
    for code in ("truncated", "unsupported_format"):
        assert f"<code>{code}</code>" in text
        assert CODES[code][1] in page.text
    for word in ("a.png", "it ends at line 7", "c.txt", "it is a poem", "2 files"):
        assert word in page.text
    assert text.index("unsupported_format") < text.index("truncated")  # the most frequent first
    assert "The content is of no format that Vedette decodes." in page.text
    assert "nothing was looked for" in page.text
    assert page.with_class("histogram") == []


def test_what_was_scanned_in_part_is_shown_in_both_lists(tmp_path: Path) -> None:
    record = flagged("long.gif", Action.BLOCK, 0.9)
    failure = Failure("decode", "too_many_frames", "it has 9000 frames")
    _, page = written(tmp_path, [dataclasses.replace(record, failure=failure)])
    assert len(page.with_class("card")) == 1
    assert "Scanned in part: it has 9000 frames" in page.text
    assert len(page.with_class("failure")) == 1


def test_reasons_carry_label_threshold_and_the_policys_words(tmp_path: Path) -> None:
    reasons = (
        Reason(Category.SEXUAL, 0.712345, 0.5, "SHAPE_SEEN", "looks like a shape"),
        Reason(Category.SPAM, 0.4, 0.25),
    )
    record = made("a", Action.REVIEW, reasons=reasons)
    _, page = written(tmp_path, [record])
    for words in ("SHAPE_SEEN Sexual", "0.71 \u2265 0.5", "looks like a shape", "0.40 \u2265 0.25"):
        assert words in page.text
    (card,) = page.with_class("card")
    positions = {str(Category.SEXUAL.position), str(Category.SPAM.position)}
    assert set(card["data-categories"].split()) == positions
    assert record.sha256 in {attrs.get("title") for _, attrs in page.tags}


def test_a_flag_without_a_reason_is_explained(tmp_path: Path) -> None:
    _, page = written(tmp_path, [made("a", Action.REVIEW)])
    assert "a category that the model does not look for" in page.text


def test_of_several_frames_the_worst_is_shown(tmp_path: Path) -> None:
    timeline = tuple(
        FrameScore(frame, time_s, {Category.SEXUAL: p})
        for frame, time_s, p in ((0, 0.0, 0.1), (30, 75.25, 0.8), (60, 3700.0, 0.3))
    )
    regions = tuple(
        Region(f"SEEN_{frame}", 0.5, (1, 1, 5, 5), frame) for frame in (0, 30, 30, 60, 60)
    )
    reasons = (Reason(Category.SEXUAL, 0.8, 0.5),)
    record = made("a.mp4", Action.BLOCK, reasons=reasons, regions=regions, timeline=timeline)
    asked: list[Record] = []

    def pixels(record: Record) -> UInt8:
        asked.append(record)
        return checkerboard(20, 10, 5)

    _, page = written(tmp_path, [record], ReportOptions(thumbnails=pixels))
    assert "frame 30 at 1:15.2" in page.text
    assert "3 frames scanned" in page.text
    assert "SEEN_30" in page.text
    assert "SEEN_0" not in page.text
    assert "3 more regions in its other frames" in page.text
    assert [frame.frame for frame in asked[0].timeline] == [30]


def test_histograms_count_every_score_once(tmp_path: Path) -> None:
    scores = [index / 20 for index in range(20)] + [1.0, 0.999]
    _, page = written(tmp_path, [made(str(p), scores={Category.SPAM: p}) for p in scores])
    (_,) = page.with_class("histogram")
    assert "0.00 to 0.05: 1 image" in page.text
    assert "0.15 to 0.20: 1 image" in page.text
    assert "0.95 to 1.00: 3 images" in page.text


def test_a_histogram_with_all_in_one_bin(tmp_path: Path) -> None:
    _, page = written(tmp_path, [made(str(index)) for index in range(1000)])
    heights = [float(bar["height"]) for bar in page.with_class("bar")]
    assert sorted(heights)[-2:] == [0.0, 70.0]
    assert "0.00 to 0.05: 1,000 images" in page.text


def test_no_records_at_all(tmp_path: Path) -> None:
    text, page = written(tmp_path, [])
    assert set(counts(text).values()) == {"0"}
    assert "nothing was scanned" in page.text
    assert "Flagged" not in page.text
    page.assert_harmless()


def test_nothing_flagged(tmp_path: Path) -> None:
    _, page = written(tmp_path, [made("a"), made("b")])
    assert "No image reached a threshold of the policy." in page.text
    assert page.with_class("card") == page.with_class("controls") == []


def test_a_page_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    write_html(mixed(), path)
    old = path.read_bytes()

    def broken(record: Record) -> UInt8:
        raise RuntimeError(record.key)

    with pytest.raises(RuntimeError):
        write_html(mixed(), path, ReportOptions(thumbnails=broken))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VedetteError) as caught:
        write_html(mixed(), tmp_path / "no" / "r.html")
    assert caught.value.code == "write_failed"

"""The page and the Markdown: what stands in them, escaped, and nothing that loads or runs."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.bench.report.made import (
    HOSTILE,
    STAND_IN,
    every_figure,
    folder,
    key,
    result,
    table_4,
    thresholds,
    two,
)
from tests.pictures import drawn
from vedette.bench.evidence import Caveat, Cell, Evidence, Figure, Series, Table
from vedette.bench.report.document import document, labelled, of_evidence
from vedette.bench.report.markdown import markdown, write_markdown
from vedette.bench.report.page import page, write_page
from vedette.bench.report.terminal import lines
from vedette.bench.report.thumbnails import thumbnails, veiled
from vedette.bench.result import DataCard, Result
from vedette.data.opening import SourceOptions, open_source
from vedette.errors import VedetteError
from vedette.settings import Settings

SOUND = replace(STAND_IN, given="real", sha256="cd" * 32, stand_in=False)


def hostile() -> Result:
    """Every text of it is made to break out."""
    table = Table(
        HOSTILE,
        HOSTILE,
        [HOSTILE, "n"],
        {HOSTILE: [Cell(HOSTILE, note=HOSTILE), Cell(0.5, 0.4, 0.6, 0.3, 2, HOSTILE)]},
        HOSTILE,
        HOSTILE,
        HOSTILE,
        True,
    )
    figures = [
        Figure(
            HOSTILE,
            HOSTILE,
            "bars",
            [Series(HOSTILE, [HOSTILE], [0.5])],
            HOSTILE,
            HOSTILE,
            HOSTILE,
            HOSTILE,
        ),
        Figure("i", HOSTILE, "images", keys={HOSTILE: [HOSTILE]}, caption=HOSTILE, like=HOSTILE),
    ]
    data = DataCard(HOSTILE, HOSTILE, 1, True, HOSTILE, HOSTILE)
    made = result(
        HOSTILE,
        HOSTILE,
        tables=[table],
        figures=figures,
        warnings=[Caveat(HOSTILE, HOSTILE)],
        data=data,
    )
    return replace(
        made,
        model=dict.fromkeys(made.model, HOSTILE) | {"covered": [HOSTILE]},
        options={"protocol": HOSTILE, "seed": HOSTILE},
        versions={HOSTILE: HOSTILE},
        predictions=replace(made.predictions, failed=((HOSTILE, HOSTILE),)),
    )


def told(results: list[Result]) -> str:
    return "".join(page(document(results)))


@cache
def told_two() -> str:
    return told(two())


def test_nothing_in_it_runs_or_loads() -> None:
    whole = told([hostile()])

    assert "<script" not in whole
    assert "<img src=x" not in whole
    assert "http:" not in whole.replace('http-equiv="', "")
    assert "https:" not in whole
    assert "url(" not in whole
    assert "style=" not in whole
    assert not re.search(r"<[^>\"]*\son\w+\s*=", whole)
    for target in re.findall(r'(?:src|href)="([^"]*)"', whole):
        assert target.startswith(("data:", "#")), target
    assert "\u202e" not in whole
    assert "&lt;script&gt;alert(2)" in whole
    whole.encode("utf-8")


def test_its_policy_names_its_own_style_alone() -> None:
    whole = told_two()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', whole)
    (style,) = re.findall(r"<style>(.*?)</style>", whole, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert policy.startswith("default-src 'none';")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy


def test_stand_in_and_warnings_come_before_any_number() -> None:
    whole = told_two()

    assert (
        whole.index("stand-in: drawn pictures, not UnsafeBench")
        < whole.index("masked-gradients")
        < whole.index("<table")
    )
    assert whole.count("2 images could not be scored.") == 1  # once for all four results
    assert '<p class="who">all results</p>' in whole
    assert '<p class="who">robustness: falconsai, q16</p>' in whole


def test_no_stand_in_no_notice_and_no_warning_is_said() -> None:
    whole = told([result(data=SOUND)])

    assert "stand-in: drawn" not in whole
    assert "No task found a reason to trust its numbers less." in whole


def test_our_number_its_interval_and_the_papers_stand_in_one_cell() -> None:
    whole = told_two()
    markup = "".join(markdown(document(two())))

    assert (
        '<span>0.42</span> <span class="ci">[0.36, 0.47]</span><small>paper 0.64</small>' in whole
    )
    assert r"0.42 \[0.36, 0.47\]<br>paper 0.64 |" in markup
    assert "| Hate<br>n 100 |" in markup
    assert "Hate<small>n 100</small>" in whole
    assert "<span>\u2013</span></td>" in whole


def test_every_task_has_a_section_and_a_link_to_it() -> None:
    whole = told_two()

    for anchor, title in re.findall(r'<a href="#([\w-]+)">([^<]+)</a>', whole):
        assert re.search(rf'<section id="{anchor}">\n<h2>{title}', whole), anchor
    assert re.findall(r'<a href="#section-\d">(\w+)', whole) == ["Effectiveness", "Robustness"]


def test_captions_that_tables_share_are_said_once() -> None:
    whole = told_two()

    assert whole.count("On 200 images that are not in the tables above.") == 1
    assert "\u201cThresholds\u201d: On 200 images" in whole


def test_what_was_run_names_model_data_versions_and_failures() -> None:
    whole = told_two()

    for fact in (
        "org/q16@abc123",
        hashlib.sha256(b"q16").hexdigest()[:16],
        "Apache-2.0",
        "about 80,000 images, not published",
        "Hate, Harassment, Violence",
        ("ab" * 32)[:16],
        "2 (1 not_found, 1 truncated)",
        "numpy",
    ):
        assert fact in whole, fact


def test_results_on_other_data_are_not_put_into_one_table() -> None:
    told_ = document([result("a"), result("a", data=SOUND), result("b", data=SOUND)])

    assert [len(section.tables[0].rows) for section in told_.sections] == [2, 4]
    assert [s.aside for s in told_.sections] == [
        "on synth:0.2, sound protocol",
        "on real, sound protocol",
    ]
    assert told_.warnings[0].code == "different-data"


def test_protocols_are_not_mixed() -> None:
    official = replace(result("a"), options={"protocol": "official"})

    told_ = document([result("a"), official])

    assert len(told_.sections) == 2
    assert told_.warnings[0].code == "different-protocols"


def test_models_of_one_name_are_told_apart() -> None:
    other = replace(result("a"), model={**result("a").model, "sha256": "ff"})

    assert labelled([result("a"), other, result("b")]) == ["a (1)", "a (2)", "b"]
    assert labelled([result("a"), result("a")]) == ["a", "a, run 2"]
    assert labelled([result("a"), result("a", "robustness")]) == ["a", "a"]


def test_without_data_keys_are_listed_and_no_picture_is_in_it() -> None:
    whole = told([result()])

    assert f'<li class="key">{key(0)}</li>' in whole
    assert "image/jpeg" not in whole
    assert "give --data for blurred pictures" in whole


def test_with_data_pictures_are_small_and_their_own_pixels_are_blurred(tmp_path: Path) -> None:
    made = document([result(prefix=True)])
    _, source = open_source(str(folder(tmp_path / "set")), "auto", SourceOptions())

    whole = "".join(page(replace(made, thumbnails=thumbnails(made.wanted(), source, Settings()))))

    found = re.findall(r"data:image/jpeg;base64,([\w+/=]+)", whole)
    assert len(found) == 4
    for data, number in zip(found, (0, 2, 4, 6), strict=True):
        with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert max(picture.size) <= 112
            shown = np.asarray(picture.convert("L"), dtype=np.float32)
        small = drawn(number).resize((shown.shape[1], shown.shape[0])).convert("L")
        assert _edges(shown) < 0.3 * _edges(np.asarray(small, dtype=np.float32))
    assert "not in this set" in whole


def _edges(grey: np.ndarray) -> float:
    """The steepest step between neighbours."""
    return float(max(np.abs(np.diff(grey, axis=axis)).max() for axis in (0, 1)))


def test_a_checkerboard_is_grey() -> None:
    board = np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((40, 40))).astype(np.uint8) * 255
    thumbnail = veiled(np.repeat(board[..., None], 3, axis=2))

    with PIL.Image.open(io.BytesIO(base64.b64decode(thumbnail.uri.partition(",")[2]))) as picture:
        assert np.asarray(picture)[30:80, 30:80].std() < 4


def test_a_picture_that_has_changed_is_not_shown(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    (root / "unsafe" / key(0)).write_bytes((root / "unsafe" / key(2)).read_bytes())
    (root / "unsafe" / key(4)).write_bytes(b"no picture")
    made = document([result(prefix=True)])
    _, source = open_source(str(root), "auto", SourceOptions())

    found = thumbnails(made.wanted(), source, Settings())
    said = {one.missing for one in found.values()}

    assert said == {
        "",
        "another picture than was scored",
        "cannot be read: unsupported_format",
        "not in this set",
    }
    assert sum(bool(one.uri) for one in found.values()) == 2


def test_the_same_results_give_the_same_files(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_page(document(two()), tmp_path / f"{name}.html")
        write_markdown(document(two()), tmp_path / f"{name}.md")

    assert (tmp_path / "1.html").read_bytes() == (tmp_path / "2.html").read_bytes()
    assert (tmp_path / "1.md").read_bytes() == (tmp_path / "2.md").read_bytes()


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(VedetteError) as caught:
        write_page(document([result(figures=[])]), tmp_path / "no" / "page.html")

    assert caught.value.code == "write_failed"


def test_a_result_without_anything_says_that() -> None:
    whole = told([result(tables=[], figures=[])])

    assert "The results of this task have no tables and no figures." in whole


def test_names_of_any_language_are_shown() -> None:
    table = replace(table_4("m"), title="安全 בטוח", rows={"源": table_4("m").rows["Lexica"]})

    for whole in (
        told([result("modèle", tables=[table])]),
        "".join(markdown(document([result("modèle", tables=[table])]))),
    ):
        assert "安全 בטוח" in whole
        assert "源" in whole
        assert "modèle" in whole


def test_markdown_says_just_what_was_given() -> None:
    whole = "".join(markdown(document([hostile()])))

    assert "\u202e" not in whole
    assert not re.search(r"(?<!\\)<(?!br>)", whole)
    assert not re.search(r"(?<!\\)!\[", whole)
    for line in whole.splitlines():
        if line.startswith("|"):
            assert line.endswith(" |")
    heads = [line for line in whole.splitlines() if set(line) <= set("| -:") and "---" in line]
    lines_ = whole.splitlines()
    for head in heads:
        above = lines_[lines_.index(head) - 1]
        assert len(re.findall(r"(?<!\\)\|", above)) == head.count("|")


def test_markdown_has_the_numbers_of_figures_with_few_points() -> None:
    whole = "".join(markdown(document([result()])))

    assert "| strength | oil paint | sketch | cartoon |" in whole
    assert "| 0.1 | 0.90 | 0.90 | 0.90 |" in whole
    assert r"| Hate | 0.30 \[0.20, 0.40\] |" in whole
    assert "The HTML page draws it." in whole  # a cloud
    assert f"- cluster 1 (12 images): {key(0).replace('_', chr(92) + '_')}" in whole


def test_evidence_over_several_results_is_told_too() -> None:
    evidence = Evidence({}, [thresholds()], every_figure()[:1], [Caveat("a-code", "Seen.")])

    told_ = of_evidence(evidence, two(), "Comparison")

    assert told_.warnings[0].code == "a-code"
    assert told_.sections[0].tables[0].title == "Thresholds"
    assert "stand-in" in "".join(page(told_))


def test_the_terminal_gets_tables_that_fit_and_nothing_that_drives_it() -> None:
    said = list(lines(document([*two(), hostile()]), whole=True))

    assert said[0].startswith("synth:0.2: stand-in")
    for line in said:
        assert line.isprintable(), line
    table = said[said.index("F1 of unsafe (as the paper's Table 4)") :]
    table = table[: table.index("")]
    assert max(map(len, table)) <= 100
    assert sum(line.startswith("model") for line in table) > 1  # in blocks
    assert any("0.42 [0.36, 0.47] (paper 0.64)" in line for line in table)


def test_the_terminal_is_short_unless_asked() -> None:
    said = list(lines(document(two()), whole=False))

    assert not any(line.startswith("Thresholds") for line in said)
    assert "(not shown here: 2 tables, 10 figures; --html or --markdown has them)" in said

"""Swapped labels are reported, right ones are not, and what cannot be told is not told.

The reference is the dummy, a real classifier that knows colours: pictures are labelled by its own
scores, so that it is a perfect reference for them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner, Result

from tests.pictures import encoded
from vedette.cli import app
from vedette.curate.check_labels import Finding, LabelReport, check_labels
from vedette.pipeline import Scanner
from vedette.sinks.jsonl import write_jsonl
from vedette.taxonomy import Category
from vedette.types import Item, Record

EACH = 40


def mosaic(seed: int) -> bytes:
    """Sixteen cells of random colours."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return encoded(PIL.Image.fromarray(cells).resize((32, 32), PIL.Image.Resampling.NEAREST))


@pytest.fixture(scope="module")
def scored() -> list[tuple[bytes, Record]]:
    """Pictures with the dummy's Records, from the least to the most unsafe."""
    pictures = [mosaic(seed) for seed in range(300)]
    with Scanner("dummy", "strict") as scanner:
        records = list(scanner.scan_many(pictures))
    return sorted(zip(pictures, records, strict=True), key=lambda pair: highest(pair[1]))


def highest(record: Record) -> float:
    assert record.scores is not None
    return max(record.scores.as_dict().values())


def archive(path: Path, folders: Mapping[str, list[bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, pictures in folders.items():
            for index, data in enumerate(pictures):
                archive.writestr(f"{name}/{index:03d}.png", data)
    return path


@pytest.fixture(scope="module")
def sides(scored: list[tuple[bytes, Record]]) -> tuple[list[bytes], list[bytes]]:
    pictures = [data for data, _ in scored]
    return pictures[:EACH], pictures[-EACH:]


def vedette(*args: object) -> Result:
    return CliRunner().invoke(app, ["data", "check-labels", *map(str, args)])


def test_the_right_order_agrees(sides: tuple[list[bytes], list[bytes]], tmp_path: Path) -> None:
    safe, unsafe = sides
    path = archive(tmp_path / "set.zip", {"SAFE": safe, "UNSAFE": unsafe})

    done = vedette(path, "--model", "dummy")

    assert done.exit_code == 0, done.output
    assert "agrees                 unsafe against safe  AUROC 1.000" in done.output
    assert "label SAFE = safe (its name)" in done.output
    assert "look swapped" not in done.output


def test_the_order_reversed_is_reported(
    sides: tuple[list[bytes], list[bytes]], tmp_path: Path
) -> None:
    safe, unsafe = sides
    path = archive(tmp_path / "set.zip", {"SAFE": unsafe, "UNSAFE": safe})

    done = vedette(path, "--model", "dummy")

    assert done.exit_code == 1, done.output
    assert "looks swapped          unsafe against safe  AUROC 0.000 (0.000..0.075)" in done.output


@pytest.mark.parametrize(("labels", "status"), [("a=safe,b=unsafe", 0), ("b=safe,a=unsafe", 1)])
def test_a_given_mapping_is_checked_too(
    sides: tuple[list[bytes], list[bytes]], tmp_path: Path, labels: str, status: int
) -> None:
    path = archive(tmp_path / "set.zip", {"a": sides[0], "b": sides[1]})

    done = vedette(path, "--format", "classes", "--labels", labels, "--model", "dummy")

    assert done.exit_code == status, done.output
    assert "(given)" in done.output


@pytest.mark.parametrize("swapped", [False, True])
def test_stored_records_do_as_well(
    sides: tuple[list[bytes], list[bytes]], tmp_path: Path, swapped: bool
) -> None:
    safe, unsafe = reversed(sides) if swapped else sides
    path = archive(tmp_path / "set.zip", {"SAFE": safe, "UNSAFE": unsafe})
    with Scanner("dummy", "strict") as scanner:
        items = [
            Item(f"set.zip!/{name}/{index:03d}.png", data)
            for name, pictures in (("SAFE", safe), ("UNSAFE", unsafe))
            for index, data in enumerate(pictures)
        ]
        write_jsonl(scanner.scan_many(items), tmp_path / "records.jsonl")

    done = vedette(path, "--records", tmp_path / "records.jsonl")

    assert done.exit_code == swapped, done.output
    assert "reference  dummy@1" in done.output


def pairs(
    scored: list[tuple[bytes, Record]], relabel: Mapping[Category, Category]
) -> Iterator[tuple[Item, Record]]:
    """Each picture labelled with the category of its highest score, some under another name."""
    for number, (_, record) in enumerate(scored):
        assert record.scores is not None
        scores = record.scores.as_dict()
        best = max(scores, key=lambda category: scores[category])
        yield Item(str(number), b"", frozenset({relabel.get(best, best)})), record


def findings(report: LabelReport) -> dict[str, Finding]:
    return {check.what: check.finding for check in report.checks}


def common(scored: list[tuple[bytes, Record]]) -> tuple[Category, Category]:
    counts = check_labels(pairs(scored, {}), "dummy").counts
    first, second = sorted(Category, key=lambda c: -counts.get(c.value, 0))[:2]
    assert counts[second.value] >= 20
    return first, second


def test_two_classes_that_are_swapped_are_named(scored: list[tuple[bytes, Record]]) -> None:
    a, b = common(scored)
    right = check_labels(pairs(scored, {}), "dummy")
    wrong = check_labels(pairs(scored, {a: b, b: a}), "dummy")

    assert findings(right)[a.value] is Finding.AGREES
    assert not right.swapped
    notes = {check.what: check.note for check in wrong.checks}
    assert f"its scores fit the label {b.value!r} better" in notes[a.value]
    assert f"its scores fit the label {a.value!r} better" in notes[b.value]


def test_labels_by_chance_are_not_called_swapped(scored: list[tuple[bytes, Record]]) -> None:
    rng = np.random.default_rng(0)
    items = [Item(str(n), b"", unsafe=bool(rng.random() < 0.5)) for n in range(len(scored))]

    report = check_labels(zip(items, (r for _, r in scored), strict=True), "dummy")

    assert findings(report)["unsafe against safe"] is Finding.UNCLEAR
    assert not report.swapped


def test_of_few_pictures_nothing_is_said(sides: tuple[list[bytes], list[bytes]]) -> None:
    with Scanner("dummy", "strict") as scanner:
        some = [(d, True) for d in sides[0][:10]] + [(d, False) for d in sides[1][:10]]
        items = [Item(str(n), data, unsafe=unsafe) for n, (data, unsafe) in enumerate(some)]
        report = check_labels(zip(items, scanner.scan_many(items), strict=True), "dummy")

    assert report.checks[0].finding is Finding.UNCLEAR
    assert "20 of each" in report.checks[0].note


def test_what_could_not_be_scored_counts_on_no_side(
    sides: tuple[list[bytes], list[bytes]], tmp_path: Path
) -> None:
    path = archive(tmp_path / "s.zip", {"SAFE": [*sides[0], b"no picture"], "UNSAFE": sides[1]})

    done = vedette(path, "--model", "dummy")

    assert done.exit_code == 3, done.output
    assert "1 could not be scored" in done.output
    assert "agrees" in done.output


@pytest.mark.parametrize(
    ("published", "swapped", "said"),
    [
        ({True: 40, False: 30}, False, "are the published ones"),
        ({True: 30, False: 40}, True, "the other way round"),
        ({True: 7, False: 9}, False, "are other ones: 7 unsafe and 9 safe"),
    ],
)
def test_counts_are_evidence_too(published: dict[bool, int], swapped: bool, said: str) -> None:
    with Scanner("dummy", "strict") as scanner:
        record = scanner.scan(mosaic(0))
    items = [Item(str(n), b"", unsafe=n < 40) for n in range(70)]

    report = check_labels([(item, record) for item in items], "dummy", published)

    assert said in report.count_note
    assert report.swapped is swapped


def test_the_draw_is_even_and_seeded(tmp_path: Path) -> None:
    data = mosaic(1)
    path = archive(tmp_path / "set.zip", {"SAFE": [data] * 200, "UNSAFE": [data] * 200})

    first = vedette(path, "--model", "dummy", "--most", "100", "--seed", "3")
    again = vedette(path, "--model", "dummy", "--most", "100", "--seed", "3")

    assert first.output == again.output
    assert "100 of 400 images" in first.output
    line = next(line for line in first.output.splitlines() if line.startswith("labels"))
    counts = [int(word) for word in line.replace(",", "").split() if word.isdigit()]
    assert sum(counts) == 100
    assert min(counts) >= 35


def test_a_reference_below_chance_is_a_finding_too(scored: list[tuple[bytes, Record]]) -> None:
    """Not far enough below to be called swapped, and yet more than chance."""
    ranked = sorted((record for _, record in scored), key=highest)
    rng = np.random.default_rng(0)
    odds = np.linspace(0.58, 0.42, len(ranked))  # the higher the score, the rarer the label
    items = [Item(str(n), b"", unsafe=bool(rng.random() < p)) for n, p in enumerate(odds)]
    many = [
        (Item(f"{copy}-{i.key}", b"", unsafe=i.unsafe), record)
        for copy in range(20)
        for i, record in zip(items, ranked, strict=True)
    ]

    report = check_labels(many, "dummy")

    assert findings(report)["unsafe against safe"] is Finding.BELOW
    assert report.swapped


def test_where_nothing_can_be_compared_the_command_says_so(
    sides: tuple[list[bytes], list[bytes]], tmp_path: Path
) -> None:
    path = archive(tmp_path / "set.zip", {"SAFE": sides[0][:3], "UNSAFE": sides[1][:3]})

    assert vedette(path, "--model", "dummy").exit_code == 3


def test_records_of_other_pictures_are_refused(
    sides: tuple[list[bytes], list[bytes]], tmp_path: Path
) -> None:
    path = archive(tmp_path / "set.zip", {"SAFE": sides[0], "UNSAFE": sides[1]})
    with Scanner("dummy", "strict") as scanner:
        write_jsonl(scanner.scan_many([Item("elsewhere", sides[0][0])]), tmp_path / "r.jsonl")

    done = vedette(path, "--records", tmp_path / "r.jsonl")

    assert done.exit_code == 2
    assert "no key of" in done.output


def test_another_set_than_the_recognised_one_can_be_named(
    sides: tuple[list[bytes], list[bytes]], tmp_path: Path
) -> None:
    path = archive(tmp_path / "set.zip", {"SAFE": sides[0], "UNSAFE": sides[1]})

    assert vedette(path, "--model", "dummy", "--set", "none").exit_code == 0

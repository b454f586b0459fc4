"""A fact of the file that gives the label away is reported, chance is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.curate.sets import SAFE, UNSAFE
from tests.pictures import drawn, encoded
from vedette.curate import descriptors
from vedette.curate.audit import AuditOptions, audit
from vedette.curate.confounds import Confounds
from vedette.curate.findings import findings
from vedette.data.base import SOURCE
from vedette.data.memory import ItemSource
from vedette.types import Item

COUNT = 240


@pytest.fixture(autouse=True)
def few_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small descriptor: labels are not what these tests are about."""
    monkeypatch.setattr(descriptors, "_FILTERS", 8)


def plain(number: int, fmt: str = "PNG", **size: int) -> Item:
    """A picture whose file says nothing of its label: every second one is unsafe."""
    picture = drawn(number, size.get("width", 60), size.get("height", 45))
    labels = UNSAFE if number % 2 else SAFE
    return Item(f"{number:04d}", encoded(picture, fmt), labels, {SOURCE: "AB"[number // 2 % 2]})


def wide(item: Item, number: int) -> Item:
    return plain(number, width=80) if item.unsafe and number % 10 != 1 else item


def jpeg(item: Item, number: int) -> Item:
    return plain(number, "JPEG") if item.unsafe else item


def turned(item: Item, number: int) -> Item:
    return plain(number, width=45, height=60) if not item.unsafe else item


def sourced(item: Item, number: int) -> Item:
    return replace(item, meta={SOURCE: "Lexica" if item.unsafe else "Laion5B"})


def with_exif(item: Item, number: int) -> Item:
    if not item.unsafe:
        return item
    from PIL import Image

    exif = Image.Exif()
    exif[0x010E] = "a picture"
    return replace(item, data=encoded(drawn(number, 60, 45), "PNG", exif=exif))


def of(change: Callable[[Item, int], Item], seed: int = 0) -> Confounds:
    items = [change(plain(number), number) for number in range(COUNT)]
    return audit(ItemSource(items), AuditOptions(seed=seed)).confounds


@pytest.mark.parametrize(
    ("change", "fact", "rule", "least"),
    [
        (wide, "width", "width >= 80 px -> unsafe", 0.85),
        (jpeg, "format", "format JPEG -> unsafe", 0.99),
        (turned, "height", "height < 60 px -> unsafe", 0.99),
        (sourced, "source", "source Lexica -> unsafe", 0.99),
        (with_exif, "EXIF", "EXIF present -> unsafe", 0.99),
    ],
)
def test_a_planted_confound_is_reported_with_its_rule(
    change: Callable[[Item, int], Item], fact: str, rule: str, least: float
) -> None:
    found = of(change)
    (leak,) = [r for r in found.leaks if r.fact == fact]

    assert leak.rule == rule
    assert leak.accuracy >= least
    assert 0.55 < leak.low <= leak.accuracy <= leak.high
    assert str(leak).endswith("chance 0.50")


def test_a_set_without_confounds_has_none_whatever_the_seed() -> None:
    for seed in range(5):
        found = of(lambda item, number: item, seed)
        assert found.rules, "there are facts that differ"
        assert not found.leaks


def test_copies_do_not_make_a_rule_sure() -> None:
    """Ten pictures a hundred times are ten pictures: too few to judge by."""
    items = [
        replace(item, key=f"{item.key}.{copy}")
        for item in (wide(plain(n), n) for n in range(20))
        for copy in range(10)
    ]
    found = audit(ItemSource(items)).confounds

    assert "fewer than 40 different pictures" in found.not_judged
    assert not found.rules


def test_the_finding_is_one_line() -> None:
    items = [wide(plain(number), number) for number in range(COUNT)]
    told = findings(audit(ItemSource(items)))
    (line,) = [f.what for f in told if f.what.startswith("width >=")]

    assert "width >= 80 px -> unsafe: balanced accuracy 0." in line
    assert np.char.count(line, "\n") == 0

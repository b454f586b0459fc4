"""Descriptors of a set's pictures, and what happens where the set has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.bench.shifted import context, pictures, predictions
from vedette.bench.described import described
from vedette.bench.reopened import reopened
from vedette.bench.tasks.base import Context
from vedette.curate.descriptors import SIDE, learn
from vedette.data.memory import ItemSource
from vedette.errors import UsageError
from vedette.settings import ScanOptions, Settings
from vedette.types import Failure, Item, UInt8


def changed(given: Context, items: list[Item]) -> Context:
    return replace(given, source=ItemSource(items))


def test_rows_are_the_descriptors_of_the_pictures_in_order(tmp_path: Path) -> None:
    items = pictures(20)
    given = context(tmp_path, items)
    found = described(given)

    thumbnails = np.stack(
        [
            np.asarray(
                PIL.Image.fromarray(given.pixels(item.key)).resize(
                    (SIDE, SIDE), PIL.Image.Resampling.BOX
                )
            )
            for item in items
        ]
    )
    expected = learn(thumbnails, given.options.seed).describe(thumbnails)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected.astype(np.float32))
    assert np.array_equal(found, described(given))


def test_only_the_pictures_that_were_scored_are_described(tmp_path: Path) -> None:
    items = pictures(20)
    some = predictions(items).rows([3, 5, 11])
    given = context(tmp_path, items, some)

    assert np.array_equal(
        described(given), described(changed(given, [items[k] for k in (3, 5, 11)]))
    )
    assert context(tmp_path, items, some).embeddings()[1].startswith("a descriptor")


def test_many_more_pictures_than_are_under_way(tmp_path: Path) -> None:
    items = pictures(30)
    narrow = replace(context(tmp_path, items), settings=Settings(scan=ScanOptions(in_flight=2)))
    rows = [(row, tuple(pixels[0, 0])) for row, pixels in reopened(narrow, lambda p: p)]

    assert [row for row, _ in rows] == list(range(30))
    assert rows[7][1] == tuple(narrow.pixels(items[7].key)[0, 0])


def test_nothing_scored_nothing_described(tmp_path: Path) -> None:
    items = pictures(3)
    assert len(described(context(tmp_path, items, predictions(items).rows([])))) == 0


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    items = pictures(6)
    with pytest.raises(UsageError, match=r"img/002.png .*not in the data set") as caught:
        described(changed(context(tmp_path, items), [*items[:2], *items[3:]]))
    assert caught.value.code == "not_found"
    assert "score it again" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"not a picture", "unsupported_format"),
        (Failure("fetch", "unreadable", "the disk is gone"), "unreadable"),
    ],
)
def test_a_picture_that_is_broken_now_is_named(
    tmp_path: Path, data: bytes | Failure, code: str
) -> None:
    items = pictures(6)
    broken = [*items[:4], Item(items[4].key, data), items[5]]
    with pytest.raises(UsageError, match=r"img/004.png") as caught:
        described(changed(context(tmp_path, items), broken))
    assert caught.value.code == code


def test_an_error_in_looking_ends_the_pass(tmp_path: Path) -> None:
    def look(pixels: UInt8) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(reopened(context(tmp_path, pictures(6)), look))

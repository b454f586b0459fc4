"""Pictures on their way to the network: decoded once, changed by their seed, made ahead."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.full_disk import full_disk
from tests.train.finetune import sets
from vedette.backends.base import PixelNorm
from vedette.data.memory import ItemSource
from vedette.errors import VedetteError
from vedette.models.recipe import Recipe
from vedette.resize import Fit
from vedette.settings import Settings
from vedette.train.data import SetOptions, TrainingSet, read_training_set
from vedette.train.finetune.augment import augmented, evasions
from vedette.train.finetune.loader import Loader
from vedette.train.finetune.options import Cache
from vedette.train.finetune.pictures import Pictures
from vedette.types import Item, UInt8

RECIPE = Recipe(Fit(16, "stretch"), 16, PixelNorm())


class Counting(ItemSource):
    """Knows how often an item was asked for; can lose one."""

    def __init__(self) -> None:
        super().__init__(sets.items())
        self.asked: list[str] = []
        self.lost = ""

    def find(self, key: str) -> Item | None:
        self.asked.append(key)
        return None if key == self.lost else super().find(key)


@pytest.fixture
def source() -> Counting:
    return Counting()


@pytest.fixture
def data(source: Counting) -> TrainingSet:
    return read_training_set("coloured", source, Settings(), SetOptions())


def epoch(pictures: Pictures, data: TrainingSet, number: int = 0) -> UInt8:
    rows = data.examples.rows("train")
    wanted = [rows[at : at + 5] for at in range(0, len(rows), 5)]
    made = list(pictures.training(wanted, number))
    np.testing.assert_array_equal(np.concatenate([one for one, _ in made]), rows)
    return np.concatenate([pixels for _, pixels in made])


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_a_picture_is_decoded_once(
    cache: Cache, data: TrainingSet, source: Counting, tmp_path: Path
) -> None:
    chosen = sets.options(cache=cache)
    with Pictures(data, RECIPE, Settings(), chosen, 7, tmp_path) as pictures:
        first = epoch(pictures, data)
        once = sorted(source.asked)
        second = epoch(pictures, data, 1)

    keys = [data.examples.keys[row] for row in data.examples.rows("train")]
    assert once == sorted(keys)
    assert sorted(source.asked) == (sorted(keys * 2) if cache == "none" else sorted(keys))
    np.testing.assert_array_equal(first, second)


def test_squares_on_disk_outlive_the_process(
    data: TrainingSet, source: Counting, tmp_path: Path
) -> None:
    chosen = sets.options(cache="disk")
    with Pictures(data, RECIPE, Settings(), chosen, 7, tmp_path) as pictures:
        first = epoch(pictures, data)
    source.asked.clear()
    with Pictures(data, RECIPE, Settings(), chosen, 7, tmp_path) as pictures:
        np.testing.assert_array_equal(epoch(pictures, data), first)

    assert not source.asked


def test_a_disk_without_room_is_told_before_the_first_picture(
    data: TrainingSet, source: Counting, tmp_path: Path
) -> None:
    source.asked.clear()
    with full_disk(1000), pytest.raises(OSError, match="too large"):
        Pictures(data, RECIPE, Settings(), sets.options(cache="disk"), 7, tmp_path)

    assert not source.asked


def test_training_sees_the_pixels_of_a_scan(data: TrainingSet, tmp_path: Path) -> None:
    from vedette.decode import DecodeOptions, decode_item

    with Pictures(data, RECIPE, Settings(), sets.options(), 7, tmp_path) as pictures:
        seen = epoch(pictures, data)
    assert data.source is not None
    for row, pixels in zip(data.examples.rows("train"), seen, strict=True):
        item = data.source.find(data.examples.keys[row])
        assert item is not None
        image = next(iter(decode_item(item, DecodeOptions(fit=RECIPE.fit))))
        np.testing.assert_array_equal(RECIPE.prepare(image).pixels, pixels)


def test_a_picture_that_is_gone_is_named(
    data: TrainingSet, source: Counting, tmp_path: Path
) -> None:
    source.lost = data.examples.keys[data.examples.rows("train")[7]]
    with (
        Pictures(data, RECIPE, Settings(), sets.options(cache="none"), 7, tmp_path) as pictures,
        pytest.raises(VedetteError, match=source.lost) as caught,
    ):
        epoch(pictures, data)
    assert caught.value.code == "unreadable"


def test_a_picture_that_is_damaged_is_named(tmp_path: Path) -> None:
    items = sets.items()
    data = read_training_set("coloured", ItemSource(items), Settings(), SetOptions())
    bad = data.examples.keys[data.examples.rows("train")[3]]
    damaged = [Item(i.key, i.data[:90], i.labels, i.meta) if i.key == bad else i for i in items]  # type: ignore[index]
    broken = TrainingSet(data.given, data.examples, data.sha256, ItemSource(damaged))
    with (
        Pictures(broken, RECIPE, Settings(), sets.options(), 7, tmp_path) as pictures,
        pytest.raises(VedetteError, match=bad),
    ):
        epoch(pictures, broken)


@pytest.mark.parametrize("augment", ["light", "evasion", "strong"])
def test_changes_follow_from_picture_epoch_and_seed(augment: str) -> None:
    square = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    before = square.copy()
    chosen = sets.options(augment=augment, evasion=1.0)

    def changed(key: str = "a", number: int = 0, seed: int = 7) -> UInt8:
        return augmented(square, key, number, seed, chosen, RECIPE.prepare)

    np.testing.assert_array_equal(changed(), changed())
    assert changed().shape == square.shape
    assert changed().dtype == np.uint8
    for other in (changed("b"), changed(number=1), changed(seed=8)):
        assert not np.array_equal(changed(), other)
    np.testing.assert_array_equal(square, before)


def test_nothing_is_changed_where_nothing_is_asked() -> None:
    square = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)

    plain = augmented(square, "a", 0, 7, sets.options(augment="none"), RECIPE.prepare)

    np.testing.assert_array_equal(plain, square)


def test_every_kind_of_evasion_gives_a_square_again() -> None:
    names = {kind.name for kind in evasions()}
    assert {"grid", "inset", "thumbnail", "recompress", "watermark", "invert", "jpeg"} <= names
    square = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    chosen = sets.options(augment="evasion", evasion=1.0)
    for number in range(150):
        out = augmented(square, f"{number}", 0, 7, chosen, RECIPE.prepare)
        assert out.shape == square.shape
        assert out.dtype == np.uint8


def test_the_share_of_evasions_is_what_was_asked() -> None:
    square = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)

    def made(share: float) -> list[bytes]:
        chosen = sets.options(augment="evasion", evasion=share)
        keys = map(str, range(400))
        return [augmented(square, key, 0, 7, chosen, RECIPE.prepare).tobytes() for key in keys]

    plain, some, all_of_them = made(0.0), made(0.3), made(1.0)
    changed = [one != other for one, other in zip(plain, some, strict=True)]
    assert 0.2 < np.mean(changed) < 0.4
    assert np.mean([one != other for one, other in zip(plain, all_of_them, strict=True)]) > 0.8


def test_batches_are_made_ahead_and_not_without_bound() -> None:
    made: list[int] = []
    lock = threading.Lock()

    def square(row: int) -> UInt8:
        with lock:
            made.append(row)
        return np.full((4, 4, 3), row, np.uint8)

    loader = Loader(2, 4)
    try:
        wanted = [np.arange(at, at + 3) for at in range(0, 60, 3)]
        batches = loader.batches(wanted, square)
        rows, pixels = next(batches)
        assert rows.tolist() == [0, 1, 2]
        assert pixels[:, 0, 0, 0].tolist() == [0, 1, 2]
        assert len(made) <= 5 * 3
        rest = list(batches)
        assert [one.tolist() for one, _ in rest] == [one.tolist() for one in wanted[1:]]
        assert sorted(made) == list(range(60))
    finally:
        loader.close()


def test_an_error_of_a_thread_reaches_the_taker() -> None:
    def square(row: int) -> UInt8:
        if row == 4:
            raise VedetteError("the fourth")
        return np.zeros((4, 4, 3), np.uint8)

    loader = Loader(2, 4)
    try:
        with pytest.raises(VedetteError, match="the fourth"):
            list(loader.batches([np.arange(3), np.arange(3, 6)], square))
    finally:
        loader.close()


def test_a_strong_change_moves_a_shape_and_keeps_it() -> None:
    square = np.zeros((48, 48, 3), dtype=np.uint8)
    square[20:28, 20:28] = 255
    places = set()
    for number in range(20):
        out = augmented(square, "a", number, 7, sets.options(augment="strong"), RECIPE.prepare)
        grey = out.astype(np.float64).mean(axis=2)
        away = np.abs(grey - np.median(grey)) > 60  # inverted or not
        assert 30 <= away.sum() <= 110
        rows, columns = np.nonzero(away)
        places.add((round(rows.mean()), round(columns.mean())))

    assert len(places) > 10
    assert all(abs(row - 23.5) <= 10 and abs(column - 23.5) <= 10 for row, column in places)

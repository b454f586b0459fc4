from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from tests.corpus import QUIET
from tests.profiles import SWAPPED_PRIMARIES, matrix_profile
from tests.samples import RED, encode, flat, pattern, sample
from vedette.data.memory import as_item
from vedette.decode import DecodeOptions, decode_item
from vedette.errors import DecodeError, UsageError
from vedette.types import Failure, Image, Item

pytestmark = QUIET


def seen(given: object) -> list[Image]:
    return list(decode_item(as_item(given), DecodeOptions()))  # type: ignore[arg-type]


def test_items_are_left_as_they_are() -> None:
    item = Item("key", b"bytes")

    assert as_item(item) is item


def test_bytes_are_the_file() -> None:
    assert as_item(b"anything") == Item("bytes", b"anything")


def test_paths_have_their_keys() -> None:
    name = os.fsdecode(b"a/bad\xff.jpg")

    assert as_item("a/b.jpg") == Item("a/b.jpg", Path("a/b.jpg"))
    assert as_item(Path("a/b.jpg")) == Item("a/b.jpg", Path("a/b.jpg"))
    assert as_item(name) == Item("a/bad\\xff.jpg", Path(name))


@pytest.mark.parametrize("given", [None, 5, [1, 2], object(), 1.5])
def test_what_is_no_picture_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match=f"cannot scan a {type(given).__name__}"):
        as_item(given)  # type: ignore[arg-type]


# Arrays


def test_arrays_come_out_as_they_are() -> None:
    (image,) = seen(pattern())

    assert np.array_equal(image.pixels, pattern())
    assert as_item(pattern()).key == "array"


def test_arrays_of_grey_and_of_transparent_colour() -> None:
    (grey,) = seen(pattern()[..., 1])
    white, black = seen(np.zeros((4, 5, 4), np.uint8))

    assert np.array_equal(grey.pixels[..., 2], pattern()[..., 1])
    assert (int(white.pixels[0, 0, 0]), int(black.pixels[0, 0, 0])) == (255, 0)


@pytest.mark.parametrize("view", [np.s_[::2, ::-1], np.s_[:, 5:9], np.s_[::-1]])
def test_views_of_arrays_need_not_be_contiguous(view: tuple[slice, ...]) -> None:
    (image,) = seen(pattern()[view])

    assert np.array_equal(image.pixels, pattern()[view])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((3, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(array: NDArray[np.generic]) -> None:
    with pytest.raises(UsageError, match="cannot scan an array"):
        as_item(array)


# Pillow images


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "P", "RGB", "RGBX", "RGBA", "LA", "PA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"],
)
def test_pillow_images_of_every_mode(mode: str) -> None:
    base = PIL.Image.fromarray(pattern())
    base = base.convert({"LA": "L", "PA": "P", "RGBa": "RGBA"}.get(mode, "RGB"))
    picture = base.convert(mode)

    (image,) = seen(picture)

    assert as_item(picture).key == "image"
    expected = np.asarray(picture.convert("RGB"))
    assert np.abs(image.pixels.astype(int) - expected).max() <= 1


def test_premultiplied_grey_has_its_views() -> None:
    picture = PIL.Image.new("LA", (4, 4), (90, 0)).convert("La")

    white, black = seen(picture)

    assert (int(white.pixels[0, 0, 0]), int(black.pixels[0, 0, 0])) == (255, 0)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_deep_pillow_images_are_scaled(dtype: type[np.generic]) -> None:
    levels = (np.arange(256) * 257).reshape(16, 16).astype(dtype)

    (image,) = seen(PIL.Image.fromarray(levels))

    assert image.pixels[..., 0].ravel().tolist() == list(range(256))


def test_the_profile_of_a_pillow_image_counts() -> None:
    picture = PIL.Image.fromarray(flat(RED))
    picture.info["icc_profile"] = matrix_profile(SWAPPED_PRIMARIES)

    (image,) = seen(picture)

    assert image.pixels[0, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_is_turned_like_its_file(kind: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = encode(PIL.Image.fromarray(pattern()), kind, exif=exif)

    (from_file,) = seen(data)
    (from_memory,) = seen(PIL.Image.open(io.BytesIO(data)))

    assert np.array_equal(from_memory.pixels, from_file.pixels)
    assert (from_memory.width, from_memory.height) == (from_file.width, from_file.height)


def test_transparent_colours_of_pillow_images_count() -> None:
    picture = PIL.Image.new("P", (2, 2))
    picture.putpalette([9, 9, 9])
    picture.info["transparency"] = 0

    assert [image.view for image in seen(picture)] == ["", "on-black"]


def test_the_frame_that_is_shown_is_the_one_that_is_scanned() -> None:
    animation = PIL.Image.open(io.BytesIO(sample("gif")))
    animation.seek(3)

    (image,) = seen(animation)

    assert image.frames == 1
    assert np.array_equal(image.pixels, np.asarray(animation.convert("RGB")))


def test_a_broken_pillow_image_fails_when_it_is_scanned() -> None:
    picture = PIL.Image.open(io.BytesIO(sample("jpeg")[:1500]))

    item = as_item(picture)

    assert isinstance(item.data, Failure)
    assert (item.data.stage, item.data.code) == ("decode", "truncated")
    with pytest.raises(DecodeError):
        list(decode_item(item, DecodeOptions()))


def test_a_pillow_image_is_not_changed() -> None:
    picture = PIL.Image.open(io.BytesIO(sample("png")))
    before = (picture.mode, picture.size, dict(picture.info))

    as_item(picture)

    assert (picture.mode, picture.size, dict(picture.info)) == before

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests import crafted
from tests.corpus import LIMITS, QUIET
from tests.profiles import SWAPPED_PRIMARIES, matrix_profile
from tests.samples import (
    BLUE,
    FRAMES_OF,
    HEIGHT,
    RED,
    SAMPLES,
    WIDTH,
    animation,
    encode,
    flat,
    heic,
    noise,
    pattern,
    sample,
)
from vedette.decode import DecodeOptions, InlineDecoder, decode, decode_item
from vedette.errors import DecodeError, FetchError, ItemError
from vedette.resize import Fit
from vedette.types import Failure, Image, Item

pytestmark = QUIET

SMALL = DecodeOptions(limits=LIMITS)
PICTURES = tuple(name for name in SAMPLES if name != "mp4")
GREEN = (0, 255, 0)


def caught(data: bytes, options: DecodeOptions | None = None) -> tuple[list[Image], DecodeError]:
    """The frames of a file that fails, and its error."""
    images: list[Image] = []
    try:
        images.extend(decode(data, options))
    except DecodeError as error:
        return images, error
    pytest.fail("it decodes")


def corners(image: Image) -> tuple[bool, bool, bool, bool]:
    """Which corner is red: top left, top right, bottom left, bottom right."""
    height, width = image.pixels.shape[:2]
    dy, dx = height // 12, width // 12
    places = (dy, dx), (dy, -1 - dx), (-1 - dy, dx), (-1 - dy, -1 - dx)
    near = [np.abs(image.pixels[y, x].astype(int) - RED).max() < 60 for y, x in places]
    return near[0], near[1], near[2], near[3]


# What comes out


@pytest.mark.parametrize("name", PICTURES)
def test_every_format(name: str) -> None:
    images = list(decode(sample(name)))

    assert [image.frame for image in images] == list(range(FRAMES_OF.get(name, 1)))
    for image in images:
        assert image.pixels.dtype == np.uint8
        assert image.pixels.shape == (image.height, image.width, 3)
        assert image.sha256 == hashlib.sha256(sample(name)).hexdigest()
        assert image.frames == len(images)
        assert image.view == ""
    assert (images[0].width, images[0].height) == ((48, 48) if name == "ico" else (WIDTH, HEIGHT))


@pytest.mark.parametrize("name", ["png", "webp", "bmp", "tiff-lzw", "ppm"])
def test_lossless_formats_keep_every_pixel(name: str) -> None:
    (image,) = decode(sample(name))

    assert np.array_equal(image.pixels, pattern())


@pytest.mark.parametrize(("name", "format_name"), [("mpo", "JPEG"), ("heic", "HEIC")])
def test_formats_have_the_name_of_their_content(name: str, format_name: str) -> None:
    assert {image.format for image in decode(sample(name))} == {format_name}


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, 0), (2, 1), (3, 3), (4, 2), (5, 0), (6, 1), (7, 3), (8, 2)]
)
def test_exif_turns_the_picture_as_viewers_do(kind: str, orientation: int, corner: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = encode(PIL.Image.fromarray(pattern(160, 96)), kind, exif=exif)

    for fit in (None, Fit(20, "inside")):
        (image,) = decode(data, DecodeOptions(fit=fit))

        assert corners(image) == tuple(place == corner for place in range(4))
        assert (image.width, image.height) == ((160, 96) if orientation < 5 else (96, 160))
        assert (image.pixels.shape[1] > image.pixels.shape[0]) == (orientation < 5)


def test_a_profile_in_the_file_counts_unless_told_otherwise() -> None:
    data = encode(flat(RED), "PNG", icc_profile=matrix_profile(SWAPPED_PRIMARIES))

    (image,) = decode(data)
    (raw,) = decode(data, DecodeOptions(icc=False))

    assert image.pixels[0, 0].tolist() == list(GREEN)
    assert raw.pixels[0, 0].tolist() == list(RED)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled(kind: str) -> None:
    levels = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)

    (image,) = decode(encode(PIL.Image.fromarray(levels), kind))

    assert image.pixels[..., 0].ravel().tolist() == list(range(256))


def test_cmyk_comes_out_in_its_colours() -> None:
    picture = PIL.Image.fromarray(flat((200, 40, 90))).convert("CMYK")

    (image,) = decode(encode(picture, "JPEG", quality=100))

    assert np.abs(image.pixels.astype(int) - (200, 40, 90)).max() < 4


def test_transparency_gives_two_views_of_one_frame() -> None:
    pixels = np.dstack([pattern(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    (opaque,) = decode(encode(pixels, "PNG"))
    pixels[0, 0, 3] = 0
    white, black = decode(encode(pixels, "PNG"))

    assert opaque.view == ""
    assert (white.view, black.view) == ("", "on-black")
    assert (white.frame, black.frame, white.frames) == (0, 0, 1)
    assert white.pixels[0, 0].tolist() == [255] * 3
    assert black.pixels[0, 0].tolist() == [0] * 3
    assert np.array_equal(white.pixels[1:], black.pixels[1:])


def test_a_picture_hidden_in_alpha_is_decoded() -> None:
    hidden = pattern()[..., 1]

    white, black = decode(crafted.hidden_in_alpha(hidden))

    assert np.array_equal(white.pixels[..., 0], 255 - hidden)
    assert not black.pixels.any()


def test_a_picture_hidden_in_sixteen_bits_is_refused_or_seen() -> None:
    levels = np.full((8, 8, 3), 0x8080, np.uint16)
    levels[2:5, 2:5] = 0x8081

    images, error = caught(crafted.png16(levels, bytes([0x80, 0x81] * 3)))
    white, black = decode(crafted.png16(levels[..., 0], b"\x80\x81"))
    (opaque,) = decode(crafted.png16(levels))

    assert (images, error.code) == ([], "unsupported_format")
    assert white.pixels[3, 3].tolist() == [255] * 3
    assert black.pixels[3, 3].tolist() == [0] * 3
    assert opaque.pixels[3, 3].tolist() == [0x80] * 3


# Scaled decode


@pytest.mark.parametrize("size", [(640, 480), (639, 481), (333, 1000), (199, 201), (200, 200)])
@pytest.mark.parametrize("fit", [Fit(100, "inside"), Fit(50, "cover"), Fit(77, "stretch")])
def test_scaled_decode_keeps_twice_what_the_model_needs(size: tuple[int, int], fit: Fit) -> None:
    data = encode(pattern(*size), "JPEG", quality=95)

    (full,) = decode(data)
    (image,) = decode(data, DecodeOptions(fit=fit))
    target = fit.target(*size)
    height, width = image.pixels.shape[:2]

    assert full.pixels.shape == (size[1], size[0], 3)
    assert (image.width, image.height) == size
    if size[0] >= 2 * target[0] and size[1] >= 2 * target[1]:
        assert width >= 2 * target[0]
        assert height >= 2 * target[1]
    else:
        assert (width, height) == size


def test_scaled_decode_is_used_where_it_saves_work() -> None:
    data = encode(pattern(1600, 1200), "JPEG")

    (image,) = decode(data, DecodeOptions(fit=Fit(100, "inside")))

    assert image.pixels.shape == (150, 200, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_only_jpeg_is_scaled(kind: str) -> None:
    (image,) = decode(encode(pattern(400, 400), kind), DecodeOptions(fit=Fit(32, "inside")))

    assert image.pixels.shape == (400, 400, 3)


def test_every_picture_of_an_mpo_is_scaled_by_itself() -> None:
    others = [PIL.Image.fromarray(flat(BLUE, 800, 600)), PIL.Image.fromarray(flat(RED, 120, 80))]
    data = encode(pattern(1600, 1200), "MPO", save_all=True, append_images=others)

    images = list(decode(data, DecodeOptions(fit=Fit(100, "inside"))))

    assert [(i.width, i.height) for i in images] == [(1600, 1200), (800, 600), (120, 80)]
    assert [i.pixels.shape[:2] for i in images] == [(150, 200), (150, 200), (80, 120)]
    assert np.abs(images[1].pixels[75, 100].astype(int) - BLUE).max() < 4


# Frames and times


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animations_have_frames_and_times(kind: str) -> None:
    images = list(decode(animation(kind, frames=5, duration=120)))

    assert [(image.frame, image.frames) for image in images] == [(i, 5) for i in range(5)]
    assert [image.time_s for image in images] == pytest.approx([0, 0.12, 0.24, 0.36, 0.48])
    reds = [int(image.pixels[9, 9, 0]) for image in images]
    assert reds == sorted(reds, reverse=True)
    assert reds[0] - reds[-1] > 150


@pytest.mark.parametrize("name", ["jpeg", "png", "gif-still", "tiff", "mpo", "ico", "avif"])
def test_what_does_not_move_has_no_times(name: str) -> None:
    data = encode(pattern(), "GIF") if name == "gif-still" else sample(name)

    assert {image.time_s for image in decode(data)} == {None}


def test_pages_may_differ_in_size_and_kind() -> None:
    pages = [PIL.Image.fromarray(flat(BLUE, 30, 10)), PIL.Image.new("L", (7, 9), 77)]
    data = encode(pattern(), "TIFF", save_all=True, append_images=pages)

    images = list(decode(data))

    assert [(i.width, i.height) for i in images] == [(WIDTH, HEIGHT), (30, 10), (7, 9)]
    assert [i.pixels[-1, -1].tolist() for i in images[1:]] == [list(BLUE), [77] * 3]


def test_every_size_of_an_icon_is_decoded() -> None:
    images = list(decode(sample("ico")))

    assert sorted(image.width for image in images) == [16, 32, 48]


@pytest.mark.parametrize("primary", [0, 1, 2])
def test_every_picture_of_a_heic_is_decoded_wherever_the_primary_is(primary: int) -> None:
    data = heic(flat(RED), flat(GREEN), flat(BLUE), primary=primary)

    shown = [image.pixels[9, 9].astype(int) for image in decode(data)]

    assert len(shown) == 3
    for pixel, colour in zip(shown, (RED, GREEN, BLUE), strict=True):
        assert np.abs(pixel - colour).max() < 8


def test_a_tiff_that_leads_back_to_its_start_ends() -> None:
    assert len(list(decode(crafted.tiff(3, loop=True)))) == 3


# Items


def test_an_item_may_hold_bytes_or_name_a_file(tmp_path: Path) -> None:
    decoder = InlineDecoder(DecodeOptions())
    for name in ("png", "mp4"):
        path = tmp_path / name
        path.write_bytes(sample(name))

        from_path = list(decoder.frames(Item("key", path)))
        from_bytes = list(decoder.frames(Item("key", sample(name))))

        assert [i.pixels.tobytes() for i in from_path] == [i.pixels.tobytes() for i in from_bytes]
        assert from_path[0].sha256 == hashlib.sha256(sample(name)).hexdigest()
    decoder.close()


@pytest.mark.parametrize(("stage", "kind"), [("fetch", FetchError), ("decode", DecodeError)])
def test_an_item_may_hold_its_failure(stage: str, kind: type[ItemError]) -> None:
    failure = Failure(stage, "corrupt", "what was wrong")

    with pytest.raises(kind) as info:
        list(decode_item(Item("key", failure), DecodeOptions()))

    assert info.value.failure() == failure


def test_a_file_larger_than_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.png").open("wb") as stream:
        stream.write(sample("png"))
        stream.truncate(2**40)

    with pytest.raises(FetchError) as info:
        list(decode_item(Item("key", tmp_path / "sparse.png"), SMALL))

    assert info.value.code == "too_many_bytes"


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FetchError) as info:
        list(decode_item(Item("key", tmp_path / "gone.png"), SMALL))

    assert info.value.code == "not_found"


def test_large_noise_is_decoded_whole() -> None:
    pixels = noise(1500, 1000)

    (image,) = decode(encode(pixels, "PNG", compress_level=1))

    assert np.array_equal(image.pixels, pixels)


# What is there but not decoded


def test_a_tiff_with_pictures_beside_its_pages_is_not_all_told() -> None:
    stream = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[330] = 8
    PIL.Image.new("RGB", (20, 10), "white").save(stream, "TIFF", exif=exif)

    frames = decode(stream.getvalue())

    assert next(frames).format == "TIFF"
    with pytest.raises(DecodeError, match="sub-pictures") as info:
        next(frames)
    assert info.value.code == "unsupported_format"


def test_an_animated_avif_that_says_it_is_still_is_not_all_told() -> None:
    first, *rest = (PIL.Image.new("RGB", (32, 32), c) for c in ("white", "red", "blue"))
    stream = io.BytesIO()
    first.save(stream, "AVIF", save_all=True, append_images=rest)
    animated = stream.getvalue()
    assert len(list(decode(animated))) == 3
    assert animated[8:12] == b"avis"

    still = animated[:8] + b"avif" + animated[12:]

    with pytest.raises(DecodeError, match="track") as info:
        list(decode(still))
    assert info.value.code == "unsupported_format"

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
from PIL.Image import Transpose

from tests import crafted
from tests.corpus import QUIET
from tests.profiles import (
    SWAPPED_PRIMARIES,
    WIDE_PRIMARIES,
    cmyk_profile,
    grey_profile,
    matrix_profile,
)
from tests.samples import RED, flat, pattern
from vedette.colour import exif_turn, views
from vedette.types import UInt8

pytestmark = QUIET

SRGB = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()


def only(picture: PIL.Image.Image) -> UInt8:
    """The pixels of a picture that has one view."""
    ((view, pixels),) = views(picture)
    assert view == ""
    assert pixels.dtype == np.uint8
    assert pixels.shape == (picture.height, picture.width, 3)
    return pixels


def through(picture: PIL.Image.Image, profile: bytes) -> UInt8:
    """What ImageCms itself makes of a picture with that profile."""
    source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = PIL.ImageCms.createProfile("sRGB")
    made = PIL.ImageCms.profileToProfile(picture, source, srgb, outputMode="RGB")
    assert made is not None
    return np.asarray(made)


def difference(a: UInt8, b: UInt8) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def drawn(mode: str = "RGB") -> PIL.Image.Image:
    return PIL.Image.fromarray(pattern()).convert(mode)


# Profiles


@pytest.mark.parametrize("primaries", [SWAPPED_PRIMARIES, WIDE_PRIMARIES])
def test_a_profile_is_applied_as_imagecms_applies_it(
    primaries: tuple[tuple[float, float, float], ...],
) -> None:
    picture, profile = drawn(), matrix_profile(primaries)
    picture.info["icc_profile"] = profile

    assert difference(only(picture), through(picture, profile)) == 0
    assert difference(only(picture), pattern()) > 50


def test_swapped_primaries_swap_the_colours() -> None:
    picture = PIL.Image.fromarray(flat(RED))
    picture.info["icc_profile"] = matrix_profile(SWAPPED_PRIMARIES)

    assert only(picture)[0, 0].tolist() == [0, 255, 0]


def test_a_wide_gamut_makes_colours_stronger() -> None:
    picture = PIL.Image.fromarray(flat((90, 180, 90)))
    picture.info["icc_profile"] = matrix_profile(WIDE_PRIMARIES)

    red, green, _ = (int(value) for value in only(picture)[0, 0])

    assert green - red > 180 - 90


def test_srgb_changes_nothing() -> None:
    picture = drawn()
    picture.info["icc_profile"] = SRGB

    assert difference(only(picture), pattern()) == 0


def test_a_profile_that_only_calls_itself_srgb_is_applied() -> None:
    picture = PIL.Image.fromarray(flat(RED))
    picture.info["icc_profile"] = matrix_profile(SWAPPED_PRIMARIES, name="sRGB IEC61966-2.1")

    assert only(picture)[0, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile at all",
        SRGB[:100],
        SRGB[:128] + bytes(len(SRGB) - 128),
        grey_profile(1.0),  # of another colour space than the picture
        "text",
        b"",
    ],
)
def test_a_broken_or_unfit_profile_is_ignored(profile: object) -> None:
    picture = drawn()
    picture.info["icc_profile"] = profile

    assert difference(only(picture), pattern()) == 0


def test_profiles_can_be_left_aside() -> None:
    picture = PIL.Image.fromarray(flat(RED))
    picture.info["icc_profile"] = matrix_profile(SWAPPED_PRIMARIES)

    ((_, pixels),) = views(picture, icc=False)

    assert pixels[0, 0].tolist() == list(RED)


def test_a_profile_counts_under_transparency() -> None:
    picture = PIL.Image.fromarray(flat(RED)).convert("RGBA")
    picture.putpixel((0, 0), (255, 0, 0, 0))
    picture.info["icc_profile"] = matrix_profile(SWAPPED_PRIMARIES)

    white, black = views(picture)

    assert white[1][1, 1].tolist() == black[1][1, 1].tolist() == [0, 255, 0]
    assert white[1][0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("deep", [False, True], ids=["8 bit", "16 bit"])
def test_a_profile_of_grey(deep: bool) -> None:
    grey = drawn("L")
    profile = grey_profile(1.0)
    expected = through(grey, profile)
    picture = grey
    if deep:
        picture = PIL.Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    picture.info["icc_profile"] = profile

    assert difference(only(picture), expected) == 0
    assert difference(expected, np.asarray(grey.convert("RGB"))) > 50


# Modes


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    levels = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)

    pixels = only(PIL.Image.fromarray(levels))

    assert pixels[..., 0].ravel().tolist() == list(range(256))


def test_sixteen_bits_in_big_endian_order() -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    picture = PIL.Image.frombytes("I;16B", (16, 16), levels.astype(">u2").tobytes())

    assert only(picture)[..., 1].ravel().tolist() == list(range(256))


def test_sixteen_bits_in_wide_integers() -> None:
    levels = (np.arange(256, dtype=np.int32) * 257).reshape(16, 16)

    assert only(PIL.Image.fromarray(levels))[..., 2].ravel().tolist() == list(range(256))


def test_integers_and_floats_of_any_range_are_stretched() -> None:
    ramp = np.arange(256).reshape(16, 16)

    for levels in (ramp.astype(np.int32) * 100_000 - 5_000, ramp.astype(np.float32) / 300 - 0.2):
        assert only(PIL.Image.fromarray(levels))[..., 0].ravel().tolist() == list(range(256))


def test_floats_that_are_not_numbers_are_black() -> None:
    levels = np.array([[np.nan, np.inf, -np.inf, 0.0, 1.0]], np.float32)

    assert only(PIL.Image.fromarray(levels))[0, :, 0].tolist() == [0, 0, 0, 0, 255]
    assert only(PIL.Image.fromarray(np.full((2, 2), np.nan, np.float32))).max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB", "RGBX"])
def test_modes_come_out_as_pillow_shows_them(mode: str) -> None:
    picture = drawn(mode)

    assert difference(only(picture), np.asarray(picture.convert("RGB"))) <= 1


def test_cmyk_is_converted_by_its_profile() -> None:
    picture, profile = drawn("CMYK"), cmyk_profile()
    picture.info["icc_profile"] = profile

    pixels = only(picture)

    assert difference(pixels, through(picture, profile)) == 0
    assert int(np.ptp(pixels.astype(int), axis=2).max()) <= 4  # its inks are grey
    assert difference(pixels, np.asarray(picture.convert("RGB"))) > 50


# Transparency


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa"])
def test_opaque_alpha_has_one_view(mode: str) -> None:
    base = drawn("P" if mode == "PA" else "L" if mode == "LA" else "RGBA")
    picture = base.convert(mode)

    assert difference(only(picture), np.asarray(base.convert("RGB"))) == 0


def test_transparency_has_a_view_on_white_and_one_on_black() -> None:
    pixels = np.dstack([flat((100, 100, 100), 3, 1), [[0, 128, 255]]]).astype(np.uint8)

    (white_name, white), (black_name, black) = views(PIL.Image.fromarray(pixels))

    assert (white_name, black_name) == ("", "on-black")
    assert white[0, :, 0].tolist() == [255, 177, 100]
    assert black[0, :, 0].tolist() == [0, 50, 100]


def test_views_that_look_the_same_are_one() -> None:
    # Transparent enough to have an alpha channel, too little to show on any background.
    picture = PIL.Image.new("RGBA", (4, 4), (255, 255, 255, 255))
    picture.putpixel((0, 0), (255, 255, 255, 254))
    assert len(views(picture)) == 2  # white at 254: one level darker on black

    palette = PIL.Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.info["transparency"] = 0  # of a colour that no pixel has
    assert len(views(palette)) == 1


@pytest.mark.parametrize("shade", [0, 255])
def test_a_picture_hidden_in_alpha_is_seen_in_one_view(shade: int) -> None:
    hidden = pattern()[..., 1]
    pixels = np.dstack([np.full_like(hidden, shade)] * 3 + [hidden])

    shown = [view[..., 0].astype(int) for _, view in views(PIL.Image.fromarray(pixels))]

    assert len(shown) == 2
    likeness = max(
        abs(float(np.corrcoef(v.ravel(), hidden.ravel())[0, 1])) for v in shown if v.std()
    )
    assert likeness > 0.99


def test_transparent_colour_of_a_palette() -> None:
    picture = PIL.Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    picture.info["transparency"] = b"\x00\xff"

    (_, white), (_, black) = views(picture)

    assert white[0].tolist() == [[255, 255, 255], [0, 255, 0]]
    assert black[0].tolist() == [[0, 0, 0], [0, 255, 0]]


@pytest.mark.parametrize(("mode", "clear"), [("RGB", (10, 20, 30)), ("L", 10)])
def test_transparent_colour_without_an_alpha_channel(mode: str, clear: object) -> None:
    picture = PIL.Image.new(mode, (2, 1), "white")
    picture.putpixel((0, 0), clear)  # type: ignore[arg-type]  # a colour of either mode
    picture.info["transparency"] = clear

    (_, white), (_, black) = views(picture)

    assert white[0].tolist() == [[255] * 3, [255] * 3]
    assert black[0].tolist() == [[0] * 3, [255] * 3]


def test_transparent_level_of_sixteen_bits_is_told_from_its_neighbour() -> None:
    levels = np.full((4, 4), 0x8080, np.uint16)
    levels[1:3, 1:3] = 0x8081  # the same in 8 bits
    picture = PIL.Image.open(io.BytesIO(crafted.png16(levels, b"\x80\x81")))

    (_, white), (_, black) = views(picture)

    assert white[..., 0].tolist()[1] == [128, 255, 255, 128]
    assert black[..., 0].tolist()[1] == [128, 0, 0, 128]


# EXIF


def _with_orientation(value: object) -> PIL.Image.Image:
    picture = drawn()
    picture.getexif()[0x0112] = value
    return picture


def test_orientations_have_their_turns() -> None:
    turns = [exif_turn(_with_orientation(value)) for value in range(1, 9)]

    assert turns == [
        None,
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    ]


@pytest.mark.parametrize("value", [0, 9, -1, 65535, "6", (6,), [6], b"\x06", None])
def test_odd_orientations_turn_nothing(value: object) -> None:
    assert exif_turn(_with_orientation(value)) is None


def test_broken_exif_turns_nothing() -> None:
    picture = drawn()
    picture.info["exif"] = b"Exif\0\0MM\0*\xff\xff\xff\xff"

    assert exif_turn(picture) is None

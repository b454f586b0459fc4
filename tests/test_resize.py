from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.samples import noise, pattern
from vedette.resize import Fit, resize

PROFILE = settings(deadline=None, derandomize=True, database=None, max_examples=300)
SIDES = st.integers(1, 5000)
FITS = st.builds(Fit, st.integers(1, 1024), st.sampled_from(("inside", "cover", "stretch")))


@pytest.mark.parametrize(
    ("fit", "wide", "tall"),
    [
        (Fit(320, "inside"), (320, 160), (160, 320)),
        (Fit(320, "cover"), (640, 320), (320, 640)),
        (Fit(320, "stretch"), (320, 320), (320, 320)),
    ],
)
def test_target_of_each_mode(fit: Fit, wide: tuple[int, int], tall: tuple[int, int]) -> None:
    assert fit.target(1000, 500) == wide
    assert fit.target(500, 1000) == tall


def test_target_is_never_empty() -> None:
    assert Fit(320, "inside").target(20000, 1) == (320, 1)


@PROFILE
@given(FITS, SIDES, SIDES)
def test_one_side_of_the_target_is_the_size(fit: Fit, width: int, height: int) -> None:
    target = fit.target(width, height)

    assert min(target) >= 1
    if fit.mode == "inside":
        assert max(target) == fit.size
    elif fit.mode == "cover":
        assert min(target) == fit.size
    else:
        assert target == (fit.size, fit.size)


@PROFILE
@given(FITS, SIDES, SIDES)
def test_scaled_decode_keeps_twice_the_target(fit: Fit, width: int, height: int) -> None:
    target = fit.target(width, height)
    least = fit.scaled_decode(width, height)

    if width >= 2 * target[0] and height >= 2 * target[1]:
        assert least == (2 * target[0], 2 * target[1])
    else:
        assert least is None


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    pixels = pattern()

    assert resize(pixels, 48, 36) is pixels


def test_resize_gives_the_asked_shape() -> None:
    assert resize(pattern(), 7, 5).shape == (5, 7, 3)
    assert resize(pattern(), 100, 90).shape == (90, 100, 3)


def test_resize_averages_instead_of_picking_pixels() -> None:
    checks = np.zeros((64, 64, 3), np.uint8)
    checks[::2, ::2] = checks[1::2, 1::2] = 255

    small = resize(checks, 8, 8)

    assert small.min() >= 126
    assert small.max() <= 129


def test_a_reduction_keeps_the_mean_colour() -> None:
    pixels = noise(200, 100)

    before, after = pixels.mean(axis=(0, 1)), resize(pixels, 20, 10).mean(axis=(0, 1))

    assert np.abs(before - after).max() < 2

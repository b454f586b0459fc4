"""Filters and warps against their definitions, on pictures of awkward sizes too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import drawn
from vedette.bench.perturbations.pixels import (
    _MOST_IN_FLOAT32,
    box_mean,
    convolved,
    floats,
    mirrored,
    scale_of,
    side_of,
    to_bytes,
    warped,
)

SIZES = [(1, 1), (1, 7), (6, 1), (5, 8), (30, 41)]


@given(st.integers(-500, 500), st.integers(1, 40))
def test_mirrored_walks_back_and_forth(position: int, length: int) -> None:
    at, step = 0, 1
    for _ in range(position if position >= 0 else -position - 1):
        if 0 <= at + step < length:
            at += step
        else:
            step = -step  # the last pixel is met twice, as behind a mirror
    # Before the first pixel the picture runs as after it: -1 is 0, -2 is 1.
    assert mirrored(np.array([position]), length)[0] == at


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (9, 3), (21, 21)])
def test_convolved_is_a_correlation(height: int, width: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    values = rng.random((height, width, 3), dtype=np.float32)
    kernel = rng.random(shape, dtype=np.float32)
    want = np.zeros((height, width, 3))
    for down in range(shape[0]):
        rows = mirrored(np.arange(height) + down - shape[0] // 2, height)
        for across in range(shape[1]):
            columns = mirrored(np.arange(width) + across - shape[1] // 2, width)
            want += kernel[down, across] * values[rows[:, None], columns]

    got = convolved(values, kernel)

    assert np.abs(got - want).max() < 1e-4 * max(1, want.max())
    assert np.abs(convolved(values[..., 1], kernel) - got[..., 1]).max() < 1e-4 * want.max()


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("radius", [1, 4, 50])
def test_box_mean_is_the_mean(height: int, width: int, radius: int) -> None:
    values = np.random.default_rng(1).random((height, width, 2), dtype=np.float32)
    around = np.arange(-radius, radius + 1)
    rows = mirrored(np.arange(height)[:, None] + around, height)
    columns = mirrored(np.arange(width)[:, None] + around, width)
    want = values[rows].mean(axis=1)[:, columns].mean(axis=2)

    assert np.abs(box_mean(values, radius) - want).max() < 1e-5


def test_box_mean_of_a_large_picture_keeps_its_precision() -> None:
    values = np.full((3, 4 * _MOST_IN_FLOAT32, 1), 0.9, dtype=np.float32)

    assert np.abs(box_mean(values, 2) - np.float32(0.9)).max() < 1e-6


def test_warped_reads_between_pixels() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    pixels = np.asarray(drawn(3, 41, 30))
    rng = np.random.default_rng(2)
    down = rng.uniform(-60, 90, (30, 41)).astype(np.float32)
    across = rng.uniform(-80, 130, (30, 41)).astype(np.float32)
    want = np.stack(
        [
            ndimage.map_coordinates(
                pixels[..., c].astype(float), [down, across], order=1, mode="reflect"
            )
            for c in range(3)
        ],
        axis=2,
    )

    assert np.abs(warped(pixels, down, across) - want).max() <= 0.51


def test_a_length_grows_with_the_square_of_the_same_area() -> None:
    assert scale_of(np.zeros((224, 224, 3), np.uint8)) == 1
    assert scale_of(np.zeros((448, 448, 3), np.uint8)) == 2
    assert side_of(np.zeros((1, 10_000, 3), np.uint8)) == 100


def test_bytes_and_floats_are_each_others_inverse() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)

    assert (to_bytes(floats(every)) == every).all()
    assert to_bytes(np.array([-1.0, 0.0, 0.499 / 255, 0.501 / 255, 2.0])).tolist() == [
        *(0, 0, 0, 1, 255)
    ]

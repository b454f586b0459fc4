"""SNR, edge density and entropy of pictures of which they are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.shifted import context, pictures
from vedette.bench.image_statistics import SIDE, image_statistics, statistics_of
from vedette.types import UInt8


def grey(values: np.ndarray) -> UInt8:
    return np.repeat(np.clip(np.rint(values), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def test_a_picture_of_one_colour_has_no_noise_no_edges_and_nothing_to_tell() -> None:
    found = image_statistics(grey(np.full((40, 60), 128.0)))

    assert found.snr == pytest.approx(10 * math.log10(128**2 * 12))
    assert found.edge_density == 0
    assert found.entropy == 0
    assert found.aspect == 1.5


def test_black_has_neither_signal_nor_noise() -> None:
    assert image_statistics(grey(np.zeros((9, 9)))).snr == 0


@pytest.mark.parametrize("sigma", [5, 10, 20])
def test_the_noise_that_was_added_is_found(sigma: int) -> None:
    rng = np.random.default_rng(sigma)
    found = image_statistics(grey(128 + rng.normal(0, sigma, (300, 300))))

    assert found.snr == pytest.approx(10 * math.log10((128**2 + sigma**2) / sigma**2), abs=0.15)


def test_a_slope_is_not_noise() -> None:
    ramp = np.broadcast_to(np.arange(200.0), (100, 200))
    found = image_statistics(grey(ramp))

    assert found.snr == pytest.approx(10 * math.log10(float((ramp**2).mean()) * 12))
    assert found.edge_density == 0
    assert found.entropy == pytest.approx(math.log2(200))


def test_a_step_is_an_edge_two_pixels_wide() -> None:
    step = np.zeros((50, 52))
    step[:, 26:] = 100
    found = image_statistics(grey(step))

    # Of the 50 columns that the filter fits on.
    assert found.edge_density == pytest.approx(2 / 50)
    assert found.entropy == pytest.approx(1)


@pytest.mark.parametrize(("height", "seen"), [(39, 0), (40, 2 / 50)])
def test_an_edge_begins_at_twenty_levels_per_pixel(height: int, seen: float) -> None:
    step = np.full((50, 52), 100.0)
    step[:, 26:] += height
    assert image_statistics(grey(step)).edge_density == pytest.approx(seen)


def test_entropy_counts_levels_and_shares() -> None:
    quarters = np.repeat([[10.0, 90.0, 170.0, 250.0]], 8, axis=0)
    assert image_statistics(grey(quarters)).entropy == pytest.approx(2)
    uneven = np.repeat([[10.0, 10.0, 10.0, 250.0]], 8, axis=0)
    assert image_statistics(grey(uneven)).entropy == pytest.approx(
        -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    )


def test_colours_count_by_their_brightness() -> None:
    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 0] = 200
    assert image_statistics(red).snr == pytest.approx(10 * math.log10(60**2 * 12))


def test_large_pictures_are_measured_at_one_scale() -> None:
    small = np.random.default_rng(0).integers(0, 256, (SIDE // 2, SIDE), dtype=np.uint8)
    large = small.repeat(3, axis=0).repeat(3, axis=1)

    one, other = (image_statistics(grey(x.astype(float))) for x in (small, large))
    assert one == other


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_any_picture_has_finite_statistics(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = image_statistics(pixels)

    assert -20 < found.snr < 59
    assert 0 <= found.edge_density <= 1
    assert 0 <= found.entropy <= 8
    assert found.aspect == width / height


def test_those_of_a_set_are_in_its_predictions_order(tmp_path: Path) -> None:
    items = pictures(12)
    given = context(tmp_path, items)
    turned = context(tmp_path, items[::-1])

    rows = statistics_of(given)
    assert rows.shape == (12, 4)
    assert np.array_equal(statistics_of(turned), rows[::-1])
    assert np.array_equal(rows[3], _of(given.pixels(items[3].key)))


def _of(pixels: UInt8) -> list[float]:
    found = image_statistics(pixels)
    return [found.snr, found.edge_density, found.entropy, found.aspect]

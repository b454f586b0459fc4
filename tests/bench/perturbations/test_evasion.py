"""What evaders do: each change does what its summary says."""

from __future__ import annotations

import colorsys

import numpy as np
import PIL.Image
import pytest

from tests.pictures import drawn
from vedette.bench.perturbations.registry import perturbation
from vedette.types import UInt8

PIXELS: UInt8 = np.asarray(drawn(5, 120, 90))


def done(name: str, level: float, pixels: UInt8 = PIXELS, seed: int = 1) -> UInt8:
    return perturbation(name).apply(pixels, level, np.random.default_rng(seed))


@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_grid_is_the_same_picture_again(times: int) -> None:
    out = done("grid", times)
    height, width = out.shape[0] // times, out.shape[1] // times
    tile = out[:height, :width]

    assert abs(out.shape[0] - 90) < times
    assert abs(out.shape[1] - 120) < times
    assert (out == np.tile(tile, (times, times, 1))).all()
    small = PIL.Image.fromarray(PIXELS).resize((width, height), PIL.Image.Resampling.LANCZOS)
    assert (tile == np.asarray(small)).all()


def test_an_inset_stands_on_a_plain_canvas_somewhere() -> None:
    places = set()
    for seed in range(8):
        out = done("inset", 0.25, seed=seed)
        assert out.shape == PIXELS.shape
        colours, counts = np.unique(out.reshape(-1, 3), axis=0, return_counts=True)
        canvas = colours[counts.argmax()]
        assert counts.max() >= 0.9 * 90 * 120
        rows, columns = np.nonzero((out != canvas).any(axis=2))
        assert rows.max() - rows.min() < 24
        assert columns.max() - columns.min() < 31
        places.add((int(rows.min()), int(columns.min())))
    assert len(places) > 4


def test_turns_of_90_and_180_degrees_lose_nothing() -> None:
    assert (done("rotate", 180) == PIXELS[::-1, ::-1]).all()
    quarter = {done("rotate", 90, seed=seed).tobytes() for seed in range(8)}
    assert quarter == {np.rot90(PIXELS, k).tobytes() for k in (1, 3)}


def test_other_turns_show_the_whole_picture() -> None:
    out = done("rotate", 30)

    assert out.shape[0] > 90 * 0.86
    assert out.shape[1] > 120 * 0.86 + 90 * 0.49


def test_flips() -> None:
    assert (done("flip", 1) == PIXELS[:, ::-1]).all()
    assert (done("flip", 2) == PIXELS[::-1]).all()


def test_a_crop_is_a_part() -> None:
    out = done("crop", 0.4)

    assert out.shape == (36, 48, 3)
    windows = np.lib.stride_tricks.sliding_window_view(PIXELS, out.shape)
    assert (windows == out).all(axis=(3, 4, 5)).any()


def test_thumbnails_never_grow() -> None:
    assert done("thumbnail", 32).shape == (32, 43, 3)
    assert (done("thumbnail", 96) == PIXELS).all()


def test_resize_leaves_its_share() -> None:
    assert done("resize", 0.5).shape == (45, 60, 3)
    assert done("resize", 0.25).shape == (22, 30, 3)


def test_a_border_stands_around_the_whole_picture() -> None:
    out = done("border", 0.25)
    wide = (out.shape[0] - 90) // 2

    assert wide == round(0.25 * (90 * 120) ** 0.5)
    assert (out[wide:-wide, wide:-wide] == PIXELS).all()
    assert len(np.unique(out[:wide].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("share", [1.0, 0.8, 0.6])
@pytest.mark.parametrize("shape", [(90, 120), (300, 40), (20, 30)])
def test_a_screenshot_holds_the_whole_picture(share: float, shape: tuple[int, int]) -> None:
    pixels = np.asarray(drawn(8, shape[1], shape[0]))
    out = done("screenshot", share, pixels)
    head = pixels[0, :8]
    windows = np.lib.stride_tricks.sliding_window_view(out, (1, 8, 3))[:, :, 0, 0]
    found = np.argwhere((windows == head).all(axis=(2, 3)))

    assert out.shape[0] >= 2 * out.shape[1]
    assert any(
        (out[y : y + shape[0], x : x + shape[1]] == pixels).all()
        for y, x in found
        if y + shape[0] <= out.shape[0] and x + shape[1] <= out.shape[1]
    )


def test_a_mosaic_has_its_blocks() -> None:
    out = done("mosaic", 16)
    whole = PIXELS.reshape(-1, 3).mean(axis=0)

    assert len(np.unique(out.reshape(-1, 3), axis=0)) <= 16 * 22
    assert np.abs(out.reshape(-1, 3).mean(axis=0) - whole).max() < 1.5


def test_blur_keeps_the_mean_and_takes_the_detail() -> None:
    out = done("blur", 0.04)

    assert abs(out.mean() - PIXELS.mean()) < 2
    assert np.diff(out.astype(int), axis=1).std() < np.diff(PIXELS.astype(int), axis=1).std() / 2


def test_hue_turns_colours_and_leaves_grey() -> None:
    patch = np.array([[[200, 100, 100], [90, 90, 90], [0, 0, 0]]], dtype=np.uint8)
    turned = {
        round(360 * colorsys.rgb_to_hsv(*done("hue", 120, patch, seed)[0, 0])[0])
        for seed in range(8)
    }

    assert turned == {120, 240}
    assert (done("hue", 90, patch)[0, 1:] == patch[0, 1:]).all()


def test_the_negative_of_the_negative_is_the_picture() -> None:
    assert (done("invert", 1, done("invert", 1)) == PIXELS).all()
    assert (done("invert", 1) == 255 - PIXELS.astype(int)).all()


def test_greyscale_is_pillows() -> None:
    grey = np.asarray(PIL.Image.fromarray(PIXELS).convert("L")).astype(int)
    out = done("greyscale", 1.0)

    assert (out.max(axis=2) == out.min(axis=2)).all()
    assert np.abs(out[..., 0] - grey).max() <= 1
    half = done("greyscale", 0.5).astype(int)
    assert np.abs(half - (PIXELS + out.astype(int)) / 2).max() <= 1


def test_posterised_pictures_have_their_steps() -> None:
    every = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)

    assert np.unique(done("posterise", 4, every)).tolist() == [0, 85, 170, 255]
    assert np.unique(done("posterise", 2, every)).tolist() == [0, 255]


def test_a_watermark_is_written_all_over_it_and_grows_opaque() -> None:
    moved = [
        np.abs(done("watermark", level).astype(int) - PIXELS).mean(axis=2) for level in (0.2, 0.7)
    ]

    assert moved[1].sum() > 2.5 * moved[0].sum()
    for part in np.array_split(moved[1], 3):
        assert all((piece > 10).any() for piece in np.array_split(part, 3, axis=1))
    assert 0.02 < (moved[1] > 10).mean() < 0.4


@pytest.mark.parametrize("share", [0.03, 0.1, 0.2])
def test_a_sticker_covers_its_share(share: float) -> None:
    plain = np.full((150, 200, 3), 7, dtype=np.uint8)
    out = done("sticker", share, plain)

    assert (out != plain).any(axis=2).mean() == pytest.approx(share, rel=0.1)


def test_recompressed_pictures_lose_more_at_lower_quality() -> None:
    lost = [
        np.abs(done("recompress", quality).astype(int) - PIXELS).mean()
        for quality in perturbation("recompress").levels
    ]

    assert lost == sorted(lost)
    assert lost[0] > 0

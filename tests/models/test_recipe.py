"""What a network is fed: pixel for pixel what the reference's own preprocessing feeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPImageProcessorPil, ViTImageProcessorPil

from tests import zoo
from tests.pictures import drawn
from vedette.backends.base import PixelNorm
from vedette.errors import ModelError
from vedette.models.recipe import Recipe, from_timm, from_transformers
from vedette.resize import Fit
from vedette.types import Image, UInt8

WHERE = Path("preprocessor_config.json")
SIZES = [(120, 90), (90, 121), (33, 32), (32, 32), (64, 500), (10, 7), (1, 1), (31, 97), (97, 31)]


def image(pixels: UInt8) -> Image:
    return Image(pixels, "0" * 64, pixels.shape[1], pixels.shape[0], "PNG")


def pixels_of(size: tuple[int, int], seed: int = 1) -> UInt8:
    return np.asarray(drawn(seed, *size))


def as_fed(recipe: Recipe, pixels: UInt8) -> Any:
    """float32 [3, h, w], with the norm that the session applies."""
    square = recipe.prepare(image(pixels)).pixels.astype(np.float64) / 255
    mean, std = np.array(recipe.norm.mean), np.array(recipe.norm.std)
    return ((square - mean) / std).transpose(2, 0, 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resample", [2, 3])
def test_vits_pixels_are_transformers(size: tuple[int, int], resample: int) -> None:
    config = zoo.vit_preprocessor(resample=resample)
    reference = ViTImageProcessorPil(**{k: v for k, v in config.items() if "type" not in k})
    pixels = pixels_of(size)

    wanted = reference(PIL.Image.fromarray(pixels), return_tensors="np")["pixel_values"][0]

    np.testing.assert_allclose(as_fed(from_transformers(config, WHERE), pixels), wanted, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_clips_pixels_are_transformers(size: tuple[int, int]) -> None:
    config = zoo.clip_preprocessor()
    reference = CLIPImageProcessorPil(**config)
    pixels = pixels_of(size)

    wanted = reference(PIL.Image.fromarray(pixels), return_tensors="np")["pixel_values"][0]

    np.testing.assert_allclose(as_fed(from_transformers(config, WHERE), pixels), wanted, atol=1e-6)


def timm_reference(pixels: UInt8, size: int, crop_pct: float) -> Any:
    """timm's evaluation transform, written out: short side, then torchvision's centre crop."""
    picture = PIL.Image.fromarray(pixels)
    short = int(size / crop_pct)
    width, height = picture.size
    if width <= height:
        picture = picture.resize((short, int(short * height / width)), PIL.Image.Resampling.BICUBIC)
    else:
        picture = picture.resize((int(short * width / height), short), PIL.Image.Resampling.BICUBIC)
    left = round((picture.width - size) / 2.0)
    top = round((picture.height - size) / 2.0)
    return np.asarray(picture.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop_pct", [1.0, 0.9])
def test_timms_pixels_are_its_evaluation_transforms(size: tuple[int, int], crop_pct: float) -> None:
    config = zoo.timm_config(["a", "b"], crop_pct=crop_pct)["pretrained_cfg"]
    recipe = from_timm(config, WHERE)
    pixels = pixels_of(size)

    fed = recipe.prepare(image(pixels)).pixels

    np.testing.assert_array_equal(fed, timm_reference(pixels, zoo.IMAGE, crop_pct))


def test_a_squashed_timm_picture_keeps_its_borders() -> None:
    config = zoo.timm_config(["a"], crop_mode="squash")["pretrained_cfg"]
    recipe = from_timm(config, WHERE)

    assert recipe.fit == Fit(zoo.IMAGE, "stretch", "bicubic")


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 9))
def test_a_long_pictures_middle_is_that_of_the_whole(width: int, height: int, seed: int) -> None:
    """Only the middle of a long picture is resized; the pixels stay those of the whole."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
    for rounding in (False, True):
        recipe = Recipe(Fit(16, "cover", "bicubic"), 16, PixelNorm(), halves_to_even=rounding)
        wide, high = recipe.fit.target(width, height)
        whole = np.asarray(
            PIL.Image.fromarray(pixels).resize((wide, high), PIL.Image.Resampling.BICUBIC)
        )
        top, left = ((s - 16) / 2 for s in (high, wide))
        row, column = (round(v) if rounding else int(v // 1) for v in (top, left))
        wanted = whole[row : row + 16, column : column + 16].astype(int)

        fed = recipe.prepare(image(pixels)).pixels

        assert fed.shape == (16, 16, 3)
        # Pillow chooses the order of its two passes by the sizes, and rounds between them: on
        # noise, single values of a picture longer than 4 : 1 differ; a place would shift all.
        difference = np.abs(fed - wanted)
        assert difference.mean() < 1  # of noise shifted by a pixel: more than 10
        assert difference.max() <= (0 if max(wide, high) <= 64 else 32)


def test_a_ribbon_costs_no_more_than_its_middle() -> None:
    recipe = Recipe(Fit(224, "cover", "bicubic"), 224, PixelNorm())
    ribbon = np.zeros((1, 60_000, 3), dtype=np.uint8)

    assert recipe.prepare(image(ribbon)).pixels.shape == (224, 224, 3)  # not 13 million px wide


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"resample": 4}, "unknown resize"),
        ({"do_resize": False}, "unknown resize"),
        ({"resample": [2]}, "resample"),
        ({"rescale_factor": 1 / 127.5}, "rescale_factor"),
        ({"rescale_factor": "all"}, "rescale_factor"),
        ({"do_rescale": False}, "rescale_factor"),
        ({"image_mean": [float("nan")] * 3}, "three numbers"),
        ({"image_std": [float("inf")] * 3}, "three numbers"),
        ({"size": {"height": 32, "width": 48}}, "not a square"),
        ({"size": {"height": 0, "width": 0}}, "a size of 0"),
        ({"size": {"shortest_edge": 32}}, "not the network's"),
        ({"image_std": [0.5, 0.0, 0.5]}, "three numbers"),
        ({"image_mean": [0.5, 0.5]}, "three numbers"),
        ({"image_mean": "0.5"}, "three numbers"),
        ({"do_center_crop": True, "crop_size": 64}, "not the network's"),
    ],
)
def test_a_step_that_we_do_not_know_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ModelError, match=why) as caught:
        from_transformers(zoo.vit_preprocessor(**change), WHERE)
    assert caught.value.code == "weights_unusable"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"interpolation": "hamming"}, "unknown resize"),
        ({"crop_mode": "border"}, "crop_mode"),
        ({"crop_mode": []}, "crop_mode"),
        ({"crop_pct": 1.5}, "crop_pct"),
        ({"crop_pct": "all"}, "crop_pct"),
        ({"crop_pct": 1e-320}, "crop_pct"),
        ({"input_size": 32}, "unknown resize"),
        ({"input_size": [3, 32, 48]}, "not a square"),
        ({"std": [0, 0, 0]}, "three numbers"),
    ],
)
def test_a_timm_step_that_we_do_not_know_is_refused(change: dict[str, Any], why: str) -> None:
    config = zoo.timm_config(["a"], **change)["pretrained_cfg"]
    with pytest.raises(ModelError, match=why) as caught:
        from_timm(config, WHERE)
    assert caught.value.code == "weights_unusable"

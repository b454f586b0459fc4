"""open_nsfw: Yahoo's preparation, and a network of the published form with random weights."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.formats.caffemodels import DATA, blob, ending, layer, open_nsfw, part, whole
from tests.golden.patterns import pattern
from tests.pictures import drawn
from vedette.errors import ModelError
from vedette.models import open_nsfw as ours
from vedette.models.base import ModelOptions
from vedette.models.registry import build
from vedette.types import Image, UInt8

FP32 = ModelOptions("onnx", "fp32")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VEDETTE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "any.caffemodel"
    path.write_bytes(open_nsfw())
    return path


def picture(seed: int, width: int = 160, height: int = 120) -> Image:
    pixels = np.asarray(drawn(seed, width, height))
    return Image(pixels, "", width, height, "PNG", frame=seed)


def of_yahoo(pixels: UInt8) -> UInt8:
    """classify_nsfw.py up to the crop, in its own steps, then the swap of its Transformer."""
    resized = PIL.Image.fromarray(pixels).resize((256, 256), PIL.Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    resized.save(stream, format="JPEG")
    stream.seek(0)
    image = np.asarray(PIL.Image.open(stream).convert("RGB"))
    offset = max((256 - 224) // 2, 0)
    return image[offset : offset + 224, offset : offset + 224][:, :, (2, 1, 0)]


@pytest.mark.parametrize("size", [(160, 120), (256, 256), (1, 700), (900, 31)])
def test_preparation_is_yahoos_to_the_bit(weights: Path, size: tuple[int, int]) -> None:
    image = picture(3, *size)
    prepared = ours.open_file(weights, FP32).prepare(image)
    assert prepared.pixels.shape == (224, 224, 3)
    assert prepared.pixels.flags["C_CONTIGUOUS"]
    assert (prepared.width, prepared.height, prepared.frame) == (*size, 3)
    np.testing.assert_array_equal(prepared.pixels, of_yahoo(image.pixels))


@pytest.fixture(scope="module")
def mean_colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose embedding begins with the mean of each channel as it is given to it."""
    kernel = np.zeros((1024, 3, 1, 1), np.float32)
    kernel[[0, 1, 2], [0, 1, 2]] = 1
    settings = part(106, whole(1, 1024) + whole(2, 0) + whole(4, 1))
    pool = part(121, whole(1, 1) + whole(12, 1))
    weight, bias = np.zeros((2, 1024), np.float32), np.zeros(2, np.float32)
    path = tmp_path_factory.mktemp("mean") / "any.caffemodel"
    path.write_bytes(
        DATA
        + layer("Pooling", ["data"], ["mean"], pool)
        + layer("Convolution", ["mean"], ["x"], settings, blob(kernel))
        + ending("x", weight, bias)
    )
    return path


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_the_network_is_given_levels_less_the_mean_with_blue_first(
    mean_colour: Path, backend: str
) -> None:
    model = ours.open_file(mean_colour, ModelOptions(backend, "fp32"))
    pixels = np.broadcast_to(np.array([200, 100, 50], np.uint8), (64, 64, 3)).copy()
    prepared = model.prepare(Image(pixels, "", 64, 64, "PNG"))
    (prediction,) = model.infer([prepared])
    assert prediction.embedding is not None
    wanted = prepared.pixels.reshape(-1, 3).mean(axis=0) - (104, 117, 123)
    np.testing.assert_allclose(prediction.embedding[:3], wanted, atol=1e-3)
    np.testing.assert_allclose(wanted, (50 - 104, 100 - 117, 200 - 123), atol=2)


def test_a_network_of_the_published_form(weights: Path) -> None:
    model = ours.open_file(weights, FP32)
    batch = [model.prepare(picture(seed)) for seed in range(3)]
    found = model.infer(batch)
    for prediction, one in zip(found, batch, strict=True):
        assert prediction.labels == ("sfw", "nsfw")
        assert prediction.model == "open_nsfw@master"
        assert prediction.probs.sum() == pytest.approx(1, abs=1e-5)
        assert prediction.embedding is not None
        assert prediction.embedding.shape == (1024,)
        np.testing.assert_array_equal(model.infer([one])[0].probs, prediction.probs)
    assert not np.array_equal(found[0].probs, found[1].probs)


def test_other_and_damaged_networks_are_refused(tmp_path: Path, weights: Path) -> None:
    path = tmp_path / "x.caffemodel"
    with pytest.raises(ModelError) as caught:
        ours.open_file(path, FP32)
    assert caught.value.code == "weights_missing"
    whole_file = weights.read_bytes()
    small = DATA + ending("data", np.ones((2, 3 * 224 * 224), np.float32), np.ones(2, np.float32))
    for data in (b"", whole_file[: len(whole_file) // 2], pattern(9, 9, 0).tobytes(), small):
        path.write_bytes(data)
        with pytest.raises(ModelError) as caught:
            ours.open_file(path, FP32)
        assert caught.value.code == "weights_unusable"


def test_the_weights_are_looked_for_by_name(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEDETTE_MODELS", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        build("open_nsfw", FP32)
    assert caught.value.code == "weights_missing"
    path = tmp_path / "yahoo" / "open_nsfw" / "nsfw_model" / "resnet_50_1by2_nsfw.caffemodel"
    path.parent.mkdir(parents=True)
    path.write_bytes(weights.read_bytes())
    model = build("open_nsfw", FP32)
    # Nobody has vouched for these bytes: no published revision may stand for them.
    assert model.card.revision.startswith("local-")
    assert build("open_nsfw", FP32).card == model.card

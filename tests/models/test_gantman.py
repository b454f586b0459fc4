"""gantman: nsfwjs' own check, TensorFlow.js' answers, and a small network in its place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.formats.networks import drawn, layer, sequential, write_tfjs
from tests.formats.test_hdf5 import by_layer, write_h5
from tests.golden.patterns import TFJS, pattern
from tests.pictures import SHARED_PHOTOS, needs_photos
from tests.pictures import drawn as drawn_picture
from vedette.backends.base import Array
from vedette.backends.openvino import cpu_has_bf16
from vedette.decode import decode
from vedette.errors import ModelError
from vedette.formats.keras import to_onnx
from vedette.formats.tfjs import read_tfjs
from vedette.models import gantman
from vedette.models.base import ModelOptions, Prepared
from vedette.models.registry import build, get
from vedette.resize import resize
from vedette.scores import to_scores
from vedette.taxonomy import Category
from vedette.types import Image

REAL = Path(__file__).parents[3] / "shared" / "nsfwjs-mobilenet-v2"
needs_weights = pytest.mark.skipif(
    not REAL.is_dir(), reason="nsfwjs' weights are not beside this checkout"
)
FP32 = ModelOptions("onnx", "fp32")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VEDETTE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", params=["onnx", "openvino"])
def real(request: pytest.FixtureRequest) -> gantman.Gantman:
    return gantman.open_folder(REAL, ModelOptions(request.param, "fp32"))


@needs_weights
def test_nsfwjs_regression_check(real: gantman.Gantman) -> None:
    (image,) = decode((REAL / "logo.jpg").read_bytes())
    (prediction,) = real.infer([real.prepare(image)])
    # __tests__/__snapshots__/regressionCheck.ts.snap of nsfwjs; its JPEG decoder is another one.
    wanted = {
        "Drawing": 0.68774,
        "Hentai": 0.00211,
        "Neutral": 0.31010,
        "Porn": 0.00004,
        "Sexy": 0.00001,
    }
    assert prediction.labels == tuple(wanted)
    np.testing.assert_allclose(prediction.probs, list(wanted.values()), atol=0.02)
    assert to_scores(prediction, real.card.labels).as_dict() == {
        Category.SEXUAL: pytest.approx(0.0021, abs=0.002)
    }


@needs_weights
def test_answers_are_those_of_tensorflow_js(real: gantman.Gantman) -> None:
    for golden in json.loads((TFJS / "nsfwjs.json").read_text()):
        height, width = golden["height"], golden["width"]
        picture = pattern(height, width, golden["seed"])
        (found,) = real.infer([real.prepare(Image(picture, "", width, height, "PNG"))])
        assert found.embedding is not None
        if (height, width) == (224, 224):  # the network alone: no resize
            np.testing.assert_allclose(found.probs, golden["probabilities"], atol=1e-4)
            np.testing.assert_allclose(found.embedding, golden["embedding"], atol=1e-4)
        else:  # levels rounded after the resize, by half a level at most
            np.testing.assert_allclose(found.probs, golden["probabilities"], atol=0.02)


def test_samples_are_those_of_tensorflow_js_to_half_a_level() -> None:
    for golden in json.loads((TFJS / "resized.json").read_text()):
        size = golden["size"]
        found = gantman.sample_aligned(pattern(golden["height"], golden["width"], 3), size)
        wanted = np.reshape(golden["values"], (size, size, 3)) * 255
        assert np.abs(found - wanted).max() <= 0.5 + 1e-4


def sampled(pixels: Array) -> Array:
    """What TensorFlow.js hands to the network, with its fractions of a level, in 0..255."""
    out = pixels.astype(np.float64)
    for axis in (1, 0):
        place = np.arange(224) * ((out.shape[axis] - 1) / 223)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, out.shape[axis] - 1)
        at = (place - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        near, far = out.take(low, axis), out.take(high, axis)
        out = near + (far - near) * at
    return out


@needs_weights
def test_only_nsfwjs_preparation_gives_its_numbers() -> None:
    """The table of docs/gantman.md."""
    model = gantman.open_folder(REAL, FP32)
    (image,) = decode((REAL / "logo.jpg").read_bytes())
    unit = np.float32(sampled(image.pixels).transpose(2, 0, 1)[None] / 255)
    run = onnxruntime.InferenceSession(to_onnx(*read_tfjs(REAL)).onnx).run
    exact = run(["probabilities"], {"images": unit})[0][0]
    smooth = Image(resize(image.pixels, 224, 224), "", 224, 224, "JPEG")
    rows = [model.infer([model.prepare(one)])[0].probs for one in (image, smooth)]
    print(*(np.round(row, 5).tolist() for row in (exact, *rows)), sep="\n")
    assert abs(exact[0] - 0.68774) < 0.02
    assert abs(rows[0][0] - exact[0]) < 0.01
    assert abs(rows[1][0] - 0.68774) > 0.3


@needs_weights
@needs_photos
def test_what_rounding_and_antialias_change_on_photographs() -> None:
    """The figures of docs/gantman.md."""
    model = gantman.open_folder(REAL, FP32)
    run = onnxruntime.InferenceSession(to_onnx(*read_tfjs(REAL)).onnx).run
    exact: list[Array] = []
    rounded: list[Array] = []
    smooth: list[Array] = []
    for path in sorted(SHARED_PHOTOS.glob("*/*.jpg")):
        (image,) = decode(path.read_bytes())
        unit = np.float32(sampled(image.pixels).transpose(2, 0, 1)[None] / 255)
        exact.append(run(["probabilities"], {"images": unit})[0][0])
        antialiased = Image(resize(image.pixels, 224, 224), "", 224, 224, "JPEG")
        for kept, picture in ((rounded, image), (smooth, antialiased)):
            kept.append(model.infer([model.prepare(picture)])[0].probs)
    one, two, three = (np.array(rows) for rows in (exact, rounded, smooth))
    moved = np.abs(two - one).max(axis=1)
    figures = {
        "rounding, most": round(float(moved.max()), 3),
        "rounding, mean": round(float(moved.mean()), 4),
        "rounding, other label": int((one.argmax(1) != two.argmax(1)).sum()),
        "labels": np.bincount(two.argmax(1), minlength=5).tolist(),
        "labels, antialiased": np.bincount(three.argmax(1), minlength=5).tolist(),
        "Sexual over 0.5": int((two[:, [1, 3, 4]].max(1) > 0.5).sum()),
        "Sexual over 0.5, antialiased": int((three[:, [1, 3, 4]].max(1) > 0.5).sum()),
    }
    print(figures)
    assert len(moved) == 126
    assert figures["rounding, most"] < 0.09
    assert figures["rounding, mean"] < 0.006
    assert figures["rounding, other label"] == 0
    assert figures["labels"][2] < figures["labels, antialiased"][2]


@needs_weights
@needs_photos
@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not compute bf16 natively")
def test_bf16_moves_scores_too_far_to_be_offered() -> None:
    card = replace(gantman.CARD, precisions=("fp32", "bf16"))
    models = [
        gantman.open_folder(REAL, ModelOptions("openvino", precision), card)
        for precision in card.precisions
    ]
    moved = []
    for path in sorted(SHARED_PHOTOS.glob("small/*.jpg")):
        (image,) = decode(path.read_bytes())
        one, two = (model.infer([model.prepare(image)])[0].probs for model in models)
        moved.append(np.abs(one - two).max())
    print("bf16, most", max(moved))
    assert max(moved) > 0.1
    assert "bf16" not in gantman.CARD.precisions


def test_a_picture_of_the_networks_size_is_not_changed() -> None:
    picture = pattern(224, 224, 2)
    np.testing.assert_array_equal(gantman.sample_aligned(picture, 224), picture)


def tiny(labels: int = 5, size: int = 224) -> tuple[dict[str, object], dict[str, Array]]:
    """A network of gantman's form that is quick to run."""
    shapes = {"c/kernel": (16, 16, 3, 8), "d/kernel": (8, 128), "d/bias": (128,)}
    weights = drawn({**shapes, "e/kernel": (128, labels), "e/bias": (labels,)}, 7)
    layers = [
        layer("Conv2D", "c", filters=8, kernel_size=16, strides=16, use_bias=False),
        layer("GlobalAveragePooling2D", "p"),
        layer("Dense", "d", units=128, activation="relu"),
        layer("Dense", "e", units=labels, activation="softmax"),
    ]
    return sequential((size, size, 3), layers), {k: v / 20 for k, v in weights.items()}


def prepared(model: gantman.Gantman, seed: int) -> Prepared:
    pixels = np.asarray(drawn_picture(seed, 160, 120))
    return model.prepare(Image(pixels, "", 160, 120, "PNG", frame=seed))


def test_a_small_network_in_its_place(tmp_path: Path) -> None:
    model = gantman.open_folder(write_tfjs(tmp_path, *tiny()), FP32)
    batch = [prepared(model, seed) for seed in range(3)]
    assert batch[2].pixels.shape == (224, 224, 3)
    assert batch[2].pixels.flags["C_CONTIGUOUS"]
    assert (batch[2].width, batch[2].height, batch[2].frame) == (160, 120, 2)
    found = model.infer(batch)
    assert [p.labels for p in found] == [("Drawing", "Hentai", "Neutral", "Porn", "Sexy")] * 3
    for prediction, one in zip(found, batch, strict=True):
        assert prediction.probs.sum() == pytest.approx(1, abs=1e-5)
        assert prediction.embedding is not None
        assert prediction.embedding.shape == (gantman.CARD.embedding,)
        np.testing.assert_array_equal(model.infer([one])[0].probs, prediction.probs)
    assert not np.array_equal(found[0].probs, found[1].probs)


def test_the_same_weights_from_keras_give_the_same(tmp_path: Path) -> None:
    topology, weights = tiny()
    one = gantman.open_folder(write_tfjs(tmp_path / "tfjs", topology, weights), FP32)
    (tmp_path / "keras").mkdir()
    write_h5(tmp_path / "keras" / "any.h5", topology, by_layer(weights))
    two = gantman.open_folder(tmp_path / "keras", FP32)
    picture = prepared(one, 1)
    np.testing.assert_array_equal(one.infer([picture])[0].probs, two.infer([picture])[0].probs)


@needs_weights
def test_the_real_weights_as_a_keras_file_give_the_same(tmp_path: Path) -> None:
    topology, weights = read_tfjs(REAL)
    write_h5(tmp_path / "nsfw.h5", dict(topology), by_layer(weights))
    one, two = gantman.open_folder(REAL, FP32), gantman.open_folder(tmp_path, FP32)
    picture = prepared(one, 1)
    np.testing.assert_array_equal(one.infer([picture])[0].probs, two.infer([picture])[0].probs)


def test_the_network_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tfjs(tmp_path / "a", *tiny())
    gantman.open_folder(folder, FP32)
    monkeypatch.setattr(gantman, "to_onnx", None)
    gantman.open_folder(folder, FP32)
    shutil.copytree(folder, tmp_path / "b")
    gantman.open_folder(tmp_path / "b", FP32)
    with (tmp_path / "b" / "group1-shard1of1").open("r+b") as shard:
        shard.write(b"\1")
    with pytest.raises(TypeError):
        gantman.open_folder(tmp_path / "b", FP32)


@pytest.mark.parametrize(("labels", "size"), [(4, 224), (5, 299)])
def test_other_networks_are_refused(tmp_path: Path, labels: int, size: int) -> None:
    folder = write_tfjs(tmp_path, *tiny(labels, size))
    with pytest.raises(ModelError) as caught:
        gantman.open_folder(folder, FP32)
    assert caught.value.code == "weights_unusable"


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        gantman.open_folder(tmp_path, FP32)
    assert caught.value.code == "weights_missing"


def test_a_folder_of_ones_own_by_name(tmp_path: Path) -> None:
    name = f"gantman:{write_tfjs(tmp_path, *tiny())}"
    entry = get(name)
    assert entry.card.revision.startswith("local-")
    assert not entry.card.commercial
    model = build(name, FP32)
    (prediction,) = model.infer([model.prepare(Image(pattern(9, 9, 0), "", 9, 9, "PNG"))])
    assert prediction.model == f"gantman@{entry.card.revision}"
    with pytest.raises(ModelError) as caught:
        get(f"gantman:{tmp_path / 'no'}")
    assert caught.value.code == "weights_missing"


def store(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VEDETTE_MODELS", str(root))
    folder = root / "infinitered" / "nsfwjs"
    folder.mkdir(parents=True)
    return folder


def test_missing_and_altered_weights_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store(tmp_path, monkeypatch)
    for code in ("weights_missing", "weights_altered"):
        with pytest.raises(ModelError) as caught:
            build("gantman", FP32)
        assert caught.value.code == code
        write_tfjs(folder, *tiny())


@needs_weights
def test_the_published_weights_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store(tmp_path, monkeypatch)
    for file in gantman.CARD.weights.files if gantman.CARD.weights else ():
        shutil.copy(REAL / file.path, folder / file.path)
    model = build("gantman", FP32)
    assert model.card == gantman.CARD


def test_reduced_precision_is_not_offered(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        gantman.open_folder(write_tfjs(tmp_path, *tiny()), ModelOptions("openvino", "bf16"))
    assert caught.value.code == "backend_failed"

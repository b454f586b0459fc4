"""NudeNet against the nudenet package itself: the same network, the same boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nudenet
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nudenet.nudenet import _postprocess, _read_image

from tests.pictures import SHARED_PHOTOS, drawn, encoded, face, needs_photos
from vedette import Scanner, ScanOptions, Settings
from vedette.decode import DecodeOptions, decode
from vedette.errors import ModelError
from vedette.models import nudenet as ours
from vedette.models.base import ModelOptions, Prepared
from vedette.models.registry import build
from vedette.resize import resize
from vedette.scores import iou
from vedette.types import Image, Record, Region

FP32 = Settings(scan=ScanOptions(backend="onnx", precision="fp32"))


@pytest.fixture(scope="module")
def peer() -> nudenet.NudeDetector:
    return nudenet.NudeDetector()


def as_regions(detections: list[dict[str, Any]]) -> list[Region]:
    return [Region(d["class"], d["score"], tuple(d["box"])) for d in detections]


def assert_same(mine: tuple[Region, ...], theirs: list[Region]) -> None:
    """The issue's parity: same labels, boxes within 2 px at IoU >= 0.95, scores within 0.01."""
    assert len(mine) == len(theirs)
    left = list(mine)
    for wanted in theirs:
        found = [
            r
            for r in left
            if r.label == wanted.label
            and abs(r.score - wanted.score) <= 0.01
            and max(abs(a - b) for a, b in zip(r.box, wanted.box, strict=True)) <= 2
            and (iou(r.box, wanted.box) >= 0.95 or r.box == wanted.box)
        ]
        assert found, f"{wanted} is not among {left}"
        left.remove(found[0])


SIZES = [(400, 300), (300, 400), (320, 320), (640, 480), (200, 156), (97, 611), (1, 50), (1000, 3)]


@pytest.mark.parametrize("size", SIZES)
def test_compatible_input_is_the_packages_to_the_bit(size: tuple[int, int]) -> None:
    model = build("nudenet-compatible", ModelOptions("onnx", "fp32"))
    pixels = np.asarray(face(*size) if min(size) > 90 else drawn(5, *size))
    prepared = model.prepare(Image(pixels, "", *size, "PNG"))
    blob = _read_image(np.ascontiguousarray(pixels[..., ::-1]))[0]
    wanted = np.rint(blob[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    np.testing.assert_array_equal(prepared.pixels, wanted)


@pytest.mark.parametrize("seed", range(12))
def test_compatible_detections_on_drawn_pictures(
    peer: nudenet.NudeDetector, tmp_path: Path, seed: int
) -> None:
    picture = face(*SIZES[seed % 5]) if seed < 5 else drawn(seed, 300, 220)
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(picture))
    with Scanner("nudenet-compatible", settings=FP32) as scanner:
        assert_same(scanner.scan(path).regions, as_regions(peer.detect(str(path))))


@needs_photos
def test_compatible_detections_on_photographs(peer: nudenet.NudeDetector) -> None:
    photos = sorted(SHARED_PHOTOS.glob("*/*.jpg"))
    assert len(photos) == 126
    found = 0
    with Scanner("nudenet-compatible", settings=FP32) as scanner:
        for path, record in zip(photos, scanner.scan_many(photos), strict=True):
            theirs = as_regions(peer.detect(str(path)))
            assert_same(record.regions, theirs)
            found += len(theirs)
    assert found >= 30, "photographs without detections would prove nothing"


@given(
    seed=st.integers(0, 2**32 - 1),
    anchors=st.integers(2, 300),
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
)
def test_post_processing_is_the_packages(seed: int, anchors: int, width: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    centres, sizes = rng.uniform(-20, 340, (2, anchors)), rng.uniform(1, 200, (2, anchors))
    scores = rng.random((18, anchors)) ** 8
    rows = np.concatenate([centres, sizes, scores]).astype(np.float32)
    side = max(width, height)
    theirs = _postprocess([rows[None]], side - width, side - height, 1, 1, width, height, 320, 320)
    prepared = Prepared(np.zeros((320, 320, 3), np.uint8), width, height, (side / 320, side / 320))
    mine = ours._regions(rows, prepared)
    assert [r.label for r in mine] == [d["class"] for d in theirs]
    # The package computes in float32, so a box may fall on the other side of a whole pixel.
    np.testing.assert_allclose([r.box for r in mine], [d["box"] for d in theirs], atol=1)
    np.testing.assert_allclose([r.score for r in mine], [d["score"] for d in theirs], atol=1e-6)


def test_default_mode_feeds_rgb_padded_to_a_compiled_shape() -> None:
    model = build("nudenet", ModelOptions("onnx", "fp32"))
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[..., 0] = 200
    prepared = model.prepare(Image(pixels, "", 400, 300, "PNG"))
    assert prepared.pixels.shape == (256, 320, 3)
    assert prepared.pixels[:240].reshape(-1, 3).max(axis=0).tolist() == [200, 0, 0]
    assert not prepared.pixels[240:].any()
    assert prepared.scale == (400 / 320, 300 / 240)


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (1, 4000), (4000, 1), (640, 640)])
def test_default_shapes_are_few(size: tuple[int, int]) -> None:
    model = build("nudenet", ModelOptions("onnx", "fp32"))
    prepared = model.prepare(Image(np.zeros((size[1], size[0], 3), np.uint8), "", *size, "PNG"))
    long, short = max(prepared.pixels.shape[:2]), min(prepared.pixels.shape[:2])
    assert long == 320
    assert short in (160, 192, 224, 256, 320)


def test_scaled_decode_reaches_the_same_input_shape() -> None:
    picture = drawn(7, 2000, 1500)
    data = encoded(picture, "JPEG", quality=95)
    model = build("nudenet", ModelOptions("onnx", "fp32"))
    full = next(iter(decode(data)))
    scaled = next(iter(decode(data, DecodeOptions(fit=model.fit))))
    assert full.pixels.shape == (1500, 2000, 3)
    assert scaled.pixels.shape == (750, 1000, 3)
    assert (scaled.width, scaled.height) == (2000, 1500)
    one, two = model.prepare(full).pixels, model.prepare(scaled).pixels
    assert one.shape == two.shape
    assert np.abs(one.astype(int) - two.astype(int)).mean() < 1.0


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "nudenet"
    package.mkdir()
    package.joinpath("__init__.py").touch()
    package.joinpath("320n.onnx").write_bytes(weights := ours.weights_path().read_bytes() + b"!")
    assert weights
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "nudenet")
    with pytest.raises(ModelError) as caught:
        ours.weights_path()
    assert caught.value.code == "weights_altered"


@needs_photos
def test_bf16_moves_no_detection() -> None:
    photos = sorted(SHARED_PHOTOS.glob("small/*.jpg"))
    fast = build("nudenet")
    if "bf16" not in fast.runtime:
        pytest.skip("this CPU does not compute bf16 natively")

    def records(settings: Settings) -> list[Record]:
        with Scanner("nudenet", settings=settings) as scanner:
            return list(scanner.scan_many(photos))

    exact, quick = records(FP32), records(Settings(scan=ScanOptions(precision="bf16")))
    pairs = [(a.scores, b.scores) for a, b in zip(exact, quick, strict=True)]
    drift = max(np.abs(a.p - b.p).max() for a, b in pairs if a and b)
    assert drift < 0.03
    # A detection may cross the reporting threshold only if it stood next to it.
    for a, b in zip(exact, quick, strict=True):
        strong = sorted(r.label for r in a.regions if r.score > 0.3)
        assert all(label in [r.label for r in b.regions] for label in strong)


def test_resize_rule_is_antialiased() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    averaged = resize(stripes, 100, 100)
    assert 120 <= averaged.mean() <= 135
    assert averaged.std() < 5

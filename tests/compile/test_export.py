"""Exported models give what the model gave, carry its terms, and are refused when they drift."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests import zoo
from tests.pictures import drawn, folder_of
from vedette import Scanner
from vedette.compile.export import ExportOptions, export
from vedette.compile.quantize import drift
from vedette.data.paths import PathSource
from vedette.errors import ModelError, UsageError, VedetteError
from vedette.models.base import Classifier, ModelOptions
from vedette.models.differentiable import differentiable
from vedette.models.exported import Exported
from vedette.models.registry import build, get
from vedette.models.vit import FALCONSAI, Vit, open_vit
from vedette.types import Float32, Image

FP32 = ModelOptions(precision="fp32")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Vit:
    folder = zoo.vit(tmp_path_factory.mktemp("vit") / "vit", ["normal", "nsfw"])
    return open_vit(FALCONSAI, folder, FP32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PathSource:
    folder = folder_of(tmp_path_factory.mktemp("pictures"), 24)
    (folder / "broken.jpg").write_bytes(b"not a picture")
    return PathSource([str(folder)])


PIXELS = [np.asarray(drawn(seed, 120, 90)) for seed in range(5)]


def probabilities(model: Classifier) -> Float32:
    images = [Image(p, "0" * 64, 120, 90, "PNG") for p in PIXELS]
    return np.stack([p.probs for p in model.infer([model.prepare(i) for i in images])])


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_a_folder_gives_what_the_model_gave(model: Vit, tmp_path: Path, format_: str) -> None:
    out = tmp_path / "out"
    export(model, out, ExportOptions(format_), None)
    again = build(str(out), FP32)
    assert isinstance(again, Exported)

    np.testing.assert_allclose(probabilities(again), probabilities(model), atol=1e-5)
    assert again.card.model == model.card.model
    assert again.card.labels == model.card.labels
    assert again.card.terms == model.card.terms
    assert again.card.licence == model.card.licence


def test_a_batch_of_any_size_runs_elsewhere(model: Vit, tmp_path: Path) -> None:
    export(model, tmp_path / "out", ExportOptions(), None)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "network.onnx"))
    side = model.recipe.crop

    for count in (1, 5):
        batch = np.random.default_rng(count).standard_normal((count, 3, side, side))
        logits, embedding = session.run(None, {"images": batch.astype(np.float32)})
        assert logits.shape == (count, 2)
        assert embedding.shape == (count, 32)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_torchscript_is_the_same_network(model: Vit, tmp_path: Path) -> None:
    export(model, tmp_path / "out", ExportOptions("torchscript"), None)
    jit: Any = torch.jit
    loaded = jit.load(tmp_path / "out" / "network.pt")
    side = model.recipe.crop
    batch = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, got = model.module()(batch), loaded(batch)

    for ours, theirs in zip(wanted, got, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)
    with pytest.raises(ModelError, match="TorchScript"):
        build(str(tmp_path / "out"), FP32)


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_int8_is_calibrated_measured_and_run(
    model: Vit, photos: PathSource, tmp_path: Path, format_: str
) -> None:
    out = tmp_path / "out"
    moved = export(model, out, ExportOptions(format_, "int8", 0.5), photos)
    again = build(str(out), ModelOptions())
    assert isinstance(again, Exported)

    assert moved is not None
    assert moved.pictures == 12
    assert 0 < moved.largest < 0.5
    assert again.session.precision == "int8"
    assert again.card.revision == f"{model.card.revision}+int8"
    difference = np.abs(probabilities(again) - probabilities(model)).max()
    assert 0 < difference < 0.5
    assert json.loads((out / "vedette-model.json").read_text())["drift"] == str(moved)
    with Scanner(again) as scanner:
        assert scanner.scan(PIXELS[0]).failure is None
    with pytest.raises(ModelError, match="int8"):
        build(str(out), FP32)


def test_int8_that_drifts_is_refused_and_nothing_written(
    model: Vit, photos: PathSource, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="moved by at most") as caught:
        export(model, tmp_path / "out", ExportOptions(precision="int8", max_drift=1e-6), photos)

    assert caught.value.code == "drift_too_large"
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported(model: Vit, photos: PathSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    few = PathSource([str(folder_of(tmp_path / "few", 3))])
    for options, source, why in (
        (ExportOptions("tflite"), None, "tflite"),
        (ExportOptions(precision="bf16"), None, "bf16"),
        (ExportOptions(precision="int8"), None, "pictures"),
        (ExportOptions("torchscript", "int8"), photos, "TorchScript"),
        (ExportOptions(precision="int8"), few, "too few"),
    ):
        with pytest.raises(UsageError, match=why):
            export(model, out, options, source)
    with pytest.raises(UsageError, match="dummy is not one network"):
        export(build("dummy"), out, ExportOptions(), None)
    assert not out.exists()


def test_a_folder_is_replaced_only_when_told(model: Vit, tmp_path: Path) -> None:
    export(model, tmp_path / "out", ExportOptions(), None)
    with pytest.raises(UsageError) as caught:
        export(model, tmp_path / "out", ExportOptions(), None)
    assert caught.value.code == "output_exists"
    export(model, tmp_path / "out", ExportOptions("openvino", overwrite=True), None)
    assert not (tmp_path / "out" / "network.onnx").exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"format": 2}, "weights_unusable"),
        ({"labels": {"a": ["Violense"]}}, "weights_unusable"),
        ({"network": "../network.onnx"}, "weights_unusable"),
        ({"files": {"../network.onnx": "0" * 64}}, "weights_unusable"),
        ({"precision": 3}, "weights_unusable"),
        ({"recipe": {"fit": {"size": 32, "mode": "stretch"}, "crop": 64}}, "weights_unusable"),
    ],
)
def test_a_card_that_was_tampered_with_is_refused(
    model: Vit, tmp_path: Path, change: dict[str, object], code: str
) -> None:
    out = tmp_path / "out"
    export(model, out, ExportOptions(), None)
    path = out / "vedette-model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(ModelError) as caught:
        build(str(out), FP32)
    assert caught.value.code == code


def test_a_network_that_was_changed_is_refused(model: Vit, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(model, out, ExportOptions(), None)
    network = out / "network.onnx"
    network.write_bytes(network.read_bytes() + b"\0")
    with pytest.raises(ModelError) as caught:
        build(str(out), FP32)
    assert caught.value.code == "weights_altered"
    network.unlink()
    with pytest.raises(ModelError) as caught:
        build(str(out), FP32)
    assert caught.value.code == "weights_missing"


def test_an_exported_model_has_no_module(model: Vit, tmp_path: Path) -> None:
    export(model, tmp_path / "out", ExportOptions(), None)
    again = build(str(tmp_path / "out"), FP32)
    assert isinstance(again, Exported)
    assert differentiable(again) is None
    with pytest.raises(ModelError, match="no torch module"):
        export(again, tmp_path / "again", ExportOptions("torchscript"), None)
    assert get(str(tmp_path / "out")).card.precisions == ("fp32", "bf16")


def test_drift_is_measured_picture_by_picture() -> None:
    reference = np.array([[0.9, 0.1], [0.6, 0.4]], dtype=np.float32)
    reduced = np.array([[0.8, 0.2], [0.4, 0.6]], dtype=np.float32)
    moved = drift(reference, reduced)

    assert (moved.pictures, moved.flips) == (2, 1)
    assert moved.largest == pytest.approx(0.2)
    assert moved.mean == pytest.approx(0.15)
    with pytest.raises(ValueError, match="no pictures"):
        drift(reference[:0], reduced[:0])


@pytest.mark.parametrize("beside", [False, True])
def test_what_is_no_export_is_never_replaced(model: Vit, tmp_path: Path, beside: bool) -> None:
    out = tmp_path / "out"
    if beside:
        export(model, out, ExportOptions(), None)
    out.mkdir(exist_ok=True)
    (out / "holiday.jpg").write_bytes(b"the only copy")

    with pytest.raises(UsageError) as caught:
        export(model, out, ExportOptions(overwrite=True), None)

    assert caught.value.code == "output_exists"
    assert (out / "holiday.jpg").read_bytes() == b"the only copy"


def test_a_place_that_cannot_be_made_is_named(model: Vit, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(VedetteError) as caught:
        export(model, tmp_path / "file" / "a" / "b", ExportOptions(), None)

    assert caught.value.code == "write_failed"


@pytest.mark.parametrize(
    "change",
    [
        {"network": ["network.onnx"]},
        {"parameters": "many"},
        {"embedding": [768]},
        {"fit": {"resample": "magic"}},
        {"fit": {"size": 32.5}},
        {"fit": {"mode": "inside"}},
        {"recipe": {"std": [float("nan")] * 3}},
        {"recipe": {"std": [float("inf")] * 3}},
    ],
)
def test_a_card_of_wrong_types_is_refused(
    model: Vit, tmp_path: Path, change: dict[str, Any]
) -> None:
    export(model, tmp_path / "out", ExportOptions(), None)
    path = tmp_path / "out" / "vedette-model.json"
    card = json.loads(path.read_text())
    card["recipe"]["fit"] |= change.pop("fit", {})
    card["recipe"] |= change.pop("recipe", {})
    path.write_text(json.dumps(card | change))

    with pytest.raises(ModelError) as caught:
        build(str(tmp_path / "out"), FP32)

    assert caught.value.code == "weights_unusable"

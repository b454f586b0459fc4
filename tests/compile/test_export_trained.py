"""Trained and published heads are exported with their backbone, as one network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests import zoo
from tests.pictures import drawn, encoded, folder_of
from tests.trained_folders import LABELS, calibration, head_folder, mlp, prompts
from vedette import Scanner
from vedette.bench.fingerprints import FILE
from vedette.calibrate import Method
from vedette.cli import app
from vedette.compile.export import ExportOptions, export, whole_card
from vedette.data.paths import PathSource
from vedette.errors import ModelError, UsageError
from vedette.heads.trained import TrainedHead
from vedette.models.base import Classifier, ModelOptions
from vedette.models.differentiable import differentiable
from vedette.models.exported import Exported
from vedette.models.registry import build, get

FP32 = ModelOptions(precision="fp32")
PICTURES = [np.asarray(drawn(seed, 100, 80)) for seed in range(6)]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.vit(tmp_path_factory.mktemp("backbone") / "vit", ["normal", "nsfw"])


@pytest.fixture(scope="module")
def exported(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated head, as one network."""
    place = tmp_path_factory.mktemp("exported")
    folder = head_folder(place / "own", str(backbone), mlp(32), calibration("platt"))
    export(build(str(folder), FP32), place / "out", ExportOptions(), None)
    return place / "out"


def scores(model: Classifier) -> np.ndarray:
    found = []
    with Scanner(model) as scanner:
        for pixels in PICTURES:
            record = scanner.scan(pixels)
            assert record.scores is not None
            assert record.scores.calibrated == model.card.calibrated
            found.append([record.scores.p[c.position] for c in LABELS])
    return np.array(found)


@pytest.mark.parametrize(
    ("method", "format_"),
    [(None, "onnx"), ("isotonic", "openvino"), ("temperature", "onnx"), ("beta", "openvino")],
)
def test_an_exported_head_scans_as_the_trained_folder(
    backbone: Path, tmp_path: Path, method: Method | None, format_: str
) -> None:
    curves = None if method is None else calibration(method)
    folder = head_folder(tmp_path / "own", str(backbone), mlp(32), curves)
    trained = build(str(folder), FP32)
    export(trained, tmp_path / "out", ExportOptions(format_), None)
    wanted = scores(trained)
    shutil.rmtree(folder)

    again = build(str(tmp_path / "out"), FP32)

    np.testing.assert_allclose(scores(again), wanted, atol=1e-5)
    assert np.ptp(wanted, axis=0).max() > 0.05
    one, two = trained.card, again.card
    assert (one.model, one.labels, one.calibrated) == (two.model, two.labels, two.calibrated)
    assert one.measured == two.measured
    assert two.trained_on.startswith(one.trained_on)
    assert (two.embedding, two.parameters, two.needs) == (32, 1000, ())
    assert two.terms.startswith(one.terms)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("form", ["mlp", "prompts", "q16", "multiheaded", "clip-b32/zero-shot"])
def test_heads_over_clip_are_one_network(tmp_path: Path, form: str) -> None:
    heads: dict[str, TrainedHead] = {"mlp": mlp(512), "prompts": prompts(512)}
    made = heads.get(form)
    name = form if made is None else str(head_folder(tmp_path / "own", "clip-b32", made))
    model = build(name, FP32)
    export(model, tmp_path / "out", ExportOptions(), None)
    again = build(str(tmp_path / "out"), FP32)

    def probabilities(given: Classifier) -> np.ndarray:
        with Scanner(given) as scanner:
            found = [scanner.scan(p).scores for p in PICTURES]
        return np.array([list(one.as_dict().values()) for one in found if one is not None])

    np.testing.assert_allclose(probabilities(again), probabilities(model), atol=1e-5)
    assert isinstance(again, Exported)
    assert differentiable(again) is None
    below = get("clip-l14" if form in ("q16", "multiheaded") else "clip-b32").card
    assert below.licence in again.card.licence
    assert below.terms in again.card.terms
    assert again.card.commercial == (model.card.commercial and below.commercial)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("clip-l14/nsfw-detector", ModelError, "only come near it"),
        ("clip-h14/nsfw-detector", ModelError, "only come near it"),
        ("sd-filter", ModelError, "only come near it"),
        ("clip-l14", ModelError, "judges nothing"),
        ("nudenet", UsageError, "stands alone"),
        ("any(q16,multiheaded)", UsageError, "stands alone"),
        ("dummy", UsageError, "stands alone"),
    ],
)
def test_what_is_no_single_network_says_what_to_do(
    tmp_path: Path, name: str, error: type[ModelError | UsageError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        export(build(name, FP32), tmp_path / "out", ExportOptions(), None)
    assert "vedette train" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_head_over_no_network_cannot_be_one(tmp_path: Path) -> None:
    folder = head_folder(tmp_path / "own", "dummy", mlp(48))
    with pytest.raises(UsageError, match="own is not one network"):
        export(build(str(folder), FP32), tmp_path / "out", ExportOptions(), None)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_torchscript_has_the_head_in_it(backbone: Path, tmp_path: Path) -> None:
    folder = head_folder(tmp_path / "own", str(backbone), prompts(32), calibration("beta"))
    export(build(str(folder), FP32), tmp_path / "out", ExportOptions("torchscript"), None)
    loaded = torch.jit.load(tmp_path / "out" / "network.pt")  # type: ignore[no-untyped-call]
    pixels = torch.randn(2, 3, zoo.IMAGE, zoo.IMAGE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, embedding = loaded(pixels)

    np.testing.assert_allclose(logits, _unit_logits(embedding.numpy()), atol=1e-4)
    card = json.loads((tmp_path / "out" / "vedette-model.json").read_text())
    assert card["multi_label"] is True
    assert set(card["files"]) == {"network.pt", "calibration.json"}


def _unit_logits(embedding: np.ndarray) -> np.ndarray:
    rows = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    return prompts(32).logits(rows.astype(np.float32))


def test_int8_is_measured_and_bounded(backbone: Path, tmp_path: Path) -> None:
    photos = PathSource([str(folder_of(tmp_path / "photos", 24))])
    folder = head_folder(
        tmp_path / "own", str(backbone), prompts(32, scale=4), calibration("platt")
    )
    model = build(str(folder), FP32)
    with pytest.raises(ModelError, match="moved by at most") as caught:
        export(model, tmp_path / "none", ExportOptions("onnx", "int8", 1e-6), photos)
    assert caught.value.code == "drift_too_large"

    moved = export(model, tmp_path / "out", ExportOptions("onnx", "int8", 0.5), photos)
    assert moved is not None
    assert 0 < moved.largest < 0.5
    again = build(str(tmp_path / "out"))
    assert again.card.revision == f"{model.card.revision}+int8"
    assert again.card.calibrated == "test@1"
    assert 0 < np.abs(scores(again) - scores(model)).max() < 0.5
    with pytest.raises(UsageError, match="reduced to int8 already"):
        export(again, tmp_path / "twice", ExportOptions("openvino"), None)
    assert not (tmp_path / "twice").exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"calibrated": None}, "weights_unusable"),
        ({"calibrated": 7}, "weights_unusable"),
        ({"precisions": ["int4"]}, "weights_unusable"),
        ({"measured": 7}, "weights_unusable"),
    ],
)
def test_a_card_that_hides_its_calibration_is_refused(
    exported: Path, tmp_path: Path, change: dict[str, object], code: str
) -> None:
    path = shutil.copytree(exported, tmp_path / "out") / "vedette-model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(ModelError) as caught:
        build(str(tmp_path / "out"), FP32)
    assert caught.value.code == code


def test_a_calibration_that_was_changed_is_refused(exported: Path, tmp_path: Path) -> None:
    build(str(exported), FP32)
    path = shutil.copytree(exported, tmp_path / "out") / "calibration.json"
    path.write_text(path.read_text().replace("0.8", "0.1"))

    with pytest.raises(ModelError) as caught:
        build(str(tmp_path / "out"), FP32)
    assert caught.value.code == "weights_altered"
    assert "export it again" in caught.value.hint


def test_a_trained_folder_is_never_replaced_by_an_export(backbone: Path, tmp_path: Path) -> None:
    folder = head_folder(tmp_path / "own", str(backbone), mlp(32))
    with pytest.raises(UsageError) as caught:
        export(build(str(folder), FP32), folder, ExportOptions(overwrite=True), None)
    assert caught.value.code == "output_exists"
    assert (folder / "head.safetensors").is_file()


def test_terms_of_all_that_is_inside_come_along() -> None:
    inner = get("q16").card
    (tower,) = inner.needs
    whole = whole_card(inner)

    assert whole.needs == ()
    assert tower.licence in whole.licence
    assert inner.licence in whole.licence
    assert not whole.commercial
    assert whole_card(tower) == tower, "nothing is said twice"


def test_the_command_takes_what_it_was_trained_on_along(backbone: Path, tmp_path: Path) -> None:
    folder = head_folder(tmp_path / "own", str(backbone), mlp(32), calibration("isotonic"))
    (folder / FILE).write_text("{}\n")
    (tmp_path / "one.png").write_bytes(encoded(drawn(1)))

    made = CliRunner().invoke(
        app, ["models", "export", str(folder), "--out", str(tmp_path / "out")]
    )

    assert made.exit_code == 0, made.output
    assert (tmp_path / "out" / FILE).read_text() == "{}\n"
    assert "own@trained-" in made.output
    seen = CliRunner().invoke(
        app, ["scan", str(tmp_path / "one.png"), "--model", str(tmp_path / "out")]
    )
    assert seen.exit_code in (0, 1), seen.output
    again = CliRunner().invoke(
        app, ["models", "export", str(folder), "--out", str(tmp_path / "out"), "--overwrite"]
    )
    assert again.exit_code == 0, again.output

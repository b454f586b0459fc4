"""A trained head over a backbone: its arithmetic, its folder, and what torch makes of both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import zoo
from tests.pictures import drawn
from tests.trained_folders import CURVES, LABELS, calibration, head_folder, mlp, prompts
from vedette import Scanner
from vedette.calibrate import Method
from vedette.errors import ModelError
from vedette.heads.trained import TrainedHead
from vedette.models.base import Classifier, ModelOptions
from vedette.models.differentiable import decision_module, differentiable, network_pixels
from vedette.models.over import HeadOver, HeadOverNetwork, head_probabilities
from vedette.models.registry import build, get
from vedette.models.standalone import Exportable
from vedette.types import Image

FP32 = ModelOptions(precision="fp32")
PICTURES = [np.asarray(drawn(seed, 100, 80)) for seed in range(8)]
HEADS: dict[str, Callable[[int], TrainedHead]] = {
    "mlp": mlp,
    "logistic": lambda dim: mlp(dim, hidden=0),
    "as projected": lambda dim: mlp(dim, unit=False),
    "prompts": prompts,
}


def images() -> list[Image]:
    return [Image(p, "0" * 64, 100, 80, "PNG") for p in PICTURES]


def probabilities(model: Classifier) -> np.ndarray:
    return np.stack([p.probs for p in model.infer([model.prepare(i) for i in images()])])


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(zoo.vit(tmp_path_factory.mktemp("backbone") / "vit", ["normal", "nsfw"]))


@pytest.mark.parametrize("made", HEADS.values(), ids=HEADS)
def test_it_judges_what_the_backbone_gives(
    backbone: str, tmp_path: Path, made: Callable[[int], TrainedHead]
) -> None:
    head = made(32)
    model = build(str(head_folder(tmp_path / "own", backbone, head)), FP32)
    below = build(backbone, FP32)
    given = below.infer([below.prepare(image) for image in images()])

    for one, seen in zip(model.infer([model.prepare(i) for i in images()]), given, strict=True):
        assert seen.embedding is not None
        assert one.labels == tuple(LABELS)
        assert one.model == model.card.model
        np.testing.assert_array_equal(one.embedding, seen.embedding)
        row = seen.embedding.astype(np.float64)
        row = row / np.linalg.norm(row) if head.unit else row
        wanted = 1 / (1 + np.exp(-head.logits(row[None].astype(np.float32))[0].astype(float)))
        np.testing.assert_allclose(one.probs, wanted, atol=1e-5)
    assert np.ptp(probabilities(model), axis=0).max() > 0.05, "pictures that can be told apart"


@pytest.mark.parametrize("method", [None, *CURVES])
@pytest.mark.parametrize("made", HEADS.values(), ids=HEADS)
def test_what_attacks_move_decides_as_it_does(
    backbone: str, tmp_path: Path, made: Callable[[int], TrainedHead], method: Method | None
) -> None:
    curves = None if method is None else calibration(method)
    model = build(str(head_folder(tmp_path / "own", backbone, made(32), curves)), FP32)
    pixels = torch.from_numpy(np.stack([network_pixels(model, p) for p in PICTURES]))
    p = probabilities(model)

    for at, label in enumerate(LABELS):
        z = decision_module(model, [label])(pixels)[:, 1].numpy()
        sure = np.abs(z) > 1e-3
        assert sure.sum() >= 6
        np.testing.assert_array_equal((p[:, at] >= 0.5)[sure], (z > 0)[sure])
        if method != "isotonic" or at == 0:
            np.testing.assert_allclose(1 / (1 + np.exp(-z)), p[:, at], atol=2e-5)
    each = torch.cat([decision_module(model, [c])(pixels)[:, 1:] for c in LABELS], dim=1)
    assert torch.equal(decision_module(model)(pixels)[:, 1], each.amax(dim=1))


def test_a_scan_says_that_it_is_calibrated(backbone: str, tmp_path: Path) -> None:
    plain = head_folder(tmp_path / "plain", backbone, mlp(32))
    curved = head_folder(tmp_path / "curved", backbone, mlp(32), calibration("platt"))
    found = []
    for folder in (plain, curved):
        with Scanner(build(str(folder), FP32)) as scanner:
            found.append(scanner.scan(PICTURES[0]).scores)
    assert found[0] is not None
    assert found[1] is not None

    assert (found[0].calibrated, found[1].calibrated) == (None, "test@1")
    before, after = found[0].as_dict(), found[1].as_dict()
    assert before[LABELS[0]] == after[LABELS[0]], "a label without a curve keeps what it has"
    curve = CURVES["platt"]
    for label in LABELS[1:]:
        assert after[label] == pytest.approx(float(curve(np.array(before[label]))), abs=1e-6)


def test_over_a_backbone_without_a_network_it_only_judges(tmp_path: Path) -> None:
    model = build(str(head_folder(tmp_path / "own", "dummy", mlp(48))), FP32)

    assert type(model) is HeadOver
    assert differentiable(model) is None
    assert not isinstance(model, Exportable)
    with pytest.raises(TypeError, match="cannot be differentiated"):
        decision_module(model)
    assert probabilities(model).shape == (8, 3)


def test_a_head_may_stand_on_a_head(backbone: str, tmp_path: Path) -> None:
    lower = head_folder(tmp_path / "lower", backbone, mlp(32))
    direct = head_folder(tmp_path / "direct", backbone, mlp(32, seed=5))
    upper = head_folder(tmp_path / "upper", str(lower), mlp(32, seed=5))
    model = build(str(upper), FP32)

    assert isinstance(model, HeadOverNetwork)
    np.testing.assert_array_equal(probabilities(model), probabilities(build(str(direct), FP32)))
    assert [card.id for card in model.card.needs] == ["lower"]


def test_an_embedding_of_nothing_is_no_division_by_zero() -> None:
    p = head_probabilities(mlp(4), np.zeros(4, np.float32), calibration("isotonic"))
    assert np.isfinite(p).all()


def test_another_backbone_under_the_same_name_is_refused(tmp_path: Path) -> None:
    below = zoo.vit(tmp_path / "vit", ["normal", "nsfw"])
    folder = head_folder(tmp_path / "own", str(below), mlp(32))
    assert get(str(folder)).card.needs[0].model == build(str(below)).card.model
    zoo.vit(tmp_path / "vit", ["normal", "nsfw"], seed=9)

    with pytest.raises(ModelError, match="was trained over") as caught:
        build(str(folder), FP32)
    assert caught.value.code == "weights_altered"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"Hate": ["Hate"]}}, "not the head's"),
        ({"parts": {"backbone": 7}}, "its backbone is 7"),
        ({"parts": {"backbone": "dummy", "backbone_model": "dummy@1"}}, "not this head"),
    ],
)
def test_a_card_that_does_not_fit_the_head_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = head_folder(tmp_path / "own", "dummy", mlp(48))
    path = folder / "vedette-model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(ModelError, match=message) as caught:
        build(str(folder), FP32)
    assert caught.value.code == "weights_unusable"


def test_a_head_of_another_width_is_refused(tmp_path: Path) -> None:
    folder = head_folder(tmp_path / "own", "dummy", mlp(47))
    with pytest.raises(ModelError, match="47 dimensions over a backbone of 48") as caught:
        build(str(folder), FP32)
    assert caught.value.code == "weights_unusable"

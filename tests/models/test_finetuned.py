"""Folders of fine-tuned networks: opened, they say what the training said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.contract import test_classifiers as contract
from tests.train.finetune import sets
from tests.trained_folders import CURVES, card_of
from vedette.calibrate import Calibration, Method
from vedette.compile.export import ExportOptions, export
from vedette.errors import ModelError
from vedette.heads.base import sigmoid
from vedette.models.base import Classifier, ModelOptions, Prepared
from vedette.models.differentiable import Differentiable, network_pixels
from vedette.models.registry import build, get
from vedette.models.trained import CALIBRATION, write_manifest
from vedette.train.finetune.network import Network
from vedette.train.finetune.starts import start_named
from vedette.types import Float32

LABELS = ("Hate", "Violence", "Sexual")


def folder_of(folder: Path, network: Network, method: Method | None) -> Path:
    """A folder as :func:`vedette.train.finishing.finish` writes it."""
    folder.mkdir(parents=True)
    network.write(folder)
    card = replace(
        card_of(folder.name, network.card, network.labels),
        fit=network.recipe.fit,
        precisions=("fp32",),
        embedding=network.embedding,
    )
    if method is not None:
        curves = Calibration("test@1", "", dict.fromkeys(LABELS[1:], CURVES[method]))
        (folder / CALIBRATION).write_text(json.dumps(curves.as_json()))
        card = replace(card, calibrated=curves.name)
    write_manifest(folder, network.kind, card, network.parts)
    return folder


def network(kind: str) -> Network:
    if kind == "vit":
        made = sets.network(LABELS)
    else:
        made = start_named({"timm": "marqo-384", "clip": "clip-b32"}[kind]).network(LABELS, 7)
    with torch.no_grad():
        made.module.head.weight.mul_(20)  # so that pictures differ visibly
    return made


@pytest.fixture(scope="module", params=[("vit", "beta"), ("timm", "isotonic"), ("clip", "platt")])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, store: Path
) -> tuple[Network, Classifier, Method]:
    kind, method = request.param
    made = network(kind)
    folder = folder_of(tmp_path_factory.mktemp(kind) / "folder", made, method)
    return made, build(str(folder), ModelOptions(precision="fp32")), method


@pytest.fixture
def classifier(pair: tuple[Network, Classifier, Method]) -> Classifier:
    return pair[1]


def prepared(classifier: Classifier, count: int = 5) -> list[Prepared]:
    return [classifier.prepare(contract.image(seed, 160, 120)) for seed in range(count)]


def raw(made: Network, batch: list[Prepared]) -> tuple[Float32, Float32]:
    """Logits and embeddings as the training computes them."""
    norm = made.recipe.norm
    pixels = torch.from_numpy(np.stack([p.pixels for p in batch])).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (norm.mean, norm.std))
    with torch.no_grad():
        logits, embedding = made.module.eval()((pixels - mean) / std)
    return logits.numpy(), embedding.numpy()


def test_it_says_what_the_training_said(pair: tuple[Network, Classifier, Method]) -> None:
    made, opened, method = pair
    batch = prepared(opened)
    for one, p in zip(
        batch, [made.recipe.prepare(contract.image(s, 160, 120)) for s in range(5)], strict=True
    ):
        np.testing.assert_array_equal(one.pixels, p.pixels)
    logits, embeddings = raw(made, batch)

    expected = sigmoid(logits)
    for k in (1, 2):
        expected[:, k] = CURVES[method](expected[:, k])
    for k, found in enumerate(opened.infer(batch)):
        assert found.labels == LABELS
        np.testing.assert_allclose(found.probs, expected[k], atol=2e-5)
        assert found.embedding is not None
        np.testing.assert_allclose(found.embedding, embeddings[k], rtol=1e-3, atol=1e-4)
    assert opened.card.calibrated == "test@1"


test_card_is_complete = contract.test_card_is_complete
test_any_shape_is_prepared_and_scored = contract.test_any_shape_is_prepared_and_scored
test_preparing_leaves_the_image_alone = contract.test_preparing_leaves_the_image_alone
test_same_result_alone_in_a_batch_and_from_threads = (
    contract.test_same_result_alone_in_a_batch_and_from_threads
)
test_different_pictures_differ = contract.test_different_pictures_differ


def test_in_torch_it_decides_the_same(pair: tuple[Network, Classifier, Method]) -> None:
    _, opened, method = pair
    assert isinstance(opened, Differentiable)
    assert opened.multi_label
    pixels = torch.stack(
        [
            torch.from_numpy(network_pixels(opened, contract.image(s, 160, 120).pixels))
            for s in range(5)
        ]
    )
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (opened.norm.mean, opened.norm.std))
    pixels.requires_grad_(True)
    logits = opened.torch_module()((pixels - mean) / std)
    (gradient,) = torch.autograd.grad(logits.sum(), pixels)

    found = np.stack([one.probs for one in opened.infer(prepared(opened))])
    z = logits.detach().numpy()
    clear = np.abs(z) > 1e-3
    np.testing.assert_array_equal((z > 0)[clear], (found >= 0.5)[clear])
    if method != "isotonic":
        np.testing.assert_allclose(sigmoid(z), found, atol=2e-5)
    assert float(gradient.abs().sum()) > 0


def test_exported_it_says_the_same(
    pair: tuple[Network, Classifier, Method], tmp_path: Path
) -> None:
    _, opened, _ = pair
    export(opened, tmp_path / "onnx", ExportOptions(), None)
    again = build(str(tmp_path / "onnx"), ModelOptions(precision="fp32"))
    batch = prepared(opened)

    for one, other in zip(opened.infer(batch), again.infer(batch), strict=True):
        np.testing.assert_allclose(one.probs, other.probs, atol=1e-5)
    assert again.card.covered == opened.card.covered


def test_a_folder_can_be_trained_further(
    pair: tuple[Network, Classifier, Method], tmp_path: Path
) -> None:
    made, _, _ = pair
    folder = folder_of(tmp_path / "folder", made, None)
    further = start_named(str(folder))
    network = further.network(("Spam",), 7)

    assert further.kind == made.kind
    assert network.recipe == made.recipe
    batch = [made.recipe.prepare(contract.image(1, 160, 120))]
    np.testing.assert_allclose(raw(network, batch)[1], raw(made, batch)[1], rtol=1e-4, atol=1e-5)
    assert further.card.model.startswith("folder@trained-")


def test_without_a_calibration_it_is_the_networks_own(tmp_path: Path) -> None:
    made = network("vit")
    opened = build(str(folder_of(tmp_path / "folder", made, None)), ModelOptions(precision="fp32"))
    batch = prepared(opened)

    found = np.stack([one.probs for one in opened.infer(batch)])
    np.testing.assert_allclose(found, sigmoid(raw(made, batch)[0]), atol=2e-5)


def test_a_folder_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder", network("vit"), "platt")
    content = json.loads((folder / "config.json").read_text())
    content["id2label"] = {"0": "Hate", "1": "Sexual", "2": "Violence"}
    (folder / "config.json").write_text(json.dumps(content))

    with pytest.raises(ModelError) as caught:
        build(str(folder))
    assert caught.value.code == "weights_altered"


def test_labels_that_exclude_each_other_are_refused(tmp_path: Path) -> None:
    made = network("vit")
    folder = folder_of(tmp_path / "folder", made, None)
    content = json.loads((folder / "config.json").read_text())
    del content["problem_type"]
    (folder / "config.json").write_text(json.dumps(content))
    write_manifest(folder, "vit", get(str(folder)).card, made.parts)

    with pytest.raises(ModelError) as caught:
        build(str(folder))
    assert caught.value.code == "weights_unusable"

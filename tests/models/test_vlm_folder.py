"""Folders of kind ``vlm``: an adapter and its base, calibrated for the whole scope alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from tests import vlm_zoo
from tests.pictures import drawn
from vedette.calibrate import Calibration, Calibrator, sigmoid
from vedette.compile.quiet import quiet
from vedette.errors import ModelError
from vedette.models.base import ModelOptions, Prepared
from vedette.models.registry import build, get
from vedette.models.trained import CALIBRATION, write_manifest
from vedette.models.vlm import Vlm, base_of, in_scope, load_network, recipe_of
from vedette.models.vlm_folder import parts_of
from vedette.networks.vlm_adapter import ADAPTER, LoraShape, with_new_adapter, write_adapter
from vedette.taxonomy import Category

LABELS = (Category.HATE, Category.VIOLENCE, Category.SPAM)
SQUARES = np.stack([np.asarray(drawn(seed, 32, 32)) for seed in (1, 2, 3)])
CURVE = Calibrator("platt", (0.5, -1.0))


def adapted(llava: Path, seed: int = 0) -> Vlm:
    """A base with an adapter of random weights, in memory."""
    card, files = base_of(f"vlm:{llava}")
    recipe = recipe_of(files)
    network = load_network(files, recipe, ModelOptions())
    model = with_new_adapter(network.model, LoraShape(4, 8.0))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_" in name:
                weights.copy_(torch.randn(weights.shape, generator=generator) * 0.1)
    card = in_scope(replace(card, fit=recipe.fit), ModelOptions(scope=LABELS))
    return Vlm(card, network.with_model(model.eval()), recipe)


def written(folder: Path, llava: Path, vlm: Vlm) -> Path:
    folder.mkdir()
    base, _ = base_of(f"vlm:{llava}")
    write_adapter(vlm.network.model, folder, base.model)
    curves = Calibration("colours@1", "x", dict.fromkeys(vlm.labels, CURVE))
    (folder / CALIBRATION).write_text(json.dumps(curves.as_json()))
    card = replace(vlm.card, id=folder.name, calibrated="colours@1")
    write_manifest(folder, "vlm", card, parts_of(base.id, base.model, merged=False))
    return folder


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vlm_zoo.llava(tmp_path_factory.mktemp("vlm") / "llava")


@pytest.fixture(scope="module")
def vlm(llava: Path) -> Vlm:
    return adapted(llava)


@pytest.fixture
def folder(tmp_path: Path, llava: Path, vlm: Vlm) -> Path:
    return written(tmp_path / "adapter", llava, vlm)


def opened(folder: Path, *scope: Category) -> Vlm:
    found = build(str(folder), ModelOptions(scope=scope))
    assert isinstance(found, Vlm)
    return found


def probs(model: Vlm) -> Any:
    return np.stack([p.probs for p in model.infer([Prepared(s, 32, 32) for s in SQUARES])])


def test_an_adapter_is_the_same_bit_for_bit_when_it_is_opened_again(
    folder: Path, vlm: Vlm, llava: Path
) -> None:
    again = opened(folder)

    ours, theirs = vlm.logits(SQUARES)[0], again.logits(SQUARES)[0]
    np.testing.assert_array_equal(ours, theirs)
    plain = build(f"vlm:{llava}", ModelOptions(scope=LABELS))
    assert isinstance(plain, Vlm)
    assert abs(plain.logits(SQUARES)[0] - ours).max() > 0.1, "the adapter does something"


def test_peft_reads_the_folder_too(folder: Path, vlm: Vlm, llava: Path) -> None:
    with quiet():
        base: Any = AutoModelForImageTextToText.from_pretrained(llava)
        reference = PeftModel.from_pretrained(base, str(folder)).eval()

    theirs = Vlm(vlm.card, vlm.network.with_model(reference), vlm.recipe)

    np.testing.assert_array_equal(theirs.logits(SQUARES)[0], vlm.logits(SQUARES)[0])


def test_the_calibration_holds_for_the_whole_scope_alone(folder: Path, vlm: Vlm) -> None:
    whole, fewer = opened(folder), opened(folder, Category.HATE, Category.SPAM)

    raw = sigmoid(vlm.logits(SQUARES)[0])
    np.testing.assert_allclose(probs(whole), CURVE(raw), rtol=0, atol=1e-6)
    assert whole.card.calibrated == "colours@1"
    assert fewer.card.calibrated is None
    own = sigmoid(fewer.logits(SQUARES)[0])
    np.testing.assert_allclose(probs(fewer), own, rtol=0, atol=1e-6)
    assert fewer.card.covered == (Category.HATE, Category.SPAM)
    assert opened(folder, *LABELS).card.calibrated == "colours@1", "all of it named is all of it"


def test_the_torch_module_is_calibrated_too(folder: Path) -> None:
    model = opened(folder)

    z = model.torch_module()(model.network.normalised(SQUARES))

    np.testing.assert_allclose(z.sigmoid().detach().numpy(), probs(model), rtol=0, atol=1e-5)


def test_the_bases_terms_bind_the_folder(folder: Path, llava: Path) -> None:
    assert [card.id for card in get(str(folder)).card.needs] == [f"vlm:{llava}"]


def test_another_base_is_refused(tmp_path: Path) -> None:
    base = vlm_zoo.llava(tmp_path / "llava")
    folder = written(tmp_path / "adapter", base, adapted(base))
    vlm_zoo.llava(base, seed=1)

    with pytest.raises(ModelError, match="was trained over") as raised:
        opened(folder)

    assert raised.value.code == "weights_altered"


def test_an_adapter_of_other_weights_is_refused(
    tmp_path: Path, llava: Path, folder: Path, vlm: Vlm
) -> None:
    tensors = load_file(folder / ADAPTER)
    save_file({name: t * 1.5 for name, t in tensors.items()}, folder / ADAPTER)

    with pytest.raises(ModelError) as raised:
        opened(folder)

    assert raised.value.code == "weights_altered"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"r": 8}, "not this adapter's weights"),
        ({"r": 10**6}, "r must be 1 to"),
        ({"lora_alpha": "much"}, "lora_alpha must be a float"),
        ({"target_modules": ".*"}, "another network's layers"),
        ({"peft_type": "IA3"}, "not a LoRA adapter"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    folder: Path, vlm: Vlm, llava: Path, change: dict[str, object], told: str
) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    base, _ = base_of(f"vlm:{llava}")
    write_manifest(folder, "vlm", vlm.card, parts_of(base.id, base.model, merged=False))

    with pytest.raises(ModelError, match=told) as raised:
        opened(folder)

    assert raised.value.code == "weights_unusable"


def test_weights_that_are_no_numbers_are_refused(folder: Path, vlm: Vlm, llava: Path) -> None:
    tensors = load_file(folder / ADAPTER)
    save_file({name: t * float("nan") for name, t in tensors.items()}, folder / ADAPTER)
    base, _ = base_of(f"vlm:{llava}")
    write_manifest(folder, "vlm", vlm.card, parts_of(base.id, base.model, merged=False))

    with pytest.raises(ModelError, match="no number"):
        opened(folder)

"""ViT classifiers equal their references, whatever layout and label order their files have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import ViTForImageClassification, ViTImageProcessorPil

from tests import zoo
from tests.pictures import drawn
from vedette import Category, Scanner
from vedette.errors import ModelError, UnknownNameError
from vedette.models.base import ModelOptions
from vedette.models.registry import build, get
from vedette.models.vit import FALCONSAI, MARQO, Vit, open_vit
from vedette.types import Image

FP32 = ModelOptions(precision="fp32")
ONNX = ModelOptions("onnx", "fp32")


def picture(seed: int, width: int = 120, height: int = 90) -> Image:
    pixels = np.asarray(drawn(seed, width, height))
    return Image(pixels, "0" * 64, width, height, "PNG")


PICTURES = [picture(1), picture(2, 33, 80), picture(3, 32, 32)]


def outputs(model: Vit, pictures: list[Image]) -> tuple[Any, Any]:
    prepared = np.stack([model.prepare(p).pixels for p in pictures])
    out = model.session.run({"images": prepared})
    return out["logits"], out["embedding"]


@pytest.fixture(scope="module")
def falconsai(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.vit(tmp_path_factory.mktemp("vit") / "falconsai", ["normal", "nsfw"])


@pytest.fixture(scope="module")
def marqo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.timm(tmp_path_factory.mktemp("vit") / "marqo", ["NSFW", "SFW"])


@pytest.mark.parametrize("options", [FP32, ONNX], ids=["openvino", "onnx"])
def test_logits_and_embedding_are_transformers(falconsai: Path, options: ModelOptions) -> None:
    reference: Any = ViTForImageClassification.from_pretrained(falconsai)
    processor = ViTImageProcessorPil.from_pretrained(falconsai)
    fed = processor([PIL.Image.fromarray(p.pixels) for p in PICTURES], return_tensors="pt")
    with torch.no_grad():
        wanted = reference(**fed, output_hidden_states=True)
        hidden = reference.vit.layernorm(wanted.hidden_states[-1])[:, 0]

    logits, embedding = outputs(open_vit(FALCONSAI, falconsai, options), PICTURES)

    assert np.abs(wanted.logits.numpy()).max() > 0.5  # something to compare
    np.testing.assert_allclose(logits, wanted.logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(embedding, hidden.numpy(), atol=1e-4)


def timm_forward(tensors: dict[str, Any], images: Any, heads: int) -> Any:
    """timm's vision transformer, written out."""
    t = tensors
    x = F.conv2d(images, t["patch_embed.proj.weight"], t["patch_embed.proj.bias"], stride=zoo.PATCH)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([t["cls_token"].expand(len(x), -1, -1), x], dim=1) + t["pos_embed"]
    for k in range(2):
        block = {n[9:]: v for n, v in t.items() if n.startswith(f"blocks.{k}.")}

        def norm(y: Any, name: str, block: dict[str, Any] = block) -> Any:
            return F.layer_norm(
                y, y.shape[-1:], block[f"{name}.weight"], block[f"{name}.bias"], 1e-6
            )

        y = norm(x, "norm1")
        n, tokens, width = y.shape
        qkv = F.linear(y, block["attn.qkv.weight"], block["attn.qkv.bias"])
        q, key, v = qkv.reshape(n, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        weights = (q @ key.transpose(-2, -1) / (width // heads) ** 0.5).softmax(-1)
        y = (weights @ v).transpose(1, 2).reshape(n, tokens, width)
        x = x + F.linear(y, block["attn.proj.weight"], block["attn.proj.bias"])
        y = F.linear(norm(x, "norm2"), block["mlp.fc1.weight"], block["mlp.fc1.bias"])
        x = x + F.linear(F.gelu(y), block["mlp.fc2.weight"], block["mlp.fc2.bias"])
    x = F.layer_norm(x, x.shape[-1:], t["norm.weight"], t["norm.bias"], 1e-6)[:, 0]
    return F.linear(x, t["head.weight"], t["head.bias"]), x


def test_a_timm_checkpoint_is_the_same_network(marqo: Path) -> None:
    model = open_vit(MARQO, marqo, FP32)
    squares = np.stack([model.prepare(p).pixels for p in PICTURES])
    planes = torch.from_numpy((squares / 255 - 0.5) / 0.5).float().permute(0, 3, 1, 2)
    tensors = load_file(marqo / "model.safetensors")
    wanted_logits, wanted_embedding = timm_forward(tensors, planes, heads=3)

    logits, embedding = outputs(model, PICTURES)

    assert np.abs(wanted_logits.numpy()).max() > 0.1
    np.testing.assert_allclose(logits, wanted_logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(embedding, wanted_embedding.numpy(), atol=1e-4)


def test_labels_in_the_other_order_give_the_same_verdicts(falconsai: Path, tmp_path: Path) -> None:
    swapped = zoo.relabelled(falconsai, tmp_path / "swapped")
    verdicts = []
    for folder in (falconsai, swapped):
        with Scanner(open_vit(FALCONSAI, folder, FP32)) as scanner:
            records = [scanner.scan(np.asarray(drawn(seed, 120, 90))) for seed in range(6)]
        verdicts.append([(r.verdict, r.scores) for r in records])

    assert verdicts[0] == verdicts[1]
    assert len({scores.as_dict()[Category.SEXUAL] for _, scores in verdicts[0] if scores}) == 6


def test_a_label_that_the_card_does_not_know_is_refused(tmp_path: Path) -> None:
    folder = zoo.vit(tmp_path / "vit", ["normal", "nfsw"])
    with pytest.raises(ModelError, match="nfsw") as caught:
        open_vit(FALCONSAI, folder, FP32)
    assert caught.value.code == "weights_unusable"


def test_independent_labels_each_have_their_own_probability(tmp_path: Path) -> None:
    folder = zoo.vit(
        tmp_path / "vit", ["violence", "nudity"], problem_type="multi_label_classification"
    )
    model = build(f"vit:{folder}", FP32)
    assert isinstance(model, Vit)
    logits, _ = outputs(model, PICTURES)

    predictions = model.infer([model.prepare(p) for p in PICTURES])

    for prediction, row in zip(predictions, logits, strict=True):
        np.testing.assert_allclose(prediction.probs, 1 / (1 + np.exp(-row)), rtol=1e-5)
    assert model.card.covered == (Category.VIOLENCE, Category.SEXUAL)


def test_any_folder_by_its_labels_names(tmp_path: Path) -> None:
    folder = zoo.vit(tmp_path / "vit", ["drawings", "hentai", "gore", "Self-harm"])
    card = get(f"vit:{folder}").card

    assert card.covered == (Category.SELF_HARM, Category.SEXUAL, Category.SHOCKING)
    assert card.labels["drawings"] == ()
    assert not card.commercial  # nobody has said so
    assert card.revision.startswith("local-")
    other = zoo.vit(tmp_path / "other", ["drawings", "hentai", "gore", "Self-harm"], seed=1)
    assert get(f"vit:{other}").card.revision != card.revision


def test_labels_that_nobody_knows_need_a_table(tmp_path: Path) -> None:
    folder = zoo.vit(tmp_path / "vit", ["LABEL_0", "LABEL_1"])
    with pytest.raises(ModelError, match="LABEL_0") as caught:
        get(f"vit:{folder}")
    assert "labels.toml" in caught.value.hint

    (folder / "labels.toml").write_text('[labels]\nLABEL_0 = []\nLABEL_1 = ["Spam", "Hate"]\n')
    assert get(f"vit:{folder}").card.covered == (Category.HATE, Category.SPAM)

    (folder / "labels.toml").write_text("[labels]\nLABEL_0 = []\nLABEL_1 = []\nLABEL_2 = []\n")
    with pytest.raises(ModelError, match="LABEL_2"):
        get(f"vit:{folder}")

    (folder / "labels.toml").write_text('[labels]\nLABEL_0 = []\nLABEL_1 = ["Spum"]\n')
    with pytest.raises(ModelError, match=r"labels\.toml"):
        get(f"vit:{folder}")


def test_a_hub_id_that_is_not_here_says_how_to_get_it() -> None:
    with pytest.raises(ModelError, match="somebody/vit") as caught:
        build("vit:somebody/vit", FP32)
    assert caught.value.code == "weights_missing"
    assert "pull" in caught.value.hint


def test_a_table_of_ones_own_beside_a_hubs_files_stands_in_the_revision(own_store: Path) -> None:
    folder = zoo.vit(own_store / "somebody" / "tabled", ["normal", "nsfw"])
    plain = get("vit:somebody/tabled").card
    (folder / "labels.toml").write_text('[labels]\nnsfw = ["Shocking"]\n')
    card = get("vit:somebody/tabled").card

    assert card.covered == (Category.SHOCKING,)
    assert card.revision.startswith(f"{plain.revision}+labels-")


def test_a_typo_is_answered() -> None:
    with pytest.raises(UnknownNameError) as caught:
        get("falconsia")
    assert caught.value.hint == "did you mean 'falconsai'?"


def damaged(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder)
    return folder


def test_bad_weights_are_refused_with_their_code(falconsai: Path, tmp_path: Path) -> None:
    whole = (falconsai / "model.safetensors").read_bytes()
    for name, data in {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"not weights at all",
        "header": b"\xff" * 64 + whole[64:],
    }.items():
        folder = damaged(falconsai, tmp_path / name)
        (folder / "model.safetensors").write_bytes(data)
        with pytest.raises(ModelError) as caught:
            open_vit(FALCONSAI, folder, FP32)
        assert caught.value.code == "weights_unusable", name


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_other_networks_weights_are_refused(falconsai: Path, tmp_path: Path, change: str) -> None:
    folder = damaged(falconsai, tmp_path / change)
    tensors = load_file(folder / "model.safetensors")
    if change == "missing":
        del tensors["classifier.bias"]
    elif change == "extra":
        tensors["classifier.scale"] = torch.ones(2)
    else:
        tensors["classifier.weight"] = torch.ones(3, 32)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    with pytest.raises(ModelError, match="classifier") as caught:
        open_vit(FALCONSAI, folder, FP32)
    assert caught.value.code == "weights_unusable"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model_type": "deit"}, "deit"),
        ({"hidden_act": "relu"}, "relu"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"id2label": {"0": "normal"}}, "labels are"),
        ({"id2label": {"0": "nsfw", "1": "nsfw"}}, "not one each"),
        ({"id2label": {"1": "nsfw"}}, "id2label"),
        ({"num_attention_heads": 3}, "attention"),
        ({"image_size": 64}, "px"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(
    falconsai: Path, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    folder = damaged(falconsai, tmp_path / "changed")
    config = json.loads((folder / "config.json").read_text())
    zoo.write_json(folder / "config.json", config | change)

    with pytest.raises(ModelError, match=why) as caught:
        open_vit(FALCONSAI, folder, FP32)
    assert caught.value.code == "weights_unusable"


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "swin_tiny_patch4_window7_224"},
        {"architecture": "vit_tiny_patch16_rope_384"},
        {"label_names": None},
        {"global_pool": "avg"},
        {"model_args": {"reg_tokens": 4}},
        {"model_args": ["depth"]},
        {"model_args": {"mlp_ratio": float("nan")}},
        {"architecture": "vit_tiny_patch16²_384"},
        {"pretrained_cfg": {"input_size": [3]}},
        {"pretrained_cfg": {"input_size": 384}},
    ],
)
def test_timm_networks_of_another_kind_are_refused(
    marqo: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = damaged(marqo, tmp_path / "changed")
    config = json.loads((folder / "config.json").read_text())
    zoo.write_json(folder / "config.json", config | change)

    with pytest.raises(ModelError) as caught:
        open_vit(MARQO, folder, FP32)
    assert caught.value.code == "weights_unusable"


@pytest.mark.parametrize("name", ["labels.toml", "preprocessor_config.json"])
def test_all_that_scores_rest_on_is_in_a_folders_revision(tmp_path: Path, name: str) -> None:
    folder = zoo.vit(tmp_path / "vit", ["normal", "nsfw"])
    before = get(f"vit:{folder}").card.revision
    if name == "labels.toml":
        (folder / name).write_text('[labels]\nnormal = []\nnsfw = ["Violence"]\n')
    else:
        zoo.write_json(folder / name, zoo.vit_preprocessor(image_mean=[0.4, 0.4, 0.4]))

    assert get(f"vit:{folder}").card.revision != before


@pytest.mark.parametrize(
    "change",
    [
        {"num_attention_heads": 0},
        {"patch_size": 0},
        {"hidden_size": -32},
        {"hidden_size": 10**6},
        {"intermediate_size": 10**12},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 10**5},
    ],
)
def test_sizes_that_no_network_has_are_refused_before_it_is_built(
    falconsai: Path, tmp_path: Path, change: dict[str, int]
) -> None:
    folder = damaged(falconsai, tmp_path / "vit")
    config = json.loads((folder / "config.json").read_text())
    zoo.write_json(folder / "config.json", config | change)

    with pytest.raises(ModelError) as caught:
        open_vit(FALCONSAI, folder, FP32)

    assert caught.value.code == "weights_unusable"

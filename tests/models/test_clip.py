"""CLIP backbones equal their references in both layouts, and heads judge their embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPVisionModelWithProjection

from tests import zoo
from tests.pictures import drawn
from vedette import Category
from vedette.backends.base import Choice
from vedette.errors import ModelError, UnknownNameError, UsageError
from vedette.models.base import ModelOptions
from vedette.models.clip import EMBEDDING, ClipClassifier, open_backbone, read_clip_recipe, unit
from vedette.models.registry import build, get
from vedette.networks.clip import read_clip_config
from vedette.networks.clip_text import text_embeddings
from vedette.types import Image

FP32 = ModelOptions(precision="fp32")
DIM = 24


def picture(seed: int, width: int = 120, height: int = 90) -> Image:
    return Image(np.asarray(drawn(seed, width, height)), "0" * 64, width, height, "PNG")


PICTURES = [picture(1), picture(2, 33, 80), picture(3, 32, 32)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.clip(tmp_path_factory.mktemp("clip") / "clip", DIM)


def openclip_twin(source: Path, folder: Path, activation: str) -> Path:
    """The same weights under OpenCLIP's names."""
    tensors = load_file(source / "model.safetensors")
    out: dict[str, Any] = {"logit_scale": torch.tensor(4.6)}
    renamed = {
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
        "vision_model.pre_layrnorm": "visual.ln_pre",
        "vision_model.post_layernorm": "visual.ln_post",
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.final_layer_norm": "ln_final",
    }
    inner = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc"}
    inner |= {"mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj"}
    for name, tensor in tensors.items():
        base, _, kind = name.rpartition(".")
        if name in ("visual_projection.weight", "text_projection.weight"):
            short = "visual.proj" if name.startswith("visual") else "text_projection"
            out[short] = tensor.T.contiguous()
        elif name in renamed:
            out[renamed[name]] = tensor
        elif base in renamed:
            out[f"{renamed[base]}.{kind}"] = tensor
        elif ".encoder.layers." in name:
            side, _, rest = name.partition(".encoder.layers.")
            number, _, part = rest.partition(".")
            prefix = "visual." if side == "vision_model" else ""
            block = f"{prefix}transformer.resblocks.{number}."
            module = part.rpartition(".")[0]
            if module == "self_attn.q_proj":
                stem = name.replace("q_proj", "{}_proj")
                out[f"{block}attn.in_proj_{kind}"] = torch.cat(
                    [tensors[stem.format(letter)] for letter in "qkv"]
                )
            elif module in inner:
                out[f"{block}{inner[module]}.{kind}"] = tensor
    folder.mkdir()
    save_file(out, folder / "open_clip_model.safetensors")
    tower = {"layers": 2, "width": 32}
    zoo.write_json(
        folder / "open_clip_config.json",
        {
            "model_cfg": {
                "embed_dim": DIM,
                "quick_gelu": activation == "quick_gelu",
                "vision_cfg": {
                    **tower,
                    "image_size": zoo.IMAGE,
                    "patch_size": zoo.PATCH,
                    "head_width": 16,
                    "mlp_ratio": 2.0,
                },
                "text_cfg": {
                    **tower,
                    "heads": 2,
                    "vocab_size": zoo.VOCABULARY,
                    "context_length": 24,
                    "mlp_ratio": 2.0,
                },
            }
        },
    )
    return folder


def embeddings(folder: Path, backend: str = "openvino") -> Any:
    config = read_clip_config(folder)
    recipe = read_clip_recipe(config)
    session = open_backbone(config, recipe, Choice(backend, "fp32"))
    pixels = np.stack([recipe.prepare(p).pixels for p in PICTURES])
    return session.run({"images": pixels})[EMBEDDING]


def reference(folder: Path) -> Any:
    network: Any = CLIPVisionModelWithProjection.from_pretrained(folder)
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    fed = processor([PIL.Image.fromarray(p.pixels) for p in PICTURES], return_tensors="pt")
    with torch.no_grad():
        return network(**fed).image_embeds.numpy()


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_embeddings_are_transformers(tmp_path: Path, activation: str) -> None:
    made = zoo.clip(tmp_path / "clip", DIM, activation=activation)
    wanted = reference(made)

    for backend in ("openvino", "onnx"):
        np.testing.assert_allclose(embeddings(made, backend), wanted, atol=1e-4)
    assert np.abs(wanted).max() > 0.5


def test_the_activation_is_the_trained_one(tmp_path: Path) -> None:
    """The same weights with the other GELU give another embedding: it is not ignored."""
    quick = zoo.clip(tmp_path / "quick", DIM, activation="quick_gelu")
    plain = zoo.clip(tmp_path / "plain", DIM, activation="gelu")

    assert np.abs(embeddings(quick) - embeddings(plain)).max() > 1e-3


def test_openclips_layout_is_the_same_network(folder: Path, tmp_path: Path) -> None:
    twin = openclip_twin(folder, tmp_path / "twin", "quick_gelu")
    config = read_clip_config(twin)
    assert config.openclip
    assert config.vision.activation == "quick_gelu"

    np.testing.assert_allclose(embeddings(twin), reference(folder), atol=1e-4)


def test_texts_are_transformers(folder: Path, tmp_path: Path) -> None:
    texts = ["a red circle", "nothing at all", "x" * 60]  # the last one is cut
    config = read_clip_config(folder)
    network: Any = CLIPModel.from_pretrained(folder)
    wanted = []
    for text in texts:
        ids = zoo.tokenizer().encode(text).ids
        if len(ids) > 24:
            ids = [*ids[:23], ids[-1]]
        with torch.no_grad():
            pooled = network.text_model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
            row = network.text_projection(pooled)
        wanted.append((row / row.norm()).numpy())

    rows = text_embeddings(config, texts)

    np.testing.assert_allclose(rows, np.stack(wanted), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(text_embeddings(config, texts), rows)  # from the cache
    # OpenCLIP's layout of it gives the same.
    twin = openclip_twin(folder, tmp_path / "twin", "quick_gelu")
    zoo.tokenizer().save(str(twin / "tokenizer.json"))
    np.testing.assert_allclose(
        text_embeddings(read_clip_config(twin), texts[:2]), rows[:2], atol=1e-4
    )


def test_a_heads_probability_is_that_of_the_embedding(store: Path) -> None:
    for name in ("clip-l14/nsfw-detector", "multiheaded", "q16", "clip-b32/violence"):
        model = build(name, FP32)
        assert isinstance(model, ClipClassifier)
        (prediction,) = model.infer([model.prepare(PICTURES[0])])
        assert prediction.embedding is not None
        row = prediction.embedding
        given = unit(row) if model.head.unit else row
        wanted = model.head.probabilities(model.head.scores(given[None]))[0]

        np.testing.assert_array_equal(prediction.probs, wanted)
        assert abs(float(np.linalg.norm(row)) - 1) > 1e-3  # as projected


def test_zero_shot_asks_for_every_category(store: Path) -> None:
    model = build("clip-b32/zero-shot", FP32)
    (prediction,) = model.infer([model.prepare(PICTURES[0])])

    assert model.card.covered == tuple(Category)
    assert prediction.labels == tuple(category.value for category in Category)
    assert len(set(prediction.probs.tolist())) == len(Category)


CONCEPTS = """
[harm]
category = "Violence"
[harm.concepts]
"a fight" = 0.1
"a weapon" = 0.2
[special]
[special.concepts]
"a child" = 0.2
"""


def test_concepts_of_ones_own(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(CONCEPTS)
    model = build(f"clip-b32/concepts:{path}", FP32)
    assert isinstance(model, ClipClassifier)
    (prediction,) = model.infer([model.prepare(PICTURES[0])])
    assert prediction.embedding is not None
    backbone = model.card.needs[0]
    assert backbone.weights is not None
    texts = text_embeddings(
        read_clip_config(store / backbone.weights.repo), ["a fight", "a weapon", "a child"]
    )
    margins = texts @ unit(prediction.embedding) - np.array([0.1, 0.2, 0.2])

    assert model.card.covered == (Category.VIOLENCE,)
    assert model.card.labels["a child"] == ()
    np.testing.assert_allclose(prediction.probs, 1 / (1 + np.exp(-100 * margins)), atol=1e-4)


def test_laions_own_settings_file_is_read(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "settings.yml"
    path.write_text("nsfw:\n  concepts:\n    nude: 0.2\n    18+: 0.21\n  action: obfuscate\n")

    card = get(f"clip-l14/concepts:{path}").card

    assert dict(card.labels) == {"nude": (Category.SEXUAL,), "18+": (Category.SEXUAL,)}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nothing", "not a list"),
        ('[a]\ncategory = "Violense"\n[a.concepts]\nx = 0.1', "not a list"),
        ('[a]\ncategory = "Violence"\n[a.concepts]\nx = 2', "cosine"),
        ('[a]\ncategory = "Violence"\n[a.concepts]\nx = "y"', "not a list"),
        ("[a]\n[a.concepts]\nx = 0.1", "none of its concepts"),
        ("[a]\ncategory = 3\n[a.concepts]\nx = 0.1", "not a list"),
    ],
)
def test_concept_files_that_are_none(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=why):
        get(f"clip-b32/concepts:{path}")


def test_an_unknown_backbone_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="clip-b33"):
        get("clip-b33/concepts:x.toml")
    with pytest.raises(UsageError, match="cannot read"):
        get(f"clip-b32/concepts:{tmp_path / 'no.toml'}")


def test_a_head_for_another_backbone_is_refused(store: Path, tmp_path: Path) -> None:
    from vedette.heads.registry import load
    from vedette.models.clip import open_clip
    from vedette.models.clip_cards import CLIP_B32, Q16

    assert Q16.weights is not None
    assert CLIP_B32.weights is not None
    weights = store / Q16.weights.repo / Q16.weights.files[0].path
    with pytest.raises(ModelError, match="768 dimensions over a backbone of 512") as caught:
        open_clip(Q16, store / CLIP_B32.weights.repo, lambda _: load("q16", weights), FP32)
    assert caught.value.code == "weights_unusable"


@pytest.mark.parametrize("change", ["cut", "missing", "other", "eps"])
def test_bad_backbones_are_refused(folder: Path, tmp_path: Path, change: str) -> None:
    import shutil

    bad = tmp_path / "bad"
    shutil.copytree(folder, bad)
    path = bad / "model.safetensors"
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif change == "missing":
        tensors = load_file(path)
        del tensors["visual_projection.weight"]
        save_file(tensors, path)
    elif change == "eps":
        config = json.loads((bad / "config.json").read_text())
        config["vision_config"]["layer_norm_eps"] = 0.5
        zoo.write_json(bad / "config.json", config)
    else:
        config = json.loads((bad / "config.json").read_text())
        zoo.write_json(bad / "config.json", config | {"model_type": "siglip"})

    with pytest.raises(ModelError) as caught:
        embeddings(bad)
    assert caught.value.code == "weights_unusable"


def test_the_safety_checker_reads_its_own_layout(store: Path) -> None:
    model = build("sd-filter", FP32)
    assert isinstance(model, ClipClassifier)
    (prediction,) = model.infer([model.prepare(PICTURES[0])])

    assert prediction.labels[:3] == ("special-care-1", "special-care-2", "special-care-3")
    assert len(prediction.labels) == 20
    assert model.card.covered == (Category.SEXUAL,)

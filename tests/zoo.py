"""Tiny checkpoints with random weights, laid out as on the model hub.

The architectures are the published ones, a few layers small; only what a head needs of them (the
width of a backbone's embedding) has its real size.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    ViTConfig,
    ViTForImageClassification,
)

from tests.heads import files
from tests.pictures import SHARED_PHOTOS
from vedette.heads.multiheaded import LABELS as MULTIHEADED_LABELS
from vedette.hub.locate import folder_of
from vedette.hub.trust import trust
from vedette.models.clip_cards import CLIP_B32, CLIP_H14, CLIP_L14
from vedette.models.clip_cards import HEADS as HEAD_CARDS
from vedette.models.gantman import CARD as GANTMAN
from vedette.models.registry import entries
from vedette.models.safety_checker import CARD as SD_FILTER
from vedette.models.vit import ADAMCODD, FALCONSAI, MARQO

SHARED = SHARED_PHOTOS.parent
HEADS = SHARED / "heads"
IMAGE, PATCH = 32, 8
"""px"""
_LAYERS, _WIDTH, _HEADS = 2, 32, 2


def seeded(module: Any, seed: int) -> Any:
    """``module`` with weights large enough that outputs differ visibly from picture to picture."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.2 + (parameter.mean() if parameter.ndim == 1 else 0))
    return module.eval()


def vit_config(labels: Sequence[str], **more: Any) -> ViTConfig:
    """A small ViT's configuration."""
    return ViTConfig(
        hidden_size=_WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        intermediate_size=64,
        image_size=IMAGE,
        patch_size=PATCH,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        **more,
    )


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def vit_preprocessor(**more: Any) -> dict[str, Any]:
    """What ViT's repositories have in ``preprocessor_config.json``."""
    return {
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "size": {"height": IMAGE, "width": IMAGE},
        "image_processor_type": "ViTImageProcessor",
        **more,
    }


def vit(folder: Path, labels: Sequence[str], seed: int = 0, **config: Any) -> Path:
    """A ViT classifier in transformers' layout."""
    network = seeded(ViTForImageClassification(vit_config(labels, **config)), seed)
    network.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", vit_preprocessor())
    return folder


def relabelled(source: Path, folder: Path) -> Path:
    """The same classifier with its outputs, and so its ``id2label``, in the other order."""
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    labels = [config["id2label"][str(i)] for i in range(len(config["id2label"]))][::-1]
    config["id2label"] = dict(enumerate(labels))
    config["label2id"] = {label: i for i, label in enumerate(labels)}
    write_json(folder / "config.json", config)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name in ("classifier.weight", "classifier.bias"):
        tensors[name] = tensors[name].flip(0).contiguous()
    save_file(tensors, path, {"format": "pt"})
    return folder


def timm_tensors(labels: int, width: int = 192, depth: int = 2, seed: int = 0) -> dict[str, Any]:
    """Random tensors under timm's names."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int, about: float = 0.0) -> Any:
        return torch.randn(shape, generator=generator) * 0.1 + about

    tensors = {
        "cls_token": random(1, 1, width),
        "pos_embed": random(1, (IMAGE // PATCH) ** 2 + 1, width),
        "patch_embed.proj.weight": random(width, 3, PATCH, PATCH),
        "patch_embed.proj.bias": random(width),
        "norm.weight": random(width, about=1),
        "norm.bias": random(width),
        "head.weight": random(labels, width),
        "head.bias": random(labels),
    }
    for k in range(depth):
        block = f"blocks.{k}."
        tensors |= {
            f"{block}norm1.weight": random(width, about=1),
            f"{block}norm1.bias": random(width),
            f"{block}attn.qkv.weight": random(3 * width, width),
            f"{block}attn.qkv.bias": random(3 * width),
            f"{block}attn.proj.weight": random(width, width),
            f"{block}attn.proj.bias": random(width),
            f"{block}norm2.weight": random(width, about=1),
            f"{block}norm2.bias": random(width),
            f"{block}mlp.fc1.weight": random(4 * width, width),
            f"{block}mlp.fc1.bias": random(4 * width),
            f"{block}mlp.fc2.weight": random(width, 4 * width),
            f"{block}mlp.fc2.bias": random(width),
        }
    return tensors


def timm_config(labels: Sequence[str], **pretrained: Any) -> dict[str, Any]:
    """timm's ``config.json`` of a ViT-tiny, two blocks deep."""
    return {
        "architecture": f"vit_tiny_patch{PATCH}_{IMAGE}",
        "num_classes": len(labels),
        "num_features": 192,
        "global_pool": "token",
        "label_names": list(labels),
        "model_args": {"img_size": IMAGE, "patch_size": PATCH, "depth": 2},
        "pretrained_cfg": {
            "input_size": [3, IMAGE, IMAGE],
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            **pretrained,
        },
    }


def timm(folder: Path, labels: Sequence[str], seed: int = 0) -> Path:
    """A ViT classifier in timm's layout."""
    write_json(folder / "config.json", timm_config(labels))
    save_file(timm_tensors(len(labels), seed=seed), folder / "model.safetensors")
    return folder


def clip_config(dim: int, activation: str = "quick_gelu") -> CLIPConfig:
    """A small CLIP whose embedding has ``dim`` dimensions."""
    shape = {
        "hidden_size": _WIDTH,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "intermediate_size": 64,
        "hidden_act": activation,
        "projection_dim": dim,
    }
    text = CLIPTextConfig(vocab_size=VOCABULARY, max_position_embeddings=24, **shape)
    vision = CLIPVisionConfig(image_size=IMAGE, patch_size=PATCH, **shape)
    return CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=dim
    )


def clip(folder: Path, dim: int, seed: int = 0, activation: str = "quick_gelu") -> Path:
    """CLIP in transformers' layout, with a tokenizer."""
    seeded(CLIPModel(clip_config(dim, activation)), seed).save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", clip_preprocessor())
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def clip_preprocessor() -> dict[str, Any]:
    """What CLIP's repositories have in ``preprocessor_config.json``."""
    return {
        "crop_size": {"height": IMAGE, "width": IMAGE},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": IMAGE},
    }


_LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = 2 * len(_LETTERS) + 3


def tokenizer() -> Tokenizer:
    """A tokenizer of CLIP's form over single letters: byte pairs without a merge."""
    words = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), "<unk>"]
    ids = {word: index for index, word in enumerate(words)}
    ids |= {"<|startoftext|>": len(ids), "<|endoftext|>": len(ids) + 1}
    made = Tokenizer(models.BPE(vocab=ids, merges=[], unk_token="<unk>", end_of_word_suffix="</w>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[
            ("<|startoftext|>", ids["<|startoftext|>"]),
            ("<|endoftext|>", ids["<|endoftext|>"]),
        ],
    )
    return made


def safety_checker(folder: Path, dim: int = 768, seed: int = 0) -> Path:
    """The Stable Diffusion safety checker's layout around a small CLIP image tower."""
    model = seeded(CLIPModel(clip_config(dim)), seed)
    rng = torch.Generator().manual_seed(seed)
    tensors = {
        f"vision_model.{name}": tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if name.startswith("vision_model.")
    }
    tensors |= {
        "visual_projection.weight": model.visual_projection.weight.detach().contiguous(),
        "concept_embeds": torch.randn(17, dim, generator=rng),
        "concept_embeds_weights": torch.full((17,), 0.05),
        "special_care_embeds": torch.randn(3, dim, generator=rng),
        "special_care_embeds_weights": torch.full((3,), 0.05),
    }
    config = clip_config(dim).to_dict()
    write_json(
        folder / "config.json",
        {
            "architectures": ["StableDiffusionSafetyChecker"],
            "model_type": "clip",
            "projection_dim": dim,
            "vision_config": config["vision_config"],
        },
    )
    write_json(folder / "preprocessor_config.json", clip_preprocessor())
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def needs_heads(*files: str) -> pytest.MarkDecorator:
    """Skip where the published heads' files are not beside the checkout."""
    missing = [name for name in files if not (HEADS / name).is_file()]
    return pytest.mark.skipif(bool(missing), reason=f"not beside the checkout: {missing}")


def place(store: Path, card: Any, sources: Mapping[str, Path]) -> None:
    """Copy files into a store, under the names that the card's checkpoint gives them."""
    for file in card.weights.files:
        target = store / card.weights.repo / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sources[file.path], target)


def backbones(store: Path) -> None:
    """The three CLIP backbones, with embeddings as wide as the real ones."""
    for seed, (card, activation) in enumerate(
        ((CLIP_B32, "quick_gelu"), (CLIP_L14, "quick_gelu"), (CLIP_H14, "gelu"))
    ):
        assert card.weights is not None
        assert card.embedding is not None
        clip(store / card.weights.repo, card.embedding, seed, activation)


def published_heads(store: Path) -> None:
    """Every published head: the real files where they are beside the checkout, else stand-ins."""
    real = {
        "clip_autokeras_binary_nsfw.zip": HEADS / "laion/clip_autokeras_binary_nsfw.zip",
        "clip_autokeras_nsfw_b32.zip": HEADS / "laion/clip_autokeras_nsfw_b32.zip",
        "violence_detection_vit_l_14.npy": HEADS / "laion/violence_detection_vit_l_14.npy",
        "violence_detection_vit_b_32.npy": HEADS / "laion/violence_detection_vit_b_32.npy",
        "data/ViT-L-14/prompts.p": HEADS / "q16/prompts.p",
        **{f"{label}.pt": HEADS / f"multiheaded/{label}.pt" for label in MULTIHEADED_LABELS},
    }
    for card in HEAD_CARDS.values():
        assert card.weights is not None
        folder = store / card.weights.repo
        for file in card.weights.files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.path in real and real[file.path].is_file():
                shutil.copyfile(real[file.path], target)
            else:
                _stand_in(target)


def _stand_in(target: Path) -> None:
    if target.name == "clip_autokeras_binary_nsfw.zip":
        files.laion_zip(target, 768, (180, 316, 413, 440, 644))
    elif target.name == "clip_autokeras_nsfw_b32.zip":
        files.laion_zip(target, 512, (92, 133, 312))
    elif target.name == "h14_nsfw.pth":
        files.h14_pth(target)
    elif target.name == "clip_autokeras_binary_nsfw.pth":
        files.port_pth(target)
    elif target.suffix == ".npy":
        files.violence_npy(target, 512 if "b_32" in target.name else 768)
    elif target.suffix == ".p":
        files.q16_pickle(target)
    else:
        files.multiheaded_folder(target.parent)


def whole_store(store: Path) -> None:
    """All that the registry's models need, trusted as weights of one's own."""
    for card, make in (
        (FALCONSAI, vit),
        (MARQO, timm),
        (ADAMCODD, vit),
    ):
        assert card.weights is not None
        make(store / card.weights.repo, list(card.labels))
    backbones(store)
    published_heads(store)
    assert SD_FILTER.weights is not None
    safety_checker(store / SD_FILTER.weights.repo)
    if (SHARED / "nsfwjs-mobilenet-v2").is_dir():
        assert GANTMAN.weights is not None
        for file in GANTMAN.weights.files:
            target = store / GANTMAN.weights.repo / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SHARED / "nsfwjs-mobilenet-v2" / Path(file.path).name, target)
    needed = [card for entry in entries().values() for card in (entry.card, *entry.card.needs)]
    for card in needed:
        if card.weights is not None and folder_of(card) is not None:
            trust(card)


def random_rows(count: int, dim: int, seed: int = 0) -> Any:
    """L2-normalised float32 rows."""
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)

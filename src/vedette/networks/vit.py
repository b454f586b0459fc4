"""Vision transformers that classify: transformers' network, from transformers' or timm's files.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words" (ICLR 2021). timm's checkpoints hold
the same network under other names, with queries, keys and values in one matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.compile.quiet import quiet
from vedette.extras import require
from vedette.networks.files import (
    check_room,
    count,
    field,
    read_json,
    read_tensors,
    scaled,
    unusable,
)

_TIMM_NAMES = {
    # timm's name inside a block: the published name inside transformers' encoder layer
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_TIMM_TOP = {
    "cls_token": "vit.embeddings.cls_token",
    "pos_embed": "vit.embeddings.position_embeddings",
    "patch_embed.proj.weight": "vit.embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "vit.embeddings.patch_embeddings.projection.bias",
    "norm.weight": "vit.layernorm.weight",
    "norm.bias": "vit.layernorm.bias",
    "head.weight": "classifier.weight",
    "head.bias": "classifier.bias",
}
_TIMM_WIDTHS = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12), "large": (1024, 16)}
"""Hidden size and attention heads by the size in an architecture's name."""


@dataclass(frozen=True, slots=True)
class VitConfig:
    """The shape of a checkpoint's network, read without torch."""

    folder: Path
    timm: bool
    labels: tuple[str, ...]
    """Of the outputs, in their order, as the checkpoint's own configuration names them."""
    hidden: int
    layers: int
    heads: int
    mlp: int
    image: int
    """px"""
    patch: int
    """px"""
    eps: float
    """Of the layer norms."""
    qkv_bias: bool
    multi_label: bool
    """Whether its labels are independent of each other (sigmoid instead of softmax)."""


def read_config(folder: Path) -> VitConfig:
    """The configuration of a checkpoint folder, transformers' or timm's.

    Raises:
        ModelError: ``weights_missing``, or ``weights_unusable``: another network, or no labels.
    """
    path = folder / "config.json"
    config = read_json(path)
    return _of_timm(config, path) if "architecture" in config else _of_transformers(config, path)


def _of_transformers(config: Mapping[str, Any], path: Path) -> VitConfig:
    if config.get("model_type") != "vit":
        raise unusable(path, f"model_type {config.get('model_type')!r} is not 'vit'")
    if config.get("hidden_act", "gelu") != "gelu":
        raise unusable(path, f"hidden_act {config['hidden_act']!r} is not 'gelu'")
    # transformers leaves its default out: two labels without a name.
    named = field(config, "id2label", dict, {"0": "LABEL_0", "1": "LABEL_1"}, path)
    try:
        labels = tuple(str(named[str(index)]) for index in range(len(named)))
    except KeyError as error:
        raise unusable(path, f"id2label has no {error}") from None
    return VitConfig(
        folder=path.parent,
        timm=False,
        labels=_checked(labels, path),
        hidden=count(config, "hidden_size", 768, path),
        layers=count(config, "num_hidden_layers", 12, path),
        heads=count(config, "num_attention_heads", 12, path),
        mlp=count(config, "intermediate_size", 3072, path),
        image=count(config, "image_size", 224, path),
        patch=count(config, "patch_size", 16, path),
        eps=field(config, "layer_norm_eps", float, 1e-12, path),
        qkv_bias=field(config, "qkv_bias", bool, True, path),
        multi_label=config.get("problem_type") == "multi_label_classification",
    )


def _of_timm(config: Mapping[str, Any], path: Path) -> VitConfig:
    name = field(config, "architecture", str, None, path)
    parts = name.split("_")
    given = field(config, "model_args", dict, {}, path) if config.get("model_args") else {}
    size = next((part for part in parts if part in _TIMM_WIDTHS), None)
    patch = next((int(p[5:]) for p in parts if p.startswith("patch") and p[5:].isdecimal()), None)
    if (
        parts[0] != "vit"
        or size is None
        or patch is None
        or len(parts) != 4
        or given.keys()
        - {*("embed_dim", "num_heads", "depth", "mlp_ratio", "img_size", "patch_size")}
    ):
        raise unusable(path, f"{name!r} is not a plain ViT of timm's")
    hidden, heads = _TIMM_WIDTHS[size]
    hidden = count(given, "embed_dim", hidden, path)
    pretrained = field(config, "pretrained_cfg", dict, {}, path)
    labels = config.get("label_names") or pretrained.get("label_names")
    if not isinstance(labels, list):
        raise unusable(path, "no label_names: which output means what is not known")
    pool = config.get("global_pool", "token")
    if pool != "token":
        raise unusable(path, f"global_pool {pool!r} is not 'token'")
    return VitConfig(
        folder=path.parent,
        timm=True,
        labels=_checked(tuple(str(label) for label in labels), path),
        hidden=hidden,
        layers=count(given, "depth", 24 if size == "large" else 12, path),
        heads=count(given, "num_heads", heads, path),
        mlp=scaled(hidden, given, path),
        image=count(given, "img_size", _side(pretrained, path), path),
        patch=count(given, "patch_size", patch, path),
        eps=1e-6,
        qkv_bias=True,
        multi_label=False,
    )


def _side(pretrained: Mapping[str, Any], path: Path) -> int:
    size = field(pretrained, "input_size", list, [3, 224, 224], path)
    if len(size) != 3 or type(size[1]) is not int:
        raise unusable(path, f"input_size is {size!r}")
    return size[1]


def _checked(labels: tuple[str, ...], path: Path) -> tuple[str, ...]:
    if not labels or len(set(labels)) != len(labels):
        raise unusable(path, f"its labels are not one each: {labels!r}")
    return labels


def vit_module(config: VitConfig) -> Any:
    """A torch module from normalised pixels [n, 3, h, w] to (logits [n, labels], embedding [n, d]).

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
        MissingExtraError: torch or transformers is not installed.
    """
    torch = require("torch", extra="zoo")
    transformers = require("transformers", extra="zoo")
    path = config.folder / "model.safetensors"
    tensors = read_tensors(path)
    if config.timm:
        tensors = dict(_renamed(tensors, path))
    check_room(config.layers, config.hidden, config.mlp, tensors, path)
    try:
        network = transformers.ViTForImageClassification(
            transformers.ViTConfig(
                hidden_size=config.hidden,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.mlp,
                image_size=config.image,
                patch_size=config.patch,
                layer_norm_eps=config.eps,
                qkv_bias=config.qkv_bias,
                num_labels=len(config.labels),
            )
        )
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise unusable(config.folder / "config.json", str(error)) from error
    network = _loaded(network, tensors, path)

    class Vit(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Any) -> tuple[Any, Any]:
            embedding = self.network.vit(pixel_values=images).last_hidden_state[:, 0]
            return self.network.classifier(embedding), embedding

    return Vit().eval()


def _loaded(network: Any, tensors: Mapping[str, Any], path: Path) -> Any:
    """``network`` with the tensors of a published file, whose names transformers translates."""
    progress = require("transformers.utils.logging", extra="zoo")
    shown = progress.is_progress_bar_enabled()
    progress.disable_progress_bar()
    try:
        with quiet():
            loaded, info = type(network).from_pretrained(
                None,
                config=network.config,
                state_dict=dict(tensors),
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # and refused below, by name
            )
    except (ValueError, RuntimeError, OSError) as error:
        raise unusable(path, f"not this network's weights: {error}") from error
    finally:
        if shown:
            progress.enable_progress_bar()
    wrong = [*info["missing_keys"], *info["unexpected_keys"]]
    wrong += [key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]]
    # A pooler is trained by some and used by no classifier.
    wrong = [str(key) for key in wrong if "pooler" not in str(key)]
    if wrong:
        raise unusable(path, f"not this network's weights: {sorted(wrong)[0]}")
    return loaded.eval()


def _renamed(tensors: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    for name, tensor in tensors.items():
        if name in _TIMM_TOP:
            yield _TIMM_TOP[name], tensor
            continue
        parts = name.split(".")
        if len(parts) < 4 or parts[0] != "blocks":
            raise unusable(path, f"{name} is no part of a plain ViT")
        layer, inner, kind = f"vit.encoder.layer.{parts[1]}", ".".join(parts[2:-1]), parts[-1]
        if inner == "attn.qkv":
            for which, part in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                yield f"{layer}.attention.attention.{which}.{kind}", part
        elif inner in _TIMM_NAMES:
            yield f"{layer}.{_TIMM_NAMES[inner]}.{kind}", tensor
        else:
            raise unusable(path, f"{name} is no part of a plain ViT")

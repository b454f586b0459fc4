"""CLIP's two towers: transformers' networks, from transformers' or OpenCLIP's files.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
(ICML 2021). OpenCLIP's checkpoints hold the same networks under other names, with queries, keys
and values in one matrix and the projections transposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.extras import require
from vedette.networks.files import (
    check_room,
    count,
    field,
    load_into,
    read_json,
    read_tensors,
    scaled,
    unusable,
)

_OPENCLIP_CONFIG = "open_clip_config.json"
_OPENCLIP_WEIGHTS = "open_clip_model.safetensors"
_ACTIVATIONS = ("quick_gelu", "gelu")
_EPS = 1e-5
"""Of every layer norm of every published CLIP."""
_IN_BLOCK = {
    # OpenCLIP's name inside a block: transformers' name inside an encoder layer
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_TOP = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
_TRANSPOSED = {
    "visual.proj": "visual_projection.weight",
    "text_projection": "text_projection.weight",
}


@dataclass(frozen=True, slots=True)
class Tower:
    """The shape of one tower."""

    hidden: int
    layers: int
    heads: int
    mlp: int
    activation: str
    """``quick_gelu`` (OpenAI's own) or ``gelu``, as trained."""


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """The shape of a checkpoint's networks, read without torch."""

    folder: Path
    openclip: bool
    dim: int
    """Of the space that both towers project into."""
    vision: Tower
    image: int
    """px"""
    patch: int
    """px"""
    text: Tower | None
    vocabulary: int
    context: int
    """Tokens of a text, at most."""

    @property
    def weights(self) -> Path:
        """The file of tensors."""
        return self.folder / (_OPENCLIP_WEIGHTS if self.openclip else "model.safetensors")

    @property
    def config_file(self) -> Path:
        """The configuration that this was read from."""
        return self.folder / (_OPENCLIP_CONFIG if self.openclip else "config.json")


def read_clip_config(folder: Path) -> ClipConfig:
    """The configuration of a checkpoint folder; OpenCLIP's where it has one with its weights.

    Raises:
        ModelError: ``weights_missing``, or ``weights_unusable``: another network.
    """
    if (folder / _OPENCLIP_WEIGHTS).is_file():
        path = folder / _OPENCLIP_CONFIG
        return _of_openclip(read_json(path), path)
    path = folder / "config.json"
    return _of_transformers(read_json(path), path)


def _of_transformers(config: Mapping[str, Any], path: Path) -> ClipConfig:
    if config.get("model_type") not in ("clip", "clip_vision_model"):
        raise unusable(path, f"model_type {config.get('model_type')!r} is not 'clip'")
    alone = config.get("model_type") == "clip_vision_model"  # its fields stand at the top
    vision = config if alone else field(config, "vision_config", dict, {}, path)
    text = field(config, "text_config", dict, {}, path)
    return ClipConfig(
        folder=path.parent,
        openclip=False,
        dim=count(config, "projection_dim", 512, path),
        vision=_tower(vision, (768, 12, 12, 3072), path),
        image=count(vision, "image_size", 224, path),
        patch=count(vision, "patch_size", 32, path),
        text=_tower(text, (512, 12, 8, 2048), path),
        vocabulary=count(text, "vocab_size", 49408, path),
        context=count(text, "max_position_embeddings", 77, path),
    )


def _tower(config: Mapping[str, Any], usual: tuple[int, int, int, int], path: Path) -> Tower:
    activation = config.get("hidden_act", "quick_gelu")
    if activation not in _ACTIVATIONS:
        raise unusable(path, f"hidden_act {activation!r} is none of CLIP's")
    if not abs(field(config, "layer_norm_eps", float, _EPS, path) - _EPS) < 1e-9:
        raise unusable(path, "its layer_norm_eps is not CLIP's")
    return Tower(
        count(config, "hidden_size", usual[0], path),
        count(config, "num_hidden_layers", usual[1], path),
        count(config, "num_attention_heads", usual[2], path),
        count(config, "intermediate_size", usual[3], path),
        activation,
    )


def _of_openclip(config: Mapping[str, Any], path: Path) -> ClipConfig:
    model = field(config, "model_cfg", dict, None, path)
    vision = field(model, "vision_cfg", dict, None, path)
    text = field(model, "text_cfg", dict, None, path)
    if "timm_model_name" in vision or "hf_model_name" in text:
        raise unusable(path, "a tower that is not CLIP's own")
    activation = "quick_gelu" if field(model, "quick_gelu", bool, False, path) else "gelu"
    width = count(vision, "width", 768, path)
    text_width = count(text, "width", 512, path)
    return ClipConfig(
        folder=path.parent,
        openclip=True,
        dim=count(model, "embed_dim", None, path),
        vision=Tower(
            width,
            count(vision, "layers", 12, path),
            width // count(vision, "head_width", 64, path),
            scaled(width, vision, path),
            activation,
        ),
        image=count(vision, "image_size", 224, path),
        patch=count(vision, "patch_size", 16, path),
        text=Tower(
            text_width,
            count(text, "layers", 12, path),
            count(text, "heads", 8, path),
            scaled(text_width, text, path),
            activation,
        ),
        vocabulary=count(text, "vocab_size", 49408, path),
        context=count(text, "context_length", 77, path),
    )


def vision_module(config: ClipConfig, tensors: Mapping[str, Any] | None = None) -> Any:
    """A torch module from normalised pixels [n, 3, h, w] to the projected embedding [n, dim].

    The embedding is as projected, not normalised.

    Args:
        config: from :func:`read_clip_config`.
        tensors: by transformers' names; read from the checkpoint where not given.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
        MissingExtraError: torch or transformers is not installed.
    """
    torch = require("torch", extra="zoo")
    transformers = require("transformers", extra="zoo")
    tower = config.vision
    if tensors is None:
        tensors = read_clip_tensors(config)
    check_room(tower.layers, tower.hidden, tower.mlp, tensors, config.weights)
    try:
        network = transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(
                hidden_size=tower.hidden,
                intermediate_size=tower.mlp,
                num_hidden_layers=tower.layers,
                num_attention_heads=tower.heads,
                hidden_act=tower.activation,
                image_size=config.image,
                patch_size=config.patch,
                projection_dim=config.dim,
            )
        )
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise unusable(config.config_file, str(error)) from error
    own = {k: v for k, v in tensors.items() if k.startswith(("vision_model.", "visual_proj"))}
    network = load_into(network, own, config.weights, ())

    class Vision(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Any) -> Any:
            return self.network(pixel_values=images).image_embeds

    return Vision().eval()


def text_module(config: ClipConfig) -> Any:
    """transformers' text tower; called with token ids [n, tokens], its ``text_embeds`` count.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``; the checkpoint has no text tower.
        MissingExtraError: torch or transformers is not installed.
    """
    transformers = require("transformers", extra="zoo")
    tower = config.text
    if tower is None:
        raise unusable(config.config_file, "it has no text tower")
    tensors = read_clip_tensors(config)
    check_room(tower.layers, tower.hidden, tower.mlp, tensors, config.weights)
    try:
        network = transformers.CLIPTextModelWithProjection(
            transformers.CLIPTextConfig(
                vocab_size=config.vocabulary,
                hidden_size=tower.hidden,
                intermediate_size=tower.mlp,
                num_hidden_layers=tower.layers,
                num_attention_heads=tower.heads,
                hidden_act=tower.activation,
                max_position_embeddings=config.context,
                projection_dim=config.dim,
                # transformers' sign for "pool where the id is highest", as CLIP was trained: the
                # end-of-text token is the last of the vocabulary.
                eos_token_id=2,
            )
        )
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise unusable(config.config_file, str(error)) from error
    own = {k: v for k, v in tensors.items() if k.startswith(("text_model.", "text_proj"))}
    return load_into(network, own, config.weights, ())


def read_clip_tensors(config: ClipConfig) -> dict[str, Any]:
    """The checkpoint's tensors by transformers' names.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    tensors = read_tensors(config.weights)
    if config.openclip:
        tensors = dict(_renamed(tensors, config.weights))
    return {k: v for k, v in tensors.items() if not k.endswith(".position_ids")}


def _renamed(tensors: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    for name, tensor in tensors.items():
        if name in _TOP:
            yield _TOP[name], tensor
        elif name in _TRANSPOSED:
            yield _TRANSPOSED[name], tensor.T.contiguous()
        elif name.startswith(("visual.transformer.", "transformer.")):
            yield from _block(name, tensor, path)
        elif name not in ("logit_scale", "logit_bias", "attn_mask"):
            raise unusable(path, f"{name} is no part of CLIP")


def _block(name: str, tensor: Any, path: Path) -> Iterator[tuple[str, Any]]:
    tower = "vision_model" if name.startswith("visual.") else "text_model"
    parts = name.split(".")
    at = parts.index("resblocks") if "resblocks" in parts else len(parts)
    if len(parts) < at + 3:
        raise unusable(path, f"{name} is no part of CLIP")
    layer, inner = f"{tower}.encoder.layers.{parts[at + 1]}", ".".join(parts[at + 2 :])
    if inner in ("attn.in_proj_weight", "attn.in_proj_bias"):
        kind = inner.rpartition("_")[2]
        for which, part in zip("qkv", tensor.chunk(3), strict=True):
            yield f"{layer}.self_attn.{which}_proj.{kind}", part
        return
    base, _, kind = inner.rpartition(".")
    if base not in _IN_BLOCK:
        raise unusable(path, f"{name} is no part of CLIP")
    yield f"{layer}.{_IN_BLOCK[base]}.{kind}", tensor

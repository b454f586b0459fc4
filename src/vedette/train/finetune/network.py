"""A network that is trained: an image tower, and over it one linear head with a logit per label."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vedette.backends.base import PixelNorm
from vedette.compile.quiet import quiet
from vedette.extras import require
from vedette.heads.base import Dense, Mlp
from vedette.heads.trained import TrainedMlp, facts_of, write_head
from vedette.models.base import ModelCard
from vedette.models.over import HEAD
from vedette.models.recipe import RESAMPLES, Recipe
from vedette.networks.clip import ClipConfig, vision_module
from vedette.networks.files import disk_told
from vedette.networks.vit import VitConfig, vit_module
from vedette.resize import Fit

_SLOWEST = 100.0
"""Length of the longest wave of a position over that of the shortest."""
_POSITION = 0.5
"""Height of these waves."""
_HEAD_STD = 0.02
"""Of a new head's weights, as of a ViT's own."""


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A start, ready to be trained."""

    kind: Literal["vit", "clip"]
    """Of the folder that it becomes (:mod:`vedette.models.trained`)."""
    module: Any
    """A torch module from normalised pixels [n, 3, h, w] to (logits [n, labels], embedding [n, d]);
    its parts are ``backbone`` and ``head``."""
    blocks: int
    """Transformer blocks."""
    recipe: Recipe
    card: ModelCard
    """Of the start."""
    labels: tuple[str, ...]
    embedding: int
    """Dimensions."""

    @property
    def parts(self) -> dict[str, Any]:
        """What :mod:`vedette.models.finetuned` needs to open its folder, as JSON values."""
        told: dict[str, Any] = {"halves_to_even": self.recipe.halves_to_even}
        return told if self.kind == "vit" else {**told, "head": facts_of(self._head())}

    def checkpoint_activations(self) -> None:
        """Compute activations again on the way back, in place of keeping them."""
        tower = self.module.backbone
        # Later versions of transformers 5 warn of the older name.
        usual = "activation_checkpointing_enable"
        enable = getattr(tower, usual, None) or tower.gradient_checkpointing_enable
        enable({"use_reentrant": False})

    def write(self, folder: Path) -> None:
        """Write weights and configurations into a folder, in transformers' layout.

        Raises:
            OSError: a file cannot be written.
        """
        network = self.module.backbone
        if self.kind == "vit":
            network = self.module.network
            network.config.id2label = dict(enumerate(self.labels))
            network.config.label2id = {label: at for at, label in enumerate(self.labels)}
            network.config.problem_type = "multi_label_classification"
        else:
            write_head(folder / HEAD, self._head())
        _save(network, folder)
        text = json.dumps(_preprocessor(self.recipe), indent=1)
        (folder / "preprocessor_config.json").write_text(text + "\n", encoding="utf-8")

    def _head(self) -> TrainedMlp:
        weight = self.module.head.weight.detach().cpu().numpy().astype(np.float32)
        bias = self.module.head.bias.detach().cpu().numpy().astype(np.float32)
        rows = [Mlp((Dense(weight[k][:, None], bias[k : k + 1]),)) for k in range(len(weight))]
        return TrainedMlp(self.labels, tuple(rows), unit=False)


def of_vit(config: VitConfig, recipe: Recipe, card: ModelCard, labels: tuple[str, ...]) -> Network:
    """A ViT checkpoint with a new head. The generator of torch decides the head's weights.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
        MissingExtraError: torch or transformers is not installed.
    """
    network = vit_module(config).network
    return _vit(network, recipe, card, labels)


def of_clip(
    config: ClipConfig, recipe: Recipe, card: ModelCard, labels: tuple[str, ...]
) -> Network:
    """A CLIP image tower with a new head over its projected embedding.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
        MissingExtraError: torch or transformers is not installed.
    """
    torch = require("torch", extra="zoo")
    tower = vision_module(config).network

    class ClipNetwork(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.backbone = tower
            self.head = _new_head(config.dim, len(labels))

        def forward(self, images: Any) -> tuple[Any, Any]:
            embedding = self.backbone(pixel_values=images).image_embeds
            return self.head(embedding), embedding

    return Network("clip", ClipNetwork(), config.vision.layers, recipe, card, labels, config.dim)


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a ViT that is made here."""

    image: int
    """px"""
    patch: int
    """px"""
    hidden: int
    layers: int
    heads: int
    mlp: int


def fresh_vit(shape: Shape, card: ModelCard, labels: tuple[str, ...]) -> Network:
    """A ViT with random weights; the generator of torch decides them.

    Raises:
        MissingExtraError: torch or transformers is not installed.
    """
    transformers = require("transformers", extra="zoo")
    network = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=shape.mlp,
            image_size=shape.image,
            patch_size=shape.patch,
            num_labels=len(labels),
        )
    )
    _scale(network)
    half = (0.5, 0.5, 0.5)
    recipe = Recipe(Fit(shape.image, "stretch"), shape.image, PixelNorm(half, half))
    return _vit(network, recipe, card, labels)


def _vit(network: Any, recipe: Recipe, card: ModelCard, labels: tuple[str, ...]) -> Network:
    torch = require("torch", extra="zoo")
    width = network.config.hidden_size
    network.classifier = _new_head(width, len(labels))

    class VitNetwork(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.backbone = network.vit
            self.head = network.classifier

        @property
        def network(self) -> Any:
            """transformers' own, around the same parts."""
            return network

        def forward(self, images: Any) -> tuple[Any, Any]:
            embedding = self.backbone(pixel_values=images).last_hidden_state[:, 0]
            return self.head(embedding), embedding

    layers = network.config.num_hidden_layers
    return Network("vit", VitNetwork(), layers, recipe, card, labels, width)


def _scale(network: Any) -> None:
    """Weights by how many inputs they have (Glorot and Bengio, AISTATS 2010).

    transformers draws all from N(0, 0.02), whatever the width: a narrow network then takes many
    epochs to get from its means.
    """
    init = require("torch.nn.init", extra="zoo")
    for parameter in network.vit.parameters():
        if parameter.ndim == 2:
            init.xavier_uniform_(parameter)
        elif parameter.ndim == 4:
            init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    _place(network.vit.embeddings.position_embeddings, network.config.hidden_size)


def _place(positions: Any, width: int) -> None:
    """Patches that lie beside each other get positions alike (sines of row and column).

    From random positions a network has to learn first, from every picture anew, what lies beside
    what: with some thousand pictures it learns the pictures by heart instead. Source: Beyer et al.,
    "Better plain ViT baselines for ImageNet-1k" (2022).
    """
    torch = require("torch", extra="zoo")
    count = positions.shape[1] - 1
    side = math.isqrt(count)
    waves = _SLOWEST ** (-torch.arange(width // 4) / (width // 4))
    angles = torch.arange(side)[:, None] * waves
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = line.repeat_interleave(side, dim=0), line.repeat(side, 1)
    table = torch.cat([rows, columns], dim=1)
    with torch.no_grad():
        positions.zero_()
        positions[0, 1:, : table.shape[1]] = _POSITION * table


def _new_head(width: int, labels: int) -> Any:
    torch = require("torch", extra="zoo")
    head = torch.nn.Linear(width, labels)
    torch.nn.init.normal_(head.weight, std=_HEAD_STD)
    torch.nn.init.zeros_(head.bias)
    return head


def _save(network: Any, folder: Path) -> None:
    progress = require("transformers.utils.logging", extra="zoo")
    shown = progress.is_progress_bar_enabled()
    progress.disable_progress_bar()
    try:
        with quiet(), disk_told():
            # One file whatever its size: it is read as one.
            network.save_pretrained(folder, max_shard_size="1TB")
    finally:
        if shown:
            progress.enable_progress_bar()


def _preprocessor(recipe: Recipe) -> dict[str, Any]:
    """A recipe as transformers writes it."""
    told: dict[str, Any] = {
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(recipe.norm.mean),
        "image_std": list(recipe.norm.std),
        "resample": _PILLOW[recipe.fit.resample],
    }
    if recipe.fit.mode == "stretch" and recipe.crop == recipe.fit.size:
        size = {"height": recipe.crop, "width": recipe.crop}
        return {**told, "size": size, "image_processor_type": "ViTImageProcessor"}
    crop = {"height": recipe.crop, "width": recipe.crop}
    if recipe.fit.mode == "stretch":
        size = {"height": recipe.fit.size, "width": recipe.fit.size}
    else:
        size = {"shortest_edge": recipe.fit.size}
    told |= {"size": size, "do_center_crop": True, "crop_size": crop}
    return {**told, "image_processor_type": "CLIPImageProcessor"}


_PILLOW = {name: at for at, name in enumerate(RESAMPLES)}
"""Pillow's number of a filter; RESAMPLES has them in that order."""

"""Heads that Vedette trains: one small network, or one pair of prompts, for each label.

All of them give one logit for each label; labels are independent of each other. Stored as
safetensors, read without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vedette.errors import ModelError
from vedette.extras import require
from vedette.heads.base import Dense, Mlp, sigmoid
from vedette.types import Float32

_SCALE = 100.0
"""CLIP's own logit scale, at most; a prompt head states its own."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedMlp:
    """A chain of layers for each label. See :class:`vedette.heads.base.Head`."""

    labels: tuple[str, ...]
    mlps: tuple[Mlp, ...]
    """One for each label, each with one output: the logit. Of one shape."""
    unit: bool
    final: Literal["sigmoid", "linear"] = "sigmoid"

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it takes."""
        return len(self.mlps[0].layers[0].weight)

    def logits(self, embeddings: Float32) -> Float32:
        """float32 [n, labels], from embeddings [n, dim], normalised as :attr:`unit` says."""
        return np.concatenate([mlp(embeddings) for mlp in self.mlps], axis=1)

    def scores(self, embeddings: Float32) -> Float32:
        """Probabilities, float32 [n, labels]."""
        return sigmoid(self.logits(embeddings))

    def probabilities(self, scores: Float32) -> Float32:
        """The scores themselves."""
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class TrainedPrompts:
    """Two directions for each label in CLIP's space. See :class:`vedette.heads.base.Head`.

    A label's logit is ``scale`` times (cosine to the unsafe one - cosine to the safe one): the
    log-odds of CLIP's own softmax over the two.
    """

    labels: tuple[str, ...]
    safe: Float32
    """float32 [labels, dim], of length 1"""
    unsafe: Float32
    """float32 [labels, dim], of length 1"""
    scale: float = _SCALE
    unit: bool = True

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it takes."""
        return int(self.safe.shape[1])

    def logits(self, embeddings: Float32) -> Float32:
        """float32 [n, labels], from normalised embeddings [n, dim]."""
        return np.asarray(self.scale * (embeddings @ (self.unsafe - self.safe).T), np.float32)

    def scores(self, embeddings: Float32) -> Float32:
        """Probabilities, float32 [n, labels]."""
        return sigmoid(self.logits(embeddings))

    def probabilities(self, scores: Float32) -> Float32:
        """The scores themselves."""
        return scores


TrainedHead = TrainedMlp | TrainedPrompts


def tensors_of(head: TrainedHead) -> dict[str, Float32]:
    """What is stored of a head, by name; its other facts are :func:`facts_of`."""
    if isinstance(head, TrainedPrompts):
        return {"safe": head.safe, "unsafe": head.unsafe}
    depth = len(head.mlps[0].layers)
    stacked: dict[str, Float32] = {}
    for at in range(depth):
        layers = [mlp.layers[at] for mlp in head.mlps]
        stacked[f"layers.{at}.weight"] = np.stack([layer.weight for layer in layers])
        stacked[f"layers.{at}.bias"] = np.stack([layer.bias for layer in layers])
    return stacked


def facts_of(head: TrainedHead) -> dict[str, Any]:
    """What is not a tensor, as JSON values: for the model folder's card."""
    told: dict[str, Any] = {"labels": list(head.labels), "unit": head.unit}
    if isinstance(head, TrainedPrompts):
        return {"form": "prompts", **told, "scale": head.scale}
    return {"form": "mlp", **told}


def write_head(path: Path, head: TrainedHead) -> None:
    """Write a head's tensors as a safetensors file.

    Raises:
        MissingExtraError: safetensors is not installed.
        OSError: the file cannot be written.
    """
    save = require("safetensors.numpy", extra="zoo").save
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors_of(head).items()}
    path.write_bytes(save(tensors))  # its own writer's errors are no OSError


def read_head(path: Path, facts: Mapping[str, Any]) -> TrainedHead:
    """The head of a safetensors file.

    Args:
        path: as :func:`write_head` wrote it.
        facts: as :func:`facts_of` gave them.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
        MissingExtraError: safetensors is not installed.
    """
    safetensors = require("safetensors", extra="zoo")
    load = require("safetensors.numpy", extra="zoo").load_file
    if not path.is_file():
        raise ModelError(f"{path} is not there", code="weights_missing")
    try:
        tensors = {name: _finite(value) for name, value in load(str(path)).items()}
        labels = tuple(str(label) for label in facts["labels"])
        unit = facts["unit"]
        if not labels or len(set(labels)) != len(labels) or type(unit) is not bool:
            raise ValueError(f"labels {labels!r}, unit {unit!r}")
        if facts["form"] == "prompts":
            scale = float(facts["scale"])
            return _prompts(labels, tensors["safe"], tensors["unsafe"], scale, unit)
        if facts["form"] != "mlp":
            raise ValueError(f"an unknown form {facts['form']!r}")
        return TrainedMlp(labels, _mlps(tensors, len(labels)), unit)
    except (KeyError, TypeError, ValueError, OSError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"{path.name}: not this head: {type(error).__name__}: {error}", code="weights_unusable"
        ) from error


def _prompts(
    labels: tuple[str, ...], safe: Float32, unsafe: Float32, scale: float, unit: bool
) -> TrainedPrompts:
    if safe.ndim != 2 or safe.shape != unsafe.shape or len(safe) != len(labels):
        raise ValueError(f"prompts of {safe.shape} and {unsafe.shape} for {len(labels)} labels")
    if not 0 < scale <= _SCALE:
        raise ValueError(f"a scale of {scale}")
    return TrainedPrompts(labels, safe, unsafe, scale, unit)


def _mlps(tensors: Mapping[str, Float32], labels: int) -> tuple[Mlp, ...]:
    depth = sum(name.endswith(".weight") for name in tensors)
    chains: list[list[Dense]] = [[] for _ in range(labels)]
    inputs: int | None = None
    for at in range(depth):
        weight, bias = tensors[f"layers.{at}.weight"], tensors[f"layers.{at}.bias"]
        if weight.ndim != 3 or bias.shape != (labels, weight.shape[2]) or len(weight) != labels:
            raise ValueError(f"layer {at} is {weight.shape}, {bias.shape} for {labels} labels")
        if inputs is not None and weight.shape[1] != inputs:
            raise ValueError(f"layer {at} takes {weight.shape[1]} of {inputs} values")
        inputs = weight.shape[2]
        last = at == depth - 1
        for k, chain in enumerate(chains):
            chain.append(Dense(weight[k], bias[k], "linear" if last else "relu"))
    if inputs != 1 or len(tensors) != 2 * depth:
        raise ValueError("not one logit for each label")
    return tuple(Mlp(tuple(chain)) for chain in chains)


def _finite(values: Any) -> Float32:
    kept = np.asarray(values, dtype=np.float32)
    if not np.isfinite(kept).all():
        raise ValueError("a weight that is not finite")
    return kept

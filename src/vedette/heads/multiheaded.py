"""MultiHeaded: five small networks over one CLIP embedding, one for each kind of unsafe image.

Source: Qu et al., "Unsafe Diffusion" (CCS 2023), and its repository YitingQu/unsafe-diffusion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vedette.errors import ModelError
from vedette.formats.pickled import read_state_dict
from vedette.heads.base import Dense, Mlp, sigmoid
from vedette.types import Float32

LABELS = ("sexual", "violent", "disturbing", "hateful", "political")
_EPS = 1e-5
"""torch's own of a batch norm."""


@dataclass(frozen=True, slots=True, eq=False)
class MultiHeaded:
    """See :class:`vedette.heads.base.Head`."""

    mlps: tuple[Mlp, ...]
    """One chain for each label, the batch norm folded into the last layer."""
    labels: tuple[str, ...] = LABELS
    unit: bool = False
    final: Literal["sigmoid", "linear"] = "sigmoid"

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it takes."""
        return len(self.mlps[0].layers[0].weight)

    def encode(self, embeddings: Float32) -> Float32:
        """The embeddings themselves."""
        return embeddings

    def scores(self, embeddings: Float32) -> Float32:
        """The five probabilities, float32 [n, 5]; unsafe where any is above 0.5."""
        return sigmoid(np.concatenate([mlp(embeddings) for mlp in self.mlps], axis=1))

    def probabilities(self, scores: Float32) -> Float32:
        """The scores themselves."""
        return scores


def read_multiheaded(folder: Path) -> MultiHeaded:
    """The five heads of a folder of ``.pt`` files named after the labels.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    heads = tuple(_read(folder / f"{label}.pt") for label in LABELS)
    if len({head.layers[0].weight.shape for head in heads}) != 1:
        raise ModelError(f"{folder.name}: heads of different widths", code="weights_unusable")
    return MultiHeaded(heads)


def _read(path: Path) -> Mlp:
    t = read_state_dict(path)
    try:
        _check_shapes(t)
        # In float64: the fold must not cost digits. y = gain * x + shift is the batch norm.
        gain = t["3.weight"] / np.sqrt(t["3.running_var"].astype(np.float64) + _EPS)
        shift = t["3.bias"] - gain * t["3.running_mean"]
        last = t["4.weight"].astype(np.float64)
        weight = (last * gain).T
        bias = t["4.bias"] + last @ shift
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path.name}: not this head: {error}", code="weights_unusable") from error
    hidden = Dense(np.ascontiguousarray(t["0.weight"].T), t["0.bias"], "relu")
    return Mlp((hidden, Dense(weight.astype(np.float32), bias.astype(np.float32))))


def _check_shapes(t: Mapping[str, Float32]) -> None:
    """Here, because numpy would make others fit each other."""
    hidden = t["0.weight"].shape[:1]
    if t["0.weight"].ndim != 2 or t["4.weight"].shape != (1, *hidden) or t["4.bias"].shape != (1,):
        raise ValueError("layers of other shapes")
    norm = ("weight", "bias", "running_mean", "running_var")
    if any(t[name].shape != hidden for name in ("0.bias", *(f"3.{part}" for part in norm))):
        raise ValueError("layers of other shapes")
    if (t["3.running_var"] < 0).any():
        raise ValueError("a variance that is negative")

"""What a head is: a small classifier over image embeddings, in its published arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from vedette.types import Float32


class Head(Protocol):
    """One published head. Thread-safe; an embedding's scores do not depend on the others'."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What its columns mean, in their order."""
        ...

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it takes."""
        ...

    @property
    def unit(self) -> bool:
        """Whether it was made for L2-normalised embeddings; false: for them as projected."""
        ...

    def scores(self, embeddings: Float32) -> Float32:
        """The head's own output, as published.

        Args:
            embeddings: float32 [n, dim], normalised or not as :attr:`unit` says. Never normalised
                here: a head may depend on the exact values.

        Returns:
            float32 [n, labels].
        """
        ...

    def probabilities(self, scores: Float32) -> Float32:
        """``scores`` as values in 0..1 that pass 0.5 where the published decision is made."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """One fully connected layer."""

    weight: Float32
    """float32 [inputs, outputs]"""
    bias: Float32
    """float32 [outputs]"""
    activation: Literal["relu", "linear"] = "linear"


@dataclass(frozen=True, slots=True, eq=False)
class Mlp:
    """Dense layers, one after the other; batch norms are folded into their neighbours."""

    layers: Sequence[Dense]

    def __call__(self, x: Float32) -> Float32:
        """float32 [n, inputs] to float32 [n, outputs]."""
        for layer in self.layers:
            x = x @ layer.weight + layer.bias
            if layer.activation == "relu":
                x = np.maximum(x, 0)
        return x


@dataclass(frozen=True, slots=True)
class NoHead:
    """Says nothing about an embedding: for a backbone that is asked for embeddings alone."""

    dim: int
    labels: tuple[str, ...] = ()
    unit: bool = False

    def scores(self, embeddings: Float32) -> Float32:
        """float32 [n, 0]"""
        return np.zeros((len(embeddings), 0), np.float32)

    def probabilities(self, scores: Float32) -> Float32:
        """The scores themselves."""
        return scores


def softmax(logits: Float32) -> Float32:
    """Probabilities along the last axis, float32 in and out."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


def sigmoid(x: Float32) -> Float32:
    """1 / (1 + exp(-x)) without overflow, float32 in and out."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)

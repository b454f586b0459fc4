"""LAION's NSFW detectors over CLIP embeddings: the AutoKeras originals, their port, and H/14.

Source: LAION-AI/CLIP-based-NSFW-Detector (MIT). The originals are not plain MLPs: AutoKeras took
some dimensions for categorical, because values stored as float16 repeat. Such a value is printed
with six decimals and replaced by its index in a table of such texts, 0 where it is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vedette.errors import ModelError
from vedette.formats.pickled import read_state_dict
from vedette.formats.savedmodel import SavedModel, read_saved_model
from vedette.heads.base import Dense, Mlp, sigmoid
from vedette.types import Float32

_LEAST_STD = np.float32(1e-7)
"""Keras' epsilon: variances of columns that never varied."""
_PRINTED = re.compile(r"(-?)(0|[1-9][0-9]{0,8})\.([0-9]{6})\Z")
_MINUS_ZERO = -(2**62)
"""Key of "-0.000000", which is another text than "0.000000"."""
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One column's table: indices by value, both in the order of the keys."""

    keys: NDArray[np.int64]
    """Sorted; millionths."""
    indices: Float32

    def look_up(self, values: NDArray[np.floating[Any]]) -> Float32:
        """The index of each value's text, 0 where it is not in the table. float32 [n].

        A float32 times a million is exact in float64, so that rounding it to the nearest even
        number gives the very digits that ``printf("%f")`` prints.
        """
        exact = values.astype(np.float64)
        # Past any text of the table; the cast would wrap around.
        micro = np.rint(np.clip(exact, -1e9, 1e9) * _MILLION).astype(np.int64)
        micro[(micro == 0) & np.signbit(exact)] = _MINUS_ZERO
        at = np.minimum(np.searchsorted(self.keys, micro), len(self.keys) - 1)
        found = self.keys[at] == micro
        return np.where(found, self.indices[at], np.float32(0)).astype(np.float32)

    def of_halves(self) -> Float32:
        """The index of every float16, by its bits: float32 [65536]."""
        halves = np.arange(65536, dtype=np.uint16).view(np.float16)
        return self.look_up(np.where(np.isfinite(halves), halves, np.float16(0)))


def table(texts: Mapping[str, int]) -> Table:
    """A table of printed numbers.

    Raises:
        ValueError: it is empty, or a text is no number with six decimals.
    """
    if not texts:
        raise ValueError("a table that is empty")
    keys = np.array([_key(text) for text in texts], dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    return Table(keys[order], np.array(list(texts.values()), dtype=np.float32)[order])


def _key(text: str) -> int:
    match = _PRINTED.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no number with six decimals")
    micro = int(match[2]) * _MILLION + int(match[3])
    if match[1]:
        return -micro if micro else _MINUS_ZERO
    return micro


@dataclass(frozen=True, slots=True, eq=False)
class LaionNsfw:
    """The AutoKeras heads, or their port without tables. See :class:`vedette.heads.base.Head`."""

    mlp: Mlp
    mean: Float32
    std: Float32
    tables: Mapping[int, Table]
    """By column; empty for the port."""
    labels: tuple[str, ...] = ("nsfw",)
    unit: bool = True
    final: Literal["sigmoid", "linear"] = "sigmoid"

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it takes."""
        return len(self.mean)

    @property
    def mlps(self) -> tuple[Mlp, ...]:
        """What follows :meth:`encode`: one chain for each label."""
        return (self.mlp,)

    @property
    def columns(self) -> tuple[int, ...]:
        """Those that are looked up."""
        return tuple(self.tables)

    def encode(self, embeddings: Float32) -> Float32:
        """Tables, then zero mean and unit variance. float32 [n, dim] in and out.

        Raises:
            ValueError: a value that is not finite. (The original takes NaN for 0.)
        """
        if not np.isfinite(embeddings).all():
            raise ValueError("an embedding that is not finite")
        encoded = np.array(embeddings, dtype=np.float32)
        for column, looked_up in self.tables.items():
            encoded[:, column] = looked_up.look_up(embeddings[:, column])
        encoded -= self.mean
        encoded /= self.std
        return encoded

    def scores(self, embeddings: Float32) -> Float32:
        """Probability of nsfw, float32 [n, 1]."""
        return sigmoid(self.mlp(self.encode(embeddings)))

    def probabilities(self, scores: Float32) -> Float32:
        """The scores themselves."""
        return scores


def read_original(path: Path) -> LaionNsfw:
    """The head of a SavedModel, zipped as published or a folder.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    saved = read_saved_model(path)
    try:
        return _original(saved)
    except (KeyError, ValueError) as error:
        raise _unusable(path, error) from error


def _original(saved: SavedModel) -> LaionNsfw:
    v = saved.variables
    layers, position = [], 2
    while f"layer_with_weights-{position}/kernel" in v:
        name = f"layer_with_weights-{position}"
        layers.append((v[f"{name}/kernel"], v[f"{name}/bias"]))
        position += 1
    mean, variance = _moments(v["layer_with_weights-1/mean"], v["layer_with_weights-1/variance"])
    if not saved.tables:  # without them it would be taken for what only the port is
        raise ValueError("no column of it is looked up")
    if not layers or any(not 0 <= column < len(mean) for column in saved.tables):
        raise ValueError("not the layers of a detector")
    return LaionNsfw(
        mlp=_chain(layers, len(mean)),
        mean=mean,
        std=np.maximum(np.sqrt(variance), _LEAST_STD),
        tables={column: table(texts) for column, texts in sorted(saved.tables.items())},
    )


def read_port(path: Path) -> LaionNsfw:
    """The port that circulates as ``.pth``: the same layers without the tables.

    How far it is from the original: docs/heads.md. It is what UnsafeBench measured.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    t = read_state_dict(path)
    try:
        layers = [(t[f"linear_{k}.weight"].T, t[f"linear_{k}.bias"]) for k in range(1, 5)]
        mean, variance = _moments(t["norm.mean"].reshape(-1), t["norm.variance"].reshape(-1))
        if not (variance > 0).all():
            raise ValueError("a variance that is not positive")
        return LaionNsfw(_chain(layers, len(mean)), mean, np.sqrt(variance), {})
    except (KeyError, ValueError) as error:
        raise _unusable(path, error) from error


@dataclass(frozen=True, slots=True, eq=False)
class LaionH14:
    """The ViT-H/14 detector: a plain score around 0..1. See :class:`vedette.heads.base.Head`."""

    mlp: Mlp
    labels: tuple[str, ...] = ("nsfw",)
    unit: bool = True
    final: Literal["sigmoid", "linear"] = "linear"

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it takes."""
        return len(self.mlp.layers[0].weight)

    @property
    def mlps(self) -> tuple[Mlp, ...]:
        """What follows :meth:`encode`: one chain for each label."""
        return (self.mlp,)

    def encode(self, embeddings: Float32) -> Float32:
        """The embeddings themselves."""
        return embeddings

    def scores(self, embeddings: Float32) -> Float32:
        """The score as trained (towards 0 and 1, without a sigmoid), float32 [n, 1]."""
        return self.mlp(embeddings)

    def probabilities(self, scores: Float32) -> Float32:
        """The scores cut to 0..1; the published decision is at 0.5."""
        return np.clip(scores, 0, 1)


_H14_LINEAR = (0, 3, 6, 9, 12, 15, 16)
"""Positions of the linear layers in the published ``Sequential``; 15 and 16 have nothing between
them."""


def read_h14(path: Path) -> LaionH14:
    """The head of ``h14_nsfw.pth``.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    t = read_state_dict(path)
    try:
        layers = [(t[f"layers.{k}.weight"].T, t[f"layers.{k}.bias"]) for k in _H14_LINEAR]
        return LaionH14(_chain(layers, len(layers[0][0]), linear_from=len(layers) - 2))
    except (KeyError, ValueError) as error:
        raise _unusable(path, error) from error


def _moments(mean: NDArray[Any], variance: NDArray[Any]) -> tuple[Float32, Float32]:
    if mean.ndim != 1 or not len(mean) or mean.shape != variance.shape:
        raise ValueError(f"means of shape {mean.shape}, variances of {variance.shape}")
    if not (variance >= 0).all():
        raise ValueError("a variance that is none")
    return _finite(mean), _finite(variance)


def _finite(values: NDArray[Any]) -> Float32:
    with np.errstate(over="ignore"):
        kept = np.array(values, dtype=np.float32, order="C")
    if not np.isfinite(kept).all():
        raise ValueError("a weight that is not finite")
    return kept


def _chain(
    layers: list[tuple[NDArray[Any], NDArray[Any]]], inputs: int, linear_from: int | None = None
) -> Mlp:
    """Dense layers with ReLU between them, none from ``linear_from`` (the last one) on."""
    first_linear = len(layers) - 1 if linear_from is None else linear_from
    made = []
    for k, (weight, bias) in enumerate(layers):
        if weight.ndim != 2 or weight.shape[0] != inputs or bias.shape != (weight.shape[1],):
            raise ValueError(f"layer {k} is {weight.shape}, for {inputs} inputs")
        activation: Literal["relu", "linear"] = "relu" if k < first_linear else "linear"
        made.append(Dense(_finite(weight), _finite(bias), activation))
        inputs = weight.shape[1]
    if inputs != 1:
        raise ValueError(f"{inputs} outputs")
    return Mlp(tuple(made))


def _unusable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path.name}: not this head: {error}", code="weights_unusable")

"""A head taken apart into what an engine computes fast: tables, a scaling, layers, an end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vedette.heads.base import Dense, Head, Mlp, sigmoid
from vedette.heads.laion import LaionNsfw, Table
from vedette.heads.vectors import Q16, Violence
from vedette.types import Float32

_Q16_SCALE = np.float32(100)


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """The columns whose values are looked up, apart from the others."""

    tables: Mapping[int, Table]
    mean: Float32
    """float32 [columns], of the indices"""
    std: Float32
    halves: Float32 = field(init=False)
    """float32 [columns, 65536]: the scaled index of every float16, by its bits. Printing each row's
    values and searching the texts would take longer than the layers."""

    def __post_init__(self) -> None:
        every = np.stack([table.of_halves() for table in self.tables.values()])
        scaled = (every - self.mean[:, None]) / self.std[:, None]
        object.__setattr__(self, "halves", np.ascontiguousarray(scaled))

    def __call__(self, rows: NDArray[Any]) -> Float32:
        """Scaled indices of float16 or float32 [n, dim], as float32 [n, columns]."""
        found = np.empty((len(rows), len(self.tables)), np.float32)
        if rows.dtype == np.float16:
            bits = rows.view(np.uint16)
            for k, column in enumerate(self.tables):
                found[:, k] = self.halves[k][bits[:, column]]
            return found
        for k, (column, table) in enumerate(self.tables.items()):
            found[:, k] = (table.look_up(rows[:, column]) - self.mean[k]) / self.std[k]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a head computes of rows x: ``finish`` of the layers of ``(x - mean) / std``."""

    mlps: Sequence[Mlp]
    """Their outputs stand side by side."""
    finish: Callable[[Float32, Float32], Float32]
    """Scores from outputs [n, k] and the rows' norms [n, 1], which are 0 without :attr:`norms`."""
    mean: Float32 | None = None
    """None: rows enter the layers as they are, and so with ``std``."""
    std: Float32 | None = None
    lookup: Lookup | None = None
    norms: bool = False
    """Whether ``finish`` divides by the rows' norms; how long rows are then does not matter."""
    bf16: bool = True
    """Whether there is enough to compute for bf16 to gain anything."""

    def first_layer(self, dense: Dense) -> Dense:
        """``dense`` with the scaling folded into it, and nothing for the columns looked up.

        Folded in float64: a product less for each value of a row, at no cost in accuracy that is
        seen in float32 or bf16 (docs/embeddings.md has the figures).
        """
        if self.mean is None or self.std is None:
            return dense
        scale = 1 / self.std.astype(np.float64)
        scale[self.columns] = 0
        weight = dense.weight * scale[:, None]
        bias = dense.bias - self.mean @ weight
        return Dense(weight.astype(np.float32), bias.astype(np.float32), dense.activation)

    @property
    def columns(self) -> list[int]:
        """Those that are looked up."""
        return list(self.lookup.tables) if self.lookup else []


@runtime_checkable
class _Layers(Protocol):
    """A head of dense layers over the embedding itself."""

    @property
    def mlps(self) -> tuple[Mlp, ...]: ...

    @property
    def final(self) -> Literal["sigmoid", "linear"]: ...


def plan_of(head: Head) -> Plan | None:
    """How ``head`` is computed; None where only the head itself knows."""
    if isinstance(head, Q16):
        return Plan((_vectors(head.prompts),), _softmax_of_cosines, norms=True, bf16=False)
    if isinstance(head, Violence):
        return Plan((_vectors(head.vectors),), _as_it_is, bf16=False)
    if isinstance(head, LaionNsfw):
        columns = list(head.tables)
        lookup = Lookup(head.tables, head.mean[columns], head.std[columns]) if columns else None
        return Plan(head.mlps, _end(head.final), head.mean, head.std, lookup)
    if isinstance(head, _Layers):
        return Plan(head.mlps, _end(head.final))
    return None


def _vectors(rows: Float32) -> Mlp:
    weight = np.ascontiguousarray(rows.T)
    return Mlp((Dense(weight, np.zeros(weight.shape[1], np.float32)),))


def _end(final: Literal["sigmoid", "linear"]) -> Callable[[Float32, Float32], Float32]:
    return _sigmoid if final == "sigmoid" else _as_it_is


def _sigmoid(outputs: Float32, norms: Float32) -> Float32:
    return sigmoid(outputs)


def _as_it_is(outputs: Float32, norms: Float32) -> Float32:
    return outputs


def _softmax_of_cosines(outputs: Float32, norms: Float32) -> Float32:
    lengths = np.maximum(norms, np.float32(1e-12))
    logits = np.asarray(_Q16_SCALE * (outputs / lengths), dtype=np.float32)
    # Of two values: the logistic of their difference.
    second = sigmoid(logits[:, 1:] - logits[:, :1])
    first = sigmoid(logits[:, :1] - logits[:, 1:])
    return np.concatenate([first, second], axis=1)

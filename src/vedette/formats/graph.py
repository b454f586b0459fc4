"""An ONNX graph, built node by node: what the readers of other formats write into."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vedette.backends.base import Array
from vedette.errors import ModelError
from vedette.extras import require

OPSET = 17
"""Has every operator that the readers use, and is read by every ONNX Runtime since 1.12."""
_IR_VERSION = 8
"""The oldest that goes with the opset: onnx by itself writes its newest, which runtimes refuse."""
_MOST_VALUES = 1 << 28
"""Values of one picture in one tensor: a file of a few bytes cannot ask for more memory."""
_MOST_NODES = 20_000

Attribute = int | float | str | Sequence[int]


def unusable(message: str) -> ModelError:
    """The error of a file whose content is no network that we can build."""
    return ModelError(message, code="weights_unusable")


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor of the graph."""

    name: str
    shape: tuple[int, ...]
    """Without the batch: (channels, height, width), or (features,)."""


@dataclass(frozen=True, slots=True)
class Network:
    """A finished network: input ``images``, float32 [n, 3, height, width]; outputs
    ``probabilities``, float32 [n, labels], and ``embedding``, float32 [n, dim]."""

    onnx: bytes
    """The content of an ONNX file."""
    height: int
    width: int
    labels: int
    dim: int


class Graph:
    """Nodes and constants so far. Every shape but the batch is known at every step."""

    def __init__(self) -> None:
        self._onnx = require("onnx", extra="zoo")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._input: Value | None = None

    def images(self, height: int, width: int) -> Value:
        """The input: ``images``, float32 [n, 3, height, width].

        Raises:
            ModelError: the network has one already.
        """
        if self._input is not None:
            raise unusable("the network has more than one input")
        self._input = _checked("images", (3, height, width))
        return self._input

    def constant(self, values: Array, label: str) -> str:
        """Values that are part of the network; int64 as they are, all others as float32.

        Raises:
            ModelError: a value is not finite.
        """
        kept = np.ascontiguousarray(values, np.int64 if values.dtype.kind == "i" else np.float32)
        if not np.isfinite(kept).all():
            raise unusable(f"{label} has values that are not finite")
        name = f"c{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(kept, name))
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[Value | str],
        shape: tuple[int, ...],
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Value:
        """One operator with one output of that ``shape``.

        Raises:
            ModelError: the shape is empty or beyond reason, or there are too many nodes.
        """
        if len(self._nodes) >= _MOST_NODES:
            raise unusable(f"the network has more than {_MOST_NODES} operators")
        value = _checked(f"v{len(self._nodes)}", shape)
        names = [item.name if isinstance(item, Value) else item for item in inputs]
        self._nodes.append(
            self._onnx.helper.make_node(operator, names, [value.name], **(attributes or {}))
        )
        return value

    def network(self, probabilities: Value | None, embedding: Value | None) -> Network:
        """The finished network, checked by onnx itself.

        Raises:
            ModelError: an output is missing or no row of numbers, or onnx finds fault with it.
        """
        if self._input is None or probabilities is None or embedding is None:
            raise unusable("the network has no input, no dense layer, or no output")
        if len(probabilities.shape) != 1 or len(embedding.shape) != 1:
            raise unusable("the network does not end in one row of numbers")
        helper = self._onnx.helper
        outputs = {"probabilities": probabilities, "embedding": embedding}
        for name, value in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value.name], [name]))
        graph = helper.make_graph(
            self._nodes,
            "vedette",
            [self._described(self._input)],
            [self._described(Value(name, value.shape)) for name, value in outputs.items()],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION
        )
        try:
            self._onnx.checker.check_model(model, full_check=True)
        except (
            self._onnx.checker.ValidationError,
            self._onnx.shape_inference.InferenceError,
        ) as error:
            raise unusable(f"the network does not fit together: {error}") from error
        _, height, width = self._input.shape
        data = bytes(model.SerializeToString())
        return Network(data, height, width, probabilities.shape[0], embedding.shape[0])

    def _described(self, value: Value) -> Any:
        kind = self._onnx.TensorProto.FLOAT
        return self._onnx.helper.make_tensor_value_info(value.name, kind, ["n", *value.shape])


def _checked(name: str, shape: tuple[int, ...]) -> Value:
    if min(shape) < 1:
        raise unusable(f"a layer's output would have the shape {shape}")
    if math.prod(shape) > _MOST_VALUES:
        raise unusable(f"a layer's output would have {math.prod(shape)} values")
    return Value(name, shape)

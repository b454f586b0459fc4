"""What each Keras layer computes, as ONNX operators.

Keras orders a picture's values (height, width, channels), ONNX (channels, height, width): weights
are turned round here once, and values only where a layer lays them out in a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.backends.base import Array
from vedette.formats.graph import Attribute, Graph, Value
from vedette.formats.keras_config import LayerConfig, as_whole

_POOLS = {"MaxPooling2D": "MaxPool", "AveragePooling2D": "AveragePool"}
_GLOBAL_POOLS = {
    "GlobalAveragePooling2D": "GlobalAveragePool",
    "GlobalMaxPooling2D": "GlobalMaxPool",
}
_ONLY_IN_TRAINING = {"Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"}


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer where it is about to be written down."""

    graph: Graph
    config: LayerConfig
    weights: Mapping[str, Array]
    """Of the whole network, as ``layer/weight``."""

    def weight(self, name: str, shape: tuple[int, ...]) -> Array:
        """One of its weights.

        Raises:
            ModelError: it is not there, or of another shape.
        """
        values = self.weights.get(f"{self.config.name}/{name}")
        if values is None:
            raise self.config.refuse(f"its weight {name!r} is not in the file")
        if values.shape != shape:
            raise self.config.refuse(f"{name} has the shape {values.shape}, not {shape}")
        return values

    def constant(self, name: str, values: Array) -> str:
        """``values`` as a part of the network."""
        return self.graph.constant(values, f"{name} of layer {self.config.name!r:.80}")


def add_layer(layer: Layer, inputs: Sequence[Value]) -> Value:
    """Write a layer down.

    Raises:
        ModelError: a layer, or a setting of one, that this reader does not know.
    """
    kind, config = layer.config.kind, layer.config
    if config.settings.get("data_format", "channels_last") not in ("channels_last", None):
        raise config.refuse("only channels_last is read")
    if kind in _MERGES:
        return _MERGES[kind](layer, inputs)
    if len(inputs) != 1:
        raise config.refuse(f"has {len(inputs)} inputs instead of one")
    if kind in _ONLY_IN_TRAINING:
        return inputs[0]
    if kind not in _LAYERS:
        raise config.refuse("a layer of this kind is not read")
    return _LAYERS[kind](layer, inputs[0])


def _picture(layer: Layer, value: Value) -> tuple[int, int, int]:
    if len(value.shape) != 3:
        raise layer.config.refuse(f"wants a picture and gets values of the shape {value.shape}")
    channels, height, width = value.shape
    return channels, height, width


def _convolution(layer: Layer, value: Value) -> Value:
    config = layer.config
    channels = _picture(layer, value)[0]
    groups, filters = config.whole("groups", 1), config.whole("filters")
    if channels % groups or filters % groups:
        raise config.refuse(f"{channels} and {filters} channels do not make {groups} groups")
    size = config.pair("kernel_size")
    kernel = layer.weight("kernel", (*size, channels // groups, filters))
    out = _convolved(layer, value, kernel.transpose(3, 2, 0, 1), groups, "bias")
    return _activated(layer, out)


def _depthwise(layer: Layer, value: Value) -> Value:
    return _activated(layer, _convolved(layer, value, *_depth_kernel(layer, value), "bias"))


def _separable(layer: Layer, value: Value) -> Value:
    kernel, channels = _depth_kernel(layer, value)
    deep = _convolved(layer, value, kernel, channels, None)
    filters = layer.config.whole("filters")
    point = layer.weight("pointwise_kernel", (1, 1, deep.shape[0], filters))
    inputs: list[Value | str] = [
        deep,
        layer.constant("pointwise_kernel", point.transpose(3, 2, 0, 1)),
    ]
    if layer.config.flag("use_bias", True):
        inputs.append(layer.constant("bias", layer.weight("bias", (filters,))))
    return _activated(layer, layer.graph.node("Conv", inputs, (filters, *deep.shape[1:])))


def _depth_kernel(layer: Layer, value: Value) -> tuple[Array, int]:
    """The kernel with each input channel's outputs one after the other; the number of groups."""
    channels = _picture(layer, value)[0]
    size, each = layer.config.pair("kernel_size"), layer.config.whole("depth_multiplier", 1)
    kernel = layer.weight("depthwise_kernel", (*size, channels, each))
    return kernel.transpose(2, 3, 0, 1).reshape(channels * each, 1, *size), channels


def _convolved(layer: Layer, value: Value, kernel: Array, groups: int, bias: str | None) -> Value:
    steps, spread = layer.config.pair("strides", 1), layer.config.pair("dilation_rate", 1)
    window = tuple((k - 1) * d + 1 for k, d in zip(kernel.shape[2:], spread, strict=True))
    size, pads = _placed(layer, value, window, steps)
    inputs: list[Value | str] = [value, layer.constant("kernel", kernel)]
    if bias is not None and layer.config.flag("use_bias", True):
        inputs.append(layer.constant(bias, layer.weight(bias, kernel.shape[:1])))
    attributes: dict[str, Attribute] = {
        "kernel_shape": kernel.shape[2:],
        "strides": steps,
        "dilations": spread,
        "pads": pads,
        "group": groups,
    }
    return layer.graph.node("Conv", inputs, (kernel.shape[0], *size), attributes)


def _placed(
    layer: Layer, value: Value, window: Sequence[int], steps: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Size of the output, and the padding as ONNX has it: top, left, bottom, right.

    "same" as TensorFlow has it: as many outputs as steps fit into the input, and where the
    padding is odd, the larger half goes below and to the right. Frameworks that pad evenly see
    the picture shifted by a pixel.
    """
    sides, before, after = [], [], []
    padding = layer.config.text("padding", "valid")
    for side, length, step in zip(_picture(layer, value)[1:], window, steps, strict=True):
        if padding == "same":
            count = -(-side // step)
            missing = max((count - 1) * step + length - side, 0)
        elif padding == "valid":
            count, missing = (side - length) // step + 1, 0
        else:
            raise layer.config.refuse(f"padding {padding!r:.40} is not read")
        sides.append(count)
        before.append(missing // 2)
        after.append(missing - missing // 2)
    return (sides[0], sides[1]), (before[0], before[1], after[0], after[1])


def _zero_padding(layer: Layer, value: Value) -> Value:
    channels, height, width = _picture(layer, value)
    (top, bottom), (left, right) = layer.config.paddings("padding")
    pads = layer.graph.constant(np.array([0, 0, top, left, 0, 0, bottom, right]), "padding")
    shape = (channels, height + top + bottom, width + left + right)
    return layer.graph.node("Pad", [value, pads], shape)


def _pool(layer: Layer, value: Value) -> Value:
    window = layer.config.pair("pool_size", 2)
    # Keras stores null for "as far as the window is wide".
    steps = layer.config.pair("strides") if layer.config.settings.get("strides") else window
    size, pads = _placed(layer, value, window, steps)
    operator = _POOLS[layer.config.kind]
    # Padding never counts: ONNX's averages leave it out by default, as TensorFlow's do.
    attributes: dict[str, Attribute] = {"kernel_shape": window, "strides": steps, "pads": pads}
    return layer.graph.node(operator, [value], (value.shape[0], *size), attributes)


def _global_pool(layer: Layer, value: Value) -> Value:
    channels = _picture(layer, value)[0]
    pooled = layer.graph.node(_GLOBAL_POOLS[layer.config.kind], [value], (channels, 1, 1))
    return pooled if layer.config.flag("keepdims", False) else _flattened(layer, pooled)


def _batch_norm(layer: Layer, value: Value) -> Value:
    config = layer.config
    axis = config.settings.get("axis", -1)
    if axis not in (-1, len(value.shape), [len(value.shape)], [-1]):
        raise config.refuse("only the last axis is normalised")
    channels = value.shape[:1]
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    absent = {"gamma": not config.flag("scale", True), "beta": not config.flag("center", True)}
    parts = {
        name: np.full(channels, name == "gamma", np.float32)
        if absent.get(name)
        else layer.weight(name, channels)
        for name in names
    }
    epsilon = config.number("epsilon", 1e-3)
    if not epsilon > 0 or (parts["moving_variance"] < 0).any():
        raise config.refuse("its variance is not positive")
    constants = [layer.constant(name, values) for name, values in parts.items()]
    return layer.graph.node(
        "BatchNormalization", [value, *constants], value.shape, {"epsilon": epsilon}
    )


def _relu(layer: Layer, value: Value) -> Value:
    config = layer.config
    if config.number("threshold", 0.0):
        raise config.refuse("a threshold is not read")
    slope = config.number("negative_slope", 0.0)
    if config.settings.get("max_value") is None:
        return _leaky(layer, value, slope)
    if slope:
        raise config.refuse("a slope together with max_value is not read")
    return _clipped(layer, value, config.number("max_value", 6.0))


def _leaky_relu(layer: Layer, value: Value) -> Value:
    return _leaky(layer, value, layer.config.number("alpha", 0.3))


def _leaky(layer: Layer, value: Value, slope: float) -> Value:
    if not slope:
        return layer.graph.node("Relu", [value], value.shape)
    return layer.graph.node("LeakyRelu", [value], value.shape, {"alpha": slope})


def _clipped(layer: Layer, value: Value, most: float) -> Value:
    limits = [layer.constant("max_value", np.array(v, np.float32)) for v in (0.0, most)]
    return layer.graph.node("Clip", [value, *limits], value.shape)


def _activated(layer: Layer, value: Value) -> Value:
    """``value`` through the activation that the layer's own settings name."""
    name = layer.config.text("activation", "linear")
    if name == "linear":
        return value
    if name == "relu6":
        return _clipped(layer, value, 6.0)
    if name == "softmax":  # over the channels, which stand first here
        return layer.graph.node("Softmax", [value], value.shape, {"axis": 1})
    if name not in ("relu", "sigmoid", "tanh"):
        raise layer.config.refuse(f"activation {name!r:.40} is not read")
    return layer.graph.node(name.capitalize(), [value], value.shape)


def _softmax(layer: Layer, value: Value) -> Value:
    if layer.config.settings.get("axis", -1) not in (-1, len(value.shape)):
        raise layer.config.refuse("only the last axis is read")
    return layer.graph.node("Softmax", [value], value.shape, {"axis": 1})


def _in_keras_order(layer: Layer, value: Value) -> Value:
    """(height, width, channels), unless moving the channels there would change no order."""
    if len(value.shape) != 3 or value.shape[0] == 1 or value.shape[1:] == (1, 1):
        return value
    channels, height, width = value.shape
    shape = (height, width, channels)
    return layer.graph.node("Transpose", [value], shape, {"perm": (0, 2, 3, 1)})


def _laid_out(layer: Layer, value: Value, shape: tuple[int, ...]) -> Value:
    target = layer.graph.constant(np.array([0, *shape]), "shape")
    return layer.graph.node("Reshape", [value, target], shape)


def _flattened(layer: Layer, value: Value) -> Value:
    return _laid_out(layer, _in_keras_order(layer, value), (math.prod(value.shape),))


def _reshape(layer: Layer, value: Value) -> Value:
    config, count = layer.config, math.prod(value.shape)
    sides = config.settings.get("target_shape")
    if not isinstance(sides, list) or len(sides) not in (1, 3) or sides.count(-1) > 1:
        raise config.refuse("only to a row or a picture")
    known = math.prod(as_whole(v, "target_shape", 1) for v in sides if v != -1)
    shape = tuple(count // known if v == -1 else v for v in sides)
    if math.prod(shape) != count:
        raise config.refuse(f"{count} values do not fill the shape {shape}")
    flat = _in_keras_order(layer, value)
    if len(shape) == 1:
        return _laid_out(layer, flat, shape)
    height, width, channels = shape
    put = _laid_out(layer, flat, shape)
    return layer.graph.node("Transpose", [put], (channels, height, width), {"perm": (0, 3, 1, 2)})


def _dense(layer: Layer, value: Value) -> Value:
    if len(value.shape) != 1:
        raise layer.config.refuse("is read after a flattened layer only")
    shape = (value.shape[0], layer.config.whole("units"))
    inputs: list[Value | str] = [value, layer.constant("kernel", layer.weight("kernel", shape))]
    if layer.config.flag("use_bias", True):
        inputs.append(layer.constant("bias", layer.weight("bias", shape[1:])))
    return _activated(layer, layer.graph.node("Gemm", inputs, shape[1:]))


def _add(layer: Layer, inputs: Sequence[Value]) -> Value:
    if len(inputs) < 2 or len({value.shape for value in inputs}) != 1:
        raise layer.config.refuse("adds values of different shapes, or a single one")
    total = inputs[0]
    for other in inputs[1:]:
        total = layer.graph.node("Add", [total, other], total.shape)
    return total


def _concatenate(layer: Layer, inputs: Sequence[Value]) -> Value:
    if len(inputs) < 2 or len({(len(v.shape), *v.shape[1:]) for v in inputs}) != 1:
        raise layer.config.refuse("joins values of different shapes, or a single one")
    if layer.config.settings.get("axis", -1) not in (-1, len(inputs[0].shape)):
        raise layer.config.refuse("only the last axis is joined")
    shape = (sum(value.shape[0] for value in inputs), *inputs[0].shape[1:])
    return layer.graph.node("Concat", inputs, shape, {"axis": 1})


_LAYERS: Mapping[str, Callable[[Layer, Value], Value]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "ZeroPadding2D": _zero_padding,
    "BatchNormalization": _batch_norm,
    "BatchNormalizationV1": _batch_norm,
    "Activation": _activated,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "Softmax": _softmax,
    "Flatten": _flattened,
    "Reshape": _reshape,
    "Dense": _dense,
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(_GLOBAL_POOLS, _global_pool),
}
_MERGES: Mapping[str, Callable[[Layer, Sequence[Value]], Value]] = {
    "Add": _add,
    "Concatenate": _concatenate,
}

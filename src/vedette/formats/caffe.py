"""A Caffe network, given as its ``.caffemodel``, as ONNX.

A caffemodel holds the layers of the training network with their weights, which is enough: the
layers that load pictures become the input, the loss its softmax, and what only counts hits is left
out. Field numbers are those of BVLC's ``caffe.proto``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vedette.backends.base import Array
from vedette.formats.caffe_message import CaffeLayer, Message, layers
from vedette.formats.graph import Attribute, Graph, Network, Value, unusable

_MOST_LAYERS = 5_000
_MAX, _AVERAGE = 0, 1
_SUM = 1

Pair = tuple[int, int]


def to_onnx(data: bytes, height: int, width: int) -> Network:
    """The network in a caffemodel.

    Args:
        data: the file's bytes.
        height: of the pictures that it takes, px; a training network does not say.
        width: of the pictures that it takes, px.

    Returns:
        With the outputs ``probabilities`` (of its last softmax, or of the softmax in its loss) and
        ``embedding`` (what its last inner product is given).

    Raises:
        ModelError: ``weights_unusable``; says which layer is not understood.
        MissingExtraError: onnx is not installed.
    """
    declared, found = layers(data)
    if len(found) > _MOST_LAYERS:
        raise unusable(f"the network has more than {_MOST_LAYERS} layers")
    graph = Graph()
    images = graph.images(height, width)
    # Of several inputs the first is the pictures: the second of a training network is the labels.
    values: dict[str, Value] = dict.fromkeys(declared[:1], images)
    probabilities = embedding = None
    for layer in found:
        if layer.kind == "Accuracy":
            continue
        if not layer.inputs:
            values.update(dict.fromkeys(layer.outputs[:1], images))
            continue
        given = [values.get(name) for name in layer.inputs]
        if layer.kind == "SoftmaxWithLoss":
            given = given[:1]
        inputs = [value for value in given if value is not None]
        if len(inputs) != len(given) or not layer.outputs:
            raise layer.refuse("its inputs are not in the network, or it has no output")
        value = _add(graph, layer, inputs)
        if layer.kind == "InnerProduct":
            embedding = graph.node("Flatten", inputs, (math.prod(inputs[0].shape),))
        elif layer.kind in ("Softmax", "SoftmaxWithLoss"):
            probabilities = value
        # A layer may write over its own input. Only Split has several outputs, all the same.
        values.update(dict.fromkeys(layer.outputs, value))
    return graph.network(probabilities, embedding)


def _add(graph: Graph, layer: CaffeLayer, inputs: Sequence[Value]) -> Value:
    if layer.kind == "Eltwise":
        return _eltwise(graph, layer, inputs)
    if len(inputs) != 1:
        raise layer.refuse(f"has {len(inputs)} inputs instead of one")
    if layer.kind in ("Split", "Dropout"):  # dropout is for training only
        return inputs[0]
    if layer.kind not in _LAYERS:
        raise layer.refuse("a layer of this kind is not read")
    return _LAYERS[layer.kind](graph, layer, inputs[0])


def _picture(layer: CaffeLayer, value: Value) -> tuple[int, int, int]:
    if len(value.shape) != 3:
        raise layer.refuse(f"wants a picture and gets values of the shape {value.shape}")
    channels, height, width = value.shape
    return channels, height, width


def _weights(layer: CaffeLayer, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Its blobs, in these shapes: Caffe wrote leading ones before 2015."""
    blobs = layer.weights()
    if [blob.size for blob in blobs] != [math.prod(shape) for shape in shapes]:
        raise layer.refuse(f"has weights of {[b.shape for b in blobs]}, not {list(shapes)}")
    return [blob.reshape(shape) for blob, shape in zip(blobs, shapes, strict=True)]


def _pair(settings: Message, both: int, each: Pair | None, default: int | None, least: int) -> Pair:
    """A setting down and across: one field for both (or twice), or one field for each."""
    if each is not None and (each[0] in settings or each[1] in settings):
        down, across = (settings.whole(number, default or 0, least) for number in each)
    else:
        found = settings.wholes(both, least) or ([] if default is None else [default])
        if len(found) not in (1, 2):
            raise settings.refuse("a size is missing, or not for pictures")
        down, across = found[0], found[-1]
    if min(down, across) < least:
        raise settings.refuse("a size is missing")
    return down, across


def _convolution(graph: Graph, layer: CaffeLayer, value: Value) -> Value:
    settings = layer.settings(106)
    channels, *sides = _picture(layer, value)
    filters, groups = settings.whole(1, 0, 1), settings.whole(5, 1, 1)
    size = _pair(settings, 4, (11, 12), None, 1)
    steps, pads = _pair(settings, 6, (13, 14), 1, 1), _pair(settings, 3, (9, 10), 0, 0)
    spread = _pair(settings, 18, None, 1, 1)
    if settings.whole(16, 1) != 1 or channels % groups or not filters or filters % groups:
        raise layer.refuse("its channels or groups are not read")
    shape = [
        (side + 2 * pad - (k - 1) * d - 1) // step + 1
        for side, pad, k, d, step in zip(sides, pads, size, spread, steps, strict=True)
    ]
    shapes: list[tuple[int, ...]] = [(filters, channels // groups, *size)]
    if settings.flag(2, True):
        shapes.append((filters,))
    constants = [graph.constant(w, layer.name) for w in _weights(layer, shapes)]
    attributes: dict[str, Attribute] = {
        "kernel_shape": size,
        "strides": steps,
        "dilations": spread,
        "pads": (*pads, *pads),
        "group": groups,
    }
    return graph.node("Conv", [value, *constants], (filters, *shape), attributes)


def _pooling(graph: Graph, layer: CaffeLayer, value: Value) -> Value:
    """Windows as Caffe places them: as many as reach into the picture, the last one cut off.

    An average is over the window with its padding, but not over what was cut off.
    """
    settings = layer.settings(121)
    kind = settings.whole(1, _MAX)
    channels, *sides = _picture(layer, value)
    if kind not in (_MAX, _AVERAGE):
        raise layer.refuse("only maxima and averages are read")
    if settings.flag(12, False):
        operator = "GlobalMaxPool" if kind == _MAX else "GlobalAveragePool"
        return graph.node(operator, [value], (channels, 1, 1))
    size = _pair(settings, 2, (5, 6), None, 1)
    steps, pads = _pair(settings, 3, (7, 8), 1, 1), _pair(settings, 4, (9, 10), 0, 0)
    floor = settings.flag(13, False)
    shape, over = [], []
    for side, k, step, pad in zip(sides, size, steps, pads, strict=True):
        room = side + 2 * pad - k
        if pad >= k or room < 0:
            raise layer.refuse("its window is smaller than the padding, or larger than the picture")
        count = (room if floor else room + step - 1) // step + 1
        if pad and (count - 1) * step >= side + pad:
            count -= 1
        if (count - 1) * step >= side + pad:
            raise layer.refuse("a window lies outside the picture")
        shape.append(count)
        over.append(max((count - 1) * step - room, 0))
    attributes: dict[str, Attribute] = {"kernel_shape": size, "strides": steps}
    if kind == _MAX:
        ends = [pad + more for pad, more in zip(pads, over, strict=True)]
        attributes["pads"] = (*pads, *ends)
        return graph.node("MaxPool", [value], (channels, *shape), attributes)
    if any(pads):
        # Padding that counts is written out; that of the operator does not count.
        widths = np.array([0, 0, *pads, 0, 0, *pads])
        padded = (channels, *(side + 2 * pad for side, pad in zip(sides, pads, strict=True)))
        value = graph.node("Pad", [value, graph.constant(widths, layer.name)], padded)
    attributes["pads"] = (0, 0, *over)
    return graph.node("AveragePool", [value], (channels, *shape), attributes)


def _batch_norm(graph: Graph, layer: CaffeLayer, value: Value) -> Value:
    channels, epsilon = value.shape[:1], layer.settings(139).number(2, 1e-5)
    mean, variance, count = _weights(layer, [channels, channels, (1,)])
    # The sums are stored with the weight of what was summed up.
    scale = 1 / count[0] if count[0] else np.float32(0)
    if not epsilon > 0 or not (variance * scale >= 0).all():
        raise layer.refuse("its variance is not positive")
    one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    parts = (one, zero, mean * scale, variance * scale)
    constants = [graph.constant(part, layer.name) for part in parts]
    return graph.node("BatchNormalization", [value, *constants], value.shape, {"epsilon": epsilon})


def _scale(graph: Graph, layer: CaffeLayer, value: Value) -> Value:
    settings = layer.settings(142)
    if settings.whole(1, 1) != 1 or settings.whole(2, 1) != 1:
        raise layer.refuse("only one factor for each channel is read")
    shape = (value.shape[0], *(1 for _ in value.shape[1:]))
    operators = ["Mul", "Add"] if settings.flag(4, False) else ["Mul"]
    blobs = _weights(layer, [shape for _ in operators])
    for operator, blob in zip(operators, blobs, strict=True):
        value = graph.node(operator, [value, graph.constant(blob, layer.name)], value.shape)
    return value


def _relu(graph: Graph, layer: CaffeLayer, value: Value) -> Value:
    slope = layer.settings(123).number(1, 0.0)
    if not math.isfinite(slope):
        raise layer.refuse("its slope is no number")
    if slope:
        return graph.node("LeakyRelu", [value], value.shape, {"alpha": slope})
    return graph.node("Relu", [value], value.shape)


def _inner_product(graph: Graph, layer: CaffeLayer, value: Value) -> Value:
    settings = layer.settings(117)
    count, outputs = math.prod(value.shape), settings.whole(1, 0, 1)
    if settings.whole(5, 1) != 1 or settings.flag(6, False) or not outputs:
        raise layer.refuse("another axis, or transposed weights, are not read")
    shapes: list[tuple[int, ...]] = [(outputs, count)]
    if settings.flag(2, True):
        shapes.append((outputs,))
    constants = [graph.constant(w, layer.name) for w in _weights(layer, shapes)]
    flat = graph.node("Flatten", [value], (count,))
    return graph.node("Gemm", [flat, *constants], (outputs,), {"transB": 1})


def _softmax(graph: Graph, layer: CaffeLayer, value: Value) -> Value:
    if layer.settings(125).whole(2, 1) != 1:
        raise layer.refuse("only the softmax over channels is read")
    return graph.node("Softmax", [value], value.shape, {"axis": 1})


def _eltwise(graph: Graph, layer: CaffeLayer, inputs: Sequence[Value]) -> Value:
    settings = layer.settings(110)
    if settings.whole(1, _SUM) != _SUM or (settings.floats(2) != 1).any():
        raise layer.refuse("only plain sums are read")
    if len(inputs) < 2 or len({value.shape for value in inputs}) != 1:
        raise layer.refuse("adds values of different shapes, or a single one")
    total = inputs[0]
    for other in inputs[1:]:
        total = graph.node("Add", [total, other], total.shape)
    return total


_LAYERS: Mapping[str, Callable[[Graph, CaffeLayer, Value], Value]] = {
    "Convolution": _convolution,
    "Pooling": _pooling,
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "ReLU": _relu,
    "InnerProduct": _inner_product,
    "Softmax": _softmax,
    "SoftmaxWithLoss": _softmax,
}

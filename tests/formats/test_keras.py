"""Keras layers as ONNX, each against torch on random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.networks import Json, drawn, ending, layer, model, node, run, sequential, small
from vedette.backends.base import Array
from vedette.errors import ModelError
from vedette.formats.keras import to_onnx

Torch = Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]


def same(x: torch.Tensor, size: Any, step: Any, spread: Any = (1, 1), fill: float = 0.0) -> Any:
    """TensorFlow's padding: the larger half below and to the right."""
    pads: list[int] = []
    for side, length, s, d in zip(x.shape[2:], size, step, spread, strict=True):
        missing = max((-(-side // s) - 1) * s + (length - 1) * d + 1 - side, 0)
        pads = [missing // 2, missing - missing // 2, *pads]
    return F.pad(x, pads, value=fill)


def kernel(weight: torch.Tensor) -> torch.Tensor:
    return weight.permute(3, 2, 0, 1)


def deep_kernel(weight: torch.Tensor) -> torch.Tensor:
    h, w, channels, each = weight.shape
    return weight.permute(2, 3, 0, 1).reshape(channels * each, 1, h, w)


def average_same(x: torch.Tensor, size: Any, step: Any) -> torch.Tensor:
    """Averages over what is inside the picture only."""
    total, ones = (F.avg_pool2d(same(v, size, step), size, step) for v in (x, torch.ones_like(x)))
    return total / ones


CASES: dict[str, tuple[Json, dict[str, Any], Torch]] = {
    "conv valid": (
        layer("Conv2D", "l", filters=5, kernel_size=[3, 2], strides=[2, 1]),
        {"l/kernel": (3, 2, 3, 5), "l/bias": (5,)},
        lambda x, w: F.conv2d(x, kernel(w["l/kernel"]), w["l/bias"], (2, 1)),
    ),
    "conv same": (
        layer("Conv2D", "l", filters=4, kernel_size=3, strides=2, padding="same", use_bias=False),
        {"l/kernel": (3, 3, 3, 4)},
        lambda x, w: F.conv2d(same(x, (3, 3), (2, 2)), kernel(w["l/kernel"]), None, 2),
    ),
    "conv same, even kernel, dilated, relu": (
        layer(
            "Conv2D",
            "l",
            filters=2,
            kernel_size=[2, 4],
            padding="same",
            use_bias=False,
            dilation_rate=[2, 1],
            activation="relu",
        ),
        {"l/kernel": (2, 4, 3, 2)},
        lambda x, w: F.relu(
            F.conv2d(same(x, (2, 4), (1, 1), (2, 1)), kernel(w["l/kernel"]), dilation=(2, 1))
        ),
    ),
    "conv groups": (
        layer("Conv2D", "l", filters=6, kernel_size=1, groups=3),
        {"l/kernel": (1, 1, 1, 6), "l/bias": (6,)},
        lambda x, w: F.conv2d(x, kernel(w["l/kernel"]), w["l/bias"], groups=3),
    ),
    "depthwise": (
        layer("DepthwiseConv2D", "l", kernel_size=3, strides=2, padding="same", depth_multiplier=2),
        {"l/depthwise_kernel": (3, 3, 3, 2), "l/bias": (6,)},
        lambda x, w: F.conv2d(
            same(x, (3, 3), (2, 2)), deep_kernel(w["l/depthwise_kernel"]), w["l/bias"], 2, groups=3
        ),
    ),
    "separable": (
        layer("SeparableConv2D", "l", filters=4, kernel_size=3, depth_multiplier=2),
        {
            "l/depthwise_kernel": (3, 3, 3, 2),
            "l/pointwise_kernel": (1, 1, 6, 4),
            "l/bias": (4,),
        },
        lambda x, w: F.conv2d(
            F.conv2d(x, deep_kernel(w["l/depthwise_kernel"]), groups=3),
            kernel(w["l/pointwise_kernel"]),
            w["l/bias"],
        ),
    ),
    "zero padding": (
        layer("ZeroPadding2D", "l", padding=[[0, 1], [2, 3]]),
        {},
        lambda x, w: F.pad(x, (2, 3, 0, 1)),
    ),
    "zero padding, one number": (
        layer("ZeroPadding2D", "l", padding=2),
        {},
        lambda x, w: F.pad(x, (2, 2, 2, 2)),
    ),
    "batch norm": (
        layer("BatchNormalization", "l", epsilon=0.01, axis=[3]),
        {f"l/{name}": (3,) for name in ("gamma", "beta", "moving_mean", "moving_variance")},
        lambda x, w: F.batch_norm(
            *(x, w["l/moving_mean"], w["l/moving_variance"], w["l/gamma"], w["l/beta"]), eps=0.01
        ),
    ),
    "batch norm without scale and centre": (
        layer("BatchNormalization", "l", scale=False, center=False),
        {"l/moving_mean": (3,), "l/moving_variance": (3,)},
        lambda x, w: F.batch_norm(x, w["l/moving_mean"], w["l/moving_variance"], eps=1e-3),
    ),
    "relu": (layer("ReLU", "l", max_value=None), {}, lambda x, w: F.relu(x)),
    "relu6": (layer("ReLU", "l", max_value=6.0), {}, lambda x, w: F.relu6(x)),
    "sloped relu": (
        layer("ReLU", "l", max_value=None, negative_slope=0.1),
        {},
        lambda x, w: F.leaky_relu(x, 0.1),
    ),
    "leaky relu": (layer("LeakyReLU", "l"), {}, lambda x, w: F.leaky_relu(x, 0.3)),
    "softmax over channels": (
        layer("Activation", "l", activation="softmax"),
        {},
        lambda x, w: F.softmax(x, 1),
    ),
    "softmax layer": (layer("Softmax", "l"), {}, lambda x, w: F.softmax(x, 1)),
    "sigmoid": (layer("Activation", "l", activation="sigmoid"), {}, lambda x, w: x.sigmoid()),
    "tanh": (layer("Activation", "l", activation="tanh"), {}, lambda x, w: x.tanh()),
    "relu6 by name": (layer("Activation", "l", activation="relu6"), {}, lambda x, w: F.relu6(x)),
    "max pool": (
        layer("MaxPooling2D", "l", pool_size=[3, 2], strides=None),
        {},
        lambda x, w: F.max_pool2d(x, (3, 2)),
    ),
    "max pool same": (
        layer("MaxPooling2D", "l", pool_size=[3, 3], strides=[2, 2], padding="same"),
        {},
        lambda x, w: F.max_pool2d(same(x, (3, 3), (2, 2), fill=-torch.inf), 3, 2),
    ),
    "average pool": (
        layer("AveragePooling2D", "l", pool_size=[2, 2], strides=[1, 2]),
        {},
        lambda x, w: F.avg_pool2d(x, 2, (1, 2)),
    ),
    "average pool same": (
        layer("AveragePooling2D", "l", pool_size=[3, 3], strides=[2, 2], padding="same"),
        {},
        lambda x, w: average_same(x, (3, 3), (2, 2)),
    ),
    "global average": (
        layer("GlobalAveragePooling2D", "l"),
        {},
        lambda x, w: x.mean((2, 3), keepdim=True),
    ),
    "global maximum, sides kept": (
        layer("GlobalMaxPooling2D", "l", keepdims=True),
        {},
        lambda x, w: x.amax((2, 3), keepdim=True),
    ),
    "reshape": (
        layer("Reshape", "l", target_shape=[10, -1, 9]),
        {},
        lambda x, w: x.permute(0, 2, 3, 1).reshape(-1, 10, 3, 9).permute(0, 3, 1, 2),
    ),
    "reshape to a row": (
        layer("Reshape", "l", target_shape=[270]),
        {},
        lambda x, w: x.permute(0, 2, 3, 1).reshape(-1, 1, 1, 270).permute(0, 3, 1, 2),
    ),
    "dropout": (layer("Dropout", "l", rate=0.9), {}, lambda x, w: x),
}


@pytest.mark.parametrize("name", CASES)
def test_layer_is_torchs(name: str) -> None:
    item, shapes, reference = CASES[name]
    weights = drawn(shapes, 3)
    images = np.random.default_rng(4).normal(scale=4, size=(2, 10, 9, 3)).astype(np.float32)
    tensors = {key: torch.from_numpy(value) for key, value in weights.items()}
    wanted = reference(torch.from_numpy(images).permute(0, 3, 1, 2), tensors)
    flat = wanted.permute(0, 2, 3, 1).reshape(2, -1).numpy()
    end = ending(weights, flat.shape[1])
    probabilities, embedding = run(to_onnx(sequential((10, 9, 3), [item, *end]), weights), images)
    np.testing.assert_allclose(embedding, flat, atol=1e-4)
    logits = torch.from_numpy(flat @ weights["end/kernel"] + weights["end/bias"])
    np.testing.assert_allclose(probabilities, F.softmax(logits, 1), atol=1e-4)


def test_a_graph_of_layers_in_any_order_with_an_inner_network() -> None:
    weights = drawn({"c/kernel": (1, 1, 3, 3), "inner/kernel": (3, 3, 6, 2), "inner/bias": (2,)})
    inner = sequential((6, 5, 6), [layer("Conv2D", "inner", filters=2, kernel_size=3)])
    inner["config"]["name"] = "net"
    end = ending(weights, 24)
    start = {
        "class_name": "InputLayer",
        "config": {"name": "i", "batch_input_shape": [None, 6, 5, 3]},
    }
    layers = [
        node(end[1], "flat"),
        node(end[0], "net"),
        node(inner, "both"),
        node(layer("Concatenate", "both", axis=3), "sum", "i"),
        node(layer("Add", "sum"), "c", "i", "c"),
        node(layer("Conv2D", "c", filters=3, kernel_size=1, use_bias=False), "i"),
        node(start),
    ]
    images = np.random.default_rng(0).normal(size=(3, 6, 5, 3)).astype(np.float32)
    found = run(to_onnx(model(layers, "i", "end"), weights), images)[1]
    w = {key: torch.from_numpy(value) for key, value in weights.items()}
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    both = torch.cat([2 * F.conv2d(x, kernel(w["c/kernel"])) + x, x], 1)
    wanted = F.conv2d(both, kernel(w["inner/kernel"]), w["inner/bias"])
    np.testing.assert_allclose(found, wanted.permute(0, 2, 3, 1).reshape(3, -1), atol=1e-4)


def test_a_layer_may_be_used_twice() -> None:
    weights = drawn({"c/kernel": (1, 1, 3, 3)})
    end = ending(weights, 12)
    start = {
        "class_name": "InputLayer",
        "config": {"name": "i", "batch_input_shape": [None, 2, 2, 3]},
    }
    shared = node(layer("Conv2D", "c", filters=3, kernel_size=1, use_bias=False), "i")
    shared["inbound_nodes"].append([["c", 0, 0, {}]])
    flat = node(end[0], "c")
    flat["inbound_nodes"] = [[["c", 1, 0, {}]]]
    topology = model([node(start), shared, flat, node(end[1], "flat")], "i", "end")
    images = np.random.default_rng(0).normal(size=(1, 2, 2, 3)).astype(np.float32)
    square = weights["c/kernel"][0, 0] @ weights["c/kernel"][0, 0]
    wanted = (images @ square).reshape(1, -1)
    np.testing.assert_allclose(run(to_onnx(topology, weights), images)[1], wanted, atol=1e-4)


def test_the_bare_list_of_an_old_sequential_and_a_network_as_its_first_layer() -> None:
    topology, weights = small()
    images = np.random.default_rng(1).normal(size=(1, 8, 8, 3)).astype(np.float32)
    wanted = run(to_onnx(topology, weights), images)[0]
    layers = topology["config"]["layers"]
    bare = {"class_name": "Sequential", "config": layers}
    inner = {"class_name": "Sequential", "config": {"name": "n", "layers": layers[:4]}}
    outer = {"class_name": "Sequential", "config": {"name": "o", "layers": [inner, *layers[4:]]}}
    for other in (bare, outer):
        np.testing.assert_array_equal(run(to_onnx(other, weights), images)[0], wanted)


def refused(topology: Json, weights: dict[str, Array]) -> str:
    with pytest.raises(ModelError) as caught:
        to_onnx(topology, weights)
    assert caught.value.code == "weights_unusable"
    return caught.value.message


def changed(index: int, **settings: Any) -> tuple[Json, dict[str, Array]]:
    topology, weights = small()
    topology["config"]["layers"][index]["config"].update(settings)
    return topology, weights


def test_an_unknown_layer_is_refused_by_name() -> None:
    topology, weights = small()
    topology["config"]["layers"].insert(2, layer("Lambda", "mine", function="import os"))
    assert refused(topology, weights) == ("layer 'mine' (Lambda): a layer of this kind is not read")


@pytest.mark.parametrize(
    ("index", "settings", "words"),
    [
        (1, {"data_format": "channels_first"}, "channels_last"),
        (1, {"activation": "swish"}, "swish"),
        (1, {"activation": {"class_name": "Mine"}}, "not a string"),
        (1, {"padding": "causal"}, "causal"),
        (1, {"padding": "same", "strides": [2, 0]}, "no usable number"),
        (1, {"filters": 5}, "shape"),
        (1, {"filters": True}, "no usable number"),
        (1, {"filters": 10**9}, "no usable number"),
        (1, {"kernel_size": [3]}, "not a pair"),
        (1, {"kernel_size": [9, 9]}, "shape"),
        (1, {"groups": 2}, "groups"),
        (1, {"use_bias": 1}, "neither true nor false"),
        (1, {"use_bias": True}, "'bias' is not in the file"),
        (2, {"axis": 1}, "last axis"),
        (2, {"epsilon": float("nan")}, "no usable number"),
        (2, {"epsilon": -1.0}, "variance"),
        (3, {"threshold": 1.0}, "threshold"),
        (3, {"negative_slope": 0.1}, "slope"),
        (6, {"units": 3}, "shape"),
        (0, {"batch_input_shape": [None, None, None, 3]}, "no usable number"),
        (0, {"batch_input_shape": [None, 8, 8, 1]}, "1 channels"),
        (0, {"batch_input_shape": [None, 1 << 20, 1 << 20, 3]}, "values"),
        (0, {"batch_input_shape": [None, 1, 8, 3]}, "shape"),
    ],
)
def test_settings_that_are_not_read_are_refused(
    index: int, settings: dict[str, Any], words: str
) -> None:
    assert words in refused(*changed(index, **settings))


def test_weights_that_are_no_numbers_are_refused() -> None:
    topology, weights = small()
    weights["conv/kernel"][0, 0, 0, 0] = np.nan
    assert "not finite" in refused(topology, weights)
    topology, weights = small()
    weights["norm/moving_variance"][0] = -1
    assert "variance" in refused(topology, weights)


def test_graphs_that_cannot_run_are_refused() -> None:
    weights = drawn({"c/kernel": (1, 1, 3, 3)})
    end = ending(weights, 12)
    start = {
        "class_name": "InputLayer",
        "config": {"name": "i", "batch_input_shape": [None, 2, 2, 3]},
    }
    first, last = node(start), [node(end[0], "a"), node(end[1], "flat")]
    a, b = node(layer("Dropout", "a"), "b"), node(layer("Dropout", "b"), "a")
    assert "inputs are not in the network" in refused(
        model([first, a, b, *last], "i", "end"), weights
    )
    good = node(layer("Dropout", "a"), "i")
    assert "not in the network" in refused(model([first, good, *last], "i", "no"), weights)
    assert "two layers" in refused(model([first, good, good, *last], "i", "end"), weights)
    called = {**good, "inbound_nodes": [[["i", 0, 0, {"training": True}]]]}
    assert "arguments" in refused(model([first, called, *last], "i", "end"), weights)
    keras3 = {**good, "inbound_nodes": [{"args": [], "kwargs": {}}]}
    assert "Keras 3" in refused(model([first, keras3, *last], "i", "end"), weights)


def test_networks_inside_networks_have_an_end() -> None:
    topology, weights = small()
    for depth in range(12):
        topology = {
            "class_name": "Sequential",
            "config": {"name": f"{depth}", "layers": [topology]},
        }
    topology["config"]["layers"].insert(
        0,
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 8, 8, 3], "name": "x"}},
    )
    assert "without end" in refused(topology, weights)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(data=st.data())
def test_junk_in_any_place_is_refused_or_harmless(data: st.DataObject) -> None:
    topology, weights = small()
    target: Any = topology
    while True:
        key = data.draw(
            st.sampled_from(list(target) if isinstance(target, dict) else range(len(target)))
        )
        below = target[key]
        if not isinstance(below, dict | list) or not below or data.draw(st.integers(0, 4)) == 0:
            break
        target = below
    target[key] = data.draw(JUNK)
    assert outcome(topology, weights) in ("read", "weights_unusable")


def outcome(topology: Json, weights: dict[str, Array]) -> str:
    try:
        to_onnx(topology, weights)
    except ModelError as error:
        return error.code
    return "read"

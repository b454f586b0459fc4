"""Small Keras networks for tests, and how converted ones are run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from vedette.backends.base import Array
from vedette.formats.graph import Network

Json = dict[str, Any]


def run(network: Network, images: Array) -> tuple[Array, Array]:
    """Probabilities and embedding of float32 images [n, h, w, 3]."""
    session = onnxruntime.InferenceSession(network.onnx)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
    probabilities, embedding = session.run(["probabilities", "embedding"], {"images": planes})
    return np.asarray(probabilities), np.asarray(embedding)


def layer(kind: str, name: str, **settings: Any) -> Json:
    """One layer of a Sequential network."""
    return {"class_name": kind, "config": {"name": name, **settings}}


def sequential(shape: Sequence[int], layers: Sequence[Json]) -> Json:
    """A chain of layers that takes pictures of that shape (h, w, channels)."""
    start = {"batch_input_shape": [None, *shape], "name": "in"}
    first = {"class_name": "InputLayer", "config": start}
    return {"class_name": "Sequential", "config": {"layers": [first, *layers]}}


def ending(weights: dict[str, Array], values: int) -> list[Json]:
    """Flatten and a dense layer: what comes before them is the embedding, in Keras' order."""
    rng = np.random.default_rng(values)
    weights["end/kernel"] = rng.normal(size=(values, 2)).astype(np.float32)
    weights["end/bias"] = rng.normal(size=2).astype(np.float32)
    return [layer("Flatten", "flat"), layer("Dense", "end", units=2, activation="softmax")]


def node(item: Json, *inputs: str) -> Json:
    """A layer of a Model, with the layers that it takes its inputs from."""
    inbound = [[[name, 0, 0, {}] for name in inputs]] if inputs else []
    return {**item, "name": item["config"]["name"], "inbound_nodes": inbound}


def model(layers: Sequence[Json], start: str, end: str) -> Json:
    """A graph of layers."""
    ends = {"input_layers": [[start, 0, 0]], "output_layers": [[end, 0, 0]]}
    return {"class_name": "Model", "config": {"name": "m", "layers": list(layers), **ends}}


def drawn(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, Array]:
    """Random weights of those shapes; variances are positive."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.random(shape) + 0.5 if "variance" in name else rng.normal(size=shape)).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


def small() -> tuple[Json, dict[str, Array]]:
    """A chain with most kinds of layers and its weights, for 8 x 8 pictures."""
    weights = drawn(
        {
            "conv/kernel": (3, 3, 3, 4),
            "norm/gamma": (4,),
            "norm/beta": (4,),
            "norm/moving_mean": (4,),
            "norm/moving_variance": (4,),
            "deep/depthwise_kernel": (3, 3, 4, 1),
            "deep/bias": (4,),
        }
    )
    layers = [
        layer("Conv2D", "conv", filters=4, kernel_size=[3, 3], strides=[2, 2], use_bias=False),
        layer("BatchNormalization", "norm"),
        layer("ReLU", "relu", max_value=6.0),
        layer("DepthwiseConv2D", "deep", kernel_size=[3, 3], padding="same"),
        *ending(weights, 36),
    ]
    return sequential((8, 8, 3), layers), weights


def write_tfjs(folder: Path, topology: Json, weights: Mapping[str, Array]) -> Path:
    """The network as TensorFlow.js stores it, in one shard of float32."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [
        {"name": name, "shape": list(values.shape), "dtype": "float32"}
        for name, values in weights.items()
    ]
    manifest = {
        "modelTopology": {"model_config": topology},
        "weightsManifest": [{"paths": ["group1-shard1of1"], "weights": listed}],
    }
    (folder / "model.json").write_text(json.dumps(manifest))
    data = b"".join(values.astype("<f4").tobytes() for values in weights.values())
    (folder / "group1-shard1of1").write_bytes(data)
    return folder

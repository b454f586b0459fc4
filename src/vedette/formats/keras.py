"""A Keras network, given as the JSON of its topology and its weights by name, as ONNX.

Keras 1 and 2 write the topology into a ``.h5``'s attribute ``model_config``, and TensorFlow.js into
``model.json``: a chain of layers (``Sequential``) or a graph of them (``Model``, ``Functional``),
which may have further networks as layers. No TensorFlow is needed to read it, and nothing in it
is run: a layer is one of the few that :mod:`vedette.formats.keras_layers` knows, or it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vedette.backends.base import Array
from vedette.formats.graph import Graph, Network, Value, unusable
from vedette.formats.keras_config import LayerConfig, as_list, as_object, as_text, as_whole
from vedette.formats.keras_layers import Layer, add_layer

NETWORKS = ("Sequential", "Model", "Functional")
"""Class names of what is a network of layers by itself."""
_DEEPEST = 8
_MOST_LAYERS = 5_000

_Place = tuple[str, int]
"""A layer's name, and which of its uses: a layer may be used at several places of a network."""


def parse(text: str | bytes, what: str) -> Mapping[str, Any]:
    """The JSON object in ``text``.

    Raises:
        ModelError: it is none.
    """
    try:
        return as_object(json.loads(text), what)
    except (ValueError, RecursionError) as error:
        raise unusable(f"{what} is not JSON that can be read: {error}") from error


def to_onnx(topology: Mapping[str, Any], weights: Mapping[str, Array]) -> Network:
    """The network with its outputs: ``probabilities`` are what it gives by itself, ``embedding``
    is what its last dense layer is given.

    Args:
        topology: the JSON object with ``class_name`` and ``config``.
        weights: arrays by ``layer/weight``, e.g. ``Conv1/kernel``.

    Raises:
        ModelError: ``weights_unusable``; says which layer is not understood.
        MissingExtraError: onnx is not installed.
    """
    walk = _Walk(Graph(), weights)
    outputs = walk.network(topology, None, 0)
    if len(outputs) != 1:
        raise unusable(f"the network has {len(outputs)} outputs instead of one")
    return walk.graph.network(outputs[0], walk.embedding)


@dataclass(slots=True)
class _Walk:
    """One pass over all layers, nested ones included."""

    graph: Graph
    weights: Mapping[str, Array]
    embedding: Value | None = None
    """What the latest dense layer was given."""
    layers: int = 0

    def network(
        self, described: Mapping[str, Any], inputs: Sequence[Value] | None, depth: int
    ) -> list[Value]:
        """Write down a network; ``inputs`` is None for the outermost one."""
        kind = described.get("class_name")
        if kind not in NETWORKS:
            raise unusable(f"the topology is a {kind!r:.40}, not {' or '.join(NETWORKS)}")
        if depth > _DEEPEST:
            raise unusable("networks inside networks without end")
        config = described.get("config")
        if kind == "Sequential":
            # Keras before 2.2.3 wrote the bare list of layers.
            layers = config if isinstance(config, list) else _entry(config, "layers")
            return [self._chain(as_list(layers, "layers"), inputs, depth)]
        return self._functional(as_object(config, "config"), inputs, depth)

    def _chain(self, described: Sequence[Any], inputs: Sequence[Value] | None, depth: int) -> Value:
        if inputs is not None and len(inputs) != 1:
            raise unusable("a Sequential network has one input")
        value = inputs[0] if inputs else None
        for position, item in enumerate(described):
            layer = self._layer(item)
            if position == 0 and value is None:
                value = self._images(_input_shape(item, layer))
            if layer.kind != "InputLayer":
                assert value is not None
                value = self._apply(item, layer, [value], depth)
        if value is None:
            raise unusable("the network has no layers")
        return value

    def _functional(
        self, config: Mapping[str, Any], inputs: Sequence[Value] | None, depth: int
    ) -> list[Value]:
        described = as_list(config.get("layers"), "layers")
        starts = [_place(item) for item in _references(config.get("input_layers"))]
        if inputs is not None and len(inputs) != len(starts):
            raise unusable(f"a network of {len(starts)} inputs is given {len(inputs)}")
        done: dict[_Place, Value] = {}
        waiting: list[_Use] = []
        names: set[str] = set()
        for item in described:
            layer = self._layer(item)
            if layer.name in names:
                raise unusable(f"two layers are called {layer.name!r:.80}")
            names.add(layer.name)
            if layer.kind == "InputLayer":
                place = (layer.name, 0)
                if place not in starts:
                    raise layer.refuse("is no input of its network")
                given = inputs[starts.index(place)] if inputs is not None else None
                done[place] = given or self._images(_input_shape(item, layer))
            else:
                waiting += _uses(item, layer)
        while waiting:
            # Nearly always one round: Keras writes the layers in an order in which they can run.
            left = []
            for use in waiting:
                if all(place in done for place in use.inputs):
                    given_values = [done[place] for place in use.inputs]
                    done[use.place] = self._apply(use.item, use.layer, given_values, depth)
                else:
                    left.append(use)
            if len(left) == len(waiting):
                raise left[0].layer.refuse("its inputs are not in the network")
            waiting = left
        ends = [_place(item) for item in _references(config.get("output_layers"))]
        missing = [name for name, use in ends if (name, use) not in done]
        if missing:
            raise unusable(f"the output {missing[0]!r:.80} is not in the network")
        return [done[place] for place in ends]

    def _apply(
        self, item: Mapping[str, Any], layer: LayerConfig, inputs: list[Value], depth: int
    ) -> Value:
        if layer.kind in NETWORKS:
            outputs = self.network(item, inputs, depth + 1)
            if len(outputs) != 1:
                raise layer.refuse("an inner network has one output")
            return outputs[0]
        if layer.kind == "Dense":
            self.embedding = inputs[0]
        return add_layer(Layer(self.graph, layer, self.weights), inputs)

    def _images(self, shape: tuple[int, int, int]) -> Value:
        height, width, channels = shape
        if channels != 3:
            raise unusable(f"the network takes pictures of {channels} channels")
        return self.graph.images(height, width)

    def _layer(self, item: object) -> LayerConfig:
        self.layers += 1
        if self.layers > _MOST_LAYERS:
            raise unusable(f"the network has more than {_MOST_LAYERS} layers")
        described = as_object(item, "a layer")
        config = described.get("config")
        settings = {} if isinstance(config, list) else as_object(config, "a layer's config")
        # Inside a Sequential network the name stands in the config alone.
        name = as_text(described.get("name", settings.get("name", "")), "a layer's name")
        return LayerConfig(name, as_text(described.get("class_name"), "class_name"), settings)


@dataclass(frozen=True, slots=True)
class _Use:
    """One place of a network at which a layer is used."""

    place: _Place
    item: Mapping[str, Any] = field(repr=False)
    layer: LayerConfig
    inputs: tuple[_Place, ...]


def _uses(item: Mapping[str, Any], layer: LayerConfig) -> list[_Use]:
    nodes = as_list(item.get("inbound_nodes"), "inbound_nodes")
    if not nodes:
        raise layer.refuse("has no inputs")
    if any(isinstance(node, dict) for node in nodes):
        raise layer.refuse("Keras 3 writes its inputs in a form that is not read")
    return [
        _Use((layer.name, index), item, layer, tuple(_place(ref) for ref in _references(node)))
        for index, node in enumerate(nodes)
    ]


def _references(value: object) -> Sequence[Any]:
    """References to layers; Keras writes a single one with or without a list around it."""
    listed = as_list(value, "a list of layers")
    if not listed:
        raise unusable("a list of layers is empty")
    return [listed] if isinstance(listed[0], str) else listed


def _place(value: object) -> _Place:
    """``[name, use, output]`` or, as a layer's input, ``[name, use, output, arguments]``."""
    reference = as_list(value, "a reference to a layer")
    if len(reference) not in (3, 4):
        raise unusable("a reference to a layer has three or four parts")
    if as_whole(reference[2], "an output's number"):
        raise unusable("layers of several outputs are not read")
    if len(reference) == 4 and reference[3]:
        # For these layers only ``training`` can stand here, which changes what they compute.
        raise unusable("a layer that is called with arguments is not read")
    return as_text(reference[0], "a layer's name"), as_whole(reference[1], "a layer's use")


def _entry(value: object, key: str) -> object:
    return as_object(value, "config").get(key)


def _input_shape(item: Mapping[str, Any], layer: LayerConfig) -> tuple[int, int, int]:
    settings = layer.settings
    if layer.kind in NETWORKS:
        # The first layer of a Sequential network may be a network, with the shape in its own.
        config = item.get("config")
        inner = config if isinstance(config, list) else as_list(_entry(config, "layers"), "layers")
        if not inner:
            raise layer.refuse("has no layers")
        first = as_object(inner[0], "a layer")
        settings = as_object(first.get("config"), "a layer's config")
    shape = settings.get("batch_input_shape", settings.get("batch_shape"))
    if not isinstance(shape, list) or len(shape) != 4:
        raise layer.refuse("the shape of the pictures is not given")
    height, width, channels = (as_whole(side, "a side of the pictures", 1) for side in shape[1:])
    return height, width, channels

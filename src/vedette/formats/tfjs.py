"""A TensorFlow.js layers model: ``model.json`` and the weight shards beside it.

The manifest in ``model.json`` lists groups of weights; a group's bytes are its shards one after the
other, and each weight in it float32, or quantised to 8 or 16 bits (``value * scale + min``), or
float16 (https://www.tensorflow.org/js, ``tfjs-core`` ``io_utils``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vedette.backends.base import Array
from vedette.errors import ModelError
from vedette.formats.graph import unusable
from vedette.formats.keras import parse
from vedette.formats.keras_config import as_list, as_number, as_object, as_text, as_whole

_LARGEST_JSON = 64 << 20
_LARGEST_GROUP = 1 << 31
"""bytes"""
_STORED = {"uint8": "<u1", "uint16": "<u2", "float16": "<f2", "float32": "<f4"}


def tfjs_files(folder: Path) -> list[Path]:
    """All files of the model in ``folder``, ``model.json`` first.

    Raises:
        ModelError: as for :func:`read_tfjs`; the files' content is not looked at.
    """
    groups = as_list(_manifest(folder).get("weightsManifest"), "weightsManifest")
    return [folder / "model.json", *(path for group in groups for path in _shards(folder, group))]


def read_tfjs(folder: Path) -> tuple[Mapping[str, Any], dict[str, Array]]:
    """Topology and weights of the model in ``folder``.

    Returns:
        What :func:`vedette.formats.keras.to_onnx` takes.

    Raises:
        ModelError: ``weights_missing``, or ``weights_unusable``: not such a model, a shard that is
            shorter or longer than the manifest says, or one outside the folder.
    """
    model = _manifest(folder)
    topology = as_object(model.get("modelTopology"), "modelTopology")
    weights: dict[str, Array] = {}
    for group in as_list(model.get("weightsManifest"), "weightsManifest"):
        for name, values in _group(folder, as_object(group, "a group of weights")):
            if name in weights:
                raise unusable(f"two weights are called {name!r:.80}")
            weights[name] = values
    # Keras' own writer wraps the topology; TensorFlow.js' writes it as it is.
    inner = topology.get("model_config", topology)
    return as_object(inner, "model_config"), weights


def _manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / "model.json"
    if _size(path) > _LARGEST_JSON:
        raise unusable(f"{path.name} is larger than {_LARGEST_JSON} bytes")
    model = parse(path.read_bytes(), path.name)
    if model.get("format", "layers-model") != "layers-model":
        raise unusable(f"{path.name} is a {model['format']!r:.40}, not a layers-model")
    return model


def _shards(folder: Path, group: object) -> list[Path]:
    listed = as_list(as_object(group, "a group of weights").get("paths"), "paths")
    return [_inside(folder, item) for item in listed]


def _group(folder: Path, group: Mapping[str, Any]) -> Iterator[tuple[str, Array]]:
    listed = as_list(group.get("weights"), "weights")
    weights = [_Weight(as_object(item, "a weight")) for item in listed]
    paths = _shards(folder, group)
    expected, found = sum(weight.size for weight in weights), sum(_size(path) for path in paths)
    if expected > _LARGEST_GROUP:
        raise unusable(f"the manifest asks for {expected} bytes of weights")
    if expected != found:
        raise unusable(f"the shards have {found} bytes where the manifest says {expected}")
    data = b"".join(path.read_bytes() for path in paths)
    if len(data) != expected:
        raise unusable("a shard changed while it was read")
    offset = 0
    for weight in weights:
        yield weight.name, weight.read(data[offset : offset + weight.size])
        offset += weight.size


def _inside(folder: Path, value: object) -> Path:
    """The path of a shard. Told by its words, not by where links lead: a store of weights may be
    made of links, but what a downloaded file says must not reach out of its folder."""
    text = as_text(value, "the path of a shard")
    parts = PurePosixPath(text).parts
    outside = not parts or text.startswith("/") or ".." in parts
    if outside or any(mark in text for mark in ("\\", ":", "\0")):
        raise unusable(f"the shard {text!r:.80} is not inside the model's folder")
    return folder.joinpath(*parts)


def _size(path: Path) -> int:
    try:
        if path.is_file():
            return path.stat().st_size
    except OSError as error:
        raise unusable(f"{path.name:.80} cannot be read: {error.strerror}") from error
    raise ModelError(f"{path.name:.80} is not in the model's folder", code="weights_missing")


class _Weight:
    """One entry of the manifest."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.name = as_text(entry.get("name"), "the name of a weight")
        if entry.get("dtype") != "float32":
            raise self._refuse(f"has the type {entry.get('dtype')!r:.40}")
        sides: Sequence[Any] = as_list(entry.get("shape"), "the shape of a weight")
        self.shape = tuple(as_whole(side, "a side of a weight") for side in sides)
        if len(self.shape) > 8:
            raise self._refuse("has too many sides")
        quantised = as_object(entry.get("quantization", {}), "quantization")
        self._stored = as_text(quantised.get("dtype", "float32"), "the type of a weight")
        if self._stored not in _STORED:
            raise self._refuse(f"is stored as {self._stored!r:.40}")
        self._scale, self._min = 1.0, 0.0
        if self._stored.startswith("uint"):
            self._scale, self._min = (as_number(quantised.get(k), k) for k in ("scale", "min"))
        self.size = math.prod(self.shape) * np.dtype(_STORED[self._stored]).itemsize

    def read(self, data: bytes) -> Array:
        """float32, from the bytes as they are stored."""
        values = np.frombuffer(data, _STORED[self._stored]).reshape(self.shape)
        if self._stored.startswith("uint"):
            # In double precision and rounded once, as JavaScript computes it.
            values = values.astype(np.float64) * self._scale + self._min
        return values.astype(np.float32)

    def _refuse(self, why: str) -> ModelError:
        return unusable(f"the weight {self.name!r:.80} {why}")

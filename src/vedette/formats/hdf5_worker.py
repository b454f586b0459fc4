"""The child process that reads a Keras ``.h5``: writes what it finds as TensorFlow.js files.

Started by :mod:`vedette.formats.hdf5` as ``python -P -m vedette.formats.hdf5_worker FILE FOLDER``.

An HDF5 file can lead a reader elsewhere: to other files by links, to other files' bytes by
external storage and virtual datasets, and to far more memory than it has bytes by compression.
Keras writes none of these; what is not plain numbers inside this file is refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import Array
from vedette.errors import ModelError
from vedette.extras import require
from vedette.formats.graph import unusable
from vedette.formats.keras import NETWORKS, parse
from vedette.formats.keras_config import as_list

ERROR = "error.json"
_MOST_WEIGHTS = 20_000


def main() -> None:
    """Read ``FILE`` into ``FOLDER``; an error goes there too."""
    path, folder = (Path(given) for given in sys.argv[1:])
    try:
        _write(folder, *read(path))
    except ModelError as error:
        told = {"message": error.message, "code": error.code}
        (folder / ERROR).write_text(json.dumps(told), encoding="utf-8")


def read(path: Path) -> tuple[Mapping[str, Any], dict[str, Array]]:
    """Topology and weights of the model in a Keras ``.h5`` file, read in this process.

    Raises:
        ModelError: ``weights_unusable``.
    """
    h5py = require("h5py", extra="zoo")
    try:
        with h5py.File(path, "r") as file:
            return _Reader(h5py).model(file, path.name)
    except ModelError:
        raise
    except Exception as error:  # what h5py raises on damage depends on where it is
        raise unusable(f"{path.name:.80} is no HDF5 file that can be read: {error}") from error


def _write(folder: Path, topology: Mapping[str, Any], weights: Mapping[str, Array]) -> None:
    listed = [
        {"name": name, "shape": list(values.shape), "dtype": "float32"}
        for name, values in weights.items()
    ]
    with (folder / "weights").open("wb") as stream:
        for values in weights.values():
            stream.write(values.astype("<f4").tobytes())
    manifest = {
        "modelTopology": topology,
        "weightsManifest": [{"paths": ["weights"], "weights": listed}],
    }
    (folder / "model.json").write_text(json.dumps(manifest), encoding="utf-8")


class _Reader:
    """One reading of one file."""

    def __init__(self, h5py: Any) -> None:
        self._h5py = h5py

    def model(self, file: Any, name: str) -> tuple[Mapping[str, Any], dict[str, Array]]:
        if "model_config" not in file.attrs:
            raise unusable(f"{name:.80} has weights at most: it says nothing about the network")
        topology = parse(_text(file.attrs["model_config"], "model_config"), "model_config")
        root = self._below(file, "model_weights") if "model_weights" in file else file
        weights: dict[str, Array] = {}
        for key, values in self._weights(root, _inner_networks(topology)):
            if key in weights:
                raise unusable(f"two weights are called {key!r:.80}")
            if len(weights) >= _MOST_WEIGHTS:
                raise unusable(f"the file has more than {_MOST_WEIGHTS} weights")
            weights[key] = values
        return topology, weights

    def _weights(self, root: Any, inner: frozenset[str]) -> Iterator[tuple[str, Array]]:
        for layer in _names(root, "layer_names"):
            group = self._below(root, layer)
            for name in _names(group, "weight_names"):
                # ``Conv1/kernel:0``, with scopes before it as the TensorFlow at hand made them.
                parts = name.split("/")
                weight = parts[-1].partition(":")[0]
                # The group's own name counts, but that of a network inside the network says
                # nothing about whose weight it is.
                owner = parts[-2] if layer in inner and len(parts) > 1 else layer
                yield f"{owner}/{weight}", self._values(group, name)

    def _below(self, group: Any, path: str) -> Any:
        """What is at ``path``, step by step, each of them inside this file."""
        for step in path.split("/"):
            if not step or not isinstance(group, self._h5py.Group):
                raise unusable(f"there is nothing at {path!r:.80}")
            link = group.get(step, getlink=True)
            if not isinstance(link, self._h5py.HardLink):
                raise unusable(f"{path!r:.80} is a link, which is not followed")
            group = group[step]
        return group

    def _values(self, group: Any, name: str) -> Array:
        found = self._below(group, name)
        if not isinstance(found, self._h5py.Dataset) or found.dtype.kind != "f":
            raise unusable(f"{name!r:.80} is no array of numbers")
        if found.is_virtual or found.external:
            raise unusable(f"the values of {name!r:.80} are outside the file")
        size = int(found.size) * found.dtype.itemsize
        # Contiguous and stored whole: no compression, and no array larger than the file.
        if found.chunks is not None or found.id.get_storage_size() != size:
            raise unusable(f"{name!r:.80} is not stored as plain numbers, or not to its end")
        return np.asarray(found[()], dtype=np.float32)


def _names(group: Any, key: str) -> list[str]:
    """A list of names in an attribute, which Keras splits where it is long: ``key0``, ``key1``."""
    attributes = group.attrs
    if key in attributes:
        parts = [attributes[key]]
    else:
        parts = []
        while (part := f"{key}{len(parts)}") in attributes:
            parts.append(attributes[part])
    if not parts:
        raise unusable(f"the file has no {key}")
    return [_text(name, key) for part in parts for name in np.asarray(part).reshape(-1)]


def _text(value: object, what: str) -> str:
    with suppress(UnicodeDecodeError):
        if isinstance(value, bytes):
            return value.decode("utf-8")
        if isinstance(value, str):
            return value
    raise unusable(f"{what} is not text")


def _inner_networks(topology: Mapping[str, Any]) -> frozenset[str]:
    """Names of the outermost network's layers that are networks by themselves."""
    config = topology.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    found = set()
    for layer in as_list(layers, "layers"):
        if isinstance(layer, dict) and layer.get("class_name") in NETWORKS:
            inner = layer.get("config")
            name = layer.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
            found.add(str(name))
    return frozenset(found)


if __name__ == "__main__":
    main()

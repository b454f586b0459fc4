"""TensorFlow's SavedModel without TensorFlow: its variables, and the tables in its graph.

Source: TensorFlow's ``saved_model.proto``, ``tensor_bundle.proto`` and ``tensor_shape.proto``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.errors import ModelError
from vedette.formats.archives import read_members
from vedette.formats.lookups import read_tables
from vedette.formats.protobuf import fields, submessages
from vedette.formats.sstable import masked_crc32c, read_table

_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    9: np.dtype("<i8"),
}
"""By TensorFlow's ``DataType``."""
_ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"
_MOST_DIMS = 8
_MOST_BYTES = 2**24
"""Of the graph, and of the index. The published ones have 4 megabytes and 2 kilobytes."""


@dataclass(frozen=True, slots=True)
class SavedModel:
    """What a SavedModel holds of weights."""

    variables: Mapping[str, NDArray[Any]]
    """By checkpoint key, without its ending: ``layer_with_weights-2/kernel``."""
    tables: Mapping[int, Mapping[str, int]]
    """Index by string, for each column of the input that is looked up."""


def read_saved_model(path: Path) -> SavedModel:
    """The variables and tables of a SavedModel, a folder or a ZIP archive of one.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    members = read_members(path)
    try:
        (graph_name,) = [name for name in members if name.endswith("saved_model.pb")]
        root = graph_name.removesuffix("saved_model.pb")
        index = members[f"{root}variables/variables.index"]
        data = members[f"{root}variables/variables.data-00000-of-00001"]
    except (ValueError, KeyError):
        raise _unusable(path, "it lacks saved_model.pb or its variables") from None
    if max(len(index), len(members[graph_name])) > _MOST_BYTES:
        raise _unusable(path, "it is larger than models of this kind are")
    try:
        return SavedModel(_variables(index, data), read_tables(members[graph_name]))
    except ModelError as error:
        raise _unusable(path, error.message) from error
    except (ValueError, KeyError, IndexError, OverflowError, MemoryError) as error:
        raise _unusable(path, f"{type(error).__name__}: {str(error)[:200]}") from error


def _variables(index: bytes, data: bytes) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    left = len(data)  # so that not every variable can be the whole file
    for key, entry in read_table(index).items():
        name = key.decode("utf-8")
        if name.endswith(_ENDING):
            variable = _variable(entry, data)
            found[name.removesuffix(_ENDING)] = variable
            left -= variable.nbytes
            if left < 0:
                raise ValueError("its variables overlap")
    return found


def _variable(entry: bytes, data: bytes) -> NDArray[Any]:
    """A ``BundleEntryProto``'s tensor."""
    numbers = {n: v for n, _, v in fields(entry)}
    dtype = _DTYPES.get(_int(numbers.get(1, 0)))
    offset, size = _int(numbers.get(4, 0)), _int(numbers.get(5, 0))
    shape = _shape(submessages(entry, 2))
    raw = data[offset : offset + size]
    if dtype is None or len(raw) != size or math.prod(shape) * dtype.itemsize != size:
        raise ValueError("a variable's bytes are not its shape's")
    if int.from_bytes(_bytes(numbers.get(6, b"")), "little") != masked_crc32c(raw):
        raise ValueError("a variable's checksum is wrong")
    return np.frombuffer(raw, dtype).reshape(shape)


def _shape(messages: list[bytes]) -> tuple[int, ...]:
    """A ``TensorShapeProto``: dimensions with sizes."""
    if not messages:
        return ()
    dimensions = submessages(messages[0], 2)
    if len(dimensions) > _MOST_DIMS:
        raise ValueError("a variable of too many dimensions")
    return tuple(_int({n: v for n, _, v in fields(d)}.get(1, 0)) for d in dimensions)


def _int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("a field that is no number")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a field that is no bytes")
    return value


def _unusable(path: Path, why: str) -> ModelError:
    return ModelError(f"{path.name}: no usable SavedModel: {why}", code="weights_unusable")

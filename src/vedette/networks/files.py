"""What every checkpoint folder has: JSON configurations and tensors in safetensors files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vedette.errors import ModelError
from vedette.extras import require

_JSON_LIMIT = 16 * 2**20
"""Bytes. A configuration is some kilobytes, a tokenizer's vocabulary a few megabytes."""
_MOST = 2**17
"""Of anything that a configuration counts."""
_MOST_RATIO = 64.0
_LEAST_IN_LAYER = 1024
"""Weights of a layer: so that a file of some megabytes cannot ask for millions of them."""


def unusable(path: Path, why: str) -> ModelError:
    """The error for a file that is there and cannot be used."""
    return ModelError(f"{path.name}: {why}", code="weights_unusable")


@contextmanager
def disk_told() -> Iterator[None]:
    """A disk that is full as an OSError, while a file of tensors is written.

    The writer of safetensors tells of it with an error of its own, which is none.
    """
    safetensors = require("safetensors", extra="zoo")
    try:
        yield
    except safetensors.SafetensorError as error:
        raise OSError(str(error)) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    try:
        if path.stat().st_size > _JSON_LIMIT:
            raise unusable(path, "too large for a configuration")
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{path} is not there", code="weights_missing") from None
    except OSError as error:
        raise unusable(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise unusable(path, f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise unusable(path, "not a JSON object")
    return value


def read_tensors(path: Path) -> dict[str, Any]:
    """Tensors by name, as torch tensors in float32 where they are floating point.

    Raises:
        ModelError: ``weights_missing``, or ``weights_unusable``: truncated, or no safetensors file.
        MissingExtraError: torch or safetensors is not installed.
    """
    safetensors = require("safetensors", extra="zoo")
    load = require("safetensors.torch", extra="zoo").load_file
    if not path.is_file():
        raise ModelError(f"{path} is not there", code="weights_missing")
    try:
        tensors = load(str(path))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise unusable(path, f"not a whole safetensors file: {error}") from error
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def load_into(module: Any, tensors: Mapping[str, Any], path: Path, optional: Iterable[str]) -> Any:
    """``module`` in evaluation mode with ``tensors`` as its weights, every one of them.

    Args:
        module: the torch module.
        tensors: by the module's own names.
        path: where they come from, for messages.
        optional: names that the module may lack, or the file.

    Raises:
        ModelError: ``weights_unusable``: a tensor is missing, left over, or of another shape.
    """
    own = module.state_dict()
    allowed = set(optional)
    missing = sorted(own.keys() - tensors.keys() - allowed)
    extra = sorted(tensors.keys() - own.keys() - allowed)
    if missing or extra:
        told = [f"lacks {missing[0]}" if missing else "", f"has {extra[0]} too" if extra else ""]
        raise unusable(path, f"not this network's weights: {', '.join(filter(None, told))}")
    given = {name: tensor for name, tensor in tensors.items() if name in own}
    for name, tensor in given.items():
        if own[name].shape != tensor.shape:
            raise unusable(path, f"{name} is {list(tensor.shape)}, not {list(own[name].shape)}")
    module.load_state_dict(given, strict=False)
    return module.eval()


def field(config: Mapping[str, Any], name: str, kind: type[Any], default: Any, path: Path) -> Any:
    """A configuration's value of the type that it must have.

    Raises:
        ModelError: ``weights_unusable``: another type, or missing without a default.
    """
    value = config.get(name, default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise unusable(path, f"{name} must be a {kind.__name__}, not {value!r}")
    return value


def count(config: Mapping[str, Any], name: str, default: int | None, path: Path) -> int:
    """A configuration's number of layers, heads, pixels or the like: 1 to 131,072.

    Raises:
        ModelError: ``weights_unusable``: another type, missing without a default, or not in range.
    """
    value: int = field(config, name, int, default, path)
    if not 1 <= value <= _MOST:
        raise unusable(path, f"{name} must be 1 to {_MOST}, not {value}")
    return value


def scaled(width: int, config: Mapping[str, Any], path: Path) -> int:
    """``width`` times ``mlp_ratio``: the units of a layer's inner part.

    Raises:
        ModelError: ``weights_unusable``: a ratio that no network has.
    """
    ratio = field(config, "mlp_ratio", float, 4.0, path)
    if not 0 < ratio <= _MOST_RATIO:  # false for NaN too
        raise unusable(path, f"mlp_ratio is {ratio:g}")
    return int(width * ratio)


def check_room(layers: int, hidden: int, mlp: int, tensors: Mapping[str, Any], path: Path) -> None:
    """Refuse a configuration of a network that is larger than its file, before it is built.

    Raises:
        ModelError: ``weights_unusable``.
    """
    room = sum(tensor.numel() for tensor in tensors.values())
    if layers * max(_LEAST_IN_LAYER, hidden * (4 * hidden + 2 * mlp)) > room:
        raise unusable(path, f"too few weights for {layers} layers of {hidden} and {mlp}")

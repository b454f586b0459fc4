"""What every checkpoint folder has: JSON configurations and tensors in safetensors files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vedette.errors import ModelError
from vedette.extras import require

_JSON_LIMIT = 16 * 2**20
"""Bytes. A configuration is some kilobytes, a tokenizer's vocabulary a few megabytes."""


def unusable(path: Path, why: str) -> ModelError:
    """The error for a file that is there and cannot be used."""
    return ModelError(f"{path.name}: {why}", code="weights_unusable")


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

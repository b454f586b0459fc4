"""What a vision-language checkpoint's folder holds, read and checked without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.errors import ModelError
from vedette.networks.files import count, field, read_json, unusable

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TEXTS = (
    "added_tokens.json",
    "chat_template.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""What a repository may have beside its weights, and a pull fetches."""
TEMPLATE = "chat_template.jinja"
"""Of newer repositories; in a folder of one's own it is read, and held to its hash, as well."""
_ADAPTER = "adapter_config.json"
_LEAST = 1024
"""Bytes of a layer: so that a small file cannot ask for a network without end."""
_MOST_SHARDS = 1000


@dataclass(frozen=True, slots=True)
class VlmFiles:
    """A checkpoint's folder, and what its own files say."""

    folder: Path
    kind: str
    """``model_type``: the architecture."""
    names: tuple[str, ...]
    """Every file that the model is made of, sorted."""
    pictures: Mapping[str, Any]
    """How its image processor is configured."""
    pictures_path: Path
    """Where that stands, for messages."""


def weights_of(folder: Path) -> tuple[str, ...]:
    """Names of the safetensors files; () where there are none, as before a pull.

    Raises:
        ModelError: ``weights_unusable``: an index that is none.
    """
    index = folder / INDEX
    if not index.is_file():
        return (WEIGHTS,) if (folder / WEIGHTS).is_file() else ()
    placed = field(read_json(index), "weight_map", dict, None, index)
    names = sorted({str(name) for name in placed.values()})
    plain = all(n.endswith(".safetensors") and Path(n).name == n for n in names)
    if not names or not plain or len(names) > _MOST_SHARDS:
        raise unusable(index, "it does not name safetensors files beside it")
    return tuple(names)


def read_vlm(folder: Path) -> VlmFiles:
    """The checkpoint in a folder, laid out as on the model hub.

    Raises:
        ModelError: ``weights_missing``; ``weights_unusable``: an adapter alone, one that brings
            its own code, no fast tokenizer, or no configuration of an image processor.
    """
    path = folder / CONFIG
    config = read_json(path)
    kind = field(config, "model_type", str, None, path)
    if (folder / _ADAPTER).is_file():
        raise unusable(folder / _ADAPTER, "this is an adapter, and not a whole model")
    weights = weights_of(folder)
    for name in (*(weights or (WEIGHTS,)), "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelError(f"{folder / name} is not there", code="weights_missing")
    index = (INDEX,) if (folder / INDEX).is_file() else ()
    texts = tuple(n for n in (*TEXTS, TEMPLATE) if (folder / n).is_file())
    for name in (CONFIG, *(n for n in texts if n.endswith(".json"))):
        if name != "tokenizer.json" and "auto_map" in read_json(folder / name):
            raise unusable(folder / name, "it brings code of its own (auto_map), which is not run")
    _check_size(config, sum((folder / n).stat().st_size for n in weights), path)
    pictures, where = _pictures(folder)
    return VlmFiles(
        folder, kind, tuple(sorted({CONFIG, *texts, *index, *weights})), pictures, where
    )


def _check_size(config: Mapping[str, Any], size: int, path: Path) -> None:
    """Refuse a configuration of a network that is larger than its files, before it is built."""
    for tower in ("text_config", "vision_config"):
        own = config.get(tower, {})
        if not isinstance(own, dict):
            raise unusable(path, f"{tower} is no object")
        layers = count(own, "num_hidden_layers", 1, path)
        hidden = count(own, "hidden_size", 1, path)
        words = count(own, "vocab_size", 1, path) if tower == "text_config" else 1
        # Half a byte is the least that any stored weight takes.
        least = max(layers * max(_LEAST, 2 * hidden * hidden), words * hidden) // 2
        if least > size:
            raise unusable(path, f"too few weights for {layers} layers of {hidden}")


def _pictures(folder: Path) -> tuple[Mapping[str, Any], Path]:
    """The image processor's configuration: a file of its own, or a part of the processor's."""
    own = folder / "preprocessor_config.json"
    if own.is_file():
        return read_json(own), own
    path = folder / "processor_config.json"
    found = read_json(path).get("image_processor") if path.is_file() else None
    if not isinstance(found, dict):
        raise unusable(own, "nothing says how the model takes its pictures")
    return found, path

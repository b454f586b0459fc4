"""LoRA adapters of vision-language networks, stored as peft stores them.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.compile.quiet import quiet
from vedette.errors import ModelError
from vedette.extras import require
from vedette.networks.files import count, disk_told, field, read_json, unusable

ADAPTER = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
_NAME = "default"
"""peft's own name of an adapter that has none."""
MOST_ALPHA = 1e6
"""A folder with a larger one is not opened."""


@dataclass(frozen=True, slots=True)
class LoraShape:
    """What an adapter is, beside its weights."""

    rank: int = 128
    alpha: float = 256.0
    """The update is multiplied by alpha / rank."""
    dropout: float = 0.05
    """In training alone."""


def linear_layers(model: Any) -> str:
    """A pattern of the names of the language model's linear layers; its output layer is none.

    Raises:
        ModelError: ``weights_unusable``: a network in which no language model can be told.
    """
    torch = require("torch", extra="zoo")
    decoder = model.get_decoder()
    prefix = next((name for name, module in model.named_modules() if module is decoder), None)
    if not prefix:
        raise ModelError(
            f"{type(model).__name__} has no language model that can be told from the rest",
            code="weights_unusable",
        )
    names = {
        name.rpartition(".")[2]
        for name, module in decoder.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    return rf"{re.escape(prefix)}\..*\.({'|'.join(sorted(names))})"


def with_new_adapter(model: Any, shape: LoraShape) -> Any:
    """A network with an adapter that changes nothing yet; the network's own weights are frozen.

    The start is drawn from torch's random numbers.

    Raises:
        MissingExtraError: peft is not installed.
    """
    peft = require("peft", extra="train")
    config = peft.LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=linear_layers(model),
        task_type="CAUSAL_LM",
    )
    with quiet():
        return peft.get_peft_model(model, config)


def with_stored_adapter(model: Any, folder: Path) -> Any:
    """A network with the adapter of a folder, in eval mode.

    Of the configuration only rank, alpha and the layers are taken, and the layers must be this
    network's: nothing else in it has a say.

    Raises:
        ModelError: ``weights_missing``, or ``weights_unusable``: another network's adapter.
        MissingExtraError: peft is not installed.
    """
    path = folder / ADAPTER_CONFIG
    config = read_json(path)
    shape = LoraShape(
        count(config, "r", None, path), field(config, "lora_alpha", float, None, path), 0.0
    )
    if not 0 < shape.alpha <= MOST_ALPHA or config.get("peft_type") != "LORA":
        raise unusable(path, "not a LoRA adapter")
    if config.get("target_modules") != linear_layers(model):
        raise unusable(path, "an adapter of another network's layers")
    tensors = _read(folder / ADAPTER)
    smallest = min(min(t.shape) if t.ndim == 2 else 0 for t in tensors.values()) if tensors else 0
    if smallest > shape.rank or not tensors:
        raise unusable(folder / ADAPTER, f"not an adapter of rank {shape.rank}")
    adapted = with_new_adapter(model, shape)
    set_weights(adapted, tensors, folder / ADAPTER)
    return adapted.eval().requires_grad_(False)


def save_activations(model: Any) -> None:
    """Compute activations again in the backward pass, and keep few (gradient checkpointing)."""
    with quiet():  # transformers renames the method; both names work
        model.gradient_checkpointing_enable({"use_reentrant": False})


def weights_of_adapter(model: Any) -> dict[str, Any]:
    """An adapter's tensors under peft's names, on the CPU."""
    peft = require("peft", extra="train")
    found = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}


def set_weights(model: Any, tensors: Mapping[str, Any], path: Path) -> None:
    """Give an adapter its tensors, every one of them.

    Args:
        model: with an adapter.
        tensors: as :func:`weights_of_adapter` gives them.
        path: where they come from, for messages.

    Raises:
        ModelError: ``weights_unusable``: missing or left over, or of another shape or kind.
    """
    peft = require("peft", extra="train")
    own = weights_of_adapter(model)
    wrong = sorted(own.keys() ^ tensors.keys())
    both = own.keys() & tensors.keys()
    wrong += sorted(name for name in both if own[name].shape != tensors[name].shape)
    if wrong:
        raise unusable(path, f"not this adapter's weights: {wrong[0]}")
    with quiet():
        peft.set_peft_model_state_dict(model, dict(tensors), adapter_name=_NAME)


def write_adapter(model: Any, folder: Path, base: str) -> None:
    """Write an adapter as peft reads it.

    Args:
        model: with an adapter.
        folder: that is there.
        base: ``id@revision`` of what it was trained over.

    Raises:
        OSError: it cannot be written.
    """
    save = require("safetensors.torch", extra="zoo").save_file
    config = model.peft_config[_NAME].to_dict()
    config |= {"base_model_name_or_path": base, "inference_mode": True}
    told = {name: _plain(value) for name, value in sorted(config.items())}
    text = json.dumps(told, indent=1, allow_nan=False)
    (folder / ADAPTER_CONFIG).write_text(text + "\n", encoding="utf-8")
    with disk_told():
        save(weights_of_adapter(model), str(folder / ADAPTER), {"format": "pt"})


def _plain(value: Any) -> Any:
    """A value of peft's configuration as JSON: its enumerations are texts, its sets have order."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    return getattr(value, "value", value)


def _read(path: Path) -> dict[str, Any]:
    safetensors = require("safetensors", extra="zoo")
    torch = require("torch", extra="zoo")
    if not path.is_file():
        raise ModelError(f"{path} is not there", code="weights_missing")
    try:
        found: dict[str, Any] = require("safetensors.torch", extra="zoo").load_file(str(path))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise unusable(path, f"not a whole safetensors file: {error}") from error
    if not all(t.is_floating_point() and torch.isfinite(t).all() for t in found.values()):
        raise unusable(path, "a weight that is no number")
    return found

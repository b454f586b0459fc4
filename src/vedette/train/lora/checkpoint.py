"""Where a LoRA training is: one safetensors file, replaced in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vedette.extras import require
from vedette.networks.files import disk_told
from vedette.train.finishing import Epoch

_FILE = "adapter-and-moments.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(slots=True)
class Progress:
    """How far a training is."""

    step: int = 0
    """Steps done, over all epochs."""
    history: list[Epoch] = field(default_factory=list)


def save(folder: Path, progress: Progress, trained: Mapping[str, Any], optimizer: Any) -> None:
    """Write a checkpoint in place of the one before it.

    Args:
        folder: of the training's state.
        progress: how far it is.
        trained: parameters by name.
        optimizer: AdamW over them.

    Raises:
        OSError: it cannot be written; the one before is still there.
    """
    tensors = {}
    for name, parameter in trained.items():
        tensors[f"weight.{name}"] = parameter.detach().cpu().contiguous()
        for moment in _MOMENTS:
            if parameter in optimizer.state:
                tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment].cpu().contiguous()
    history = [{"number": one.number, "values": dict(one.values)} for one in progress.history]
    told = {"step": str(progress.step), "history": json.dumps(history, allow_nan=False)}
    temporary = folder / f"{_FILE}.new"
    with disk_told():
        require("safetensors.torch", extra="zoo").save_file(tensors, str(temporary), told)
    os.replace(temporary, folder / _FILE)


def load(folder: Path, trained: Mapping[str, Any], optimizer: Any) -> Progress:
    """Go on from the checkpoint of a folder; from the start where there is none that is whole.

    Args:
        folder: of the training's state.
        trained: parameters by name, which are given their weights.
        optimizer: one that has made no step, which is given its moments.
    """
    torch = require("torch", extra="zoo")
    safetensors = require("safetensors", extra="zoo")
    try:
        with safetensors.safe_open(str(folder / _FILE), framework="pt") as file:
            told = file.metadata()
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        step = int(told["step"])
        history = [Epoch(one["number"], one["values"]) for one in json.loads(told["history"])]
        kinds = ("weight", *_MOMENTS) if step else ("weight",)
        if found.keys() != {f"{kind}.{name}" for kind in kinds for name in trained}:
            return Progress()
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return Progress()
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(found[f"weight.{name}"])
            if step:
                moments = {one: found[f"{one}.{name}"].to(parameter.device) for one in _MOMENTS}
                optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moments}
    return Progress(step, history)

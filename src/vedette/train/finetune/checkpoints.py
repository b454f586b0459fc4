"""Where a training is, in files that hold numbers and nothing else: safetensors and JSON.

A checkpoint is one file of tensors, and ``checkpoint.json``, which names it and is replaced in one
step: a run that is killed while it writes leaves the checkpoint before. No state of a random
generator is kept: every epoch and every step seeds its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vedette.extras import require
from vedette.networks.files import disk_told
from vedette.train.finishing import Epoch

_FILE = "checkpoint.json"
_BEST = "best-{}.safetensors"
_TENSORS = "tensors-{}.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(slots=True)
class Progress:
    """How far a training is. The next step is the one that it names."""

    stage: int = 0
    epoch: int = 0
    """In its stage, from 0."""
    step: int = 0
    """In its epoch, from 0."""
    number: int = 0
    """Epochs done in all stages: of the running one, from 0."""
    updates: int = 0
    """Steps of the optimiser in this stage."""
    total: float = 0.0
    """Of the running epoch: its steps' losses added up."""
    bad: int = 0
    """Epochs of this stage since the validation loss was lowest."""
    best: float | None = None
    """The lowest validation loss."""
    best_epoch: int = 0
    """From 1; 0: none yet."""
    written: int = 0
    """Checkpoints so far."""
    history: list[Epoch] = field(default_factory=list)


def save(folder: Path, progress: Progress, module: Any, optimizer: Any) -> None:
    """Write a checkpoint in place of the one before it.

    Raises:
        OSError: it cannot be written; the one before is still there.
    """
    progress.written += 1
    tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        for moment in _MOMENTS:
            if moment in optimizer.state.get(parameter, {}):
                tensors[f"adam.{name}.{moment}"] = optimizer.state[parameter][moment]
    name = _TENSORS.format(progress.written)
    _write_tensors(folder / name, tensors)
    told = asdict(progress) | {"file": name}
    temporary = folder / f"{_FILE}.new"
    temporary.write_text(json.dumps(told, allow_nan=False), encoding="utf-8")
    os.replace(temporary, folder / _FILE)
    _keep_only(folder, _TENSORS, name)


def load(folder: Path, module: Any) -> tuple[Progress, dict[str, Any]] | None:
    """The checkpoint of a folder; ``module`` has its weights then.

    Returns:
        How far it was, and the moments of the optimiser for :func:`restore`. None: there is no
        checkpoint that is whole.
    """
    try:
        told = json.loads((folder / _FILE).read_bytes())
        tensors = _read_tensors(folder / told.pop("file"))
        history = [Epoch(one["number"], one["values"]) for one in told.pop("history")]
        progress = Progress(**told, history=history)
        own = {k[6:]: value for k, value in tensors.items() if k.startswith("model.")}
        module.load_state_dict(own)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError):
        return None
    return progress, {k[5:]: value for k, value in tensors.items() if k.startswith("adam.")}


def restore(
    optimizer: Any, parameters: Mapping[str, Any], moments: Mapping[str, Any], updates: int
) -> None:
    """Give an optimiser (AdamW) the moments that it had after so many steps.

    Args:
        optimizer: one that has made no step.
        parameters: those that it trains, by name.
        moments: from :func:`load`.
        updates: its steps so far.
    """
    torch = require("torch", extra="zoo")
    for name, parameter in parameters.items():
        if f"{name}.{_MOMENTS[0]}" not in moments:
            continue  # it has had no gradient yet
        optimizer.state[parameter] = {
            "step": torch.tensor(float(updates)),
            **{one: moments[f"{name}.{one}"].to(parameter.device) for one in _MOMENTS},
        }


def save_best(folder: Path, module: Any, number: int) -> None:
    """Keep the weights of an epoch. The checkpoint that names it is written afterwards.

    Raises:
        OSError: they cannot be written.
    """
    _write_tensors(folder / _BEST.format(number), module.state_dict())


def load_best(folder: Path, module: Any, number: int) -> None:
    """Give ``module`` the weights that :func:`save_best` kept.

    Raises:
        OSError: they are not there.
    """
    tensors = _read_tensors(folder / _BEST.format(number))
    module.load_state_dict(tensors)


def forget_others(folder: Path, number: int) -> None:
    """Delete the kept weights of all epochs but this one."""
    _keep_only(folder, _BEST, _BEST.format(number))


def _write_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    save_file = require("safetensors.torch", extra="zoo").save_file
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    temporary = path.with_suffix(".new")
    with disk_told():
        save_file(plain, str(temporary))
    os.replace(temporary, path)


def _read_tensors(path: Path) -> dict[str, Any]:
    safetensors = require("safetensors", extra="zoo")
    load_file = require("safetensors.torch", extra="zoo").load_file
    try:
        found: dict[str, Any] = load_file(str(path))
    except safetensors.SafetensorError as error:
        raise OSError(f"{path.name}: {error}") from error
    return found


def _keep_only(folder: Path, form: str, name: str) -> None:
    others: Sequence[Path] = sorted(folder.glob(form.format("*")))
    for path in others:
        if path.name != name:
            path.unlink(missing_ok=True)

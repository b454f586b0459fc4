"""How far a prompt training has come, in one file that is replaced whole after every epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.extras import require
from vedette.sinks.base import replacing
from vedette.train.finishing import Epoch
from vedette.types import Float32

_TOLD = "state"
"""The key of the safetensors file's own metadata that the rest stands under, as JSON."""
_TENSORS = ("vectors", "best", "first_moment", "second_moment")


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """After an epoch; also before the first, with no moments yet."""

    learned_from: str
    """A hash of the embeddings, the labels and the start."""
    vectors: Float32
    """float32 [labels, 2, ...]"""
    best: Float32
    """The same of each label's kept epoch."""
    best_loss: tuple[float, ...]
    """The validation loss of each label there."""
    waited: tuple[int, ...]
    """Epochs of each label since."""
    start: Mapping[str, float]
    """What was measured before the first step."""
    epoch: int = 0
    moments: tuple[Float32, ...] = ()
    """Adam's first and second."""
    history: tuple[Epoch, ...] = field(default=())


def digest_of(*arrays: NDArray[Any]) -> str:
    """SHA-256 over arrays and their shapes, in hex."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
    return found.hexdigest()


def write_state(path: Path, state: State) -> None:
    """Put ``state`` in the place of what is there.

    Raises:
        VedetteError: ``write_failed``.
    """
    save = require("safetensors.numpy", extra="zoo").save
    told = {
        "learned_from": state.learned_from,
        "epoch": state.epoch,
        # JSON has no infinity: none was measured yet.
        "best_loss": [None if one == float("inf") else one for one in state.best_loss],
        "waited": state.waited,
        "start": state.start,
        "history": [[one.number, dict(one.values)] for one in state.history],
    }
    arrays = (state.vectors, state.best, *state.moments)
    tensors = dict(zip(_TENSORS, arrays, strict=True))
    with replacing(path) as temporary:
        # Not its save_file, whose error on a full disk is no OSError.
        temporary.write_bytes(save(tensors, {_TOLD: json.dumps(told, allow_nan=False)}))


def read_state(path: Path, learned_from: str) -> State | None:
    """The state of a file; None where there is none, or it is of other data, or cannot be read."""
    safetensors = require("safetensors", extra="zoo")
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(str(path), framework="numpy") as opened:
            told = json.loads(opened.metadata()[_TOLD])
            vectors, best, *moments = (opened.get_tensor(name) for name in _TENSORS)
        if told["learned_from"] != learned_from:
            return None
        return State(
            learned_from=learned_from,
            vectors=vectors,
            best=best,
            best_loss=tuple(float("inf") if one is None else one for one in told["best_loss"]),
            waited=tuple(told["waited"]),
            start=told["start"],
            epoch=told["epoch"],
            moments=tuple(moments),
            history=tuple(Epoch(number, values) for number, values in told["history"]),
        )
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return None

"""A set to learn a scope from: each category is a colour, over a pattern of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from vedette.data.opening import open_source
from vedette.models.vlm import base_of
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.train.data import SetOptions, TrainingSet, read_training_set
from vedette.train.finishing import Outcome
from vedette.train.lora.options import LoraOptions
from vedette.train.lora.trainer import train_lora
from vedette.types import UInt8

COLOURS = {
    "Hate": (220, 40, 40),
    "Violence": (40, 190, 60),
    "Sexual": (50, 60, 220),
    "safe": (130, 130, 130),
}
LABELS = (Category.HATE, Category.VIOLENCE, Category.SEXUAL)
_EACH = {"train": 16, "validation": 3, "test": 6}


def square(name: str, seed: int, side: int = 32) -> UInt8:
    """A colour under random patches of light, no two alike."""
    rng = np.random.default_rng((seed, list(COLOURS).index(name)))
    light = np.kron(rng.integers(-40, 41, (4, 4)), np.ones((side // 4, side // 4)))
    plain = np.array(COLOURS[name])[None, None] + light[..., None]
    return np.asarray(np.clip(plain, 0, 255), dtype=np.uint8)


def pictures(folder: Path) -> Path:
    """Folders named after parts and categories."""
    seed = 0
    for part, count in _EACH.items():
        for name in COLOURS:
            place = folder / part / name
            place.mkdir(parents=True)
            for _ in range(count):
                seed += 1
                PIL.Image.fromarray(square(name, seed)).save(place / f"{seed}.png")
    return folder


def training_set(folder: Path) -> TrainingSet:
    """The set of such a folder, opened as the command does it."""
    _, source = open_source(str(folder))
    return read_training_set(str(folder), source, Settings(), SetOptions())


def options(**more: object) -> LoraOptions:
    """Enough for a network of two layers."""
    chosen = {"rank": 16, "alpha": 32.0, "learning_rate": 3e-3, "epochs": 1, **more}
    return LoraOptions(**chosen)  # type: ignore[arg-type]


def trained(data: TrainingSet, model: Path, state: Path, given: LoraOptions) -> Outcome:
    """The outcome of a training in a folder of its own."""
    state.mkdir(parents=True, exist_ok=True)
    return train_lora(data, base_of(f"vlm:{model}"), Settings(), given, 3, state)

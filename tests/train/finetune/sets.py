"""Small sets that a tiny network can learn: a square whose colour says what it is labelled with."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image

from vedette.data.base import SPLIT
from vedette.data.memory import ItemSource
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.train.data import SetOptions, TrainingSet, read_training_set
from vedette.train.finetune.network import Network, Shape, fresh_vit
from vedette.train.finetune.options import FineTuneOptions, Stage
from vedette.train.finetune.starts import Start, start_named
from vedette.train.finetune.trainer import Place, fine_tune
from vedette.train.finishing import Outcome
from vedette.types import Item

SHAPE = Shape(image=16, patch=8, hidden=32, layers=2, heads=2, mlp=64)
_COLOURS = {Category.HATE: (220, 40, 40), Category.SEXUAL: (40, 40, 220), None: (40, 200, 40)}
_PARTS = {"train": 16, "validation": 8, "calibration": 8, "test": 8}


def item(part: str, number: int, category: Category | None) -> Item:
    rng = np.random.default_rng([len(part), number, 0 if category is None else category.position])
    pixels = rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)
    x, y = rng.integers(0, 10, 2)
    pixels[y : y + 14, x : x + 14] = _COLOURS[category]
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, "PNG")
    labels = frozenset() if category is None else frozenset([category])
    return Item(f"{part}/{category}-{number}", stream.getvalue(), labels, {SPLIT: part})


def items() -> list[Item]:
    return [
        item(part, number, category)
        for part, count in _PARTS.items()
        for number in range(count)
        for category in _COLOURS
    ]


def coloured() -> TrainingSet:
    return read_training_set("coloured", ItemSource(items()), Settings(), SetOptions())


def tiny() -> Start:
    """A start of random weights, smaller than any that users are offered."""
    card = start_named("scratch:vit-mini").card
    return Start("scratch", card, None, SHAPE)


def network(labels: tuple[str, ...] = ("Hate", "Sexual")) -> Network:
    return fresh_vit(SHAPE, start_named("scratch:vit-mini").card, labels)


def options(**given: object) -> FineTuneOptions:
    usual = FineTuneOptions(
        stages=(Stage(None, 3),),
        learning_rate=3e-3,
        layer_decay=1.0,
        batch=16,
        augment="none",
        workers=2,
    )
    return replace(usual, **given)  # type: ignore[arg-type]


def tuned(data: TrainingSet, chosen: FineTuneOptions, folder: Path, seed: int = 7) -> Outcome:
    folder.mkdir(exist_ok=True, parents=True)
    return fine_tune(data, tiny(), chosen, Settings(), seed, Place(folder, folder))

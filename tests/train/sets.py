"""Labelled sets without pictures, for what only looks at labels and embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vedette.bench.scoring import Labelled
from vedette.taxonomy import Category
from vedette.train.data import TrainingSet
from vedette.train.examples import Examples, examples_of
from vedette.types import Float32

SOURCES = ("Laion5B", "Lexica")


def rows(counts: dict[Category, int], safe: int, split: str = "", start: int = 0) -> list[Labelled]:
    """Labelled images: so many of each category, and safe ones."""
    labels: list[tuple[int, ...]] = [
        (category.position,) for category, count in counts.items() for _ in range(count)
    ]
    labels += [()] * safe
    return [
        Labelled(
            key=f"{split or 'all'}/{start + at:05}.png",
            source=SOURCES[at % 2],
            category=label[0] if label else -1,
            labels=label,
            unsafe=bool(label),
            split=split,
        )
        for at, label in enumerate(labels)
    ]


def alone(labelled: Sequence[Labelled]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Each image in a group of its own."""
    return np.arange(len(labelled), dtype=np.int64)


def planted(
    per_category: int = 60,
    safe: int = 120,
    categories: Sequence[Category] = (Category.HATE, Category.VIOLENCE, Category.SPAM),
    dim: int = 16,
    seed: int = 0,
    distance: float = 3.0,
) -> tuple[TrainingSet, Float32]:
    """A set and features [n, dim] in which each category lies in a direction of its own."""
    told = rows(dict.fromkeys(categories, per_category), safe)
    examples: Examples = examples_of(told, alone(told), seed=seed)
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(dim, dim)))[0] * distance
    features = rng.normal(size=(len(told), dim))
    for at, row in enumerate(told):
        if row.labels:
            features[at] += centres[row.labels[0]]
    return TrainingSet("planted", examples, "0" * 64), features.astype(np.float32)

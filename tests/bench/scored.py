"""Predictions for tests of tasks that look at scores only, and the context that they run in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vedette.bench.evidence import Cell, Evidence, Table
from vedette.bench.predictions import Predictions
from vedette.bench.predictor import Answer, PredictorCard
from vedette.bench.tasks.base import BenchOptions, Context
from vedette.data.memory import ItemSource
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Failure, Item

SEEN = (Category.HATE, Category.VIOLENCE, Category.SEXUAL)
ASKED = (*SEEN, Category.SPAM)
"""Categories of the images: one of them is outside the coverage."""
SOURCES = ("Laion5B", "Lexica")


def scored(
    n: int = 240,
    seed: int = 0,
    *,
    labels: int = 0,
    covered: Sequence[Category] = SEEN,
    sources: Sequence[str] = SOURCES,
    noise: float = 0.25,
) -> Predictions:
    """Images of four categories, asked of a classifier that is right more often than not.

    Args:
        n: images.
        seed: of what the classifier says.
        labels: seed of what the images are.
        covered: by the classifier.
        sources: in turns.
        noise: of the probabilities; more is less right.
    """
    truth, rng = np.random.default_rng(labels), np.random.default_rng([seed, 1])
    asked = np.array([c.position for c in ASKED], dtype=np.int64)
    category = asked[truth.integers(0, len(asked), n)]
    unsafe = truth.random(n) < 0.4
    marked = np.zeros((n, len(Category)), dtype=np.bool_)
    marked[np.flatnonzero(unsafe), category[unsafe]] = True
    seen = np.zeros(len(Category), dtype=np.bool_)
    seen[[c.position for c in covered]] = True
    p = np.clip(0.3 + 0.35 * marked + rng.normal(0, noise, marked.shape), 0, 1).round(6)
    scores = (p * seen).astype(np.float32)
    return Predictions(
        keys=tuple(f"{k:04d}.png" for k in range(n)),
        sha256=tuple(f"{labels:08x}{k:056x}" for k in range(n)),
        source=tuple(sources[k % len(sources)] for k in range(n)),
        category=category,
        labels=marked,
        unsafe=unsafe,
        p=scores,
        flagged=(scores >= 0.5) & seen,
        covered=seen,
        group=np.arange(n, dtype=np.int64) // 2 if n else np.zeros(0, np.int64),
        failed=(("broken.png", "truncated"),),
    )


class Told:
    """A predictor that was asked before: the tasks here need its card only."""

    def __init__(self, card: PredictorCard) -> None:
        self.card = card

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        for item in items:
            yield Answer(item.key, None, None, failure=Failure("fetch", "not_found", "not kept"))

    def close(self) -> None:
        pass


def context(
    predictions: Predictions,
    state: Path,
    *,
    name: str = "multiheaded",
    validation: Predictions | None = None,
    options: BenchOptions | None = None,
) -> Context:
    """A context without pictures."""
    covered = tuple(c for c in Category if predictions.covered[c.position])
    card = PredictorCard(name=name, model=f"{name}@1", covered=covered)
    return Context(
        predictions=predictions,
        validation=validation,
        card=card,
        predictor=Told(card),
        classifier=None,
        source=ItemSource([]),
        settings=Settings(),
        options=options or BenchOptions(bootstrap=200),
        state=state,
    )


def uncategorised(predictions: Predictions) -> Predictions:
    """The same images of a set that knows safe and unsafe only."""
    return replace(
        predictions,
        category=np.full(len(predictions), -1, dtype=np.int64),
        labels=np.zeros_like(predictions.labels),
    )


def table_named(evidence: Evidence, name: str) -> Table:
    (found,) = [table for table in evidence.tables if table.name == name]
    return found


def cell_of(table: Table, row: str, column: str) -> Cell:
    return table.rows[row][list(table.columns).index(column)]

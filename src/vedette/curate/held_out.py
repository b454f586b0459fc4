"""Class probabilities of pictures that the classifier has not seen.

A linear discriminant is trained on four fifths of the pictures and judges the last fifth, five
times over. All images that show the same are held out together: with a copy of a picture in its
training data, the classifier would repeat its label. The features stay on disk and are read three
times at most, whatever the number of folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.curate.discriminant import Discriminant, Sums, fit, log_loss, softmax
from vedette.curate.facts import Indices, Rows, Table

FOLDS = 5
SHRINKAGES = (0.003, 0.03, 0.1, 0.3)
"""Tried; the one with the least loss on held-out pictures is taken."""
_TEMPERATURES = np.geomspace(0.25, 16, 49)
_AT_ONCE = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Which images are judged, by what they are labelled, and when each is held out."""

    label: NDArray[np.int64]
    """[n] 0..classes-1; -1 for images that are not judged"""
    fold: NDArray[np.int64]
    """[n] 0..FOLDS-1"""
    classes: int


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Probabilities of the images that are judged."""

    rows: Indices
    """[m] their numbers"""
    probs: NDArray[np.float64]
    """[m, classes]"""
    shrinkage: float
    temperature: float
    """What logits were divided by, so that they say how often they are right."""


def folds(label: NDArray[np.int64], group: Indices, seed: int) -> NDArray[np.int64]:
    """A fold for each image, the same within a group, each class spread evenly.

    Args:
        label: [n], -1 for images that are not judged.
        group: [n] for each image the first that shows the same.
        seed: which pictures are held out together.
    """
    rng = np.random.default_rng(seed)
    is_first = group == np.arange(len(group))
    of_group = np.zeros(len(group), np.int64)
    start = 0
    for number in range(-1, int(label.max()) + 1):
        heads = np.flatnonzero(is_first & (label == number))
        rng.shuffle(heads)
        of_group[heads] = (start + np.arange(len(heads))) % FOLDS
        start += len(heads)
    return of_group[group]


def held_out(features: Table, task: Task, shrinkages: Sequence[float] = SHRINKAGES) -> HeldOut:
    """Train and judge.

    Args:
        features: float16 rows, one for each image; constant columns do not matter.
        task: its classes have images in more than one fold each.
        shrinkages: those that are tried.
    """
    shrinkage, models = _trained(features, task, shrinkages)
    rows = np.flatnonzero(task.label >= 0)
    logits = np.empty((len(rows), task.classes))
    place = np.cumsum(task.label >= 0) - 1
    for first, some in features.pieces(_AT_ONCE):
        for number, own in _of_folds(task, first, len(some)):
            logits[place[first + own]] = models[number].logits(some[own])
    label = task.label[rows]
    losses = [log_loss(logits / t, label).mean() for t in _TEMPERATURES]
    temperature = float(_TEMPERATURES[int(np.argmin(losses))])
    return HeldOut(rows, softmax(logits / temperature), shrinkage, temperature)


def _trained(
    features: Table, task: Task, shrinkages: Sequence[float]
) -> tuple[float, list[Discriminant]]:
    """One discriminant for each fold, trained on the others, with the best shrinkage."""
    parts = [Sums.empty(task.classes, features.width) for _ in range(FOLDS)]
    for first, rows in features.pieces(_AT_ONCE):
        for number, own in _of_folds(task, first, len(rows)):
            parts[number].add(rows[own], task.label[first + own])
    scale = Sums.together(parts).scale()
    rest = [
        Sums.together([part for other, part in enumerate(parts) if other != number]).scaled(scale)
        for number in range(FOLDS)
    ]
    models = [[fit(part, s).scaled(scale) for part in rest] for s in shrinkages]
    if len(shrinkages) == 1:
        return shrinkages[0], models[0]
    # Some temperatures only: which shrinkage is best hardly depends on the last digit.
    temperatures = _TEMPERATURES[::4]
    loss = np.zeros((len(shrinkages), len(temperatures)))
    for first, rows in features.pieces(_AT_ONCE):
        for number, own in _of_folds(task, first, len(rows)):
            loss += _losses(models, number, rows[own], task.label[first + own], temperatures)
    best = int(loss.min(axis=1).argmin())
    return shrinkages[best], models[best]


def _losses(
    models: list[list[Discriminant]],
    fold: int,
    rows: Rows,
    label: NDArray[np.int64],
    temperatures: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The loss of each shrinkage's model of that fold at each temperature, added up."""
    logits = [of_folds[fold].logits(rows) for of_folds in models]
    return np.array([[log_loss(one / t, label).sum() for t in temperatures] for one in logits])


def _of_folds(task: Task, first: int, count: int) -> Iterator[tuple[int, Indices]]:
    """For each fold, which of ``count`` rows from ``first`` on are judged in it, if any."""
    label, fold = task.label[first : first + count], task.fold[first : first + count]
    for number in range(FOLDS):
        own = np.flatnonzero((label >= 0) & (fold == number))
        if len(own):
            yield number, own

"""What a probe learns from: embeddings, targets, and how much each image counts for each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vedette.errors import UsageError, VedetteError
from vedette.train.examples import Bools, Examples, Ints
from vedette.types import Float32

_FINITE_HINT = "look at the backbone: vedette embed DATA --model MODEL makes its embeddings anew"
_LEAST_NORM = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Labelled embeddings, a row each."""

    labels: tuple[str, ...]
    x: Float32
    """float32 [n, dim]"""
    targets: Bools
    """bool [n, labels]"""
    known: Bools
    """bool [n, labels]: false entries are in no loss."""

    def __len__(self) -> int:
        return len(self.x)

    def at(self, rows: Ints) -> Samples:
        """Only those rows."""
        return replace(self, x=self.x[rows], targets=self.targets[rows], known=self.known[rows])

    def of(self, labels: Sequence[int]) -> Samples:
        """Only those labels."""
        kept = list(labels)
        return replace(
            self,
            labels=tuple(self.labels[k] for k in kept),
            targets=self.targets[:, kept],
            known=self.known[:, kept],
        )

    def both(self) -> Bools:
        """bool [labels]: whether safe and unsafe images of a label are there."""
        some = (self.targets & self.known).any(axis=0)
        return np.asarray(some & (~self.targets & self.known).any(axis=0))


def samples_of(examples: Examples, x: Float32, *, unit: bool) -> Samples:
    """All images of a set, with the embeddings as the head is to see them.

    Args:
        examples: the labels.
        x: float32 [n, dim], a row for each example, as the backbone gives them.
        unit: bring each to length 1 first.

    Raises:
        VedetteError: ``training_failed``: embeddings that are no numbers, or all alike.
    """
    if len(x) != len(examples):
        raise ValueError(f"{len(x)} embeddings of {len(examples)} images")
    wrong = ~np.isfinite(x).all(axis=1)
    if wrong.any():
        first = examples.keys[int(np.flatnonzero(wrong)[0])]
        raise VedetteError(
            f"embeddings of {int(wrong.sum()):,} images are no finite numbers, first of {first}",
            code="training_failed",
            hint=_FINITE_HINT,
        )
    if not np.ptp(x, axis=0).any():
        raise VedetteError(
            "all images have the same embedding: there is nothing to learn from",
            code="training_failed",
            hint="train over another backbone: --model",
        )
    if unit:
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), _LEAST_NORM)
    return Samples(examples.labels, np.asarray(x, np.float32), examples.targets, examples.known)


def predominant(examples: Examples) -> Examples:
    """The same images, an unsafe one known for the categories that it is labelled with, alone.

    Annotators who name one category of an unsafe image say nothing about the others: instead of
    counting as safe for them, it is left out there. Safe images are safe for every label.
    """
    return replace(examples, known=examples.known & (examples.targets | ~examples.unsafe[:, None]))


def check_both(samples: Samples) -> None:
    """Refuse a label that has images of one class only.

    Raises:
        UsageError: ``too_few_labels``.
    """
    lacking = [label for label, ok in zip(samples.labels, samples.both(), strict=True) if not ok]
    if lacking:
        raise UsageError(
            f"all images to learn from are of one class for {', '.join(lacking)}",
            code="too_few_labels",
        )

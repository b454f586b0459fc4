"""k-fold cross-validation by groups: each image judged by a model that has not seen its like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vedette.bench.metrics.bootstrap import resampling
from vedette.bench.metrics.confusion import METRICS
from vedette.bench.metrics.estimates import decided, mean_over, ranked
from vedette.calibrate import sigmoid
from vedette.data.stratify import Sample, assign
from vedette.errors import UsageError
from vedette.train.examples import Examples, Ints
from vedette.train.measured import BOOTSTRAP
from vedette.train.probe.samples import Samples
from vedette.types import Float32

Train = Callable[[int, Samples], Callable[[Float32], Float32]]
"""The number of a fold and all images but its own, to logits [n, labels] of embeddings."""


def folds_of(examples: Examples, rows: Ints, count: int, seed: int) -> Ints:
    """The fold of each row, from 0, evenly over categories and sources.

    Near-duplicates are in one fold.

    Raises:
        UsageError: ``too_few_labels``: fewer groups than folds.
    """
    groups = len(np.unique(examples.group[rows]))
    if not 2 <= count <= groups:
        raise UsageError(
            f"{count} folds of {groups:,} images that are no copies of each other",
            code="too_few_labels",
            hint=f"use 2 to {groups:,} folds: --folds",
        )
    samples = [
        Sample(
            key=str(at),
            sha256="",
            group=str(examples.group[row]),
            stratum=f"{examples.source[row]}\0{examples.category[row]}\0{examples.unsafe[row]}",
        )
        for at, row in enumerate(rows)
    ]
    fold = np.empty(len(rows), dtype=np.int64)
    shares = {str(number): 1 / count for number in range(count)}
    for key, number in assign(samples, shares, seed).items():
        fold[int(key)] = int(number)
    return fold


def out_of_fold(samples: Samples, fold: Ints, train: Train) -> Float32:
    """Logits of each image from the training that it was held out of, float32 [n, labels].

    Raises:
        VedetteError: what the training raises.
    """
    logits = np.empty(samples.targets.shape, dtype=np.float32)
    for number in range(int(fold.max()) + 1):
        inside = np.flatnonzero(fold == number)
        judge = train(number, samples.at(np.flatnonzero(fold != number)))
        logits[inside] = judge(samples.x[inside])
    return logits


def cross_validated(samples: Samples, logits: Float32, group: Ints, seed: int) -> dict[str, Any]:
    """Metrics of out-of-fold logits with 95 % intervals, by label, as JSON values.

    Decisions are made at a probability of one half; near-duplicates are resampled together.
    """
    draws = resampling(group, BOOTSTRAP, seed)
    p = sigmoid(logits).astype(np.float32)
    labels, whole = {}, []
    for k, label in enumerate(samples.labels):
        part = samples.known[:, k][None]
        counts = decided(samples.targets[:, k], logits[:, k] >= 0, part, draws)
        found = {**counts.estimates()[0], **ranked(samples.targets[:, k], p[:, k], part, draws)[0]}
        labels[label] = {name: one.as_json() for name, one in found.items()}
        whole.append(counts)
    f1 = METRICS["f1"]
    points = np.array([float(f1(one.point)[0]) for one in whole])
    resampled = np.stack([f1(one.resampled)[:, 0] for one in whole], axis=1)
    return {
        "images": len(samples),
        "macro_f1": mean_over(points, resampled, range(len(whole))).as_json(),
        "labels": labels,
    }

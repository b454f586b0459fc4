"""Do two sets of embeddings come from one distribution? Two tests, each with its own eyes.

The classifier test asks how well a linear classifier tells images of the one set from those of the
other that it was not trained on; its AUROC says how *far* they differ, 0.5 being not at all. The
kernel test compares whole distributions, and sees differences that no line separates.

Sources: Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (ICLR 2017); Gretton et al.,
"A kernel two-sample test" (JMLR 2012), equation 3 and the median heuristic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from vedette.extras import require
from vedette.types import Float32

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Float64 = NDArray[np.float64]

FOLDS = 5
FEWEST = 2 * FOLDS
"""Images of each set that a comparison needs: two in every fold."""
MOST = 2_000
"""Images that the kernel test looks at; of more, a seeded sample. The kernel takes 8 n² bytes."""
MOST_CLASSIFIED = 8_000
"""The same of the classifier test, which takes 50 n d bytes."""
PERMUTATIONS = 1_000
_SHRINKAGE = 0.1
_AT_ONCE = 250
"""Permutations that are worked on together."""


@dataclass(frozen=True, slots=True)
class ClassifierTest:
    """How well a classifier tells two sets apart."""

    auroc: float
    low: float
    """Of the 95 % interval."""
    high: float
    """Of the 95 % interval."""
    p: float
    """Share of permutations with an AUROC at least as large."""
    first: int
    """Images that were looked at."""
    second: int
    """Images that were looked at."""


@dataclass(frozen=True, slots=True)
class KernelTest:
    """The maximum mean discrepancy of two sets."""

    mmd2: float
    """Unbiased MMD²; may be slightly below 0 where they do not differ."""
    p: float
    """Share of permutations with an MMD² at least as large."""
    bandwidth: float
    """sigma of the kernel exp(-d² / (2 sigma²)): the median distance."""
    first: int
    """Images that were looked at."""
    second: int
    """Images that were looked at."""


def unit_rows(embeddings: Float32) -> Float32:
    """Each row with length 1, as cosines compare them; a row of zeros stays. Float32 [n, d]."""
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.maximum(length, 1e-12), dtype=np.float32)


def classifier_test(
    embeddings: Float32, second: Bools, group: Ints, seed: int, permutations: int = PERMUTATIONS
) -> ClassifierTest | None:
    """Cross-validated AUROC of a linear classifier, and how often chance gives as much.

    Of near-duplicates one is drawn: with a copy of an image in its training data the classifier
    would know the answer, and copies are no independent draws. The AUROC is the mean of the folds',
    weighted by their pairs. Folds share training data, so that their errors go together, and a
    normal approximation would find a shift where there is none: p comes from permutations of the
    labels within each fold. The interval has the larger error of DeLong's and the permutations'.

    Args:
        embeddings: float32 [n, d].
        second: bool [n], which set each is in.
        group: int64 [n], near-duplicates share a number.
        seed: of folds and permutations.
        permutations: B; p is at least 1 / (B + 1).

    Returns:
        None where a set has fewer than :data:`FEWEST` images that are no near-duplicates.
    """
    rng = np.random.default_rng(seed)
    rows = _even(_one_of_each(group, rng), second, MOST_CLASSIFIED, rng)
    mine = second[rows]
    first, other = int((~mine).sum()), int(mine.sum())
    if min(first, other) < FEWEST:
        return None
    fold = _folds(mine, rng)
    models = _ridge(embeddings[rows], fold)
    scores = _held_out_scores(models, mine[:, None])[:, 0]
    observed, error = _area_and_error(scores, mine, fold)
    by_chance = []
    for start in range(0, permutations, _AT_ONCE):
        count = min(_AT_ONCE, permutations - start)
        mixed = np.stack([_mixed_within(mine, fold, rng) for _ in range(count)], axis=1)
        by_chance.append(_areas(_held_out_scores(models, mixed), mixed, fold))
    drawn = np.concatenate([*by_chance, np.zeros(0)])
    if len(drawn) > 1:
        error = max(error, float(drawn.std(ddof=1)))
    low, high = _interval(observed, error, min(first, other))
    reached = int((drawn >= observed - 1e-12).sum())
    return ClassifierTest(observed, low, high, (1 + reached) / (1 + permutations), first, other)


def kernel_test(
    embeddings: Float32, second: Bools, group: Ints, seed: int, permutations: int = PERMUTATIONS
) -> KernelTest | None:
    """MMD² with a Gaussian kernel, and how often it is as large when the sets are mixed.

    Of near-duplicates one is drawn, so that what is permuted is exchangeable. Of more than
    :data:`MOST` images a sample is drawn, evenly from both sets.

    Args:
        embeddings: float32 [n, d].
        second: bool [n], which set each is in.
        group: int64 [n], near-duplicates share a number.
        seed: of the sample and the permutations.
        permutations: B; p is at least 1 / (B + 1).

    Returns:
        None where a set has fewer than two images.
    """
    rng = np.random.default_rng(seed)
    rows = _even(_one_of_each(group, rng), second, MOST, rng)
    mine = second[rows]
    if mine.sum() < 2 or (~mine).sum() < 2:
        return None
    squared = _squared_distances(embeddings[rows].astype(np.float64))
    bandwidth = _median_distance(squared)
    first, other = int((~mine).sum()), int(mine.sum())
    if bandwidth == 0:  # all of them are one point
        return KernelTest(0.0, 1.0, 0.0, first, other)
    kernel = np.exp(squared / (-2 * bandwidth**2))
    np.fill_diagonal(kernel, 0)
    observed = float(_mmd2(kernel, mine[:, None])[0])
    reached = 0
    # Equal to the observed one but for rounding counts as reached.
    bar = observed - 1e-12
    for start in range(0, permutations, _AT_ONCE):
        count = min(_AT_ONCE, permutations - start)
        mixed = np.stack([rng.permutation(mine) for _ in range(count)], axis=1)
        reached += int((_mmd2(kernel, mixed) >= bar).sum())
    return KernelTest(observed, (1 + reached) / (1 + permutations), bandwidth, first, other)


def _mmd2(kernel: Float64, second: Bools) -> Float64:
    """Unbiased MMD² for many ways to split one sample, float64 [b].

    Args:
        kernel: float64 [n, n], its diagonal 0.
        second: bool [n, b], a column for each way.
    """
    chosen = second.astype(np.float64)
    m = chosen.sum(axis=0)
    n = len(kernel) - m
    both = np.einsum("nb,nb->b", chosen, kernel @ chosen)
    touching = kernel.sum(axis=1) @ chosen
    across = touching - both
    neither = kernel.sum() - 2 * touching + both
    value: Float64 = both / (m * (m - 1)) + neither / (n * (n - 1)) - 2 * across / (m * n)
    return value


def _squared_distances(rows: Float64) -> Float64:
    """float64 [n, n]"""
    # Centred, so that little is lost where all rows lie far out.
    rows = rows - rows.mean(axis=0)
    length = (rows * rows).sum(axis=1)
    squared = length[:, None] + length[None] - 2 * (rows @ rows.T)
    np.maximum(squared, 0, out=squared)
    return np.asarray(squared)


def _median_distance(squared: Float64) -> float:
    """Of all pairs; of those apart, where half of the pairs are not. 0 where none is."""
    values = squared[np.triu_indices(len(squared), 1)]
    noise = 1e-12 * max(float(values.max(initial=0)), 1e-12)
    median = float(np.median(values))
    if median <= noise:
        apart = values[values > noise]
        median = float(np.median(apart)) if len(apart) else 0.0
    return math.sqrt(median)


def _one_of_each(group: Ints, rng: np.random.Generator) -> Ints:
    """One row of each group, drawn: int64, sorted."""
    order = rng.permutation(len(group))
    _, first = np.unique(group[order], return_index=True)
    return np.sort(order[first])


def _even(rows: Ints, second: Bools, most: int, rng: np.random.Generator) -> Ints:
    """At most so many of the rows, drawn, half from each set as far as they have them."""
    sides = [rows[~second[rows]], rows[second[rows]]]
    half = most // 2
    room = [max(half, most - len(sides[1])), max(half, most - len(sides[0]))]
    kept = [
        side if len(side) <= own else rng.choice(side, own, replace=False)
        for side, own in zip(sides, room, strict=True)
    ]
    return np.sort(np.concatenate(kept))


def _folds(second: Bools, rng: np.random.Generator) -> Ints:
    """A fold for each image, each set spread evenly: int64 [n]."""
    fold = np.zeros(len(second), dtype=np.int64)
    start = 0
    for side in (False, True):
        own = np.flatnonzero(second == side)
        fold[rng.permutation(own)] = (start + np.arange(len(own))) % FOLDS
        start += len(own)
    return fold


def _mixed_within(second: Bools, fold: Ints, rng: np.random.Generator) -> Bools:
    """The labels permuted within each fold, whose numbers of both sets stay: bool [n]."""
    mixed = second.copy()
    for number in range(FOLDS):
        own = fold == number
        mixed[own] = rng.permutation(second[own])
    return mixed


@dataclass(frozen=True, slots=True, eq=False)
class _Fold:
    """What a ridge classifier trained on all folds but one needs besides the labels."""

    train: Ints
    inverse_rows: Float64
    """[d, m]: the inverse of the shrunk covariance, times the standardised training rows."""
    held_out: Ints
    others: Float64
    """[n - m, d]: the held-out rows, standardised by the training images."""


def _ridge(embeddings: Float32, fold: Ints) -> list[_Fold]:
    """The part of least-squares classifiers that does not depend on labels.

    With two classes their direction is that of Fisher's linear discriminant.
    """
    rows = embeddings.astype(np.float64)
    out = []
    for number in range(FOLDS):
        held_out, train = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        mean, std = rows[train].mean(axis=0), rows[train].std(axis=0)
        by = np.where(std > 1e-6 * np.abs(mean) + 1e-12, 1 / np.maximum(std, 1e-12), 0.0)
        seen = (rows[train] - mean) * by
        covariance = (1 - _SHRINKAGE) * (seen.T @ seen) / len(train)
        covariance[np.diag_indices(len(by))] += _SHRINKAGE
        inverse = np.linalg.solve(covariance, seen.T)
        out.append(_Fold(train, inverse, held_out, (rows[held_out] - mean) * by))
    return out


def _held_out_scores(models: list[_Fold], second: Bools) -> Float64:
    """How likely each image is of the second set, said by a classifier that has not seen it.

    Args:
        models: of the embeddings and folds.
        second: bool [n, b], a column for each labelling.

    Returns:
        float64 [n, b], comparable within a fold.
    """
    scores = np.zeros(second.shape)
    for model in models:
        label = second[model.train].astype(np.float64)
        weights = model.inverse_rows @ (label - label.mean(axis=0))
        scores[model.held_out] = model.others @ weights
    return scores


def _areas(scores: Float64, second: Bools, fold: Ints) -> Float64:
    """The AUROC of each column, the mean of the folds' weighted by their pairs: float64 [b]."""
    rankdata = require("scipy.stats", extra="bench").rankdata
    beaten = np.zeros(scores.shape[1])
    pairs = 0
    for number in range(FOLDS):
        own = fold == number
        ones = second[own]
        m = int(ones[:, 0].sum())
        ranks = rankdata(scores[own], axis=0)
        # Mann and Whitney: the pairs in which the one of the second set scores higher.
        beaten += (ranks * ones).sum(axis=0) - m * (m + 1) / 2
        pairs += m * (int(own.sum()) - m)
    areas: Float64 = beaten / pairs
    return areas


def _area_and_error(scores: Float64, second: Bools, fold: Ints) -> tuple[float, float]:
    """The AUROC and its standard error after DeLong, as if the classifiers were given."""
    value = float(_areas(scores[:, None], second[:, None], fold)[0])
    pairs = variance = 0.0
    for number in range(FOLDS):
        ones, zeros = scores[(fold == number) & second], scores[(fold == number) & ~second]
        above, beaten = _below(ones, zeros), 1 - _below(zeros, ones)
        own = len(ones) * len(zeros)
        pairs += own
        variance += own**2 * (above.var(ddof=1) / len(ones) + beaten.var(ddof=1) / len(zeros))
    return value, math.sqrt(variance) / pairs


def _below(values: Float64, others: Float64) -> Float64:
    """For each value the share of the others below it; ties count half. float64 [n]"""
    ranked = np.sort(others)
    left = np.searchsorted(ranked, values, side="left")
    right = np.searchsorted(ranked, values, side="right")
    share: Float64 = (left + right) / (2 * len(others))
    return share


def _interval(value: float, error: float, least: int) -> tuple[float, float]:
    """95 %, on the logit scale, so that it stays within 0..1."""
    if value in (0.0, 1.0) or error == 0:
        # No error is seen, whatever the size: the rule of three.
        room = min(1.0, 3 / least)
        return max(0.0, value - room), min(1.0, value + room)
    side = NormalDist().inv_cdf(0.975) * error / (value * (1 - value))
    centre = math.log(value / (1 - value))
    return _logistic(centre - side), _logistic(centre + side)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

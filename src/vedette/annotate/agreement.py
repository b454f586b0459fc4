"""How far annotators agree beyond chance: Fleiss' kappa and Krippendorff's alpha, with intervals.

Both are computed from a table [items, answers] of how many annotators gave each answer. Sources:
Fleiss 1971, "Measuring nominal scale agreement among many raters"; Krippendorff, "Computing
Krippendorff's Alpha-Reliability" (2011), for nominal data. Where only one answer was ever given
chance explains everything, and both are undefined: None, never NaN and never 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vedette.annotate.annotated import Annotated, standing_answers
from vedette.annotate.protocol import Protocol, Round, Safety
from vedette.errors import UsageError
from vedette.taxonomy import Category

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
RESAMPLES = 1000
_LEVEL = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % bootstrap interval over items."""

    value: float | None
    """None where it is undefined."""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far annotators agree about one group of pictures, in one round."""

    round: Round
    group: str
    """``overall``, ``source`` or ``category``: the one that pictures were collected for."""
    name: str
    """The source or category; empty for ``overall``."""
    items: int
    """Pictures that at least two annotators have answered."""
    kappa: Estimate
    """Over those of them that all annotators of the round have answered."""
    alpha: Estimate
    """Over all of them."""


def fleiss_kappa(table: ArrayLike) -> float | None:
    """Fleiss' kappa: agreement beyond chance where every item has as many annotators.

    Args:
        table: counts [items, answers]; all rows have the same sum, at least 2.

    Returns:
        -1 to 1; None where there is no item or only one answer was ever given.

    Raises:
        UsageError: it is no such table.
    """
    counts = _counts(table)
    raters = counts.sum(axis=1)
    if len(counts) and ((raters != raters[0]).any() or raters[0] < 2):
        raise UsageError(
            "Fleiss' kappa is for items that have as many annotators each, two or more",
            hint="Krippendorff's alpha takes any number",
        )
    return _value(_kappas(counts, np.ones((1, len(counts)), dtype=np.int64)))


def krippendorff_alpha(table: ArrayLike) -> float | None:
    """Krippendorff's alpha for nominal answers; items may have different numbers of annotators.

    Args:
        table: counts [items, answers]; rows of less than two answers say nothing and do not count.

    Returns:
        At most 1; None where there is nothing to compare or only one answer was ever given.

    Raises:
        UsageError: it is no such table.
    """
    counts = _counts(table)
    return _value(_alphas(counts, np.ones((1, len(counts)), dtype=np.int64)))


def _counts(table: ArrayLike) -> Int64:
    counts = np.asarray(table)
    whole = np.issubdtype(counts.dtype, np.integer) or bool((counts == np.floor(counts)).all())
    if counts.ndim != 2 or not whole or (counts < 0).any():
        raise UsageError(f"{list(counts.shape)} is no table of counts [items, answers]")
    return counts.astype(np.int64)


# Both statistics of many resamples at once: ``weights`` int [resamples, items] says how often each
# item is in each. NaN where undefined; that never leaves this file.


def _kappas(counts: Int64, weights: Int64) -> Float64:
    if not len(counts):
        return np.full(len(weights), np.nan)
    raters = int(counts[0].sum())
    agreeing = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    items = weights.sum(axis=1)
    observed = (weights @ agreeing) / items
    given = weights @ counts
    expected = ((given / (items * raters)[:, None]) ** 2).sum(axis=1)
    return _beyond_chance(1 - observed, 1 - expected, given)


def _alphas(counts: Int64, weights: Int64) -> Float64:
    raters = counts.sum(axis=1)
    counts = np.where(raters[:, None] >= 2, counts, 0)
    raters = counts.sum(axis=1)
    # Pairs of equal answers of an item, so weighed that each of its answers counts once.
    agreeing = (counts * (counts - 1)).sum(axis=1) / np.maximum(raters - 1, 1)
    given = weights @ counts
    total = given.sum(axis=1).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = (total - weights @ agreeing) / total
        expected = (total**2 - (given.astype(np.float64) ** 2).sum(axis=1)) / (total * (total - 1))
        return _beyond_chance(observed, expected, given)


def _beyond_chance(disagreement: Float64, by_chance: Float64, given: Int64) -> Float64:
    defined = (given > 0).sum(axis=1) > 1
    return np.where(defined, 1 - disagreement / np.where(defined, by_chance, 1), np.nan)


def _value(found: Float64) -> float | None:
    return None if np.isnan(found[0]) else float(found[0])


def _estimate(
    counts: Int64,
    statistic: Callable[[Int64, Int64], Float64],
    rng: np.random.Generator,
    resamples: int,
) -> Estimate:
    """The statistic with its percentile interval over resamples of the items.

    Items with the same row are alike to both statistics, so that how often each kind of row is
    drawn says all: memory does not grow with the items. Resamples in which the statistic is
    undefined are left out.
    """
    if not len(counts):
        return Estimate(None)
    kinds, often = np.unique(counts, axis=0, return_counts=True)
    value = _value(statistic(kinds, often[None, :]))
    if value is None:
        return Estimate(None)
    drawn = rng.multinomial(len(counts), often / len(counts), size=resamples)
    found = statistic(kinds, drawn)
    found = found[~np.isnan(found)]
    if not len(found):
        return Estimate(value)
    low, high = np.percentile(found, _LEVEL)
    return Estimate(value, float(low), float(high))


def agreement(
    pictures: Sequence[Annotated],
    protocol: Protocol,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Agreement]:
    """The agreement of both rounds, overall, by source and by category collected for.

    Only the annotators that every picture is given to count, which are those who answered it
    first. A third is asked only where they differ: counting that answer would make the annotators
    seem to differ more than they do.

    Args:
        pictures: of a campaign.
        protocol: of the campaign.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    found = []
    for round_ in Round:
        asked = [
            one for one in pictures if round_ is Round.SAFETY or one.outcome.safety is Safety.UNSAFE
        ]
        found += [
            _group(round_, group, name, members, protocol, np.random.default_rng(seed), resamples)
            for group, name, members in _groups(asked)
        ]
    return [one for one in found if one.items or one.group == "overall"]


def _groups(pictures: Sequence[Annotated]) -> Iterable[tuple[str, str, list[Annotated]]]:
    yield "overall", "", list(pictures)
    for name in sorted({one.picture.source for one in pictures} - {""}):
        yield "source", name, [one for one in pictures if one.picture.source == name]
    order = {category.value: category.position for category in Category}
    names = {one.picture.category for one in pictures} - {""}
    for name in sorted(names, key=lambda n: (order.get(n, len(order)), n)):
        yield "category", name, [one for one in pictures if one.picture.category == name]


def _group(
    round_: Round,
    group: str,
    name: str,
    members: Sequence[Annotated],
    protocol: Protocol,
    rng: np.random.Generator,
    resamples: int,
) -> Agreement:
    first = protocol.first(round_)
    counts = rating_table(members, round_, protocol)
    raters = counts.sum(axis=1)
    counts = counts[raters >= 2]
    whole = counts[counts.sum(axis=1) == first]
    return Agreement(
        *(round_, group, name, len(counts)),
        _estimate(whole, _kappas, rng, resamples),
        _estimate(counts, _alphas, rng, resamples),
    )


def rating_table(pictures: Sequence[Annotated], round_: Round, protocol: Protocol) -> Int64:
    """How many of each picture's first annotators gave each answer.

    Returns:
        int64 [pictures, answers]; the columns are those of ``protocol.answers``.
    """
    column = {answer: index for index, answer in enumerate(protocol.answers(round_))}
    counts = np.zeros((len(pictures), len(column)), dtype=np.int64)
    for row, one in enumerate(pictures):
        for given in standing_answers(one.given, round_)[: protocol.first(round_)]:
            counts[row, column[given.answer]] += 1
    return counts

"""Which picture goes to which part of a split: stratified, grouped, seeded. No picture is read.

Groups of several pictures go first, the largest ahead, each to the part whose strata it fills best,
as scikit-learn's ``StratifiedGroupKFold`` does for one label. The pictures that are alone then
make good what groups have left uneven: their shares are fitted to the strata and to the sizes at
once (iterative proportional fitting; Deming and Stephan, 1940), and they are dealt out stratum by
stratum with the rounding carried on, so that roundings of small strata do not add up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vedette.errors import UsageError

_SIZE_WEIGHT = 10.0
"""What a part's size counts for beside its strata: without it, a small part gets none of the
groups that are large beside their stratum."""
_ROUNDS = 50
"""Of proportional fitting; without groups there is nothing to fit, and one is enough."""
_LEAST = 1e-3
"""Of a stratum's fair share, what a part can still get that has too much of the stratum already:
so that sizes can be met."""
_TIE = 9
"""Decimals of what is compared: a tie must not be decided by how a sum was rounded."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture, as far as a split is concerned."""

    key: str
    sha256: str
    group: str
    """Pictures with the same one stay together."""
    stratum: str
    """What is to be spread evenly: category, safety and source."""


def train_test(test: float, validation: float = 0.0) -> dict[str, float]:
    """The parts ``train``, ``validation`` (where wanted) and ``test`` with their fractions.

    Raises:
        UsageError: a fraction out of range, or nothing is left for training.
    """
    if not 0 < test < 1 or not 0 <= validation < 1 or test + validation >= 1:
        raise UsageError(
            f"test {test:g} and validation {validation:g} leave no split",
            hint="give fractions above 0 that leave something for training: --test 0.2",
        )
    parts = {"train": round(1 - test - validation, 12), "validation": validation, "test": test}
    return {name: fraction for name, fraction in parts.items() if fraction > 0}


def k_folds(folds: int) -> dict[str, float]:
    """The parts ``fold-1`` … ``fold-k``, of one size.

    Raises:
        UsageError: fewer than two.
    """
    if folds < 2:
        raise UsageError(f"{folds} folds leave nothing to train on", hint="give at least 2")
    return {f"fold-{number}": 1 / folds for number in range(1, folds + 1)}


def assign(samples: Sequence[Sample], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """The part of each picture, by its key.

    Args:
        samples: in any order: the outcome does not depend on it.
        fractions: name and fraction of each part; they add up to 1.
        seed: another seed, another split.

    Returns:
        Keys in order. No group is in two parts. Where all pictures are alone, the size of each of
        k parts is less than k - 1 pictures off, and each stratum in it less than k.

    Raises:
        UsageError: two pictures have one key, or there are too few groups for every part to get
            one.
    """
    ordered = sorted(samples, key=lambda sample: sample.key)
    for one, other in pairwise(ordered):
        if one.key == other.key:
            raise UsageError(
                f"two pictures have the key {one.key!r}",
                code="bad_source",
                hint="a split names pictures by their keys: give each one of its own",
            )
    rng = np.random.default_rng(seed)
    deal = _Deal(ordered, fractions)
    groups = _groups(ordered)
    together = [rows for rows in groups if len(rows) > 1]
    shuffled = [together[number] for number in rng.permutation(len(together))]
    for rows in sorted(shuffled, key=len, reverse=True):
        deal.place(rows)
    deal.spread([rows[0] for rows in groups if len(rows) == 1], rng)
    names = list(fractions)
    empty = [names[number] for number in np.flatnonzero(deal.sizes == 0)]
    if empty:
        raise UsageError(
            f"{len(ordered)} pictures in {len(groups)} groups are too few: {empty[0]} gets none",
            hint="make fewer parts or larger ones, or see with `vedette data audit` what is alike",
        )
    return {
        sample.key: names[part] for sample, part in zip(ordered, deal.parts.tolist(), strict=True)
    }


def _groups(ordered: Sequence[Sample]) -> list[list[int]]:
    """The rows of each group, groups by their names."""
    rows: dict[str, list[int]] = {}
    for row, sample in enumerate(ordered):
        rows.setdefault(sample.group, []).append(row)
    return [rows[name] for name in sorted(rows)]


class _Deal:
    """Pictures being dealt out, and what each part still lacks."""

    def __init__(self, ordered: Sequence[Sample], fractions: Mapping[str, float]) -> None:
        numbers = {name: n for n, name in enumerate(sorted({s.stratum for s in ordered}))}
        self.stratum = np.array([numbers[s.stratum] for s in ordered], np.intp)
        self.parts = np.full(len(ordered), -1, np.intp)
        self.sizes = np.zeros(len(fractions))
        self._share = np.array(list(fractions.values()), np.float64)
        counts = np.bincount(self.stratum, minlength=len(numbers))
        self._target = self._share[:, None] * counts
        self._wanted = self._share * len(ordered)
        self._given = np.zeros_like(self._target)

    def place(self, rows: Sequence[int]) -> None:
        """Give a group of several pictures to the part that it fits best."""
        counted = Counter(self.stratum[rows].tolist())
        touched = list(counted)
        add = np.array([counted[number] for number in touched], np.float64)
        size = len(rows)
        target, given = self._target[:, touched], self._given[:, touched]
        # By how much the squared distance from what is wanted changes, relative to what is wanted.
        strata = (add * (add + 2 * (given - target)) / (target + size)).sum(axis=1)
        sizes = size * (size + 2 * (self.sizes - self._wanted)) / (self._wanted + size)
        part = int(np.argmin(np.round(strata + _SIZE_WEIGHT * sizes, _TIE)))
        self.parts[list(rows)] = part
        self._given[part, touched] += add
        self.sizes[part] += size

    def spread(self, rows: Sequence[int], rng: np.random.Generator) -> None:
        """Deal out the pictures that are alone, so that strata and sizes come out even."""
        by_stratum: list[list[int]] = [[] for _ in range(self._target.shape[1])]
        for row in rows:
            by_stratum[self.stratum[row]].append(row)
        left = np.array([len(alone) for alone in by_stratum], np.float64)
        shares = self._fitted(left).T.tolist()
        credit = [0.0] * len(self._share)
        for number in rng.permutation(len(by_stratum)).tolist():
            alone = by_stratum[number]
            for at in rng.permutation(len(alone)).tolist():
                credit = [
                    round(had + more, _TIE)
                    for had, more in zip(credit, shares[number], strict=True)
                ]
                part = credit.index(max(credit))
                credit[part] -= 1
                self.parts[alone[at]] = part
        self.sizes += np.bincount(self.parts[list(rows)], minlength=len(credit))

    def _fitted(self, left: Float64) -> Float64:
        """Which share of a stratum's single pictures each part gets: [parts, strata]."""
        some = left > 0
        count = left[some]
        shares = np.zeros_like(self._target)
        if not len(count):
            return shares
        lacking = np.maximum(self._wanted - self.sizes, _LEAST * self._share)
        lacking *= count.sum() / lacking.sum()
        least = _LEAST * self._share[:, None] * count
        want = np.maximum((self._target - self._given)[:, some], least)
        for _ in range(_ROUNDS):
            want *= (lacking / want.sum(axis=1))[:, None]
            want *= count / want.sum(axis=0)
        shares[:, some] = want / count
        return shares

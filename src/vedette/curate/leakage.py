"""Leakage: what a model is tested on and has been trained on, in the same or another file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

from vedette.curate.duplicates import exact
from vedette.curate.facts import Indices, Store
from vedette.curate.groups import Group, described, runs_of, splits_in


@dataclass(frozen=True, slots=True)
class Leak:
    """Two splits that share pictures."""

    splits: tuple[str, str]
    groups: int
    """Pictures that are in both."""
    images: int
    """Images of these pictures that are in the split with fewer of them: what would have to go."""


@dataclass(frozen=True, slots=True)
class Leakage:
    """What is shared by splits."""

    splits: tuple[str, ...]
    """All that the source names; with less than two there is nothing to judge."""
    leaks: tuple[Leak, ...]
    """The largest first."""
    count: int
    """Pictures that are in several splits."""
    groups: tuple[Group, ...]
    """The contradicting ones first, then by size; at most as many as were asked for."""


def leakage(store: Store, group: Indices, most: int) -> Leakage:
    """Pictures that are in two splits or more.

    Args:
        store: read.
        group: for each image the first that shows the same.
        most: groups described.
    """
    split = store.facts.column("split")
    runs = [run for run in runs_of(group) if len(splits_in(split[run])) > 1]
    groups: Counter[tuple[int, int]] = Counter()
    images: Counter[tuple[int, int]] = Counter()
    for run in runs:
        counts = Counter(split[run].tolist())
        for pair in combinations(splits_in(split[run]), 2):
            groups[pair] += 1
            images[pair] += min(counts[number] for number in pair)
    worst, _ = described(store, exact(store), runs, most)
    names = store.splits
    return Leakage(
        splits=tuple(names[number] for number in splits_in(split)),
        leaks=tuple(
            Leak((names[pair[0]], names[pair[1]]), count, images[pair])
            for pair, count in groups.most_common()
        ),
        count=len(runs),
        groups=worst,
    )

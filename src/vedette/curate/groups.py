"""Groups of images that show the same, told with the evidence: keys, labels, splits, distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.curate.facts import Indices, Store, categories_of
from vedette.perceptual import distances

MOST_MEMBERS = 20
"""Images named of one group."""


@dataclass(frozen=True, slots=True)
class Member:
    """One image of a group."""

    key: str
    split: str
    label: str
    """``safe``, ``unlabelled``, ``unsafe``, or its categories."""
    bits: int
    """In which its hash differs from that of the group's first image, of 256."""
    same_file: bool
    """Whether its bytes are those of the group's first image."""


@dataclass(frozen=True, slots=True)
class Group:
    """Images that show the same, in the source's order."""

    members: tuple[Member, ...]
    """The first :data:`MOST_MEMBERS`; where splits differ, at least one of each."""
    count: int
    """Of all its images."""
    exact: bool
    """Whether all of its files are the same, byte for byte."""
    contradicting: bool
    """Whether their labels cannot all be right."""
    splits: tuple[str, ...]
    """In which its images are, of those that the source names."""


def runs_of(group: Indices) -> list[Indices]:
    """The rows of each group that has more than one, groups and rows in order.

    Args:
        group: intp [n], for each row the first row of its group.
    """
    rows = np.flatnonzero(np.bincount(group, minlength=1)[group] > 1)
    if not len(rows):
        return []
    order = rows[np.argsort(group[rows], kind="stable")]
    named = group[order]
    return np.split(order, np.flatnonzero(named[1:] != named[:-1]) + 1)


def described(
    store: Store, first: Indices, runs: Sequence[Indices], most: int
) -> tuple[tuple[Group, ...], int]:
    """The worst groups, contradicting ones first, then by size; and how many contradict.

    Args:
        store: read.
        first: for each image the first of the same bytes.
        runs: the rows of each group.
        most: groups described.
    """
    unsafe, labels = store.facts.column("unsafe"), store.facts.column("labels")
    wrong = [_contradict(unsafe[run], labels[run]) for run in runs]
    worst = sorted(range(len(runs)), key=lambda n: (not wrong[n], -len(runs[n]), n))[:most]
    groups = tuple(_described(store, first, runs[n], contradicting=wrong[n]) for n in worst)
    return groups, sum(wrong)


def label_text(unsafe: int, bits: int) -> str:
    """A label in words."""
    if unsafe < 0:
        return "unlabelled"
    return ", ".join(categories_of(bits)) or ("unsafe" if unsafe else "safe")


def splits_in(split: NDArray[np.int32]) -> list[int]:
    """The splits that are named: number 0 stands for none."""
    return [int(number) for number in np.unique(split) if number > 0]


def _contradict(unsafe: NDArray[np.int8], labels: NDArray[np.uint16]) -> bool:
    said = unsafe >= 0
    if len(np.unique(unsafe[said])) > 1:
        return True
    return len(np.unique(labels[said & (labels > 0)])) > 1


def _described(store: Store, first: Indices, run: Indices, *, contradicting: bool) -> Group:
    head = store.facts.read(int(run[0]))[0]
    split = np.array([store.facts.read(int(row))[0]["split"] for row in run], np.int32)
    shown = run[:MOST_MEMBERS].tolist()
    # What makes it a leak must be among the images that are named.
    for number in splits_in(split):
        row = int(run[np.flatnonzero(split == number)[0]])
        if row not in shown:
            shown.append(row)
    members = []
    for row in shown:
        facts = store.facts.read(row)[0]
        members.append(
            Member(
                key=store.keys[row],
                split=store.splits[int(facts["split"])],
                label=label_text(int(facts["unsafe"]), int(facts["labels"])),
                bits=int(distances(head["hash"], facts["hash"])),
                same_file=bool(first[row] == first[run[0]]),
            )
        )
    return Group(
        members=tuple(members),
        count=len(run),
        exact=bool((first[run] == first[run[0]]).all()),
        contradicting=contradicting,
        splits=tuple(store.splits[number] for number in splits_in(split)),
    )

"""Pictures into groups that look alike, for a split that keeps each group in one part.

Every picture is decoded once, in threads; only its hashes stay, on disk while the set is read. Two
pictures belong together if their bytes are the same or their perceptual hashes are near, whatever
their colours: an audit, which asks for the same colours too, finds no leak in such a split.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vedette.curate.facts import NOTHING, Indices, Store, categories_of
from vedette.curate.reading import ReadOptions, read_into
from vedette.data.base import Source
from vedette.data.splits import Entry, Split
from vedette.data.stratify import Sample, assign
from vedette.errors import UsageError
from vedette.perceptual import NEAR, clusters, near_pairs
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Failure

_SAFETY = {-1: "unlabelled", 0: "safe", 1: "unsafe"}
_ID = 16
"""Hex digits of a group's name."""


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """How a set is split."""

    fractions: Mapping[str, float]
    """By part: :func:`vedette.data.stratify.train_test` or ``k_folds``."""
    seed: int = 0
    near: int | None = NEAR
    """Bits of 256 in which the hashes of pictures that look alike may differ, at most
    :data:`vedette.perceptual.NEAR`; None: every picture is by itself, copies too."""
    workers: int = 0
    """Decode threads; 0: one for each core."""


@dataclass(frozen=True, slots=True)
class Made:
    """A split, and what is in its parts."""

    split: Split
    strata: Mapping[str, Mapping[str, int]]
    """Pictures of each stratum by part."""
    largest: int
    """Pictures of the largest group."""
    failures: Mapping[str, Failure]
    """Why pictures are excluded, by key."""


def make_split(source: Source, settings: Settings, options: SplitOptions) -> Made:
    """Read a set and split it.

    Args:
        source: its items' labels and ``meta`` say the strata.
        settings: limits of decoding.
        options: how.

    Raises:
        UsageError: no picture can be read, two have one key, or there are too few for all parts.
        VedetteError: the source itself cannot be read.
    """
    failures: dict[str, Failure] = {}
    reading = ReadOptions(settings, options.workers, describe=False)
    with Store() as store:
        read_into(store, source, reading, failures.__setitem__)
        samples, excluded = _samples(store, options.near)
    if not samples:
        raise UsageError(
            f"there is no picture that can be read among {len(excluded)} files",
            hint="see `vedette data audit` for what is wrong with each",
        )
    part = assign(samples, options.fractions, options.seed)
    strata: dict[str, Counter[str]] = {s.stratum: Counter() for s in samples}
    for sample in samples:
        strata[sample.stratum][part[sample.key]] += 1
    kept = [Entry(s.key, s.sha256, s.group, part[s.key]) for s in samples]
    entries = tuple(sorted([*kept, *excluded], key=lambda entry: entry.key))
    return Made(
        Split(options.fractions, options.seed, options.near, entries),
        {name: strata[name] for name in sorted(strata)},
        max(Counter(s.group for s in samples).values()),
        failures,
    )


def _samples(store: Store, near: int | None) -> tuple[list[Sample], list[Entry]]:
    """Pictures that were read whole, and the others; each in order of their keys."""
    keys = list(store.keys)
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.intp)
    sha256 = store.facts.column("sha256")
    names = [words.astype("<u8").tobytes().hex() if words.any() else None for words in sha256]
    failed = store.facts.column("failure")
    excluded = [
        Entry(keys[row], names[row], None, None, store.failures[int(failed[row])])
        for row in order[failed[order] != 0]
    ]
    rows = order[failed[order] == 0]
    strata = _strata(store)
    if near is None:
        groups = [_digest(keys[row])[:_ID] for row in rows]
    else:
        hashes = store.facts.column("hash")[rows]
        groups = _names(alike(sha256[rows], hashes, near), [str(names[row]) for row in rows])
    samples = [
        Sample(keys[row], str(names[row]), group, strata[row])
        for row, group in zip(rows.tolist(), groups, strict=True)
    ]
    return samples, excluded


def alike(sha256: Any, hashes: Any, near: int) -> Indices:
    """For each picture the first one of its group: intp [n].

    Args:
        sha256: uint64 [n, 4]
        hashes: uint64 [n, WORDS]; of 0 is a picture that nothing can be told of, and which is
            like none but its copies.
        near: bits in which two hashes may differ.
    """
    _, first, which = np.unique(sha256, axis=0, return_index=True, return_inverse=True)
    told = np.flatnonzero(hashes.any(axis=1))

    def pairs() -> Iterator[tuple[Indices, Indices]]:
        yield first[which.reshape(-1)], np.arange(len(sha256))
        for a, b in near_pairs(hashes[told], near):
            yield told[a], told[b]

    return clusters(len(sha256), pairs())


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _names(first: Indices, sha256: list[str]) -> list[str]:
    """A name for each picture's group that does not depend on the order of the set."""
    least: dict[int, str] = {}
    for row, group in enumerate(first.tolist()):
        least[group] = min(least.get(group, sha256[row]), sha256[row])
    return [least[group][:_ID] for group in first.tolist()]


def _strata(store: Store) -> list[str]:
    """Category, safety and source of each picture, in words."""
    categories = list(Category)
    columns = [store.facts.column(name) for name in ("category", "labels", "unsafe", "source")]
    strata = []
    for category, labels, unsafe, source in zip(*(c.tolist() for c in columns), strict=True):
        named = categories[category].value if category >= 0 else "+".join(categories_of(labels))
        strata.append(" / ".join((named or NOTHING, _SAFETY[unsafe], store.sources[source])))
    return strata

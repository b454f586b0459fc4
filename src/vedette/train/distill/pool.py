"""The images that a student learns from: with labels, without, or some of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vedette.bench.fingerprints import fingerprints, groups
from vedette.bench.scoring import Labelled, labelled, set_hash
from vedette.data.base import SPLIT, Source, read_all
from vedette.data.synth.plan import is_stand_in
from vedette.errors import UsageError
from vedette.settings import Settings
from vedette.train.data import SetOptions, TrainingSet, hashes_of
from vedette.train.examples import Bools, Examples, Ints
from vedette.types import Item


@dataclass(frozen=True, slots=True, eq=False)
class Pool(TrainingSet):
    """A set before its teacher was asked: its examples have no labels and no parts yet."""

    rows: tuple[Labelled, ...] = ()
    """What the set says of each image that can be read; safe, where it says nothing."""
    told: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    """bool [rows]: whether the set says anything."""
    options: SetOptions = field(default_factory=SetOptions)
    """What the user said about the set."""


def read_pool(
    given: str,
    source: Source,
    settings: Settings,
    options: SetOptions,
    say: Callable[[str], None] = lambda _: None,
) -> Pool:
    """All images of a source, each decoded once to find its copies.

    An image that cannot be decoded is left out, and told.

    Raises:
        UsageError: ``too_few_labels``: there is no image that can be read; ``bad_source``.
        VedetteError: the source cannot be read.
    """
    rows: list[Labelled] = []
    told: list[bool] = []
    stand_in = False
    for item in read_all(source):
        stand_in = stand_in or is_stand_in(item)
        told.append(item.unsafe is not None)
        rows.append(_row(item))
    if len({row.key for row in rows}) < len(rows):
        raise UsageError(f"two images of {given} have one key", code="bad_source")
    say(f"{given}: {len(rows):,} images, {sum(told):,} of them labelled; looking for copies")
    prints = fingerprints(source, settings)
    readable = set(prints.keys)
    kept = [at for at, row in enumerate(rows) if row.key in readable]
    if len(kept) < len(rows):
        say(f"{len(rows) - len(kept):,} images cannot be read and are left out")
    if not kept:
        raise UsageError(f"{given} has no image that can be read", code="too_few_labels")
    rows = [rows[at] for at in kept]
    hashes = hashes_of(prints)
    keys = tuple(row.key for row in rows)
    return Pool(
        given,
        _unlabelled(rows, groups(prints, keys)),
        set_hash(rows, [hashes.get(key) for key in keys]),
        source,
        prints,
        stand_in,
        options.card,
        tuple(rows),
        np.array(told, dtype=np.bool_)[kept],
        options,
    )


def _row(item: Item) -> Labelled:
    for row, _ in labelled([item], SPLIT):
        return row
    return Labelled(item.key, "", -1, (), False, item.meta.get(SPLIT, ""))


def _unlabelled(rows: list[Labelled], group: Ints) -> Examples:
    n = len(rows)
    return Examples(
        keys=tuple(row.key for row in rows),
        labels=(),
        counts={},
        targets=np.zeros((n, 0), np.bool_),
        known=np.zeros((n, 0), np.bool_),
        unsafe=np.array([row.unsafe for row in rows], dtype=np.bool_),
        category=np.array([row.category for row in rows], dtype=np.int64),
        source=tuple(row.source for row in rows),
        part=np.full(n, -1, dtype=np.int64),
        group=np.asarray(group, dtype=np.int64),
        left_out={},
    )

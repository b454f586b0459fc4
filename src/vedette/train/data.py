"""The set that a model is trained on: opened once, labels as columns, copies found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vedette.bench.fingerprints import FILE, Fingerprints, fingerprints, groups, write_fingerprints
from vedette.bench.scoring import Labelled, labelled, set_hash
from vedette.data.base import SPLIT, Source, read_all
from vedette.data.cards import SetCard
from vedette.data.splits import Split
from vedette.data.synth.plan import is_stand_in
from vedette.errors import UsageError
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.train.examples import Examples, examples_of


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """A labelled set as a trainer takes it."""

    given: str
    """As the user named it."""
    examples: Examples
    sha256: str
    """Over keys, bytes and labels."""
    source: Source | None = None
    """To read the pictures; None where there are only embeddings."""
    prints: Fingerprints | None = None
    """Of all its pictures."""
    stand_in: bool = False
    """Whether its pictures are drawn stand-ins."""
    card: SetCard | None = None
    """Of the published set that it is a copy of: its terms go into the model's card."""

    @property
    def learned_from(self) -> str:
        """Over all that a training sees of it: the images, their labels, and the part of each.

        Hex SHA-256. Checkpoints of a training on anything else are worth nothing to it.
        """
        examples = self.examples
        digest = hashlib.sha256(self.sha256.encode())
        digest.update(json.dumps([examples.keys, examples.labels]).encode())
        for column in (examples.targets, examples.known, examples.part, examples.group):
            digest.update(np.ascontiguousarray(column).tobytes())
        if examples.soft is not None:
            digest.update(np.ascontiguousarray(examples.soft).tobytes())
        return digest.hexdigest()

    def write_fingerprints(self, folder: Path) -> None:
        """Write the fingerprints of what was trained on, beside the weights.

        All but the part ``test``: what stopped the training and set its thresholds is known to the
        model too.

        Raises:
            VedetteError: ``write_failed``.
        """
        if self.prints is None:
            return
        tested = {self.examples.keys[i] for i in self.examples.rows("test")}
        kept = [k for k, key in enumerate(self.prints.keys) if key not in tested]
        prints = Fingerprints(
            tuple(self.prints.keys[k] for k in kept),
            self.prints.sha256[kept],
            self.prints.perceptual[kept],
        )
        write_fingerprints(folder / FILE, prints)


@dataclass(frozen=True, slots=True)
class SetOptions:
    """What a user may say about a set that is trained on."""

    seed: int = 7
    """Of what is drawn into parts."""
    split: Split | None = None
    """In place of what the set itself says."""
    categories: tuple[Category, ...] | None = None
    """To learn; None: all with enough images."""
    card: SetCard | None = None
    """The published set that it is a copy of."""


def read_training_set(
    given: str,
    source: Source,
    settings: Settings,
    options: SetOptions,
    say: Callable[[str], None] = lambda _: None,
) -> TrainingSet:
    """The labelled images of a source, each decoded once to find its copies.

    An image that cannot be decoded is left out, and told; it is in no part.

    Raises:
        UsageError: there is no labelled image; ``too_few_labels``; ``bad_source``.
        VedetteError: the source cannot be read.
    """
    stand_in = False
    rows: list[Labelled] = []
    for row, item in labelled(read_all(source), SPLIT):
        stand_in = stand_in or is_stand_in(item)
        rows.append(row)
    if not rows:
        raise UsageError(
            "there is no labelled image in the set",
            code="too_few_labels",
            hint="say what its labels mean with --labels; see vedette data stats",
        )
    say(f"{given}: {len(rows):,} labelled images; looking for copies among them")
    prints = fingerprints(source, settings)
    readable = set(prints.keys)
    kept = [row for row in rows if row.key in readable]
    if len(kept) < len(rows):
        say(f"{len(rows) - len(kept):,} images cannot be read and are left out")
    if not kept:
        raise UsageError("none of the images can be read", code="too_few_labels")
    keys = [row.key for row in kept]
    examples = examples_of(
        kept,
        groups(prints, keys),
        seed=options.seed,
        split=options.split,
        wanted=options.categories,
        say=say,
    )
    told = hashes_of(prints)
    return TrainingSet(
        given,
        examples,
        set_hash(kept, [told.get(key) for key in keys]),
        source,
        prints,
        stand_in,
        options.card,
    )


def hashes_of(prints: Fingerprints) -> dict[str, str]:
    """SHA-256 of each picture's bytes in hex, by key."""
    told = zip(prints.keys, prints.sha256, strict=True)
    return {key: words.astype("<u8").tobytes().hex() for key, words in told}

"""What the teacher says: each image asked once, through the pipeline that everything goes through.

Its answers lie in a journal as they come, so that a run that is killed does not ask again. What it
could not scan is left out of the training: it is never taken for safe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vedette.bench.classifier import ClassifierPredictor
from vedette.bench.journal import digest
from vedette.bench.predictor import Answer, Predictor, PredictorCard
from vedette.bench.scoring import score
from vedette.errors import UsageError
from vedette.models.base import ModelCard
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.train.distill.pool import Pool
from vedette.train.examples import Ints
from vedette.types import Float32, Item

_EVERY = 1000
"""Images between two lines about how far it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """The teacher's answers about a pool."""

    rows: Ints
    """int64 [n]: rows of the pool that it answered."""
    p: Float32
    """float32 [n, covered], 0..1"""
    covered: tuple[Category, ...]
    failed: Mapping[str, int]
    """Images that it could not scan, by the code of their failure."""


def ask_model(
    pool: Pool,
    name: str,
    settings: Settings,
    state: Path,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Taught, ModelCard]:
    """What a classifier, by its name, says of a pool; its memory is free again at the end.

    An animation is left out: the student looks at one frame, and a scan at all of them.

    Raises:
        VedetteError: it cannot be loaded; and as :func:`ask`.
    """
    single = replace(settings, limits=replace(settings.limits, frames=1))
    with closing(ClassifierPredictor(name, single)) as teacher:
        say(f"teacher: {teacher.card.model}, {teacher.card.runtime}")
        return ask(pool, teacher, state, say), teacher.classifier.card


def ask(
    pool: Pool,
    teacher: Predictor,
    state: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Taught:
    """The teacher's probabilities of every image of a pool.

    Args:
        pool: see there.
        teacher: see there.
        state: a folder for the journal.
        say: is told how far it is, and what is left out.

    Raises:
        UsageError: it answered nothing.
        VedetteError: what the teacher raises; ``write_failed``.
    """
    card = teacher.card
    plan = digest([card.model, card.sha256, pool.sha256])
    journal = state / f"teacher-{plan[:16]}.jsonl"
    assert pool.source is not None
    answers = score(pool.source, pool.rows, _Lean(teacher, len(pool.rows), say), journal)
    kept, p, failed = [], [], Counter[str]()
    for at, answer in enumerate(answers):
        if answer.p is None or not answer.p.keys() >= set(card.covered):
            failed[answer.failure.code if answer.failure else "not covered"] += 1
            continue
        kept.append(at)
        p.append([answer.p[category] for category in card.covered])
    if failed:
        told = ", ".join(f"{code}: {count:,}" for code, count in sorted(failed.items()))
        say(f"{card.model} could not scan {failed.total():,} images, left out: {told}")
    if not kept:
        raise UsageError(
            f"{card.model} could scan none of the images", hint="try it alone: vedette scan"
        )
    return Taught(
        np.array(kept, dtype=np.int64),
        np.array(p, dtype=np.float32).reshape(len(kept), len(card.covered)),
        tuple(card.covered),
        dict(sorted(failed.items())),
    )


class _Lean:
    """A teacher whose embeddings are not kept: a journal of them would be large."""

    def __init__(self, teacher: Predictor, images: int, say: Callable[[str], None]) -> None:
        self._teacher = teacher
        self._images = images
        self._say = say

    @property
    def card(self) -> PredictorCard:
        """See :class:`vedette.bench.predictor.Predictor`."""
        return self._teacher.card

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        """See :class:`vedette.bench.predictor.Predictor`."""
        for count, answer in enumerate(self._teacher.predict(items), 1):
            yield replace(answer, embedding=None)
            if count % _EVERY == 0:
                self._say(f"{self.card.model}: {count:,} of up to {self._images:,} images asked")

    def close(self) -> None:
        """See :class:`vedette.bench.predictor.Predictor`."""
        self._teacher.close()

"""From a teacher's answers to what a student learns, and what it is measured against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vedette.bench.predictions import SHIPPED
from vedette.bench.scoring import Labelled
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.train.data import TrainingSet
from vedette.train.distill.pool import Pool
from vedette.train.distill.teacher import Taught
from vedette.train.examples import Bools, Examples, Ints, examples_of

_HINT = "give more images: of the kind that it is to find, and others"
_TRAIN, _VALIDATION, _CALIBRATION, _TEST = range(4)


def lessons(
    pool: Pool,
    taught: Taught,
    say: Callable[[str], None] = lambda _: None,
) -> TrainingSet:
    """The set as a trainer takes it.

    A label for each category that the teacher covers and flags often enough; ``soft`` has its
    probabilities of all images. ``targets`` are its decisions in the parts that are learned from,
    and the set's own labels, where it has any, in those that the student is measured on.

    Args:
        pool: see there.
        taught: the teacher's answers about it.
        say: is told which categories are left out.

    Raises:
        UsageError: ``too_few_labels``: the teacher flags nothing, or everything; a category that it
            cannot see is asked for.
    """
    options = pool.options
    wanted = options.categories
    strange = [c.value for c in wanted or () if c not in taught.covered]
    if strange:
        raise UsageError(
            f"the teacher cannot see {', '.join(strange)}",
            hint=f"it covers {', '.join(c.value for c in taught.covered)}",
        )
    decided = taught.p >= SHIPPED
    if wanted is not None:
        decided = decided & np.isin(
            [c.position for c in taught.covered], [c.position for c in wanted]
        )
    _check(decided)
    own = [pool.rows[at] for at in taught.rows]
    group, told = pool.examples.group[taught.rows], pool.told[taught.rows]
    rows = [_decided(row, taught.covered, decided[at]) for at, row in enumerate(own)]
    try:
        drawn = examples_of(
            rows, group, seed=options.seed, split=options.split, wanted=wanted, say=say
        )
    except UsageError as error:
        raise UsageError(
            f"of what the teacher says: {error.message}", code=error.code, hint=_HINT
        ) from error
    columns = [[c.value for c in taught.covered].index(label) for label in drawn.labels]
    part = _parts(drawn, told)
    targets, known, unsafe = drawn.targets.copy(), np.ones_like(drawn.known), drawn.unsafe.copy()
    held = told & np.isin(part, (_CALIBRATION, _TEST))
    for at in np.flatnonzero(held):
        labels = set(own[at].labels)
        targets[at] = [Category(label).position in labels for label in drawn.labels]
        known[at] = bool(labels) or not own[at].unsafe
        unsafe[at] = own[at].unsafe
    examples = replace(
        drawn,
        targets=targets,
        known=known,
        unsafe=unsafe,
        part=part,
        soft=np.ascontiguousarray(taught.p[:, columns]),
    )
    return TrainingSet(
        pool.given, examples, pool.sha256, pool.source, pool.prints, pool.stand_in, pool.card
    )


def _check(decided: Bools) -> None:
    flagged = decided.any(axis=1)
    if not flagged.any() or flagged.all():
        what = "all of the images" if flagged.any() else "none of the images"
        raise UsageError(
            f"the teacher flags {what}: there is nothing to tell apart",
            code="too_few_labels",
            hint=_HINT,
        )


def _decided(row: Labelled, covered: tuple[Category, ...], decided: Bools) -> Labelled:
    """A row as if the teacher's decisions were its labels."""
    places = tuple(sorted(c.position for c, one in zip(covered, decided, strict=True) if one))
    category = places[0] if len(places) == 1 else -1
    return replace(row, labels=places, unsafe=bool(places), category=category)


def _parts(drawn: Examples, told: Bools) -> Ints:
    """The parts, with unlabelled images moved out of those that labelled ones are measured in."""
    part = drawn.part.copy()
    if not told.any():
        return part
    loose = ~told & np.isin(part, (_CALIBRATION, _TEST))
    # Beside a labelled copy it would be learned by heart: then it is in no part.
    beside = np.isin(drawn.group, drawn.group[told])
    part[loose] = np.where(beside[loose], -1, _TRAIN)
    return part

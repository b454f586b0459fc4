"""Hard negatives and misses: images about which a model and its reviewers disagree.

A scan's Records say what the model thought and what the policy made of it, the reviews what was
right. What was flagged and is safe teaches more than any safe image drawn by chance, and so does
what was let through and is not. Trained on nothing but mistakes a model forgets the rest, so images
on which both agree come along.

Sources: Felzenszwalb et al., "Object detection with discriminatively trained part-based models"
(TPAMI 2010) for mining hard negatives; Shrivastava, Gupta and Girshick, "Training region-based
object detectors with online hard example mining" (CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.data.labelling import Label, of_categories
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.train.scarce.reviews import Review
from vedette.types import Record

Kind = Literal["false alarm", "missed", "agreed"]


@dataclass(frozen=True, slots=True)
class Mined:
    """One image, and how wrong the model was about it."""

    key: str
    sha256: str
    label: Label
    """What the reviewers say."""
    kind: Kind
    category: Category | None
    """In which it was wrong; None where it was right."""
    wrong: float
    """0..1: the probability that it gave to the side that is not true; of what is agreed, 0."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Reviews and Records brought together."""

    mined: tuple[Mined, ...]
    """One for each different image, the most wrong first."""
    undecided: int
    """Reviews that decide nothing."""
    unknown: tuple[str, ...]
    """Images that are reviewed and in no Record: keys, or hashes."""
    contradicting: tuple[str, ...]
    """Keys of images that one review calls safe and another unsafe; they are left out."""
    failed: tuple[str, ...]
    """Keys of images that were not scanned whole; nothing is concluded from those."""


@dataclass(slots=True)
class _Case:
    """One image: what the scan says of its bytes, and what was decided."""

    record: Record
    reviews: dict[int, Review]


def mine(records: Iterable[Record], reviews: Sequence[Review]) -> Joined:
    """Every reviewed image once, with what the model got wrong.

    A review that states the bytes' hash speaks of those bytes, under whichever key; another of the
    image that has its key. Several reviews of one image are taken together: of unsafe ones all
    categories count.

    Args:
        records: of a scan; the first one counts of images with the same bytes.
        reviews: of any of them.

    Raises:
        UsageError: ``too_few_labels``: nothing is decided; none of the reviews is of an image in
            the Records; ``bad_record``: the Records are of two models, or two of them have one key
            and different bytes.
    """
    decided = [review for review in reviews if review.decided]
    if not decided:
        raise UsageError("no review decides anything", code="too_few_labels")
    cases, failed, met = _cases(records, decided)
    unknown = tuple(
        dict.fromkeys(
            review.key or review.sha256 for at, review in enumerate(decided) if at not in met
        )
    )
    if not met:
        raise UsageError(
            f"none of the {len(decided):,} reviews is of an image in the Records",
            hint="reviews name images by the key or the sha256 that the Records have",
        )
    mined: list[Mined] = []
    contradicting: list[str] = []
    for case in cases:
        label = _together([review.label for review in case.reviews.values()])
        if label is None:
            contradicting.append(case.record.key)
        else:
            mined.append(_compared(case.record, label))
    return Joined(
        mined=tuple(sorted(mined, key=lambda one: (-one.wrong, one.key))),
        undecided=len(reviews) - len(decided),
        unknown=unknown,
        contradicting=tuple(contradicting),
        failed=tuple(dict.fromkeys(failed)),
    )


def chosen(joined: Joined, most: int | None, agreed: float, seed: int) -> list[Mined]:
    """The images to learn from: the most wrong of each category, and some that are agreed on.

    Args:
        joined: see :func:`mine`.
        most: of each category and kind, at most; None: all.
        agreed: agreed images for each one that is not. Half of them safe and half unsafe, as far
            as there are such; drawn by chance, so that they are the easy ones and not the easiest.
        seed: of the draw.
    """
    counts: dict[tuple[Kind, Category | None], int] = {}
    hard: list[Mined] = []
    for one in joined.mined:
        if one.kind == "agreed":
            continue
        place = one.kind, one.category
        counts[place] = counts.get(place, 0) + 1
        if most is None or counts[place] <= most:
            hard.append(one)
    easy = sorted((one for one in joined.mined if one.kind == "agreed"), key=lambda one: one.sha256)
    wanted = min(round(agreed * len(hard)), len(easy))
    random = np.random.default_rng(seed)
    order = [easy[at] for at in random.permutation(len(easy)).tolist()]
    unsafe = [one for one in order if one.label.unsafe]
    safe = [one for one in order if not one.label.unsafe]
    some = min(len(unsafe), max(wanted // 2, wanted - len(safe)))
    return [*hard, *unsafe[:some], *safe[: wanted - some]]


def _cases(
    records: Iterable[Record], reviews: Sequence[Review]
) -> tuple[list[_Case], list[str], set[int]]:
    """The reviewed images, the keys of those that failed, and which reviews were met."""
    by_hash: dict[str, list[int]] = {}
    by_key: dict[str, list[int]] = {}
    for at, review in enumerate(reviews):
        if review.sha256:
            by_hash.setdefault(review.sha256, []).append(at)
        else:
            by_key.setdefault(review.key, []).append(at)
    cases: dict[str, _Case] = {}
    bytes_of: dict[str, str | None] = {}
    models: tuple[str, ...] | None = None
    failed: list[str] = []
    met: set[int] = set()
    for record in records:
        mine = [*by_hash.get(record.sha256 or "", ()), *by_key.get(record.key, ())]
        if not mine:
            continue
        met.update(mine)
        if bytes_of.setdefault(record.key, record.sha256) != record.sha256:
            raise UsageError(
                f"two Records are called {record.key!r} and have different bytes",
                code="bad_record",
                hint="give the Records of one scan",
            )
        if record.failure is not None or record.scores is None or record.sha256 is None:
            failed.append(record.key)
            continue
        models = models or record.models
        if record.models != models:
            raise UsageError(
                f"the Records are of {', '.join(models)} and of {', '.join(record.models)}",
                code="bad_record",
                hint="give the Records of one scan",
            )
        case = cases.setdefault(record.sha256, _Case(record, {}))
        case.reviews.update({at: reviews[at] for at in mine})
    return list(cases.values()), failed, met


def _together(labels: Sequence[Label]) -> Label | None:
    """What several decisions say; None where they contradict each other."""
    if len({label.unsafe for label in labels}) > 1:
        return None
    named = frozenset().union(*(label.categories or () for label in labels))
    return of_categories(named) if named else labels[0]


def _compared(record: Record, label: Label) -> Mined:
    """What the model, under the policy that decided, got wrong about one image."""
    assert record.scores is not None
    assert record.sha256 is not None
    p = record.scores.as_dict()
    flagged: dict[Category, float] = {}
    for reason in record.verdict.reasons:
        flagged[reason.category] = max(reason.p, flagged.get(reason.category, 0.0))
    kind: Kind = "agreed"
    category: Category | None = None
    wrong = 0.0
    if not label.unsafe and flagged:
        kind, category = "false alarm", max(flagged, key=flagged.__getitem__)
        wrong = flagged[category]
    elif label.unsafe and flagged.keys().isdisjoint(label.categories or flagged):
        # A category that the model cannot see has no probability: it missed it altogether.
        of = [c for c in Category if c in (label.categories or p)]
        kind, category = "missed", max(of, key=lambda c: p.get(c, 0.0), default=None)
        wrong = 1 - (p.get(category, 0.0) if category else 0.0)
    return Mined(record.key, record.sha256, label, kind, category, wrong)

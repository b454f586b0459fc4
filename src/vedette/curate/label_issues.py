"""Labels that are likely wrong: confident learning on probabilities of pictures held out.

Confident learning names candidates, and a weak classifier names many. How many of them to believe
is found out by a test: some labels are made wrong on purpose, and named are only candidates as far
down the ranking as a share of those found there had been made wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vedette.curate.confident import Candidates, candidates, confident_joint
from vedette.curate.facts import Indices, Store
from vedette.curate.held_out import FOLDS, HeldOut, Task, folds, held_out
from vedette.curate.statistics import mean_interval
from vedette.taxonomy import Category

RARE = 10
"""Different pictures that a class must have to be judged."""
PRECISION = 0.5
"""Of the labels that are named, the share that has to be wrong in the test."""
_PLANTED = 0.05
_LEAST_PLANTED = 10
_LEAST_HITS = 5
"""Fewer planted labels at the head of the ranking say nothing of the share below."""
_CLASSES = ("safe", *(category.value for category in Category), "unsafe")


@dataclass(frozen=True, slots=True)
class LabelIssue:
    """An image whose label is likely wrong."""

    key: str
    split: str
    source: str
    given: str
    suggested: str
    p_given: float
    """Held-out probability of its label, 0..1."""
    p_suggested: float
    margin: float
    """Probability of the label less the highest other one: the more negative, the likelier."""


@dataclass(frozen=True, slots=True)
class Judge:
    """The classifier, and how good it is on pictures that it has not seen."""

    features: str
    """``embeddings`` or ``descriptor``"""
    dim: int
    folds: int
    shrinkage: float
    temperature: float
    accuracy: float
    """Balanced: the mean of the classes' recalls, against the labels as they are."""
    low: float
    """The lower end of its 99 % interval."""
    high: float
    chance: float


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What became of labels that were made wrong on purpose, for the test alone."""

    planted: int
    found: int
    """Of the planted ones, how many were candidates."""
    candidates: int
    """All candidates of the test; a label that was wrong before counts as wrongly named here."""
    margin: float | None
    """Candidates with a margin up to this are named; None: none is."""
    named: int
    """Candidates of the test within that margin."""
    hits: int
    """Of these, the planted ones."""


@dataclass(frozen=True, slots=True)
class LabelIssues:
    """What confident learning says of the labels."""

    not_judged: str
    """Why nothing is said of the labels; empty where something is."""
    classes: tuple[str, ...]
    left_out: tuple[tuple[str, int], ...]
    """Classes with too few different pictures, and how many images they have."""
    judged: int
    """Images whose label was judged."""
    judge: Judge | None
    thresholds: tuple[float, ...]
    """Mean probability of each class among the images that are labelled with it."""
    joint: tuple[tuple[int, ...], ...]
    """Images labelled i (row) that confidently look like j (column)."""
    test: SelfTest | None
    candidates: int
    """Labels that confident learning alone would name."""
    count: int
    """Candidates that the test gives reason to believe."""
    issues: tuple[LabelIssue, ...]
    """All candidates, the likeliest first, so that the first ``count`` are the ones to believe; at
    most as many as were asked for."""


@dataclass(frozen=True, slots=True)
class IssueOptions:
    """How labels are judged."""

    features: str
    """What the store's features are, in a word."""
    precision: float = PRECISION
    """0: every candidate is named."""
    seed: int = 0
    most: int = 1000


def class_names() -> tuple[str, ...]:
    """The names of the classes that :func:`classes_of` numbers."""
    return _CLASSES


def classes_of(store: Store) -> NDArray[np.int64]:
    """The class that each image is labelled with: int64 [n], -1 where it has none.

    0 is safe, then come the categories, last is unsafe without one. Of several categories the one
    that the image was collected for counts, else the first.
    """
    unsafe, bits = store.facts.column("unsafe"), store.facts.column("labels").astype(np.int64)
    wanted = store.facts.column("category").astype(np.int64)
    lowest = np.full(len(bits), len(Category))
    for category in reversed(Category):
        lowest[bits >> category.position & 1 == 1] = category.position
    named = (wanted >= 0) & (bits >> np.maximum(wanted, 0) & 1 == 1)
    classes = 1 + np.where(named, wanted, lowest)
    classes[unsafe == 0] = 0
    classes[unsafe < 0] = -1
    return classes


def label_issues(store: Store, group: Indices, options: IssueOptions) -> LabelIssues:
    """Judge every label of the set.

    Args:
        store: read, with features.
        group: for each image the first that shows the same.
        options: how.
    """
    given = classes_of(store)
    given[~_described(store)] = -1
    # Different pictures: copies of one would be all in one fold.
    pictures = [len(np.unique(group[given == number])) for number in range(len(_CLASSES))]
    kept = [number for number, count in enumerate(pictures) if count >= RARE]
    rare = [number for number, count in enumerate(pictures) if 0 < count < RARE]
    nothing = LabelIssues(
        not_judged="",
        classes=tuple(_CLASSES[number] for number in kept),
        left_out=tuple((_CLASSES[n], int((given == n).sum())) for n in rare),
        judged=0,
        judge=None,
        thresholds=(),
        joint=(),
        test=None,
        candidates=0,
        count=0,
        issues=(),
    )
    if not (given >= 0).any():
        return replace(nothing, not_judged="no image has a label")
    if len(kept) < 2:
        why = f"fewer than two classes have {RARE} different pictures"
        return replace(nothing, not_judged=why)
    place = np.full(len(_CLASSES) + 1, -1)  # the last one is where -1 points
    place[kept] = np.arange(len(kept))
    label = place[given]
    task = Task(label, folds(label, group, options.seed), len(kept))
    return _judged(store, task, options, nothing)


def _described(store: Store) -> NDArray[np.bool_]:
    """Which rows have features: bool [n]."""
    has = np.zeros(len(store.facts), bool)
    for first, rows in store.features.pieces():
        has[first : first + len(rows)] = rows.any(axis=1)
    return has


def _judged(store: Store, task: Task, options: IssueOptions, nothing: LabelIssues) -> LabelIssues:
    told = held_out(store.features, task)
    label = task.label[told.rows]
    judge = _judge(store, told, label, task.classes, options.features)
    found = replace(nothing, judge=judge, judged=len(label))
    if judge.low <= judge.chance:
        why = "the classifier is no better than chance on pictures that it has not seen"
        return replace(found, not_judged=why)
    joint = confident_joint(label, told.probs)
    worst = _without_second(
        store, told, candidates(label, told.probs, joint), np.array(nothing.classes)
    )
    test = _self_test(store, task, told, options)
    named = 0
    if test.margin is not None:
        named = int(np.searchsorted(worst.margins, test.margin, "right"))
    names = nothing.classes
    return replace(
        found,
        thresholds=tuple(round(float(t), 4) for t in joint.thresholds),
        joint=tuple(tuple(int(c) for c in row) for row in joint.counts),
        test=test,
        candidates=len(worst.rows),
        count=named,
        issues=tuple(
            _issue(
                store,
                int(told.rows[row]),
                (names[label[row]], names[other]),
                (float(told.probs[row, label[row]]), float(told.probs[row, other])),
                float(margin),
            )
            for row, other, margin in zip(
                worst.rows[: options.most].tolist(),
                worst.suggested[: options.most].tolist(),
                worst.margins[: options.most].tolist(),
                strict=True,
            )
        ),
    )


def _judge(
    store: Store, told: HeldOut, label: NDArray[np.int64], classes: int, features: str
) -> Judge:
    right = np.bincount(label, weights=told.probs.argmax(axis=1) == label, minlength=classes)
    accuracy, low, high = mean_interval(right, np.bincount(label, minlength=classes))
    return Judge(
        features=features,
        dim=store.features.width,
        folds=FOLDS,
        shrinkage=told.shrinkage,
        temperature=round(told.temperature, 4),
        accuracy=round(accuracy, 4),
        low=round(low, 4),
        high=round(high, 4),
        chance=round(1 / classes, 4),
    )


def _without_second(
    store: Store, told: HeldOut, worst: Candidates, names: NDArray[np.str_]
) -> Candidates:
    """Without those that look like a second category that they are labelled with as well."""
    bits = store.facts.column("labels")[told.rows[worst.rows]].astype(np.int64)
    of_name = np.array([_bit(name) for name in names.tolist()], np.int64)
    kept = bits & of_name[worst.suggested] == 0
    return Candidates(worst.rows[kept], worst.suggested[kept], worst.margins[kept])


def _bit(name: str) -> int:
    return sum(1 << category.position for category in Category if category.value == name)


def _self_test(store: Store, task: Task, told: HeldOut, options: IssueOptions) -> SelfTest:
    """Make some labels wrong, judge again, and see how far down the ranking they prevail."""
    rng = np.random.default_rng([options.seed, 1])
    rows = told.rows
    count = min(max(round(_PLANTED * len(rows)), _LEAST_PLANTED), len(rows) // 4)
    changed = rng.choice(rows, count, replace=False)
    label = task.label.copy()
    shares = np.bincount(task.label[rows], minlength=task.classes).astype(float)
    for row in changed.tolist():
        # As an annotator errs who has some idea of what there is: by how frequent classes are.
        others = shares.copy()
        others[label[row]] = 0
        label[row] = rng.choice(task.classes, p=others / others.sum())
    again = held_out(store.features, replace(task, label=label), (told.shrinkage,))
    wrong = np.zeros(len(label), bool)
    wrong[changed] = True
    found = candidates(label[rows], again.probs, confident_joint(label[rows], again.probs))
    hits = np.cumsum(wrong[rows[found.rows]])
    number = np.arange(1, len(hits) + 1)
    enough = np.flatnonzero((hits >= options.precision * number) & (hits >= _LEAST_HITS))
    last = int(enough[-1]) if len(enough) else -1
    margin = round(float(found.margins[last]), 4) if last >= 0 else None
    return SelfTest(
        planted=count,
        found=int(hits[-1]) if len(hits) else 0,
        candidates=len(hits),
        margin=0.0 if options.precision == 0 else margin,
        named=last + 1,
        hits=int(hits[last]) if last >= 0 else 0,
    )


def _issue(
    store: Store, row: int, names: tuple[str, str], p: tuple[float, float], margin: float
) -> LabelIssue:
    facts = store.facts.read(row)[0]
    return LabelIssue(
        key=store.keys[row],
        split=store.splits[int(facts["split"])],
        source=store.sources[int(facts["source"])],
        given=names[0],
        suggested=names[1],
        p_given=round(p[0], 4),
        p_suggested=round(p[1], 4),
        margin=round(margin, 4),
    )

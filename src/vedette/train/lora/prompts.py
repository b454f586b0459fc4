"""The examples of a LoRA training: pictures, each asked about some of the categories.

As in the paper, an example lists a random part of the categories in random order; an unsafe picture
is seen with its category among them, and again with only such as it does not violate, where it is
safe; unsafe pictures are repeated until both answers are equally frequent.

What the paper leaves open is closed here: the text must say nothing about the answer. The lists of
safe examples are drawn by the very rule that those of unsafe ones are drawn by, independently of
them, and only then given to pictures that violate none of what they list. So a list is as likely
with either answer, in equally random order, with the same definitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vedette.errors import UsageError
from vedette.networks.vlm_prompt import question
from vedette.taxonomy import Category
from vedette.train.examples import Bools, Examples, Ints
from vedette.train.lora.options import Negatives


@dataclass(frozen=True, slots=True)
class Example:
    """One picture, one question, one answer."""

    row: int
    """Of the picture, in the set's examples."""
    scope: tuple[Category, ...]
    """The categories asked about, in the order in which they are listed."""
    answer: Category | None
    """The one that the picture violates; None: safe."""

    def question(self, negatives: Negatives = "definitions") -> str:
        """The text that goes with the picture."""
        plain = negatives == "bare" and self.answer is None
        return question(self.scope, definitions=not plain)


def categories_of(examples: Examples) -> tuple[Category, ...]:
    """The category of each label.

    Raises:
        UsageError: ``too_few_labels``: a set that says safe or unsafe and nothing more.
    """
    counted = [examples.counts[label] for label in examples.labels]
    if any(len(one) != 1 for one in counted):
        raise UsageError(
            "the set does not say which categories its images violate, and a scope is learned from "
            "that",
            code="too_few_labels",
            hint="use vedette train probe or finetune, or a set with categories",
        )
    return tuple(one[0] for one in counted)


def training_examples(examples: Examples, seed: int) -> tuple[Example, ...]:
    """The examples of the part ``train``, half of them unsafe.

    An image labelled unsafe without a category is in none: nobody knows what it violates.

    Args:
        examples: labels that are one category each.
        seed: of all that is drawn.

    Raises:
        UsageError: ``too_few_labels``: no image is unsafe, or none is safe for what others violate.
    """
    categories = categories_of(examples)
    rng = np.random.default_rng(seed)
    rows = examples.rows("train")
    violated = examples.targets[rows] & examples.known[rows]
    clear = ~examples.targets[rows] & examples.known[rows]
    named = [_named(examples, int(row), violated[i]) for i, row in enumerate(rows)]
    lists = _Lists(violated, clear, named, rng)
    unsafe = lists.usable(np.flatnonzero(violated.any(axis=1)))
    safe = np.flatnonzero(~violated.any(axis=1) & clear.any(axis=1))
    if not len(unsafe):
        raise UsageError(
            "no image in train is unsafe, or none is safe for a category that another one violates",
            code="too_few_labels",
        )
    count = len(unsafe) + len(safe)
    made: list[Example] = []

    def add(i: int, listed: Bools, answer: Category | None) -> None:
        order = rng.permutation(np.flatnonzero(listed))
        made.append(Example(int(rows[i]), tuple(categories[k] for k in order), answer))

    for i in _cycled(unsafe, count, rng):
        anchor = lists.anchor(int(i))
        add(int(i), lists.drawn(int(i), anchor), categories[anchor])
    others = rng.choice(unsafe, count)
    free = np.stack([lists.drawn(int(i), lists.anchor(int(i))) for i in others])
    for i, listed in zip(_holders(free, clear, unsafe, safe, rng), free, strict=True):
        add(int(i), listed, None)
    return tuple(made)


def shuffled(count: int, seed: int, epoch: int) -> Ints:
    """The order of so many examples in one epoch: int64 [count]."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def _cycled(rows: Ints, count: int, rng: np.random.Generator) -> Ints:
    """``rows`` over and over, each time in another order."""
    rounds = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:count]


def _named(examples: Examples, row: int, violated: Bools) -> int:
    """The label of the predominant category, where that is one of those violated; else -1."""
    for label in np.flatnonzero(violated):
        (category,) = examples.counts[examples.labels[label]]
        if category.position == examples.category[row]:
            return int(label)
    return -1


class _Lists:
    """Draws lists for unsafe pictures: only such as some picture is safe for.

    Args:
        violated: bool [pictures, labels]
        clear: bool [pictures, labels]: known not to be violated.
        named: of each picture, the label that its answer names; -1: any that it violates.
        rng: of all that is drawn.
    """

    def __init__(
        self, violated: Bools, clear: Bools, named: Sequence[int], rng: np.random.Generator
    ) -> None:
        self._violated, self._clear, self._named, self._rng = violated, clear, named, rng
        # Of sets of labels that some picture is safe for, the largest: whatever is in one will do.
        self._feasible = np.unique(clear, axis=0)
        self._some: Bools = np.asarray(clear.any(axis=0))
        self._all = bool(clear.all(axis=1).any())

    def usable(self, unsafe: Ints) -> Ints:
        """Those pictures of which each possible answer stands in some list."""
        if self._all:
            return unsafe
        return unsafe[[bool((self._violated[i] & self._some).any()) for i in unsafe]]

    def anchor(self, i: int) -> int:
        """The label that the answer names: of the predominant category, where it can be listed."""
        if self._named[i] >= 0 and self._some[self._named[i]]:
            return self._named[i]
        return int(self._rng.choice(np.flatnonzero(self._violated[i] & self._some)))

    def drawn(self, i: int, anchor: int) -> Bools:
        """A list that has the anchor in it: every length is equally likely, up to the longest."""
        known = self._violated[i] | self._clear[i]
        if not self._all:
            fitting = self._feasible[self._feasible[:, anchor]]
            known = known & self._rng.choice(fitting)
        others = np.flatnonzero(known & (np.arange(len(known)) != anchor))
        chosen = self._rng.permutation(others)[: self._rng.integers(0, len(others) + 1)]
        listed = np.zeros(len(known), dtype=np.bool_)
        listed[[anchor, *chosen]] = True
        return listed


def _holders(
    lists: Bools, clear: Bools, unsafe: Ints, safe: Ints, rng: np.random.Generator
) -> Ints:
    """For each list a picture that is safe for all of it.

    Every unsafe picture is taken once, as far as the lists allow it; then the safe ones, until no
    list is left. The lists come in random order.
    """
    taken = np.full(len(lists), -1, dtype=np.int64)
    for i in rng.permutation(unsafe):
        fitting = np.flatnonzero((taken < 0) & ~(lists & ~clear[i]).any(axis=1))
        if len(fitting):
            taken[fitting[0]] = i
    left = np.flatnonzero(taken < 0)
    whole = safe[clear[safe].all(axis=1)]
    if len(whole):
        taken[left] = _cycled(whole, len(left), rng)
        return taken
    for at in left:
        taken[at] = rng.choice(np.flatnonzero(~(lists[at] & ~clear).any(axis=1)))
    return taken

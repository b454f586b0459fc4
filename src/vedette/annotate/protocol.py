"""The labelling protocol as pure functions: from the answers about a picture to its label.

Round one: two annotators say *safe*, *unsafe* or *N/A*, each by themselves; where they differ a
third is asked and the majority decides. Round two: the pictures decided unsafe get their
predominant category. Source: UnsafeBench (CCS 2025), section 3.

Two things that the paper leaves open are settled here. Three answers that all differ decide
nothing: the picture waits for one more annotator, and until one answer leads alone it is
unlabelled, never safe. Round two asks as many annotators as round one, with the same rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from vedette.data.labelling import SAFE, UNLABELLED, UNSAFE, Label, of_categories
from vedette.errors import UsageError
from vedette.taxonomy import Category, parse_category

MAX_FIRST = 9
"""Annotators that a round may ask at once, at most."""


class Safety(StrEnum):
    """The answers of round one."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    NA = "na"
    """Nothing that can be judged: the picture leaves the set."""


class Round(IntEnum):
    """The two rounds of questions."""

    SAFETY = 1
    CATEGORY = 2


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a campaign asks.

    Raises:
        UsageError: no annotator in a round, more than nine, or no category in scope.
    """

    safety_annotators: int = 2
    """Annotators that every picture is given to in round one, before any third."""
    category_annotators: int = 2
    """The same in round two. 1: whoever comes first decides the category."""
    categories: tuple[Category, ...] = tuple(Category)
    """What counts as unsafe, and the answers of round two; in the taxonomy's order."""

    def __post_init__(self) -> None:
        for count in (self.safety_annotators, self.category_annotators):
            if not 1 <= count <= MAX_FIRST:
                raise UsageError(f"a round cannot ask {count} annotators", hint="1 to 9")
        if not self.categories or len(set(self.categories)) < len(self.categories):
            raise UsageError("the categories in scope are none, or one of them twice")
        object.__setattr__(self, "categories", tuple(c for c in Category if c in self.categories))

    def first(self, round_: Round) -> int:
        """Annotators asked in that round before any answer is compared."""
        return self.safety_annotators if round_ is Round.SAFETY else self.category_annotators

    def answers(self, round_: Round) -> tuple[str, ...]:
        """The answers that round admits, as they are stored."""
        return tuple(Safety) if round_ is Round.SAFETY else self.categories


class Standing(StrEnum):
    """How far one round of one picture is."""

    WAITING = "waiting"
    """For the annotators that every picture is given to."""
    DIFFERING = "differing"
    """They differ; one more annotator is asked."""
    UNDECIDED = "undecided"
    """That one has answered and still no answer leads alone."""
    DECIDED = "decided"


def standing(answers: Sequence[str], first: int) -> Standing:
    """How far a round is, from the answers that stand, one of each annotator.

    Args:
        answers: in any order.
        first: annotators that the picture is given to before any third.
    """
    if len(answers) < first:
        return Standing.WAITING
    if leading(answers) is not None:
        return Standing.DECIDED
    return Standing.DIFFERING if len(answers) == first else Standing.UNDECIDED


def leading(answers: Sequence[str]) -> str | None:
    """The answer given more often than any other; None where there is no such one.

    Of two or three answers that is the paper's majority: both, or two of the three.
    """
    ranked = Counter(answers).most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def wanted(answers: Sequence[str], first: int) -> int:
    """How many more annotators the round needs now: 0 once it is decided."""
    if len(answers) < first:
        return first - len(answers)
    return 0 if leading(answers) is not None else 1


def decided(answers: Sequence[str], first: int) -> str | None:
    """The round's outcome; None while it is open."""
    return leading(answers) if len(answers) >= first else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What both rounds say about one picture."""

    safety: Safety | None
    """None while round one is open."""
    category: Category | None = None
    """None while round two is open, and for what is not unsafe."""

    @property
    def label(self) -> Label:
        """The label for a data set. Only a decided *safe* is safe.

        Unsafe without a category while round two is open; unlabelled where round one is, and for
        N/A, which does not belong in a data set at all (:attr:`dropped`).
        """
        if self.safety is Safety.SAFE:
            return SAFE
        if self.safety is Safety.UNSAFE:
            return UNSAFE if self.category is None else of_categories([self.category])
        return UNLABELLED

    @property
    def dropped(self) -> bool:
        """Whether it was decided to be nothing that can be judged."""
        return self.safety is Safety.NA


def outcome(safety: Sequence[str], category: Sequence[str], protocol: Protocol) -> Outcome:
    """The outcome of a picture from the answers that stand in both rounds.

    Answers about the category count only while round one says *unsafe*.
    """
    said = decided(safety, protocol.safety_annotators)
    if said is None or Safety(said) is not Safety.UNSAFE:
        return Outcome(None if said is None else Safety(said))
    named = decided(category, protocol.category_annotators)
    return Outcome(Safety.UNSAFE, None if named is None else Category(named))


def parse_answer(said: str, round_: Round, protocol: Protocol) -> str:
    """``said`` as it is stored: one of :meth:`Protocol.answers`.

    Raises:
        UsageError: ``bad_annotations``: not an answer of that round in this campaign.
    """
    try:
        if round_ is Round.SAFETY:
            answer: str = Safety("".join(ch for ch in said.casefold() if ch.isalpha()))
        else:
            answer = parse_category(said)
    except (KeyError, ValueError):
        answer = ""
    if answer not in protocol.answers(round_):
        raise UsageError(
            f"{said!r} is no answer of round {round_.value}",
            code="bad_annotations",
            hint=f"the answers are: {', '.join(protocol.answers(round_))}",
        )
    return str(answer)

"""A picture, what its annotators have answered, and what that comes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vedette.annotate.protocol import Outcome, Round


@dataclass(frozen=True, slots=True)
class Picture:
    """What a campaign knows of a picture. Its own labels, if it has any, are not kept."""

    key: str
    sha256: str
    """Of its bytes: an annotator is shown these or nothing."""
    source: str = ""
    """Where it was found, or what made it."""
    category: str = ""
    """The category that it was collected for."""


@dataclass(frozen=True, slots=True)
class Given:
    """One answer, as it was given."""

    id: int
    annotator: str
    """A pseudonym."""
    round: Round
    answer: str
    at_us: int
    supersedes: int | None = None
    """The ``id`` of the answer that it corrects."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """A picture, every answer about it in order, and what they come to."""

    picture: Picture
    given: tuple[Given, ...]
    outcome: Outcome

    def standing(self, round_: Round) -> tuple[Given, ...]:
        """The answers of that round that no later one supersedes.

        In the order in which the annotators first answered.
        """
        return standing_answers(self.given, round_)


def standing_answers(given: Iterable[Given], round_: Round) -> tuple[Given, ...]:
    """Of the answers about one picture those of a round that stand, one of each annotator."""
    latest: dict[str, Given] = {}
    for answer in given:
        if answer.round is round_:
            latest[answer.annotator] = answer  # keeps the place of the annotator's first
    return tuple(latest.values())


def is_text(value: str) -> bool:
    """Whether any database and any file takes it: no NUL and no half of a surrogate pair."""
    return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)

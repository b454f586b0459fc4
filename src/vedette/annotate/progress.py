"""How far a campaign is, for its organiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vedette.annotate.annotated import Annotated
from vedette.annotate.protocol import Protocol, Round, Standing, standing


@dataclass(frozen=True, slots=True)
class RoundProgress:
    """How far one round is: pictures by :class:`~vedette.annotate.protocol.Standing`."""

    pictures: int
    standings: dict[Standing, int]
    decided: dict[str, int]
    """Of the decided: pictures by outcome."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a campaign is. For the organiser: it would tell annotators of each other."""

    rounds: dict[Round, RoundProgress]
    opened: bool
    """Whether round two has begun."""
    annotators: dict[str, int] = field(default_factory=dict)
    """Questions that each has answered."""
    unreadable: tuple[tuple[str, str], ...] = ()
    """Pictures that could not be shown to somebody and are still open: key and code."""


def round_progress(
    pictures: Sequence[Annotated], round_: Round, protocol: Protocol
) -> RoundProgress:
    """How far ``pictures`` are in one round."""
    standings = dict.fromkeys(Standing, 0)
    outcomes: dict[str, int] = dict.fromkeys(protocol.answers(round_), 0)
    for one in pictures:
        said = [answer.answer for answer in one.standing(round_)]
        standings[standing(said, protocol.first(round_))] += 1
        reached = one.outcome.safety if round_ is Round.SAFETY else one.outcome.category
        if reached is not None:
            outcomes[reached] += 1
    return RoundProgress(len(pictures), standings, outcomes)

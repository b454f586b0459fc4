"""One request until it is answered, without doing any I/O: what to send, and how long to pause.

An operation is a generator of :data:`Steps`. Who drives it carries out each step, puts what came
of it into the step, and asks for the next one; so waiting and awaiting share everything.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import IO, TypeVar

from vedette.client.answers import Reply, refusal
from vedette.client.errors import BadAnswerError, ServiceError, UnansweredError
from vedette.client.options import ClientOptions
from vedette.client.requests import Request

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
_AGAIN = (429, 503)
"""Statuses after which the service itself says to try again."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Why a request has no answer."""

    code: str
    """``unreachable``, ``request_timeout``, ``bad_answer``, or what is wrong with a file of it."""
    message: str
    reached: bool
    """Whether the service may have begun to work on it."""
    final: bool = False
    """Whether another attempt would end the same way."""


@dataclass(slots=True)
class Ask:
    """A step: send this, and set ``reply``."""

    request: Request
    answer_s: float
    into: IO[bytes] | None = None
    """Where the body of a success goes; None: into the reply."""
    reply: Reply | Lost | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A step: let this time pass."""

    seconds: float


T = TypeVar("T")
Steps = Generator[Ask | Pause, None, T]


@dataclass(frozen=True, slots=True)
class Pace:
    """When to try again; clock and chance are arguments so that tests can hold them."""

    options: ClientOptions
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    chance: Callable[[], float] = random.random
    """0..1"""

    def pause(self, error: ServiceError, tried: int, began: float) -> float | None:
        """Seconds until the next attempt; None: there is none.

        What the service asks for is kept to, and up to a quarter more, so that callers refused
        together do not come back together. Without: twice as long each time, and any part of it.
        """
        if tried >= self.options.attempts:
            return None
        asked = error.retry_after_s
        if asked is not None:
            seconds = asked * (1 + 0.25 * self.chance())
        else:
            most = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**tried)
            seconds = most * self.chance()
        late = self.clock() + seconds > began + self.options.retry_s
        return None if late else seconds


def exchange(
    request: Request, pace: Pace, answer_s: float | None = None, into: IO[bytes] | None = None
) -> Steps[Reply]:
    """The reply to a request that succeeded, after as many attempts as it takes and may take.

    Args:
        request: what to ask.
        pace: when to try again.
        answer_s: seconds to wait for an answer; None: as the options say.
        into: where the body goes; it is emptied before each attempt.

    Raises:
        RefusedError: the service does not do it, or is still busy when the time is over.
        UnansweredError: no answer came.
        BadAnswerError: something answered that is no such service.
    """
    began = pace.clock()
    tried = 0
    while True:
        if into is not None:
            into.seek(0)
            into.truncate()
        ask = Ask(request, pace.options.answer_s if answer_s is None else answer_s, into)
        yield ask
        tried += 1
        reply = ask.reply
        if isinstance(reply, Reply):
            if reply.status in (200, 202):
                return reply
            error = refusal(reply)
            again = reply.status in _AGAIN
        else:
            lost = reply or Lost("unreachable", "it was not sent", reached=False, final=True)
            kind = BadAnswerError if lost.code == "bad_answer" else UnansweredError
            error = kind(lost.message, code=lost.code)
            again = not lost.final and (request.again or not lost.reached)
        seconds = pace.pause(error, tried, began) if again else None
        if seconds is None:
            raise error
        yield Pause(seconds)

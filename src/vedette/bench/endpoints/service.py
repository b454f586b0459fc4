"""What is particular to one service: how it is asked, and how its answers are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from vedette.bench.endpoints.pictures import Picture, PictureLimits
from vedette.errors import InferError
from vedette.taxonomy import Category


class NoAnswer(InferError):
    """One image got no usable answer; becomes its Failure.

    Args:
        message: one line, for a person.
        passing: whether another attempt, or another day, may bring one.
    """

    default_code = "no_answer"

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says."""

    p: Mapping[Category, float]
    """0..1, for what the answer covers."""
    flagged: frozenset[Category] | None = None
    """The service's own decision, where it gives one."""
    revision: str = ""
    """Of the model that answered, where the service says it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer of another status than 200 means."""

    kind: str
    """``again``: later, perhaps. ``image``: this image is not taken. ``all``: nothing will be."""
    message: str


@dataclass(frozen=True, slots=True)
class Access:
    """Where a service is, and what opens it."""

    url: str
    """That pictures are posted to."""
    host: str
    """For people: who gets to see the pictures."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Must never be shown."""


class Service(Protocol):
    """One kind of endpoint."""

    access: Access
    limits: PictureLimits
    model: str
    """That is asked for, as the service names it."""
    id: str
    """The model's name in results: of another address than the service's own, the host too."""
    facts: Mapping[str, Any]
    """For the card: what scores mean."""

    def request(self, picture: Picture) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of the POST that asks about a picture."""
        ...

    def refusal(self, status: int, body: Any) -> Refusal:
        """What an error means.

        Args:
            status: of HTTP, not 200.
            body: JSON value; None where it was none.
        """
        ...

    def read(self, body: Any) -> Reading:
        """What an answer of status 200 says.

        Raises:
            NoAnswer: it is not of the service's form, or says that nothing is known.
        """
        ...


def model_id(model: str, url: str, base_url: str | None) -> str:
    """The name of a model in results: two servers' models of one name are two models."""
    return f"{urlsplit(url).netloc}/{model}" if base_url else model


def common_refusal(status: int, message: str) -> Refusal:
    """What a status means to every service."""
    told = f"{status} {message}".strip()
    if status in (408, 429, 500, 502, 503, 504, 529):
        return Refusal("again", told)
    if status in (400, 413, 415, 422):
        return Refusal("image", told)
    if 300 <= status < 400:
        return Refusal("all", f"{told}: the address leads elsewhere, and is not followed")
    return Refusal("all", told)


def probability(value: object, what: str, highest: float = 1.0) -> float:
    """A number of an answer, 0..``highest``, scaled to 0..1.

    Raises:
        NoAnswer: it is none, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NoAnswer(f"{what} is no number")
    if not 0 <= value <= highest:
        raise NoAnswer(f"{what} is {value:g}, not 0..{highest:g}")
    return float(value) / highest


def an_object(value: object, what: str) -> Mapping[str, Any]:
    """A JSON object of an answer.

    Raises:
        NoAnswer: it is none.
    """
    if not isinstance(value, dict):
        raise NoAnswer(f"{what} is a {type(value).__name__}, not an object")
    return value


def a_list(value: object, what: str) -> list[Any]:
    """A JSON list of an answer.

    Raises:
        NoAnswer: it is none.
    """
    if not isinstance(value, list):
        raise NoAnswer(f"{what} is a {type(value).__name__}, not a list")
    return value

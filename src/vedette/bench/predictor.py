"""What can be benchmarked: anything that gives items probabilities by category."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from vedette.taxonomy import Category
from vedette.types import Failure, Float32, Item


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a predictor says about one item."""

    key: str
    sha256: str | None
    """Hex digest of the file's bytes; None where they could not be read."""
    p: Mapping[Category, float] | None
    """0..1, by category; None where the item could not be scored."""
    flagged: frozenset[Category] | None = None
    """The predictor's own decision, where it gives one; None: where ``p`` reaches 0.5."""
    failure: Failure | None = None
    embedding: Float32 | None = None
    """float32 [d]"""
    ms: float | None = None
    """Time that the answer took, where the predictor knows it."""


@dataclass(frozen=True, slots=True)
class PredictorCard:
    """What a result says about the predictor."""

    name: str
    """As the user gave it: ``falconsai``, ``openai:omni-moderation-latest``."""
    model: str
    """``id@revision``"""
    covered: tuple[Category, ...]
    kind: str = "classifier"
    """``classifier``, ``endpoint`` or ``predictions``"""
    sha256: str | None = None
    """Of the weights, or of the file of predictions."""
    runtime: str = ""
    """``openvino bf16``"""
    licence: str = ""
    terms: str = ""
    trained_on: str = ""
    price_per_1000: float | None = None
    """USD for 1,000 images; None where it costs nothing but the machine."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON values."""


class Predictor(Protocol):
    """One classifier under test. Used by one thread."""

    @property
    def card(self) -> PredictorCard:
        """Facts for the result."""
        ...

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        """One Answer for each item, in order. What is wrong with an item is its ``failure``.

        Raises:
            VedetteError: nothing can be scored any more (a cost cap, an endpoint that refuses
                the key). What was answered before is kept, and a later run goes on there.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...

"""What a classifier is: a card, a preparation on the CPU, and one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vedette.resize import Fit
from vedette.taxonomy import Category
from vedette.types import Image, Prediction, UInt8


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is known of a checkpoint. Licence and provenance stand as they are, doubts included."""

    id: str
    revision: str
    summary: str
    licence: str
    """SPDX where it is clear; the facts where it is not."""
    terms: str
    """What the weights and their training data oblige a user to."""
    trained_on: str
    source: str
    """Where the weights come from."""
    sha256: str | None
    """Of the weights' file; None for a model without weights."""
    labels: Mapping[str, Category | None]
    """The model's labels in output order, each with the category that it counts for."""
    fit: Fit
    precisions: tuple[str, ...] = ("fp32",)
    """Precisions that were measured to keep the verdicts (docs/models.md)."""
    extra: str | None = None
    """The extra that brings what it needs."""

    @property
    def model(self) -> str:
        """``id@revision``, as it stands in Predictions and Records."""
        return f"{self.id}@{self.revision}"

    @property
    def covered(self) -> tuple[Category, ...]:
        """Categories that the model can see, in the taxonomy's order."""
        seen = set(self.labels.values())
        return tuple(category for category in Category if category in seen)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture in the form that the network takes, and the way back to its original pixels."""

    pixels: UInt8
    """uint8 [h, w, 3], C-contiguous. Pictures of one shape can share a batch."""
    width: int
    """px, of the original"""
    height: int
    """px, of the original"""
    scale: tuple[float, float] = (1.0, 1.0)
    """Original px for one network px, along x and y."""
    frame: int = 0


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What a user may choose about running a model."""

    backend: str = "auto"
    precision: str = "auto"


class Classifier(Protocol):
    """One model. ``prepare`` and ``infer`` are thread-safe."""

    @property
    def card(self) -> ModelCard:
        """Facts about the checkpoint."""
        ...

    @property
    def streams(self) -> int:
        """How many calls of ``infer`` may usefully overlap."""
        ...

    @property
    def fit(self) -> Fit | None:
        """What a scaled decode may rely on; None asks for full-size pixels."""
        ...

    @property
    def icc(self) -> bool:
        """Whether it wants colours as viewers show them; false only for parity with a peer."""
        ...

    @property
    def runtime(self) -> str:
        """Backend and precision in words, e.g. ``openvino bf16``."""
        ...

    def prepare(self, image: Image) -> Prepared:
        """The picture as the network takes it. CPU and numpy only."""
        ...

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """One forward pass over pictures of one shape; a Prediction for each, in order.

        Raises:
            Exception: whatever the backend raises. The caller retries image by image.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What a family file, or a third party's entry point, offers to the registry."""

    name: str
    card: ModelCard
    build: Callable[[ModelOptions], Classifier]

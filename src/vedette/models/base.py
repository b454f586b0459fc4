"""What a classifier is: a card, a preparation on the CPU, and one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vedette.resize import Fit
from vedette.taxonomy import Category
from vedette.types import Image, Prediction, UInt8


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file of a checkpoint."""

    path: str
    """Inside the checkpoint's repository, with ``/``."""
    sha256: str | None = None
    """Hex digest; None where its publisher states none: then the first pull records it."""
    optional: bool = False
    """Whether the checkpoint may lack it: pulled where the repository has it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Files of one revision of one repository, on the model hub or at a plain address."""

    repo: str
    """``owner/name``"""
    revision: str
    """A commit, or a branch or tag where no commit is known to us: then the first pull pins it."""
    files: tuple[WeightsFile, ...]
    url: str | None = None
    """For what is not on the hub: a file is at ``{url}/{path}``."""


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
    labels: Mapping[str, tuple[Category, ...]]
    """The model's labels in output order, each with the categories that it counts for. Empty: it
    says nothing about safety by itself. Several: a general "unsafe" that means any of them."""
    fit: Fit
    precisions: tuple[str, ...] = ("fp32",)
    """Precisions that were measured to keep the verdicts (docs/models.md)."""
    extra: str | None = None
    """The extra that brings what it needs."""
    commercial: bool = True
    """Whether licence and terms admit commercial use, the terms of the training data included.
    False: a pull asks for ``--accept-terms``, and ``commercial = true`` in the settings refuses."""
    weights: Checkpoint | None = None
    """Where the weights are pulled from; None where they come with a package, or there are none."""
    needs: tuple[ModelCard, ...] = ()
    """Further cards whose weights it runs on: the backbone of a head, the members of a
    combination. Their terms bind it too."""
    embedding: int | None = None
    """Dimensions of the embedding that it gives, None where it gives none."""
    parameters: int | None = None
    """How many, in the networks that run."""
    reference: str = "its own published code"
    """The implementation that its outputs are tested against."""
    calibrated: str | None = None
    """The calibration that its probabilities went through already; None: they are its own."""
    measured: str = ""
    """What was measured of it where it was trained, in one line; "": nothing that we know of."""

    @property
    def model(self) -> str:
        """``id@revision``, as it stands in Predictions and Records."""
        return f"{self.id}@{self.revision}"

    @property
    def covered(self) -> tuple[Category, ...]:
        """Categories that the model can see, in the taxonomy's order."""
        seen = {category for counted in self.labels.values() for category in counted}
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
    others: tuple[Prepared, ...] = ()
    """The same picture for the further members of a combination of models."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all its pixels: pictures of one shape can share a batch."""
        return self.pixels.shape + tuple(side for other in self.others for side in other.shape)


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What a user may choose about running a model."""

    backend: str = "auto"
    precision: str = "auto"
    commercial: bool = False
    """Refuse models whose terms do not admit commercial use."""
    scope: tuple[Category, ...] = ()
    """What a vision-language model is asked about, in the taxonomy's order; (): all that it can be.
    For every other model the scope is the policy's."""


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


@runtime_checkable
class Tells(Protocol):
    """A classifier with something to say at the end of a scan, such as a cascade's cost."""

    def told(self) -> Sequence[str]:
        """Lines for a person."""
        ...


def labelled(card: ModelCard, label: str) -> str:
    """A member's label as a combination of models shows it: ``q16:inappropriate``."""
    return f"{card.id}:{label}"


def bare(label: str) -> str:
    """A combination's label as its member, and that member's regions, know it."""
    return label.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What a family file, or a third party's entry point, offers to the registry."""

    name: str
    card: ModelCard
    build: Callable[[ModelOptions], Classifier]
    scoped: bool = False
    """Whether it can be asked about some categories alone: it takes ``ModelOptions.scope``."""


@dataclass(frozen=True, slots=True)
class ModelPattern:
    """Models that are named by a rule and not one by one, such as ``vit:<id or folder>``."""

    form: str
    """How such a name is written, for people."""
    summary: str
    entry: Callable[[str], ModelEntry | None]
    """The entry of a name; None where the name is not of this form."""

"""The core types: what flows from one step of the pipeline to the next.

Standard library and numpy only. All of them are frozen and slotted; what a Record keeps is its
evidence, so that a stored Record can be decided again without running a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.taxonomy import Category

SCORE_DECIMALS = 6
"""Scores are rounded to this many decimals *before* they are judged, so that a Record read back
from a file is decided exactly as it was when it was made."""

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]


class Action(StrEnum):
    """What to do with an image, from mild to severe."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        """0 for allow, 1 for review, 2 for block."""
        return _SEVERITY[self]


_SEVERITY = {Action.ALLOW: 0, Action.REVIEW: 1, Action.BLOCK: 2}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image, or a part of it, could not be scanned."""

    stage: str
    """The step that failed: ``fetch``, ``decode`` or ``infer``."""
    code: str
    """One of :data:`vedette.errors.CODES`."""
    message: str
    """One line for a person."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to scan, as a Source yields it."""

    key: str
    """The name by which the user knows it; unique within a scan."""
    data: bytes | Path | Failure
    """The bytes, a path that is read late, or why the source could not get at it."""
    labels: frozenset[Category] | None = None
    """Categories it is labelled with; empty = labelled safe. ``None`` = unlabelled, or labelled
    unsafe without a category."""
    meta: Mapping[str, str] = field(default_factory=dict)
    """Facts that came with it; :mod:`vedette.data.base` has the names that mean something."""
    unsafe: bool | None = None
    """Whether it is labelled unsafe; ``None`` = unlabelled. Follows from ``labels`` where those
    are given: only a binary label has to be said here."""

    def __post_init__(self) -> None:
        if self.labels is not None:
            if self.unsafe not in (None, bool(self.labels)):
                raise ValueError(f"{self.key}: its labels and its safety contradict each other")
            object.__setattr__(self, "unsafe", bool(self.labels))
        elif self.unsafe is False:
            object.__setattr__(self, "labels", frozenset())


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One decoded picture: sRGB, EXIF turn applied, alpha composited."""

    pixels: UInt8
    """uint8 [H, W, 3]. May be smaller than ``height`` x ``width`` (scaled JPEG decode)."""
    sha256: str
    """Hex digest of the file's bytes."""
    width: int
    """px, of the original after its EXIF turn: what a viewer shows."""
    height: int
    """px, of the original after its EXIF turn."""
    format: str
    frame: int = 0
    frames: int = 1
    """Frames that the file declares; 0 where only reading it to the end can tell (video)."""
    time_s: float | None = None
    """Presentation time in seconds, for video and animations that carry one."""
    view: str = ""
    """``""``, or ``"on-black"`` for the second composite of a picture with transparency."""


@dataclass(frozen=True, slots=True)
class Region:
    """A detection."""

    label: str
    score: float
    """0..1"""
    box: tuple[int, int, int, int]
    """(x, y, w, h) in px of the original image, after its EXIF turn."""
    frame: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """All that one forward pass says about one image."""

    labels: tuple[str, ...]
    probs: Float32
    """float32 [n labels], 0..1"""
    model: str
    """``id@revision``"""
    embedding: Float32 | None = None
    """float32 [d]"""
    regions: tuple[Region, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Probability per category, and which categories the model can see at all."""

    p: Float32
    """float32 [n categories], 0..1, in the order of :class:`~vedette.taxonomy.Category`.
    Meaningless (0) where ``covered`` is false."""
    covered: NDArray[np.bool_]
    """bool [n categories]"""
    calibrated: str | None = None
    labels: Mapping[Category, str] = field(default_factory=dict)
    """The model's own label behind a category's probability, where it has another name."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scores):
            return NotImplemented
        return (self.as_dict(), self.calibrated, self.labels) == (
            other.as_dict(),
            other.calibrated,
            other.labels,
        )

    def __hash__(self) -> int:
        return hash((tuple(self.as_dict().items()), self.calibrated))

    def __getitem__(self, category: Category) -> float | None:
        """The probability of ``category``, or None where it is not covered."""
        index = category.position
        return round(float(self.p[index]), SCORE_DECIMALS) if self.covered[index] else None

    def as_dict(self) -> dict[Category, float]:
        """Covered categories only, in the taxonomy's order."""
        return {c: p for c in Category if (p := self[c]) is not None}


@dataclass(frozen=True, slots=True)
class Reason:
    """One threshold that was reached."""

    category: Category
    p: float
    threshold: float
    label: str | None = None
    """The model's own label behind it, or the region label where a region rule decided."""
    text: str | None = None
    """The policy's own words for the moderator, where it has any."""

    @property
    def what(self) -> str:
        """The category, with the model's own label where there is one."""
        return f"{self.category} ({self.label})" if self.label else self.category.value


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says about a Record."""

    action: Action
    reasons: tuple[Reason, ...]
    policy: str
    """``name@version``"""


@dataclass(frozen=True, slots=True)
class FrameScore:
    """The scores of one frame of a video or an animation."""

    frame: int
    time_s: float | None
    p: Mapping[Category, float]
    """Covered categories only."""


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome for one Item; the only thing that sinks, service and benchmark receive."""

    key: str
    sha256: str | None
    """None where the bytes could not be read."""
    width: int | None
    height: int | None
    frames: int
    """Frames scanned; 0 where none was."""
    scores: Scores | None
    regions: tuple[Region, ...]
    verdict: Verdict
    failure: Failure | None
    models: tuple[str, ...]
    times_ms: Mapping[str, float]
    format: str | None = None
    timeline: tuple[FrameScore, ...] = ()
    """Per frame, for files of more than one frame; empty for a still picture."""
    embedding: Float32 | None = field(default=None, compare=False)
    """float32 [d], on request; of the frame with the highest score."""

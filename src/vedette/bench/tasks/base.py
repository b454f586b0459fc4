"""What a task is: a question about one predictor on one data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from vedette.bench.evidence import Evidence
from vedette.bench.predictions import Predictions
from vedette.bench.predictor import Predictor, PredictorCard
from vedette.data.base import Source
from vedette.decode import DecodeOptions, decode_item
from vedette.errors import DecodeError
from vedette.models.base import Classifier
from vedette.settings import Settings
from vedette.types import Float32, UInt8

BOOTSTRAP = 5_000


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What a user may choose about a run."""

    protocol: Literal["sound", "official"] = "sound"
    """``official``: the choices of UnsafeBench's published code, to compare with its tables."""
    seed: int = 7
    bootstrap: int = BOOTSTRAP
    """Resamples behind each interval."""
    images: int = 100
    """Images that the tasks take which look at each one many times (attacks, perturbations):
    a seeded sample, drawn evenly from sources and safe and unsafe."""
    steps: int = 100
    """Gradient steps of each attack."""
    clusters: int | None = None
    """Of the errors; None: chosen by silhouette."""


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """All that a task may use."""

    predictions: Predictions
    """Of the whole set (the sound protocol: of its test split, where it has one)."""
    validation: Predictions | None
    """Of images that are not in ``predictions``, to choose thresholds on; None: there are none."""
    card: PredictorCard
    predictor: Predictor
    classifier: Classifier | None
    """Where the predictor is one of our classifiers: what attacks need."""
    source: Source
    """To open images again, by key."""
    settings: Settings
    options: BenchOptions
    state: Path
    """A folder of this task's own that is there when an interrupted run is started again; removed
    when the result is written."""
    say: Callable[[str], None] = field(default=lambda _: None)
    """Shows progress: one short line."""
    embedded_by: str = ""
    """What ``predictions.embedding`` comes from; ``""`` where the predictor gives none."""

    def pixels(self, key: str) -> UInt8:
        """The first frame of one image, uint8 [h, w, 3], at full size.

        Raises:
            ItemError: it cannot be decoded any more.
            KeyError: the set has no such image.
        """
        item = self.source.find(key)
        if item is None:
            raise KeyError(key)
        for image in decode_item(item, DecodeOptions(limits=self.settings.limits)):
            return image.pixels
        raise DecodeError(f"{key} has no frame")

    def embeddings(self) -> tuple[Float32, str]:
        """float32 [n, d] for ``predictions``' rows, and what they are.

        The predictor's own where it gives some; else a learned descriptor of thumbnails, which
        sees much less (:mod:`vedette.curate.descriptors`).
        """
        from vedette.bench.described import described

        if self.predictions.embedding is not None:
            return self.predictions.embedding, self.embedded_by
        return described(self), "a descriptor of thumbnails learned from this set, not CLIP"


class Task(Protocol):
    """One question. A task is a file in :mod:`vedette.bench.tasks`, or an entry point."""

    @property
    def name(self) -> str:
        """One word: ``effectiveness``."""
        ...

    @property
    def summary(self) -> str:
        """One line for ``vedette bench tasks``."""
        ...

    def fits(self, context: Context) -> str | None:
        """Why it cannot be asked here, in one sentence; None where it can."""
        ...

    def run(self, context: Context) -> Evidence:
        """The answer. The same context gives the same evidence, to the bit.

        A task that takes minutes keeps what is done in ``context.state``.

        Raises:
            VedetteError: with what to do about it.
        """
        ...

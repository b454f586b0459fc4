"""Classifiers that are one network: what can be written as a file, and run without us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vedette.calibrate import Calibration
from vedette.heads.base import sigmoid, softmax
from vedette.models.base import ModelCard
from vedette.models.recipe import Recipe
from vedette.types import Float32

OUTPUTS = ("logits", "embedding")
"""Names of what every exported network returns, for every picture."""


@dataclass(frozen=True, slots=True)
class Standalone:
    """All that a picture goes through, from the decoder to the probabilities of its labels."""

    recipe: Recipe
    """To the network's square."""
    multi_label: bool
    """Whether its labels are independent of each other (sigmoid instead of softmax)."""
    module: Callable[[], Any]
    """Builds it in torch: from normalised pixels [n, 3, h, w] to (logits [n, labels],
    embedding [n, d]). Raises ModelError where it is an exported network."""
    network: Path | None = None
    """The same as an ONNX or OpenVINO file, where there is one already."""
    calibration: Calibration | None = None
    """Of the probabilities, by label. Never a part of the network: an isotonic curve has no
    logits, and float32 logits of the others would be other numbers than ours."""

    def probabilities(self, labels: tuple[str, ...], logits: Float32) -> Float32:
        """float32 [labels], from the network's logits of one picture."""
        return probabilities(labels, logits, self.multi_label, self.calibration)


def probabilities(
    labels: tuple[str, ...], logits: Float32, multi_label: bool, calibration: Calibration | None
) -> Float32:
    """float32 [..., labels], from a network's logits of the same shape."""
    raw = sigmoid(logits) if multi_label else softmax(logits)
    return raw if calibration is None else calibration.probabilities(labels, raw)


@runtime_checkable
class Exportable(Protocol):
    """A classifier that is one network, or can be made one."""

    @property
    def card(self) -> ModelCard:
        """Facts about the checkpoint."""
        ...

    def standalone(self) -> Standalone:
        """It, as one network.

        Raises:
            ModelError: it cannot be one after all; the hint says what can.
            MissingExtraError: torch is not installed.
        """
        ...


@runtime_checkable
class Backbone(Protocol):
    """A classifier whose embedding comes out of a torch module: a head over it can be one too."""

    @property
    def recipe(self) -> Recipe:
        """To the network's square."""
        ...

    def embedding_module(self) -> Any:
        """See :func:`vedette.models.embedder.embedding_module`."""
        ...

"""Classifiers as one torch module from pixels to logits: what attacks move and relevance needs.

Preprocessing lies inside, so that a budget in pixels means the same for every model; the module
returns *logits*, never probabilities, whose gradients vanish where a model is sure. What stays
outside is the resize to the network's square, which has no useful gradient: attacks move the
pixels of that square.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from vedette.backends.base import PixelNorm
from vedette.extras import require
from vedette.models.base import Classifier, Prepared
from vedette.taxonomy import Category
from vedette.types import Float32, Image, UInt8


@runtime_checkable
class Differentiable(Protocol):
    """A classifier that can be run in torch, from pixels to logits."""

    @property
    def norm(self) -> PixelNorm:
        """What its network wants of pixels."""
        ...

    @property
    def multi_label(self) -> bool:
        """Whether its labels are independent of each other (sigmoid instead of softmax)."""
        ...

    def torch_module(self) -> Any:
        """A module from *normalised* pixels float32 [n, 3, h, w] to logits [n, labels].

        In eval mode, in float32. Equal to :meth:`Classifier.infer` but for rounding.

        Raises:
            ModelError: it has none, such as an exported network.
            MissingExtraError: torch is not installed.
        """
        ...


def differentiable(classifier: Classifier) -> Differentiable | None:
    """The classifier itself where it can be differentiated, else None."""
    return classifier if isinstance(classifier, Differentiable) else None


def network_pixels(classifier: Classifier, pixels: UInt8) -> Float32:
    """A picture as its network sees it: float32 [3, h, w] in 0..1, not normalised yet.

    Args:
        classifier: its ``prepare`` resizes and crops.
        pixels: uint8 [h, w, 3].
    """
    height, width = pixels.shape[:2]
    image = Image(pixels, "", width, height, "PNG")
    prepared: Prepared = classifier.prepare(image)
    planes = prepared.pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(planes)


def decision_module(
    classifier: Classifier,
    scope: Sequence[Category] | None = None,
    *,
    takes: Literal["pixels", "normalised"] = "pixels",
) -> Any:
    """A torch module to the two logits of the decision: 0 safe, 1 unsafe.

    They are ``[0, z]``: z is the highest logit among the labels that count for a category in scope.
    A softmax over k labels gives a label the logit of its probability, ``x - logsumexp(others)``.
    So z > 0 exactly where the classifier as shipped flags the picture, at a probability of 0.5.

    Args:
        classifier: one that :func:`differentiable` admits.
        scope: categories; by default all that the model covers.
        takes: pixels float32 [n, 3, h, w] in 0..1, or tensors that are normalised already, as the
            attacks of UnsafeBench's published code move them.

    Raises:
        TypeError: it cannot be differentiated.
        ValueError: it covers nothing in scope.
        ModelError: see :meth:`Differentiable.torch_module`.
    """
    torch = require("torch", extra="zoo")
    given = differentiable(classifier)
    if given is None:
        raise TypeError(f"{classifier.card.id} cannot be differentiated")
    wanted = set(classifier.card.covered if scope is None else scope)
    at = [k for k, c in enumerate(classifier.card.labels.values()) if wanted & set(c)]
    if not at:
        raise ValueError(f"{classifier.card.id} covers nothing in scope")
    logits = given.torch_module()
    multi_label, several = given.multi_label, len(classifier.card.labels) > 1
    norm = given.norm

    class Decision(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = logits
            shape = (1, 3, 1, 1)
            self.register_buffer("mean", torch.tensor(norm.mean).reshape(shape))
            self.register_buffer("std", torch.tensor(norm.std).reshape(shape))

        def forward(self, pixels: Any) -> Any:
            x = (pixels - self.mean) / self.std if takes == "pixels" else pixels
            scores = self.network(x)
            if not multi_label and several:
                scores = torch.stack([_odds(torch, scores, k) for k in at], dim=1)
            else:
                scores = scores[:, at]
            z = scores.amax(dim=1)
            return torch.stack([torch.zeros_like(z), z], dim=1)

    return Decision().eval().requires_grad_(False)


def _odds(torch: Any, scores: Any, label: int) -> Any:
    """The logit of one label's probability in a softmax. [n]"""
    others = [k for k in range(scores.shape[1]) if k != label]
    return scores[:, label] - torch.logsumexp(scores[:, others], dim=1)

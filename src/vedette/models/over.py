"""A trained head over the embeddings of any classifier that gives some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vedette.backends.base import PixelNorm
from vedette.calibrate import Calibration
from vedette.errors import ModelError
from vedette.heads.in_torch import calibrated, in_torch
from vedette.heads.trained import TrainedHead, read_head
from vedette.models.base import Classifier, ModelCard, ModelOptions, Prepared
from vedette.models.recipe import Recipe
from vedette.models.standalone import Backbone, Standalone
from vedette.models.trained import Manifest
from vedette.networks.chain import chained, judging
from vedette.resize import Fit
from vedette.types import Float32, Image, Prediction

HEAD = "head.safetensors"


class HeadOver:
    """See :class:`vedette.models.base.Classifier`.

    Args:
        card: its own, with a label for each of the head's.
        backbone: gives the embeddings; what it thinks of the picture itself is not used.
        head: over them.
        calibration: of the head's probabilities, by label.
    """

    multi_label = True

    def __init__(
        self,
        card: ModelCard,
        backbone: Classifier,
        head: TrainedHead,
        calibration: Calibration | None = None,
    ) -> None:
        self.card = card
        self.backbone = backbone
        self.head = head
        self.calibration = calibration
        self.streams = backbone.streams
        self.fit: Fit | None = backbone.fit
        self.icc = backbone.icc
        self.runtime = backbone.runtime

    def prepare(self, image: Image) -> Prepared:
        """See :class:`vedette.models.base.Classifier`."""
        return self.backbone.prepare(image)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        return [self._judged(prediction.embedding) for prediction in self.backbone.infer(batch)]

    def _judged(self, embedding: Float32 | None) -> Prediction:
        if embedding is None:
            raise ValueError(f"{self.backbone.card.id} gave no embedding")
        probs = head_probabilities(self.head, embedding, self.calibration)
        return Prediction(self.head.labels, probs, self.card.model, embedding)


class HeadOverNetwork(HeadOver):
    """A head over a backbone that is there in torch: both are one network.

    It can be attacked, explained by its gradients, and exported.
    """

    def __init__(
        self,
        card: ModelCard,
        backbone: Classifier,
        network: Backbone,
        head: TrainedHead,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__(card, backbone, head, calibration)
        self._network = network
        self.recipe: Recipe = network.recipe

    @property
    def norm(self) -> PixelNorm:
        """See :class:`vedette.models.differentiable.Differentiable`."""
        return self.recipe.norm

    def torch_module(self) -> Any:
        """See :class:`vedette.models.differentiable.Differentiable`."""
        head = calibrated(self._head_module(), self.head.labels, self.calibration)
        return chained(self._network.embedding_module(), head)

    def embedding_module(self) -> Any:
        """See :func:`vedette.models.embedder.embedding_module`."""
        return self._network.embedding_module()

    def standalone(self) -> Standalone:
        """See :class:`vedette.models.standalone.Exportable`."""
        return Standalone(
            self.recipe,
            self.multi_label,
            lambda: judging(self._network.embedding_module(), self._head_module()),
            calibration=self.calibration,
        )

    def _head_module(self) -> Any:
        made = in_torch(self.head)
        assert made is not None, "torch knows every trained head"
        return made[0]


def head_over(
    card: ModelCard,
    backbone: Classifier,
    head: TrainedHead,
    calibration: Calibration | None = None,
) -> HeadOver:
    """The classifier of a head and its backbone, in torch too where the backbone is."""
    if isinstance(backbone, Backbone):
        return HeadOverNetwork(card, backbone, backbone, head, calibration)
    return HeadOver(card, backbone, head, calibration)


def head_probabilities(
    head: TrainedHead, embedding: Float32, calibration: Calibration | None
) -> Float32:
    """float32 [labels], of one embedding [dim] as its backbone gives it.

    One at a time: BLAS rounds a row differently in batches of different sizes.
    """
    row = embedding.astype(np.float32)
    if head.unit:
        row = row / max(float(np.linalg.norm(row)), 1e-12)
    probs = head.probabilities(head.scores(row[None]))[0]
    return probs if calibration is None else calibration.probabilities(head.labels, probs)


def open_trained(manifest: Manifest, options: ModelOptions) -> HeadOver:
    """The classifier of a folder of kind ``head``.

    Raises:
        ModelError: its backbone is not here, or is not the one that it was trained over.
    """
    from vedette.models.registry import build  # which imports this module

    head = read_head(manifest.folder / HEAD, manifest.parts.get("head", {}))
    if head.labels != tuple(manifest.card.labels):
        raise ModelError(f"{manifest.path}: its labels are not the head's", code="weights_unusable")
    backbone = build(str(manifest.parts.get("backbone")), options)
    known = manifest.parts.get("backbone_model")
    if backbone.card.model != known:
        raise ModelError(
            f"{manifest.folder.name} was trained over {known}, and here is {backbone.card.model}",
            code="weights_altered",
            hint="get the backbone that it was trained over, or train it again over this one",
        )
    if backbone.card.embedding != head.dim:
        raise ModelError(
            f"{manifest.path}: a head for {head.dim} dimensions over a backbone of "
            f"{backbone.card.embedding}",
            code="weights_unusable",
        )
    return head_over(manifest.card, backbone, head, manifest.calibration())

"""A weightless model: deterministic numbers from a picture's colours.

It knows nothing about safety. It is for trying the tool out, for tests, and for measuring what
the pipeline itself costs; it covers all eleven categories and gives an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vedette.models.base import ModelCard, ModelEntry, ModelOptions, Prepared
from vedette.resize import Fit, resize
from vedette.taxonomy import Category
from vedette.types import Float32, Image, Prediction

_SIZE = 32
_GRID = 4
_BIAS = -2.0
"""So that most pictures stay below the default policy's thresholds, and some do not."""

CARD = ModelCard(
    id="dummy",
    revision="1",
    summary="weightless and deterministic; knows nothing about safety, for trials and tests",
    licence="Apache-2.0",
    terms="none",
    trained_on="nothing",
    source="this package",
    sha256=None,
    labels={category.value: (category,) for category in Category},
    embedding=_GRID * _GRID * 3,
    fit=Fit(_SIZE, "stretch"),
)


class Dummy:
    """See :class:`vedette.models.base.Classifier`."""

    card = CARD
    streams = 1
    fit: Fit | None = CARD.fit
    icc = True
    runtime = "numpy fp32"

    def prepare(self, image: Image) -> Prepared:
        """See :class:`vedette.models.base.Classifier`."""
        pixels = np.ascontiguousarray(resize(image.pixels, _SIZE, _SIZE))
        return Prepared(pixels, image.width, image.height, frame=image.frame)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """Cell means of a 4 x 4 grid are the embedding; fixed cosine rows of it the logits."""
        pixels = np.stack([p.pixels for p in batch]).astype(np.float32) / 255
        cell = _SIZE // _GRID
        grid = pixels.reshape(len(batch), _GRID, cell, _GRID, cell, 3).mean(axis=(2, 4))
        features = grid.reshape(len(batch), -1)
        # Not a matrix product: BLAS rounds a row differently in batches of different sizes.
        logits = ((features.astype(np.float64) - 0.5)[:, :, None] * _WEIGHTS).sum(axis=1) + _BIAS
        probs = 1 / (1 + np.exp(-logits))
        norms = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
        embeddings = (features / norms).astype(np.float32)
        return [
            Prediction(tuple(CARD.labels), p.astype(np.float32), CARD.model, embedding)
            for p, embedding in zip(probs, embeddings, strict=True)
        ]


def _weights() -> Float32:
    inputs, outputs = _GRID * _GRID * 3, len(Category)
    i, k = np.meshgrid(np.arange(inputs), np.arange(outputs), indexing="ij")
    return np.asarray(np.cos(1.7 * i * (k + 1) + k) * 0.8, dtype=np.float32)


_WEIGHTS = _weights()


def _build(options: ModelOptions) -> Dummy:
    del options  # numpy is its only backend
    return Dummy()


MODELS = (ModelEntry("dummy", CARD, _build),)

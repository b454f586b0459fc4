"""Many forward passes over one picture with parts taken away."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from vedette.errors import InferError
from vedette.explain.cover import Cover, Mask
from vedette.models.base import Classifier, Prepared
from vedette.scores import check, to_scores
from vedette.taxonomy import Category
from vedette.types import Prediction, Scores

_BATCH = 8


def predict(model: Classifier, batch: Sequence[Prepared]) -> list[tuple[Prediction, Scores]]:
    """What the model says of each picture, checked as a scan checks it.

    Raises:
        InferError: ``model_failed`` or ``model_output_invalid``.
    """
    try:
        predictions = list(model.infer(batch))
    except Exception as error:
        raise InferError(f"{type(error).__name__}: {error}") from error
    try:
        if len(predictions) != len(batch):
            raise ValueError(f"{len(predictions)} predictions for {len(batch)} pictures")
        for prediction in predictions:
            check(prediction)
        card = model.card
        scored = [
            to_scores(prediction, card.labels, calibrated=card.calibrated)
            for prediction in predictions
        ]
        return list(zip(predictions, scored, strict=True))
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise InferError(message, code="model_output_invalid") from error


def probabilities(
    model: Classifier, cover: Cover, masks: Sequence[Mask], category: Category
) -> NDArray[np.float64]:
    """float64 [masks]: the category's probability without the cells of each mask.

    The model's streams run side by side; pictures are made as they are needed.

    Raises:
        InferError: the model failed.
    """

    def run(batch: Sequence[Mask]) -> list[float]:
        pictures = [cover.without(mask) for mask in batch]
        return [float(scores.p[category.position]) for _, scores in predict(model, pictures)]

    batches = [masks[k : k + _BATCH] for k in range(0, len(masks), _BATCH)]
    pool = ThreadPoolExecutor(model.streams, thread_name_prefix="vedette-explain")
    try:
        return np.array([p for found in pool.map(run, batches) for p in found], dtype=np.float64)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for hundreds of passes

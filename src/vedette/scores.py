"""From a model's own labels to the eleven categories, and from many frames to one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from vedette.taxonomy import Category
from vedette.types import Float32, Prediction, Region, Scores

_SAME_PLACE_IOU = 0.45


def check(prediction: Prediction) -> None:
    """Refuse a prediction that would put something else than numbers in range into a Record.

    Raises:
        ValueError: a region's score outside 0..1, a box that is not four whole numbers, an
            embedding that is not finite.
    """
    for region in prediction.regions:
        if not 0 <= region.score <= 1:  # false for NaN too
            raise ValueError(f"{region.label}: a score of {region.score}")
        if len(region.box) != 4 or not all(isinstance(v, int) for v in region.box):
            raise ValueError(f"{region.label}: a box of {region.box}")
    if prediction.embedding is not None and not np.isfinite(prediction.embedding).all():
        raise ValueError("an embedding that is not finite")


def to_scores(
    prediction: Prediction,
    mapping: Mapping[str, tuple[Category, ...]],
    *,
    calibrated: str | None = None,
) -> Scores:
    """The categories' probabilities: for each, the highest among the labels that map to it.

    Args:
        prediction: one forward pass.
        mapping: label to categories; none for a label that says nothing about safety. Every
            category that some label of the prediction maps to is covered.
        calibrated: name of the calibration that was applied, if any.

    Raises:
        KeyError: the prediction has a label that the mapping does not know.
        ValueError: a probability is not a number in 0..1.
    """
    if not (np.isfinite(prediction.probs).all() and _within(prediction.probs)):
        raise ValueError("probabilities outside 0..1")
    p = np.zeros(len(Category), dtype=np.float32)
    covered = np.zeros(len(Category), dtype=np.bool_)
    labels: dict[Category, str] = {}
    for label, probability in zip(prediction.labels, prediction.probs, strict=True):
        for category in mapping[label]:
            if not covered[category.position] or probability > p[category.position]:
                p[category.position] = probability
                labels[category] = label
            covered[category.position] = True
    told = {category: label for category, label in labels.items() if label != category.value}
    return Scores(p, covered, calibrated, told)


def worst(all_scores: Sequence[Scores]) -> Scores:
    """The scores of a file from those of its frames: the highest of each category.

    One unsafe frame makes the file unsafe; means would let a long file hide it.
    """
    if len({s.calibrated for s in all_scores}) != 1:
        raise ValueError("frames of one file must share one calibration")
    stacked = np.stack([s.p for s in all_scores])
    covered = np.logical_or.reduce([s.covered for s in all_scores])
    at = stacked.argmax(axis=0)
    labels = {
        category: label
        for category in Category
        if (label := all_scores[at[category.position]].labels.get(category)) is not None
    }
    return Scores(stacked.max(axis=0), covered, all_scores[0].calibrated, labels)


def merge_regions(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Detections of one frame's views, each thing once: the best of those in the same place.

    Sorted by frame, then by falling score.
    """
    ordered = sorted(regions, key=lambda r: (r.frame, -r.score, r.label, r.box))
    merged: list[Region] = []
    for _, in_frame in groupby(ordered, key=lambda r: r.frame):
        kept: list[Region] = []
        for region in in_frame:
            if not any(
                other.label == region.label and iou(other.box, region.box) > _SAME_PLACE_IOU
                for other in kept
            ):
                kept.append(region)
        merged += kept
    return tuple(merged)


def iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over union of two (x, y, w, h) boxes, 0..1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def _within(p: Float32) -> bool:
    return bool(((p >= 0) & (p <= 1)).all())

"""What a cluster of images is about, in the words of the taxonomy: the nearest texts in CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vedette.bench.two_sample import unit_rows
from vedette.hub.locate import parts, usable
from vedette.models.base import Classifier
from vedette.models.clip import ClipClassifier
from vedette.models.clip_cards import BACKBONES
from vedette.networks.clip import read_clip_config
from vedette.networks.clip_text import text_embeddings
from vedette.taxonomy import Category
from vedette.types import Float32

NAMES = 2
"""Texts that a cluster is named by."""


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Texts in the space of the images' embeddings."""

    labels: Sequence[str]
    rows: Float32
    """float32 [texts, d], of length 1."""


def taxonomy_texts(classifier: Classifier | None) -> Texts | None:
    """The categories' definitions through the text tower beside the classifier's image tower.

    Returns:
        None where the classifier is no head over a CLIP backbone.

    Raises:
        ModelError: the backbone's files have no tokenizer, or are not there any more.
        MissingExtraError: a library of the extra ``zoo`` is not installed.
    """
    if not isinstance(classifier, ClipClassifier):
        return None
    names = {card.id for card in BACKBONES.values()}
    backbone = next((card for card in parts(classifier.card) if card.id in names), None)
    if backbone is None:
        return None
    config = read_clip_config(usable(backbone).folder)
    rows = text_embeddings(config, [category.definition for category in Category])
    return Texts([category.value for category in Category], rows)


def names(centres: Float32, overall: Float32, texts: Texts) -> list[list[tuple[str, float]]]:
    """For each cluster the nearest texts, the nearest first, with their cosines.

    Both sides are taken relative to their means: CLIP's images and texts lie in two narrow cones,
    and without it one text tends to be the nearest to every image.

    Args:
        centres: float32 [k, d], means of embeddings of length 1.
        overall: float32 [d], the mean of all images' embeddings of length 1.
        texts: at least one.
    """
    away = unit_rows(centres - overall)
    told = unit_rows(texts.rows - texts.rows.mean(axis=0))
    cosines = away @ told.T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :NAMES]
    return [
        [(texts.labels[at], float(row[at])) for at in best]
        for row, best in zip(cosines, order, strict=True)
    ]

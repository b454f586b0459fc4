"""What is known before the first label: CLIP's texts, or a linear head that was trained before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vedette.errors import ModelError, UsageError
from vedette.heads.concepts import NEUTRAL
from vedette.heads.trained import TrainedHead, TrainedPrompts, read_head
from vedette.hub.locate import usable
from vedette.models.clip_cards import BACKBONES
from vedette.models.over import HEAD
from vedette.models.trained import read_manifest, verify
from vedette.networks.clip import read_clip_config
from vedette.networks.clip_text import text_embeddings
from vedette.taxonomy import Category
from vedette.train.features import Features
from vedette.train.scarce.discriminant import Float64
from vedette.train.scarce.shrunken import Prior

Counts = Mapping[str, tuple[Category, ...]]


def has_texts(backbone: str) -> bool:
    """Whether a backbone has a text tower whose space is the embeddings'."""
    return backbone in BACKBONES


def text_priors(backbone: str, counts: Counts) -> dict[str, Prior]:
    """For each label the direction from harmless texts to its categories' definitions.

    Args:
        backbone: one that :func:`has_texts`.
        counts: categories of each label.

    Raises:
        ModelError: ``weights_missing``, ``weights_unusable``.
        MissingExtraError: torch or tokenizers is not installed.
    """
    config = read_clip_config(usable(BACKBONES[backbone]).folder)
    definitions = [category.definition for category in Category]
    rows = text_embeddings(config, [*definitions, *NEUTRAL]).astype(np.float64)
    neutral = rows[len(definitions) :].mean(axis=0)
    found = {}
    for label, categories in counts.items():
        unsafe = rows[[category.position for category in categories]].mean(axis=0)
        found[label] = Prior(_unit(unsafe - neutral), "texts")
    return found


def head_priors(folder: Path, features: Features, counts: Counts) -> tuple[dict[str, Prior], bool]:
    """The directions of a trained folder's head, of the labels that it shares.

    Args:
        folder: as a training made it, of a linear head over the same backbone.
        features: the embeddings that are learned from now.
        counts: the labels to learn.

    Returns:
        The priors by label, and whether the head takes normalised embeddings.

    Raises:
        UsageError: the folder's head is not linear, is over another backbone, or shares no label.
        ModelError: it is no trained folder, or was altered.
    """
    manifest = read_manifest(folder)
    if manifest.kind != "head":
        raise UsageError(
            f"{folder} is no head over embeddings", hint="give the folder of a probe or of prompts"
        )
    verify(manifest)
    known = manifest.parts.get("backbone_model")
    if known != features.card.model:
        raise UsageError(
            f"{folder} was trained over {known}, and the embeddings are of {features.card.model}",
            hint="name its backbone with --model",
        )
    facts = manifest.parts.get("head")
    if not isinstance(facts, dict):
        raise ModelError(f"{manifest.path}: nothing says what head it is", code="weights_unusable")
    head = read_head(folder / HEAD, facts)
    weights = _directions(head, folder)
    if head.dim != features.rows.shape[1]:
        raise ModelError(
            f"{folder}: a head for {head.dim} dimensions, and the embeddings have "
            f"{features.rows.shape[1]}",
            code="weights_unusable",
        )
    found = {
        label: Prior(weights[head.labels.index(label)], folder.name)
        for label in counts
        if label in head.labels
    }
    if not found:
        raise UsageError(
            f"{folder} knows none of the labels to learn: {', '.join(counts)}",
            hint=f"its labels are {', '.join(head.labels)}",
        )
    return found, head.unit


def _directions(head: TrainedHead, folder: Path) -> Float64:
    """float64 [labels, dim]"""
    if isinstance(head, TrainedPrompts):
        return np.asarray(head.scale * (head.unsafe - head.safe), dtype=np.float64)
    if any(len(mlp.layers) != 1 for mlp in head.mlps):
        raise UsageError(
            f"{folder} is an MLP: it has no one direction to start from",
            hint="give a linear probe, a few-shot head or prompts",
        )
    return np.stack([mlp.layers[0].weight[:, 0] for mlp in head.mlps]).astype(np.float64)


def _unit(row: Float64) -> Float64:
    return np.asarray(row / max(float(np.linalg.norm(row)), 1e-12), dtype=np.float64)

"""What a classifier gives embeddings with: the part of it that trained heads stand on."""

from __future__ import annotations

from typing import Any

from vedette.errors import ModelError, UsageError
from vedette.models.base import Classifier, ModelOptions
from vedette.models.registry import build, entries


def open_backbone(name: str, options: ModelOptions | None = None) -> Classifier:
    """A classifier that gives embeddings, by a name of ``vedette models list`` or a folder.

    Raises:
        UnknownNameError: there is nothing of that name.
        UsageError: it gives no embeddings.
        ModelError: its weights are not here or cannot be used.
    """
    found = build(name, options)
    if found.card.embedding is None:
        giving = [entry.name for entry in entries().values() if entry.card.embedding]
        raise UsageError(
            f"{name} gives no embeddings to train on", hint=f"these do: {', '.join(giving)}"
        )
    return found


def embedding_module(backbone: Classifier) -> Any:
    """A torch module from normalised pixels [n, 3, h, w] to the embedding [n, d] that it gives.

    Raises:
        ModelError: it has none, as the dummy and exported networks have none.
        MissingExtraError: torch is not installed.
    """
    own = getattr(backbone, "embedding_module", None)
    if own is None:
        raise ModelError(
            f"{backbone.card.id} has no torch module",
            hint="use a ViT or a CLIP backbone",
        )
    return own()

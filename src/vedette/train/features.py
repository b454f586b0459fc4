"""Embeddings of a set, a row for each of its examples: what heads are trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vedette.data.base import Source, read_all
from vedette.embeddings.embed import Embedder
from vedette.errors import UsageError
from vedette.models.base import Classifier, ModelCard, ModelOptions
from vedette.models.embedder import open_backbone
from vedette.settings import Settings
from vedette.train.data import TrainingSet, hashes_of
from vedette.train.examples import Examples
from vedette.types import Failure, Float32, Item

_TOLD = 5
"""Images without an embedding that are named; the others are counted."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Embeddings of one backbone, aligned with the rows of ``data.examples``."""

    rows: Float32
    """float32 [n, dim], as the backbone gives them (not normalised); stored as float16 between."""
    backbone: str
    """Its name as ``--model`` takes it, to open it again."""
    card: ModelCard
    """Of the backbone as it is loaded: its ``model`` is ``id@revision``."""


def features_of(
    data: TrainingSet,
    backbone: str,
    settings: Settings,
    store: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    opened: Classifier | None = None,
) -> tuple[TrainingSet, Features]:
    """The embeddings of a set's images; each image runs through a backbone once, ever.

    Args:
        data: with its source.
        backbone: a classifier that gives embeddings.
        settings: of the scan.
        store: a folder of stored embeddings; by default one in the cache, by the model's hash.
        say: is told how many are new, and which images gave none.
        opened: the backbone, where it is open already.

    Returns:
        The set without the images that gave no embedding, and the embeddings.

    Raises:
        UsageError: the backbone gives no embeddings; the store is of another model; the set has no
            pictures; ``too_few_labels``: no image gave an embedding.
        VedetteError: ``write_failed``; what the source raises.
    """
    if data.source is None:
        raise UsageError(f"{data.given} has no pictures", hint="give the set itself")
    model = opened or open_backbone(backbone, options_of(settings))
    hashes = dict.fromkeys(data.examples.keys, "")
    if data.prints is not None:
        known = hashes_of(data.prints)
        hashes = {key: known.get(key, "") for key in hashes}
    with Embedder(model, settings, store, say) as embedder:
        missing = {key for key, sha in hashes.items() if not sha or sha not in embedder.store}
        failed: dict[str, Failure] = {}
        if missing:
            say(f"{len(missing):,} of {len(hashes):,} images run through {model.card.id}")
            keys: list[str] = []
            told = embedder.embed(_wanted(data.source, missing, keys))
            for key, one in zip(keys, told, strict=True):
                if isinstance(one, Failure):
                    failed[key] = one
                else:
                    hashes[key] = one
        have = [hashes[key] in embedder.store if hashes[key] else False for key in hashes]
        kept = np.flatnonzero(np.array(have, dtype=np.bool_)).astype(np.int64)
        if not len(kept):
            raise UsageError("no image gave an embedding", code="too_few_labels")
        examples = data.examples.kept(kept)
        rows = embedder.store.rows([hashes[key] for key in examples.keys])
    _tell(failed, len(hashes) - len(kept), say)
    _check_classes(examples)
    found = Features(rows.astype(np.float32), backbone, model.card)
    return replace(data, examples=examples), found


def _check_classes(examples: Examples) -> None:
    """Refuse what has lost a whole class with the images that gave no embedding."""
    train = examples.rows("train")
    for k, label in enumerate(examples.labels):
        told = examples.targets[train, k][examples.known[train, k]]
        if not told.any() or told.all():
            raise UsageError(
                f"{label}: no {'unsafe' if not told.any() else 'safe'} image in the part train gave"
                " an embedding",
                code="too_few_labels",
            )


def options_of(settings: Settings) -> ModelOptions:
    """How a backbone is opened under these settings."""
    scan = settings.scan
    return ModelOptions(scan.backend, scan.precision, settings.commercial)


def _wanted(source: Source, missing: set[str], keys: list[str]) -> Iterator[Item]:
    for item in read_all(source):
        if item.key in missing:
            keys.append(item.key)
            yield item


def _tell(failed: dict[str, Failure], count: int, say: Callable[[str], None]) -> None:
    if not count:
        return
    say(f"{count:,} images gave no embedding and are left out")
    for key in list(failed)[:_TOLD]:
        say(f"{key}: {failed[key].code}")

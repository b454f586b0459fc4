"""A training set without its pictures: a folder that ``vedette embed`` wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.bench.fingerprints import Fingerprints, groups
from vedette.bench.scoring import labelled, set_hash
from vedette.data.base import SPLIT
from vedette.data.cards import SetCard, card_named
from vedette.embeddings.folder import About, read_about, read_folder
from vedette.errors import UsageError
from vedette.models.base import ModelCard
from vedette.models.registry import check_commercial, get
from vedette.perceptual import WORDS
from vedette.settings import Settings
from vedette.train.data import SetOptions, TrainingSet
from vedette.train.examples import examples_of
from vedette.train.features import Features


def check_backbone(folder: Path, backbone: str) -> About:
    """What a folder of embeddings is of, where that is what was asked for.

    Raises:
        UsageError: its embeddings are another model's; ``bad_source``: it is no such folder.
        VedetteError: ``unreadable``.
    """
    about = read_about(folder)
    if about.backbone != backbone:
        raise UsageError(
            f"{folder} holds embeddings of {about.backbone}, and the model asked for is {backbone}",
            hint=f"use --model {about.backbone}, or embed the set with the other one",
        )
    return about


def read_embedded(
    folder: Path,
    settings: Settings,
    options: SetOptions,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[TrainingSet, Features]:
    """The labelled rows of a folder, and their embeddings; no picture is opened.

    Images are told to be copies by their bytes alone: near-duplicates can be in two parts, unless
    the set says itself which part an image is in.

    Args:
        folder: that ``vedette embed`` wrote.
        settings: whether commercial use has to be admitted.
        options: of the set.
        say: is told which categories are left out.

    Raises:
        UsageError: ``bad_source``: the folder is not whole, or damaged; ``too_few_labels``;
            ``terms_refused``: of the set.
        ModelError: ``terms_refused``: of the backbone.
        UnknownNameError: the backbone is not known here.
    """
    about, told, matrix = read_folder(folder)
    try:
        items = [row.item() for row in told]
    except ValueError as error:
        raise UsageError(f"the metadata of {folder}: {error}", code="bad_source") from error
    at = {item.key: row for row, item in enumerate(items)}
    rows = [row for row, _ in labelled(items, SPLIT)]
    if not rows:
        raise UsageError(
            "there is no labelled image in the set",
            code="too_few_labels",
            hint="say what its labels mean when it is embedded: vedette embed --labels",
        )
    keys = [row.key for row in rows]
    places = [at[key] for key in keys]
    hashes = [told[place].sha256 for place in places]
    # By their bytes: what the pictures look like is not stored.
    prints = Fingerprints(tuple(keys), _words(hashes), np.zeros((len(keys), WORDS), np.uint64))
    say(f"{folder}: {len(rows):,} labelled embeddings of {about.space}")
    examples = examples_of(
        rows,
        groups(prints, keys),
        seed=options.seed,
        split=options.split,
        wanted=options.categories,
        say=say,
    )
    data = TrainingSet(
        about.data,
        examples,
        set_hash(rows, hashes),
        prints=prints,
        stand_in=about.stand_in,
        card=_card_of_set(about, settings, options),
    )
    card = _card_of_backbone(about, settings)
    return data, Features(matrix[places].astype(np.float32), about.backbone, card)


def _card_of_set(about: About, settings: Settings, options: SetOptions) -> SetCard | None:
    card = options.card
    if card is None and about.card is not None:
        card = card_named(about.card)
    if card is not None and settings.commercial and not card.commercial:
        raise UsageError(
            f"{card.id} may not be used commercially: {card.permitted}", code="terms_refused"
        )
    return card


def _card_of_backbone(about: About, settings: Settings) -> ModelCard:
    """The backbone's card as it was when it gave the embeddings; its weights are not asked for."""
    card = get(about.backbone).card
    if settings.commercial:
        check_commercial(card)
    return replace(
        card,
        revision=about.space.model.partition("@")[2],
        embedding=about.space.dim,
        fit=about.fit,
    )


def _words(hashes: list[str]) -> NDArray[np.uint64]:
    raw = b"".join(bytes.fromhex(sha256) for sha256 in hashes)
    return np.frombuffer(raw, dtype="<u8").reshape(len(hashes), 4).astype(np.uint64)

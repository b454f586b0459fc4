"""Heads over a CLIP backbone: one forward pass gives the embedding, and the head judges it.

``q16``, ``multiheaded``, ``clip-l14/nsfw-detector`` and the other published heads are entries of
their own; ``clip-l14/zero-shot`` and ``clip-l14/concepts:FILE`` are made of texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import Choice, PixelNorm, Session, choose, open_session
from vedette.compile.torch_onnx import IMAGES, onnx_of
from vedette.errors import ModelError, UnknownNameError
from vedette.heads.base import Head, NoHead
from vedette.heads.concepts import NEUTRAL, Concepts, ZeroShot, read_concepts
from vedette.heads.in_torch import in_torch, is_exact
from vedette.heads.registry import load
from vedette.hub.locate import revision, usable
from vedette.models.base import (
    ModelCard,
    ModelEntry,
    ModelOptions,
    ModelPattern,
    Prepared,
)
from vedette.models.clip_cards import BACKBONES, HEADS
from vedette.models.recipe import Recipe, from_transformers
from vedette.models.standalone import Standalone
from vedette.networks.chain import chained, judging
from vedette.networks.clip import ClipConfig, read_clip_config, vision_module
from vedette.networks.clip_text import text_embeddings
from vedette.networks.files import read_json
from vedette.resize import Fit
from vedette.taxonomy import Category
from vedette.types import Float32, Image, Prediction

EMBEDDING = "image_embeds"
"""Name of the towers' output; plain "embedding" is the name of a tensor inside them."""
_OPENAI_NORM = {
    # For OpenCLIP folders, whose preprocessing stands in another file: OpenAI's own constants.
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


_CONCEPTS = re.compile(r"([\w.-]+)/concepts:(.+)\Z", re.DOTALL)


class ClipClassifier:
    """One head over one backbone. See :class:`vedette.models.base.Classifier`.

    The embedding of its Predictions is as the backbone projects it, not normalised: MultiHeaded
    needs it so, and normalising loses its length.
    """

    icc = True

    def __init__(
        self,
        card: ModelCard,
        recipe: Recipe,
        session: Session,
        head: Head,
        tower: Callable[[], Any] | None = None,
    ) -> None:
        self.card = card
        self._tower = tower
        self.session = session
        self.head = head
        self.streams = session.streams
        self.fit: Fit | None = recipe.fit
        self.runtime = f"{session.backend} {session.precision}"
        self.recipe = recipe

    @property
    def norm(self) -> PixelNorm:
        """See :class:`vedette.models.differentiable.Differentiable`."""
        return self.recipe.norm

    @property
    def multi_label(self) -> bool:
        """See :class:`vedette.models.differentiable.Differentiable`."""
        return self._head_module()[1]

    def torch_module(self) -> Any:
        """See :class:`vedette.models.differentiable.Differentiable`."""
        return chained(self.embedding_module(), self._head_module()[0])

    def embedding_module(self) -> Any:
        """See :func:`vedette.models.embedder.embedding_module`."""
        if self._tower is None:
            raise ModelError(
                f"{self.card.id} has no torch module",
                hint="use the checkpoint that it was made of",
            )
        return self._tower()

    def standalone(self) -> Standalone:
        """See :class:`vedette.models.standalone.Exportable`."""
        if not self.head.labels:
            raise ModelError(
                f"{self.card.id} is a backbone alone: it judges nothing",
                hint="train a head over it: vedette train probe, mlp or prompt",
            )
        if not is_exact(self.head):
            raise ModelError(
                f"{self.card.id}: a network cannot do its published arithmetic, only come near it",
                hint="run it as it is; vedette train distill makes one network that learns from it",
            )
        head, multi_label = self._head_module()
        return Standalone(
            self.recipe,
            multi_label,
            lambda: judging(self.embedding_module(), head),
        )

    def _head_module(self) -> tuple[Any, bool]:
        if isinstance(self.head, NoHead):
            raise ModelError(
                f"{self.card.id} gives embeddings and judges nothing",
                hint="train a head over it: vedette train",
            )
        made = in_torch(self.head)
        if made is None:
            raise ModelError(
                f"{self.card.id}: a head that torch does not know",
                hint="give it a function in vedette.heads.in_torch",
            )
        return made

    def prepare(self, image: Image) -> Prepared:
        """See :class:`vedette.models.base.Classifier`."""
        return self.recipe.prepare(image)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        outputs = self.session.run({IMAGES: np.stack([p.pixels for p in batch])})
        return [self._judged(embedding) for embedding in outputs[EMBEDDING]]

    def _judged(self, embedding: Float32) -> Prediction:
        # One row at a time: BLAS rounds a row differently in batches of different sizes.
        row = unit(embedding) if self.head.unit else embedding
        probs = self.head.probabilities(self.head.scores(row[None]))[0]
        return Prediction(self.head.labels, probs, self.card.model, embedding)


def unit(embedding: Float32) -> Float32:
    """``embedding`` [d] with length 1."""
    return np.asarray(embedding / max(float(np.linalg.norm(embedding)), 1e-12), dtype=np.float32)


def read_clip_recipe(config: ClipConfig) -> Recipe:
    """How the checkpoint wants its pictures.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    path = config.folder / "preprocessor_config.json"
    if config.openclip and not path.is_file():
        given = read_json(config.config_file).get("preprocess_cfg") or {}
        norm = {
            "image_mean": given.get("mean", _OPENAI_NORM["image_mean"]),
            "image_std": given.get("std", _OPENAI_NORM["image_std"]),
        }
        plain = {"size": config.image, "crop_size": config.image, "do_center_crop": True}
        # OpenCLIP crops with torchvision's rounding.
        recipe = from_transformers({**plain, "resample": 3, **norm}, config.config_file)
        return replace(recipe, halves_to_even=True)
    recipe = from_transformers(read_json(path), path)
    if recipe.crop != config.image:
        raise ModelError(
            f"{path.name}: pictures of {recipe.crop} px for a network of {config.image} px",
            code="weights_unusable",
        )
    return recipe


def open_backbone(config: ClipConfig, recipe: Recipe, choice: Choice) -> Session:
    """The compiled image tower; its output :data:`EMBEDDING` is float32 [n, dim], as projected.

    Raises:
        ModelError: ``weights_missing``, ``weights_unusable`` or ``backend_failed``.
        MissingExtraError: a library of the extra ``zoo`` is not installed.
    """
    onnx = onnx_of(
        [config.config_file, config.weights],
        config.image,
        (EMBEDDING,),
        lambda: vision_module(config),
        "clip-vision",
    )
    return open_session(onnx, recipe.norm, choice, (config.image, config.image))


MakeHead = Callable[[ClipConfig], Head]


def open_clip(
    card: ModelCard, backbone: Path, make_head: MakeHead, options: ModelOptions
) -> ClipClassifier:
    """A head over the backbone of a checkpoint folder.

    Raises:
        ModelError: ``weights_missing``, ``weights_unusable`` (also for a head that was made for
            another backbone) or ``backend_failed``.
        MissingExtraError: a library of the extra ``zoo`` is not installed.
    """
    choice = choose(options.backend, options.precision, card.precisions)
    config = read_clip_config(backbone)
    head = make_head(config)
    if head.dim != config.dim:
        raise ModelError(
            f"{card.id}: a head for {head.dim} dimensions over a backbone of {config.dim}",
            code="weights_unusable",
            hint="use the head with the backbone that it was trained on",
        )
    recipe = read_clip_recipe(config)
    session = open_backbone(config, recipe, choice)
    return ClipClassifier(
        replace(card, fit=recipe.fit), recipe, session, head, lambda: vision_module(config)
    )


def _published(name: str, card: ModelCard) -> ModelEntry:
    def build(options: ModelOptions) -> ClipClassifier:
        (backbone,) = card.needs
        assert card.weights is not None
        own, tower = usable(card), usable(backbone)
        files = [own.folder / file.path for file in card.weights.files]
        weights = files[0] if len(files) == 1 else files[0].parent
        # The head's and the backbone's: a Record names all that it rests on.
        both = f"{revision(card, own)}+{revision(backbone, tower)}"
        known = replace(card, revision=both)
        return open_clip(known, tower.folder, lambda _: load(name, weights), options)

    return ModelEntry(card.id, card, build)


def _backbone(card: ModelCard) -> ModelEntry:
    """The tower alone: for embeddings, and for heads that are trained over it."""

    def build(options: ModelOptions) -> ClipClassifier:
        tower = usable(card)
        known = replace(card, revision=revision(card, tower))
        return open_clip(known, tower.folder, lambda config: NoHead(config.dim), options)

    return ModelEntry(card.id, card, build)


def _of_texts(
    card: ModelCard, labels: Mapping[str, tuple[Category, ...]], make: MakeHead
) -> ModelEntry:
    def build(options: ModelOptions) -> ClipClassifier:
        (backbone,) = card.needs
        tower = usable(backbone)
        both = f"{card.revision}+{revision(backbone, tower)}"
        return open_clip(replace(known, revision=both), tower.folder, make, options)

    known = replace(card, labels=labels)
    return ModelEntry(card.id, known, build)


def _text_card(backbone: ModelCard, what: str, summary: str, revision: str) -> ModelCard:
    return replace(
        backbone,
        id=f"{backbone.id}/{what}",
        revision=revision,
        summary=summary,
        weights=None,
        needs=(backbone,),
        reference="the published arithmetic",
    )


def _zero_shot(backbone: ModelCard) -> ModelEntry:
    labels = {category.value: (category,) for category in Category}
    definitions = [category.definition for category in Category]

    def make(config: ClipConfig) -> Head:
        rows = text_embeddings(config, [*definitions, *NEUTRAL])
        return ZeroShot(tuple(labels), rows[: len(labels)], rows[len(labels) :])

    summary = f"the eleven categories' definitions against harmless texts, over {backbone.id}"
    return _of_texts(_text_card(backbone, "zero-shot", summary, "1"), labels, make)


def _concepts(name: str) -> ModelEntry | None:
    """``clip-l14/concepts:FILE``."""
    match = _CONCEPTS.match(name)
    if match is None:
        return None
    base, file = match[1], match[2]
    if base not in BACKBONES:
        raise UnknownNameError("backbone", base, BACKBONES)
    given = read_concepts(Path(file))

    def make(config: ClipConfig) -> Head:
        rows = text_embeddings(config, list(given.thresholds))
        thresholds = np.array(list(given.thresholds.values()), dtype=np.float32)
        return Concepts(tuple(given.thresholds), rows, thresholds)

    summary = f"your own concepts over {base}"
    card = _text_card(BACKBONES[base], "concepts", summary, given.revision)
    # By its whole name: a combination asks for it again, and tells two lists apart.
    return _of_texts(replace(card, id=name), given.counts, make)


MODELS = (
    *(_backbone(card) for card in BACKBONES.values()),
    *(_published(name, card) for name, card in HEADS.items()),
    *(_zero_shot(card) for card in BACKBONES.values()),
)
PATTERNS = (
    ModelPattern(
        "clip-BACKBONE/concepts:FILE", "texts with thresholds of your own, over CLIP", _concepts
    ),
)

"""Vision-language models as classifiers: asked about the categories in scope, and answering so.

Any checkpoint of transformers' ``AutoModelForImageTextToText`` whose processor gives tokens and one
square picture; LLaVA-1.5 is the one that is tested. Nothing is sampled and no text is parsed: each
possible answer has a probability, and a category's is that of the answer which names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import PixelNorm
from vedette.calibrate import Calibration
from vedette.compile.cache import file_sha256
from vedette.errors import ModelError, UsageError
from vedette.extras import require
from vedette.heads.base import sigmoid
from vedette.heads.in_torch import calibrated
from vedette.hub.locate import examine, missing, revision, usable
from vedette.models.base import (
    Checkpoint,
    ModelCard,
    ModelEntry,
    ModelOptions,
    ModelPattern,
    Prepared,
    WeightsFile,
)
from vedette.models.recipe import Recipe, from_transformers
from vedette.networks.vlm import Loading, VlmNetwork, open_network, parameters_of
from vedette.networks.vlm_answers import asked, log_odds, log_probabilities
from vedette.networks.vlm_files import CONFIG, INDEX, TEXTS, WEIGHTS, VlmFiles, read_vlm, weights_of
from vedette.networks.vlm_prompt import answers_of
from vedette.resize import Fit
from vedette.taxonomy import Category
from vedette.types import Float32, Image, Prediction, UInt8

PREFIX = "vlm:"


class Vlm:
    """See :class:`vedette.models.base.Classifier`. Also differentiable.

    Args:
        card: with a label for each category in scope, in the taxonomy's order.
        network: loaded, with its adapter where it has one.
        recipe: how pictures become the network's squares.
        calibration: of its labels' probabilities.
    """

    icc = True
    streams = 1
    multi_label = True

    def __init__(
        self,
        card: ModelCard,
        network: VlmNetwork,
        recipe: Recipe,
        calibration: Calibration | None = None,
    ) -> None:
        self.card = card
        self.network = network
        self.recipe = recipe
        self.calibration = calibration
        self.fit: Fit | None = recipe.fit
        self.runtime = f"torch {network.precision} on {network.device.type}"
        self.labels = tuple(card.labels)
        scope = tuple(counted[0] for counted in card.labels.values())
        self.asked = asked(network, scope)
        self._answers = answers_of(scope)

    @property
    def norm(self) -> PixelNorm:
        """See :class:`vedette.models.differentiable.Differentiable`."""
        return self.network.norm

    def torch_module(self) -> Any:
        """See :class:`vedette.models.differentiable.Differentiable`."""
        torch = require("torch", extra="zoo")
        network, question = self.network, self.asked

        class Odds(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.model = network.model

            def forward(self, pixels: Any) -> Any:
                return log_odds(log_probabilities(network, question, pixels))

        return calibrated(Odds().eval(), self.labels, self.calibration)

    def prepare(self, image: Image) -> Prepared:
        """See :class:`vedette.models.base.Classifier`."""
        return self.recipe.prepare(image)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        logits, best = self.logits(np.stack([one.pixels for one in batch]))
        probs = sigmoid(logits)
        if self.calibration is not None:
            probs = self.calibration.probabilities(self.labels, probs)
        return [
            Prediction(self.labels, row, self.card.model, text=self._answers[at])
            for row, at in zip(probs, best, strict=True)
        ]

    def logits(self, pixels: UInt8) -> tuple[Float32, Sequence[int]]:
        """Before calibration, of squares as :meth:`prepare` makes them, uint8 [n, h, w, 3].

        Returns:
            float32 [n, labels]: the log-odds of each category's answer among all answers; and the
            number of the most likely answer of each picture.
        """
        torch = require("torch", extra="zoo")
        with torch.inference_mode():
            found = log_probabilities(self.network, self.asked, self.network.normalised(pixels))
            odds = log_odds(found).cpu().numpy().astype(np.float32)
            return odds, found.argmax(dim=1).tolist()


def open_vlm(
    card: ModelCard, files: VlmFiles, options: ModelOptions, *, four_bit: bool = False
) -> Vlm:
    """The classifier of a checkpoint folder.

    Args:
        card: with a label for each category that it may be asked about.
        files: of the folder.
        options: precision and scope.
        four_bit: see :class:`vedette.networks.vlm.Loading`.

    Raises:
        ModelError: ``weights_unusable``; ``backend_failed``: a backend that cannot run it.
        UsageError: a scope outside ``card.labels``.
        MissingExtraError: a library of the extra ``zoo`` is not installed.
    """
    recipe = recipe_of(files)
    card = in_scope(replace(card, fit=recipe.fit), options)
    network = load_network(files, recipe, options, four_bit=four_bit)
    return Vlm(replace(card, parameters=parameters_of(network.model)), network, recipe)


def load_network(
    files: VlmFiles, recipe: Recipe, options: ModelOptions, *, four_bit: bool = False
) -> VlmNetwork:
    """The network of a checkpoint, by the options that hold for every classifier.

    Raises:
        ModelError: as :func:`vedette.networks.vlm.open_network`; ``backend_failed``.
    """
    if options.backend != "auto" or options.precision == "int8":
        raise ModelError(
            "vision-language models run in torch alone, in fp32 or bf16",
            hint="use --backend auto",
        )
    return open_network(files, recipe.crop, recipe.norm, Loading(options.precision, four_bit))


def recipe_of(files: VlmFiles) -> Recipe:
    """How the checkpoint wants its pictures.

    Raises:
        ModelError: ``weights_unusable``.
    """
    return from_transformers(files.pictures, files.pictures_path)


def in_scope(card: ModelCard, options: ModelOptions) -> ModelCard:
    """``card`` with the labels of the categories that the model is to be asked about.

    Raises:
        UsageError: a category that is none of the card's.
    """
    if not options.scope:
        return card
    outside = [c.value for c in options.scope if c not in card.covered]
    if outside:
        raise UsageError(
            f"{card.id} cannot be asked about {', '.join(outside)}",
            hint=f"it was trained on {', '.join(card.covered)}",
        )
    chosen = set(options.scope)
    return replace(card, labels={k: v for k, v in card.labels.items() if chosen & set(v)})


def base_of(name: str) -> tuple[ModelCard, VlmFiles]:
    """The card and the files of ``vlm:FOLDER-OR-HUB-ID``, every file held to its hash.

    Raises:
        UsageError: another form of name.
        ModelError: ``weights_missing``, ``weights_altered`` or ``weights_unusable``.
    """
    if not name.startswith(PREFIX):
        raise UsageError(f"{name} is no vision-language model", hint="use vlm:FOLDER-OR-HUB-ID")
    card, folder = _located(name)
    if folder is None:
        raise missing(card)
    return card, read_vlm(folder)


def _located(name: str) -> tuple[ModelCard, Path | None]:
    """The card of such a name, and the folder of its checkpoint where it is here."""
    given = name.removeprefix(PREFIX)
    folder = Path(given)
    if folder.is_dir():
        card = _card(name, given, "local", None)
        if not (folder / CONFIG).is_file():
            raise ModelError(f"{folder / CONFIG} is not there", code="weights_missing")
        files = read_vlm(folder)
        card = replace(card, fit=recipe_of(files).fit)
        return replace(card, revision=f"local-{_hash_of(files)}"), folder
    card = _card(name, given, "main", Checkpoint(given, "main", _wanted(())))
    found = examine(card)
    if found is None:
        return card, None
    # Which files the weights are in is known once the index is here.
    if weights := weights_of(found.folder):
        card = replace(card, weights=Checkpoint(given, "main", _wanted(weights)))
    located = usable(card)
    if not weights:
        return card, None
    fit = recipe_of(read_vlm(located.folder)).fit
    return replace(card, revision=revision(card, located), fit=fit), located.folder


def _wanted(weights: Sequence[str]) -> tuple[WeightsFile, ...]:
    needed = (CONFIG, "tokenizer.json")
    optional = [name for name in (*TEXTS, INDEX, WEIGHTS) if name not in (*needed, *weights)]
    return (
        *(WeightsFile(name) for name in (*needed, *weights)),
        *(WeightsFile(name, optional=True) for name in optional),
    )


def _card(name: str, given: str, known: str, weights: Checkpoint | None) -> ModelCard:
    return ModelCard(
        id=name,
        revision=known,
        summary="a vision-language model of your own choice, asked about the categories in scope",
        licence="not known to Vedette: see where you have it from",
        terms="not known to Vedette",
        trained_on="not known to Vedette",
        source=given,
        sha256=None,
        labels={category.value: (category,) for category in Category},
        fit=Fit(336, "cover", "bicubic"),
        precisions=("fp32", "bf16"),
        extra="zoo",
        commercial=False,  # nobody has said that it may
        weights=weights,
        reference="transformers, one whole pass for each answer",
    )


def _hash_of(files: VlmFiles) -> str:
    """Over all that a score rests on."""
    whole = "".join(f"{n}\0{file_sha256(files.folder / n)}\n" for n in files.names)
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def _entry(name: str) -> ModelEntry | None:
    if not name.startswith(PREFIX):
        return None
    card, folder = _located(name)

    def build(options: ModelOptions) -> Vlm:
        if folder is None:
            raise missing(card)
        return open_vlm(card, read_vlm(folder), options)

    return ModelEntry(name, card, build, scoped=True)


PATTERNS = (
    ModelPattern("vlm:FOLDER-OR-HUB-ID", "any vision-language model, asked about a scope", _entry),
)

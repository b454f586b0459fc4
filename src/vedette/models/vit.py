"""ViT classifiers: any checkpoint of transformers' ``ViTForImageClassification`` or timm's ViT.

A checkpoint of this family is one card. Labels and preprocessing are read from the checkpoint's
own files; the card says what each label, by its name, counts for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import PixelNorm, Session, choose, open_session
from vedette.compile.cache import file_sha256
from vedette.compile.torch_onnx import IMAGES, onnx_of
from vedette.errors import ModelError
from vedette.heads.base import sigmoid, softmax
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
from vedette.models.labels import counts_of, ordered
from vedette.models.recipe import Recipe, from_timm, from_transformers
from vedette.models.standalone import OUTPUTS, Standalone
from vedette.networks.chain import output_of
from vedette.networks.files import read_json
from vedette.networks.vit import VitConfig, read_config, vit_module
from vedette.resize import Fit
from vedette.taxonomy import Category
from vedette.types import Float32, Image, Prediction

_SEXUAL = (Category.SEXUAL,)
_PREFIX = "vit:"

FALCONSAI = ModelCard(
    id="falconsai",
    revision="96cb0d0342c7afb80cab76ecc58b265fa44da256",
    summary="ViT-B/16 224, normal or nsfw; sees the Sexual category only",
    licence="Apache-2.0",
    terms="none beyond the licence",
    trained_on="about 80,000 images, not published",
    source="Falconsai/nsfw_image_detection on the model hub",
    sha256=None,
    labels={"normal": (), "nsfw": _SEXUAL},
    fit=Fit(224, "stretch"),
    precisions=("fp32", "bf16"),
    extra="zoo",
    weights=Checkpoint(
        "Falconsai/nsfw_image_detection",
        "96cb0d0342c7afb80cab76ecc58b265fa44da256",
        (
            WeightsFile(
                "config.json", "cd8c0a19566f199b5c64da402f1d6a9daf80d094fe6536befb060a2cc59449c2"
            ),
            WeightsFile(
                "preprocessor_config.json",
                "a34861a24e781942424ad790b82bc99348404a2e64ea882de88c40905851698d",
            ),
            WeightsFile(
                "model.safetensors",
                "97b2ce64ec146884b37f98ee7944ca4891aa72f6827dc0cb10684a1cbecd5830",
            ),
        ),
    ),
    embedding=768,
    parameters=85_800_194,
    reference="transformers' ViTForImageClassification",
)
MARQO = ModelCard(
    id="marqo-384",
    revision="0c26ec22111b83f106d72a55f611ec35962bcb65",
    summary="ViT-tiny/16 384, NSFW or SFW, small and fast; sees the Sexual category only",
    licence="Apache-2.0",
    terms="none beyond the licence",
    trained_on="about 220,000 images (real, drawn, generated), not published",
    source="Marqo/nsfw-image-detection-384 on the model hub, a timm checkpoint",
    sha256=None,
    labels={"NSFW": _SEXUAL, "SFW": ()},
    fit=Fit(384, "cover", "bicubic"),
    precisions=("fp32", "bf16"),
    extra="zoo",
    weights=Checkpoint(
        "Marqo/nsfw-image-detection-384",
        "0c26ec22111b83f106d72a55f611ec35962bcb65",
        (
            WeightsFile(
                "config.json", "ae848d1dca0aeccd38f2ebb4b1bb47219cdc7f34e3ddc50c8d6430abe74d79b4"
            ),
            WeightsFile(
                "model.safetensors",
                "6bf2e0f64a1d20169736c2836e3a787b12379fdc08ba87f7d94a7a3d58eeefce",
            ),
        ),
    ),
    embedding=192,
    parameters=5_560_130,
    reference="the same network written out in plain torch, under timm's names",
)
ADAMCODD = ModelCard(
    id="adamcodd",
    revision="8587de998f441aac03fdd57a85d2e4cb808c7d64",
    summary="ViT-B/16 384, sfw or nsfw; sees the Sexual category only",
    licence="Apache-2.0",
    terms="none beyond the licence",
    trained_on="about 25,000 images (photographs, drawings), not published",
    source="AdamCodd/vit-base-nsfw-detector on the model hub",
    sha256=None,
    labels={"sfw": (), "nsfw": _SEXUAL},
    fit=Fit(384, "stretch"),
    precisions=("fp32", "bf16"),
    extra="zoo",
    weights=Checkpoint(
        "AdamCodd/vit-base-nsfw-detector",
        "8587de998f441aac03fdd57a85d2e4cb808c7d64",
        (
            WeightsFile("config.json"),
            WeightsFile("preprocessor_config.json"),
            WeightsFile("model.safetensors"),
        ),
    ),
    embedding=768,
    parameters=86_090_498,
    reference="transformers' ViTForImageClassification",
)


class Vit:
    """See :class:`vedette.models.base.Classifier`."""

    icc = True

    def __init__(
        self,
        card: ModelCard,
        recipe: Recipe,
        session: Session,
        network: Path,
        *,
        multi_label: bool,
        module: Callable[[], Any],
    ) -> None:
        self.card = card
        self.network = network
        """The ONNX file that the session runs."""
        self.recipe = recipe
        self.multi_label = multi_label
        self._module = module
        self.session = session
        self.streams = session.streams
        self.fit: Fit | None = recipe.fit
        self.runtime = f"{session.backend} {session.precision}"
        self._labels = tuple(card.labels)

    def module(self) -> Any:
        """The torch module from normalised pixels [n, 3, h, w] to (logits, embedding)."""
        return self._module()

    @property
    def norm(self) -> PixelNorm:
        """See :class:`vedette.models.differentiable.Differentiable`."""
        return self.recipe.norm

    def torch_module(self) -> Any:
        """See :class:`vedette.models.differentiable.Differentiable`."""
        return output_of(self.module(), 0)

    def embedding_module(self) -> Any:
        """See :func:`vedette.models.embedder.embedding_module`."""
        return output_of(self.module(), 1)

    def standalone(self) -> Standalone:
        """See :class:`vedette.models.standalone.Exportable`."""
        return Standalone(self.recipe, self.multi_label, self.module, self.network)

    def prepare(self, image: Image) -> Prepared:
        """See :class:`vedette.models.base.Classifier`."""
        return self.recipe.prepare(image)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        outputs = self.session.run({IMAGES: np.stack([p.pixels for p in batch])})
        return [
            Prediction(self._labels, self.probabilities(logits), self.card.model, embedding)
            for logits, embedding in zip(outputs["logits"], outputs["embedding"], strict=True)
        ]

    def probabilities(self, logits: Float32) -> Float32:
        """float32 [labels], from the network's logits of one picture."""
        return sigmoid(logits) if self.multi_label else softmax(logits)


def read_recipe(config: VitConfig) -> Recipe:
    """How the checkpoint wants its pictures.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    if config.timm:
        path = config.folder / "config.json"
        recipe = from_timm(read_json(path).get("pretrained_cfg", {}), path)
    else:
        path = config.folder / "preprocessor_config.json"
        recipe = from_transformers(read_json(path), path)
    if recipe.crop != config.image:
        raise ModelError(
            f"{path.name}: pictures of {recipe.crop} px for a network of {config.image} px",
            code="weights_unusable",
        )
    return recipe


def network_onnx(config: VitConfig) -> Path:
    """The checkpoint's network as an ONNX file, outputs ``logits`` and ``embedding``."""
    return onnx_of(
        [config.folder / "config.json", config.folder / "model.safetensors"],
        config.image,
        OUTPUTS,
        lambda: vit_module(config),
        "vit",
    )


def open_vit(card: ModelCard, folder: Path, options: ModelOptions) -> Vit:
    """The classifier of a checkpoint folder.

    Args:
        card: with the labels that the checkpoint must have, in any order.
        folder: ``config.json``, ``model.safetensors`` and, but for timm's,
            ``preprocessor_config.json``.
        options: backend and precision.

    Raises:
        ModelError: ``weights_missing``, ``weights_unusable`` or ``backend_failed``.
        MissingExtraError: a library of the extra ``zoo`` is not installed.
    """
    choice = choose(options.backend, options.precision, card.precisions)
    config = read_config(folder)
    recipe = read_recipe(config)
    labels = ordered(config.labels, card.labels, folder)
    card = replace(card, labels=labels, fit=recipe.fit)
    shape = (recipe.crop, recipe.crop)
    network = network_onnx(config)
    session = open_session(network, recipe.norm, choice, shape)
    return Vit(
        card,
        recipe,
        session,
        network,
        multi_label=config.multi_label,
        module=lambda: vit_module(config),
    )


def _build(card: ModelCard, options: ModelOptions) -> Vit:
    located = usable(card)
    return open_vit(replace(card, revision=revision(card, located)), located.folder, options)


def _entry(card: ModelCard) -> ModelEntry:
    return ModelEntry(card.id, card, lambda options: _build(card, options))


def _any_vit(name: str) -> ModelEntry | None:
    """``vit:FOLDER`` or ``vit:owner/name``: a checkpoint that no card of ours describes.

    The folder alone will do, where a ViT lies in it.
    """
    if not name.startswith(_PREFIX) and not _is_checkpoint(Path(name)):
        return None
    given = name.removeprefix(_PREFIX)
    folder = Path(given)
    local = folder.is_dir()
    names = ["config.json", "model.safetensors"]
    weights = None
    if not local:
        preprocessing = WeightsFile("preprocessor_config.json", optional=True)  # timm's have none
        files = (*map(WeightsFile, names), preprocessing)
        weights = Checkpoint(given, "main", files)
    card = ModelCard(
        id=name,
        revision="local" if local else "main",
        summary="a ViT checkpoint of your own choice",
        licence="not known to Vedette: see where you have it from",
        terms="not known to Vedette",
        trained_on="not known to Vedette",
        source=given,
        sha256=None,
        labels={},
        fit=Fit(224, "stretch"),
        precisions=("fp32", "bf16"),
        extra="zoo",
        commercial=False,  # nobody has said that it may
        weights=weights,
        reference="transformers' ViTForImageClassification",
    )
    if local:
        card = replace(_read_card(card, folder), revision=f"local-{_hash_of(folder)}")
    elif examine(card) is not None:  # else it can only be pulled yet
        located = usable(card)
        folder = located.folder
        known = revision(card, located)
        own = folder / "labels.toml"
        if own.is_file():  # it changes what scores mean, and comes from no publisher
            known += f"+labels-{file_sha256(own)[:8]}"
        card = _read_card(replace(card, revision=known), folder)

    def build(options: ModelOptions) -> Vit:
        if not card.labels:
            raise missing(card)
        return open_vit(card, folder, options)

    return ModelEntry(name, card, build)


def _is_checkpoint(folder: Path) -> bool:
    """Whether a ViT as transformers writes it lies there, and not a folder of our own."""
    try:
        config = read_json(folder / "config.json")
    except ModelError:
        return False
    return config.get("model_type") == "vit" and (folder / "model.safetensors").is_file()


def _hash_of(folder: Path) -> str:
    """So that Records of two fine-tunes in one folder can be told apart.

    Over all that a score rests on: the preprocessing, and what the labels count for, too.
    """
    files = ("config.json", "labels.toml", "model.safetensors", "preprocessor_config.json")
    there = [name for name in files if (folder / name).is_file()]
    whole = "".join(f"{name}\0{file_sha256(folder / name)}\n" for name in there)
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def _read_card(card: ModelCard, folder: Path) -> ModelCard:
    """``card`` with what the checkpoint's own files say."""
    config = read_config(folder)
    return replace(
        card,
        labels=counts_of(config.labels, folder),
        fit=read_recipe(config).fit,
        embedding=config.hidden,
    )


MODELS = tuple(_entry(card) for card in (FALCONSAI, MARQO, ADAMCODD))
PATTERNS = (
    ModelPattern("vit:FOLDER-OR-HUB-ID", "any ViT classifier, of transformers or timm", _any_vit),
)

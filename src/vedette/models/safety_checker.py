"""The Stable Diffusion safety checker: a CLIP ViT-L/14 image tower with concepts of its own.

Source: CompVis/stable-diffusion-safety-checker. What its concepts are was never published; a
Record shows which one was closest, by its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import choose, open_session
from vedette.compile.torch_onnx import onnx_of
from vedette.errors import ModelError
from vedette.extras import require
from vedette.heads.safety_checker import SafetyChecker
from vedette.hub.locate import revision, usable
from vedette.models.base import Checkpoint, ModelCard, ModelEntry, ModelOptions, WeightsFile
from vedette.models.clip import EMBEDDING, ClipClassifier, read_clip_recipe
from vedette.networks.clip import read_clip_config, vision_module
from vedette.networks.files import read_tensors, unusable
from vedette.resize import Fit
from vedette.taxonomy import Category

_TOWER = "vision_model."
_CONCEPTS, _SPECIAL = 17, 3

# Its main branch holds a pickle only; this commit added safetensors, in half precision.
_REVISION = "1664e306d2258485321cbbd8083074c9474d4e41"

CARD = ModelCard(
    id="sd-filter",
    revision=_REVISION,
    summary="Stable Diffusion's safety checker: 17 concepts over CLIP ViT-L/14; Sexual only",
    licence="not stated: its card says that more information is needed",
    terms="published to filter a generator's output; its authors claim no more for it",
    trained_on="not trained: 17 text concepts and 3 for special care, thresholds set by hand",
    source="CompVis/stable-diffusion-safety-checker on the model hub",
    sha256=None,
    labels={
        # Special care lowers the other thresholds; by itself it makes nothing unsafe.
        **{f"special-care-{k}": () for k in range(1, _SPECIAL + 1)},
        **{f"concept-{k:02}": (Category.SEXUAL,) for k in range(1, _CONCEPTS + 1)},
    },
    fit=Fit(224, "cover", "bicubic"),
    precisions=("fp32", "bf16"),
    extra="zoo",
    weights=Checkpoint(
        "CompVis/stable-diffusion-safety-checker",
        _REVISION,
        (
            WeightsFile("config.json"),
            WeightsFile("preprocessor_config.json"),
            WeightsFile(
                "model.safetensors",
                "08902f19b1cfebd7c989f152fc0507bef6898c706a91d666509383122324b511",
            ),
        ),
    ),
    commercial=False,  # nobody has said that it may
    embedding=768,
    parameters=303_966_208,
    reference="the published arithmetic over transformers' CLIPVisionModelWithProjection",
)


def open_safety_checker(card: ModelCard, folder: Path, options: ModelOptions) -> ClipClassifier:
    """The checker of a checkpoint folder.

    Raises:
        ModelError: ``weights_missing``, ``weights_unusable`` or ``backend_failed``.
        MissingExtraError: a library of the extra ``zoo`` is not installed.
    """
    choice = choose(options.backend, options.precision, card.precisions)
    config = read_clip_config(folder)
    recipe = read_clip_recipe(config)

    def module() -> Any:
        tensors = read_tensors(config.weights)
        named = {name.removeprefix(_TOWER): tensor for name, tensor in tensors.items()}
        return vision_module(config, {k: v for k, v in named.items() if "position_ids" not in k})

    onnx = onnx_of(
        [config.config_file, config.weights],
        config.image,
        (EMBEDDING,),
        module,
        "safety-checker",
    )
    head = _head(config.weights)
    if head.dim != config.dim:
        raise unusable(config.weights, f"concepts of {head.dim} dimensions, not {config.dim}")
    session = open_session(onnx, recipe.norm, choice, (config.image, config.image))
    return ClipClassifier(replace(card, fit=recipe.fit), recipe, session, head, module)


def _head(path: Path) -> SafetyChecker:
    arrays = _arrays(path)
    try:
        return SafetyChecker(
            special_care_embeds=arrays["special_care_embeds"],
            special_care_embeds_weights=arrays["special_care_embeds_weights"],
            concept_embeds=arrays["concept_embeds"],
            concept_embeds_weights=arrays["concept_embeds_weights"],
        )
    except (KeyError, ValueError) as error:
        raise unusable(path, f"not the safety checker's concepts: {error}") from error


def _arrays(path: Path) -> Mapping[str, Any]:
    """The concepts alone, without torch: the tower may be compiled already."""
    safetensors = require("safetensors", extra="zoo")
    try:
        with safetensors.safe_open(str(path), "numpy") as opened:
            names = [name for name in opened.keys() if name.startswith(("concept", "special"))]  # noqa: SIM118
            return {name: np.asarray(opened.get_tensor(name), dtype=np.float32) for name in names}
    except FileNotFoundError:
        raise ModelError(f"{path} is not there", code="weights_missing") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise unusable(path, f"not a whole safetensors file: {error}") from error


def _build(options: ModelOptions) -> ClipClassifier:
    located = usable(CARD)
    card = replace(CARD, revision=revision(CARD, located))
    return open_safety_checker(card, located.folder, options)


MODELS = (ModelEntry(CARD.id, CARD, _build),)

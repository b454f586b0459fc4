"""Vision-language models that were trained: an adapter over a checkpoint, or a merged whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vedette.errors import ModelError
from vedette.models.base import ModelOptions
from vedette.models.trained import Manifest
from vedette.models.vlm import Vlm, base_of, in_scope, load_network, recipe_of
from vedette.networks.files import unusable
from vedette.networks.vlm_adapter import with_stored_adapter
from vedette.networks.vlm_files import VlmFiles, read_vlm


def parts_of(backbone: str, model: str, *, merged: bool) -> dict[str, Any]:
    """What a folder's card says for :func:`open_trained`.

    Args:
        backbone: as ``--model`` takes it.
        model: ``id@revision`` of it.
        merged: whether the folder holds the whole model, and the backbone is not needed.
    """
    if merged:
        return {"adapter": False}
    return {"backbone": backbone, "backbone_model": model, "adapter": True}


def open_trained(manifest: Manifest, options: ModelOptions) -> Vlm:
    """The classifier of a folder of kind ``vlm``.

    The folder's calibration holds for the scope that it was fitted with, which is every category
    that the model was trained on; asked about fewer, it gives its own probabilities.

    Raises:
        ModelError: its backbone is not here, or not the one that it was trained over;
            ``weights_unusable``.
        UsageError: a scope with a category that it was not trained on.
        MissingExtraError: torch, transformers or peft is not installed.
    """
    if any(len(counted) != 1 for counted in manifest.card.labels.values()):
        raise unusable(manifest.path, "a label that is not one category")
    card = in_scope(manifest.card, options)
    files = _files(manifest)
    recipe = recipe_of(files)
    network = load_network(files, recipe, options)
    if manifest.parts.get("adapter") is True:
        network = network.with_model(with_stored_adapter(network.model, manifest.folder))
    whole = len(card.labels) == len(manifest.card.labels)
    calibration = manifest.calibration() if whole else None
    if calibration is None:
        card = replace(card, calibrated=None)
    return Vlm(replace(card, fit=recipe.fit), network, recipe, calibration)


def _files(manifest: Manifest) -> VlmFiles:
    """Of the checkpoint that runs: the folder's own, or its backbone's."""
    adapter = manifest.parts.get("adapter")
    if adapter is False:
        return read_vlm(manifest.folder)
    if adapter is not True:
        raise unusable(manifest.path, "it says not whether it is an adapter")
    card, files = base_of(str(manifest.parts.get("backbone")))
    known = manifest.parts.get("backbone_model")
    if card.model != known:
        raise ModelError(
            f"{manifest.folder.name} was trained over {known}, and here is {card.model}",
            code="weights_altered",
            hint="get the model that it was trained over, or train it again over this one",
        )
    return files

"""Fine-tuned networks: a ViT, or CLIP's image tower, with one logit for each label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vedette.backends.base import Session, choose, open_session
from vedette.calibrate import Calibration
from vedette.errors import ModelError
from vedette.heads.base import NoHead
from vedette.heads.in_torch import calibrated
from vedette.heads.trained import read_head
from vedette.models.base import Classifier, ModelCard, ModelOptions
from vedette.models.clip import ClipClassifier, open_backbone, read_clip_recipe
from vedette.models.labels import ordered
from vedette.models.over import HEAD, head_over
from vedette.models.recipe import Recipe
from vedette.models.standalone import Standalone, probabilities
from vedette.models.trained import Manifest
from vedette.models.vit import Vit, network_onnx, read_recipe
from vedette.networks.clip import read_clip_config, vision_module
from vedette.networks.vit import read_config, vit_module
from vedette.types import Float32


class FineTunedVit(Vit):
    """A ViT whose probabilities are calibrated by label. See :class:`Vit`."""

    def __init__(
        self,
        card: ModelCard,
        recipe: Recipe,
        session: Session,
        network: Path,
        *,
        module: Callable[[], Any],
        calibration: Calibration | None,
    ) -> None:
        super().__init__(card, recipe, session, network, multi_label=True, module=module)
        self.calibration = calibration

    def torch_module(self) -> Any:
        """See :class:`vedette.models.differentiable.Differentiable`."""
        return calibrated(super().torch_module(), self._labels, self.calibration)

    def standalone(self) -> Standalone:
        """See :class:`vedette.models.standalone.Exportable`."""
        return replace(super().standalone(), calibration=self.calibration)

    def probabilities(self, logits: Float32) -> Float32:
        """float32 [labels], calibrated, from the network's logits of one picture."""
        return probabilities(self._labels, logits, self.multi_label, self.calibration)


def open_trained(manifest: Manifest, options: ModelOptions) -> Classifier:
    """The classifier of a folder of kind ``vit`` or ``clip``.

    Raises:
        ModelError: ``weights_missing``, ``weights_unusable`` or ``backend_failed``.
        MissingExtraError: a library of the extra ``zoo`` is not installed.
    """
    return (_open_clip if manifest.kind == "clip" else _open_vit)(manifest, options)


def _open_vit(manifest: Manifest, options: ModelOptions) -> Classifier:
    choice = choose(options.backend, options.precision, manifest.card.precisions)
    config = read_config(manifest.folder)
    if not config.multi_label:
        raise ModelError(
            f"{manifest.path}: its labels are not independent", code="weights_unusable"
        )
    recipe = _rounded(read_recipe(config), manifest)
    labels = ordered(config.labels, manifest.card.labels, manifest.folder)
    network = network_onnx(config)
    return FineTunedVit(
        replace(manifest.card, labels=labels, fit=recipe.fit),
        recipe,
        open_session(network, recipe.norm, choice, (recipe.crop, recipe.crop)),
        network,
        module=lambda: vit_module(config),
        calibration=manifest.calibration(),
    )


def _open_clip(manifest: Manifest, options: ModelOptions) -> Classifier:
    choice = choose(options.backend, options.precision, manifest.card.precisions)
    config = read_clip_config(manifest.folder)
    head = read_head(manifest.folder / HEAD, manifest.parts.get("head", {}))
    if head.labels != tuple(manifest.card.labels) or head.dim != config.dim:
        raise ModelError(
            f"{manifest.path}: its head is not of this network", code="weights_unusable"
        )
    recipe = _rounded(read_clip_recipe(config), manifest)
    card = replace(manifest.card, fit=recipe.fit)
    tower = ClipClassifier(
        card,
        recipe,
        open_backbone(config, recipe, choice),
        NoHead(config.dim),
        lambda: vision_module(config),
    )
    return head_over(card, tower, head, manifest.calibration())


def _rounded(recipe: Recipe, manifest: Manifest) -> Recipe:
    """``recipe`` with what transformers' configuration cannot say."""
    return replace(recipe, halves_to_even=bool(manifest.parts.get("halves_to_even", False)))

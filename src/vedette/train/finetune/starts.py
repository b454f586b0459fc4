"""What a fine-tuning may start from: a ViT, a CLIP image tower, or random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vedette.errors import UnknownNameError, UsageError
from vedette.extras import require
from vedette.hub.locate import revision, usable
from vedette.models.base import ModelCard
from vedette.models.clip import read_clip_recipe
from vedette.models.clip_cards import BACKBONES
from vedette.models.exported import CARD_FILE, TRAINED, is_there
from vedette.models.recipe import Recipe
from vedette.models.registry import get
from vedette.models.trained import read_manifest, verify
from vedette.models.vit import MODELS, read_recipe
from vedette.networks.clip import read_clip_config
from vedette.networks.files import read_json
from vedette.networks.vit import read_config
from vedette.resize import Fit
from vedette.train.finetune.network import Network, Shape, fresh_vit, of_clip, of_vit

SCRATCH = "scratch:"
_PREFIX = "vit:"
_VITS = frozenset(entry.name for entry in MODELS)
SHAPES: Mapping[str, Shape] = {
    # By the name after "scratch:". For pictures that are drawn, and for tests: a network for
    # photographs is not trained from nothing on some thousands of them.
    "vit-mini": Shape(image=48, patch=8, hidden=96, layers=4, heads=3, mlp=384),
    "vit-tiny": Shape(image=64, patch=8, hidden=192, layers=6, heads=3, mlp=768),
}
_HINT = (
    "a ViT (falconsai, marqo-384, adamcodd, vit:FOLDER, a folder that was fine-tuned), a CLIP "
    "backbone (clip-b32, clip-l14, clip-h14) or scratch:vit-mini can be"
)


@dataclass(frozen=True, slots=True)
class Start:
    """A start that is known to be one; nothing of it is loaded yet."""

    kind: str
    """``vit``, ``clip`` or ``scratch``"""
    card: ModelCard
    folder: Path | None
    """Of its checkpoint; None: random weights."""
    shape: Shape | None = None
    halves_to_even: bool | None = None
    """Of the recipe, where the folder is one of ours; None: as the checkpoint has it."""

    def network(self, labels: tuple[str, ...], seed: int) -> Network:
        """Load it, with a new head of one logit for each label.

        Raises:
            ModelError: ``weights_missing`` or ``weights_unusable``.
            MissingExtraError: torch or transformers is not installed.
        """
        require("torch", extra="zoo").manual_seed(seed)
        if self.shape is not None:
            return fresh_vit(self.shape, self.card, labels)
        assert self.folder is not None
        if self.kind == "vit":
            config = read_config(self.folder)
            return of_vit(config, self._rounded(read_recipe(config)), self.card, labels)
        tower = read_clip_config(self.folder)
        return of_clip(tower, self._rounded(read_clip_recipe(tower)), self.card, labels)

    def _rounded(self, recipe: Recipe) -> Recipe:
        if self.halves_to_even is None:
            return recipe
        return replace(recipe, halves_to_even=self.halves_to_even)


def start_named(name: str) -> Start:
    """The start of that name; its weights are held to their hashes, and not loaded.

    Raises:
        UnknownNameError: there is nothing of that name.
        UsageError: it cannot be fine-tuned.
        ModelError: its weights are not here, or are altered.
    """
    if name.startswith(SCRATCH):
        return _scratch(name.removeprefix(SCRATCH))
    folder = Path(name)
    if is_there(folder / CARD_FILE):
        return _own(name, folder)
    card = get(name).card
    if name in BACKBONES:
        located = usable(card)
        return Start("clip", replace(card, revision=revision(card, located)), located.folder)
    if is_there((folder := Path(name.removeprefix(_PREFIX))) / "config.json"):
        return Start("vit", card, folder)
    if card.weights is not None and (name in _VITS or name.startswith(_PREFIX)):
        located = usable(card)
        return Start("vit", replace(card, revision=revision(card, located)), located.folder)
    raise UsageError(f"{name} cannot be fine-tuned", hint=_HINT)


def _scratch(name: str) -> Start:
    if name not in SHAPES:
        known = [SCRATCH + one for one in SHAPES]
        raise UnknownNameError("start", SCRATCH + name, known)
    shape = SHAPES[name]
    card = ModelCard(
        id=f"{SCRATCH}{name}",
        revision="1",
        summary=f"a ViT of {shape.layers} layers of {shape.hidden} with random weights",
        licence="none: random weights",
        terms="none",
        trained_on="nothing",
        source="Vedette",
        sha256=None,
        labels={},
        fit=Fit(shape.image, "stretch"),
        precisions=("fp32", "bf16"),
        extra="zoo",
        embedding=shape.hidden,
    )
    return Start("scratch", card, None, shape)


def _own(name: str, folder: Path) -> Start:
    if read_json(folder / CARD_FILE).get("format") == TRAINED:
        manifest = read_manifest(folder)
        if manifest.kind in ("vit", "clip"):
            verify(manifest)
            even = bool(manifest.parts.get("halves_to_even", False))
            return Start(manifest.kind, manifest.card, folder, halves_to_even=even)
        why = f"{name} is a {manifest.kind}, and has no weights of a ViT"
    else:
        why = f"{name} is an exported network: it has no weights to train"
    raise UsageError(why, hint=_HINT)

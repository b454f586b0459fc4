"""The published heads by name, and how each is read from its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vedette.errors import ModelError, UnknownNameError
from vedette.heads.base import Head
from vedette.heads.laion import read_h14, read_original, read_port
from vedette.heads.multiheaded import LABELS, read_multiheaded
from vedette.heads.vectors import read_q16, read_violence


@dataclass(frozen=True, slots=True)
class HeadEntry:
    """One published head."""

    labels: tuple[str, ...]
    dim: int
    """Dimensions of the embeddings that it was trained on."""
    files: tuple[str, ...]
    """As they are called where it was published."""
    read: Callable[[Path], Head]
    """From its file, or from the folder of its files where it has several."""


_NSFW = ("nsfw",)
_VIOLENCE = ("nonviolent", "violent")

HEADS: Mapping[str, HeadEntry] = {
    "laion-nsfw-l14": HeadEntry(_NSFW, 768, ("clip_autokeras_binary_nsfw.zip",), read_original),
    "laion-nsfw-b32": HeadEntry(_NSFW, 512, ("clip_autokeras_nsfw_b32.zip",), read_original),
    "laion-nsfw-h14": HeadEntry(_NSFW, 1024, ("h14_nsfw.pth",), read_h14),
    "laion-nsfw-l14-unsafebench": HeadEntry(
        _NSFW, 768, ("clip_autokeras_binary_nsfw.pth",), read_port
    ),
    "laion-violence-l14": HeadEntry(
        _VIOLENCE, 768, ("violence_detection_vit_l_14.npy",), read_violence
    ),
    "laion-violence-b32": HeadEntry(
        _VIOLENCE, 512, ("violence_detection_vit_b_32.npy",), read_violence
    ),
    "q16": HeadEntry(("appropriate", "inappropriate"), 768, ("prompts.p",), read_q16),
    "multiheaded": HeadEntry(
        LABELS, 768, tuple(f"{label}.pt" for label in LABELS), read_multiheaded
    ),
}


def head_entry(name: str) -> HeadEntry:
    """The entry of that name.

    Raises:
        UnknownNameError: there is none; says which one was likely meant.
    """
    try:
        return HEADS[name]
    except KeyError:
        raise UnknownNameError("head", name, HEADS) from None


def load(name: str, weights: Path) -> Head:
    """The head of that name.

    Args:
        name: one of :data:`HEADS`.
        weights: its file, or a folder that has its files under the names of the entry. LAION's
            SavedModels may be unpacked too: then the folder of ``saved_model.pb``.

    Raises:
        UnknownNameError: no head of that name.
        ModelError: ``weights_missing``, or ``weights_unusable``: damaged, or of another head.
    """
    entry = head_entry(name)
    if len(entry.files) == 1 and (weights / entry.files[0]).is_file():
        weights = weights / entry.files[0]
    head = entry.read(weights)
    if head.dim != entry.dim:
        raise ModelError(
            f"{weights.name}: a head for {head.dim} dimensions; {name} has {entry.dim}",
            code="weights_unusable",
        )
    return head

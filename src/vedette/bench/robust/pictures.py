"""The pictures that attacks start from, as the network sees them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image

from vedette.bench.tasks.base import Context
from vedette.errors import ItemError, MissingExtraError, ModelError
from vedette.extras import require
from vedette.models.base import Classifier
from vedette.models.differentiable import decision_module, differentiable, network_pixels
from vedette.types import Float32, Item


@dataclass(frozen=True, slots=True, eq=False)
class Attackable:
    """A model and the sample that is attacked."""

    module: Any
    """Pixels float32 [n, 3, h, w] in 0..1 to logits [n, 2]."""
    keys: tuple[str, ...]
    pixels: Any
    """torch float32 [n, 3, h, w]"""
    labels: Any
    """torch int64 [n]"""
    rows: tuple[int, ...]
    """Of the context's predictions."""
    lost: tuple[str, ...]
    """Keys that could not be decoded any more."""
    as_uploaded: bool
    """Whether the pipeline shows the network a square of its own size as it is. Where it resizes
    and crops that once more, an upload of the square is another picture."""
    device: str = "cpu"
    """Where the module is; pixels and labels wait in the machine's own memory."""

    def part(self, at: slice | Sequence[int]) -> tuple[Any, Any]:
        """Pixels and labels of some of them, beside the module."""
        return self.pixels[at].to(self.device), self.labels[at].to(self.device)


def why_not(classifier: Classifier | None) -> str | None:
    """Why a classifier cannot be attacked by its gradients; None where it can."""
    if classifier is None:
        return "attacks need the network itself: an endpoint or a file of predictions has none"
    if differentiable(classifier) is None:
        return f"{classifier.card.id} cannot be differentiated: it has no torch module"
    try:
        decision_module(classifier)
    except MissingExtraError as error:
        return f"{error.message} ({error.hint})"
    except ModelError as error:
        return error.message
    return None


def attackable(context: Context, rows: Sequence[int], module: Any) -> Attackable:
    """Load the pictures of those rows, to be attacked on ``module``.

    Raises:
        MissingExtraError: torch is not installed.
        ModelError: none of them can be decoded any more.
    """
    torch = require("torch", extra="zoo")
    assert context.classifier is not None
    planes: list[Float32] = []
    kept: list[int] = []
    lost: list[str] = []
    for row in rows:
        key = context.predictions.keys[row]
        try:
            planes.append(network_pixels(context.classifier, context.pixels(key)))
            kept.append(row)
        except (ItemError, KeyError):
            lost.append(key)
    if not planes:
        raise ModelError("there is no picture to attack", hint="are the data still there?")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Attackable(
        module.to(device),
        tuple(context.predictions.keys[row] for row in kept),
        torch.from_numpy(np.stack(planes)),
        torch.from_numpy(context.predictions.unsafe[kept].astype(np.int64)),
        tuple(kept),
        tuple(lost),
        _is_kept(context.classifier, planes[0]),
        device,
    )


def _is_kept(classifier: Classifier, plane: Float32) -> bool:
    square = np.rint(plane.transpose(1, 2, 0) * 255).astype(np.uint8)
    again = network_pixels(classifier, np.ascontiguousarray(square))
    return again.shape == plane.shape and bool((np.rint(again * 255) == np.rint(plane * 255)).all())


def seed_of(key: str, seed: int) -> int:
    """A picture's own seed, whatever stands beside it."""
    digest = hashlib.sha256(f"{seed}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def as_upload(key: str, pixels: Any) -> Item:
    """A moved picture as somebody would send it: 8 bits, PNG.

    Args:
        key: its name.
        pixels: torch float32 [3, h, w] in 0..1.
    """
    whole = (pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    stream = io.BytesIO()
    PIL.Image.fromarray(whole).save(stream, "PNG", compress_level=1)
    return Item(key, stream.getvalue())

"""What a network says about pictures as a scan shows them, and how good that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vedette.extras import require
from vedette.train.examples import Examples, Ints
from vedette.train.finetune.device import Device
from vedette.train.finetune.network import Network
from vedette.train.finetune.pictures import Pictures
from vedette.types import Float32

_BATCH = 64
"""Pictures in one forward pass."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Of the part ``validation`` after an epoch."""

    loss: float
    """Mean cross-entropy over the labels that are known."""
    f1: float
    """Mean F1 at a probability of 0.5 over the labels that some image has."""


def judged(
    module: Any, network: Network, pictures: Pictures, rows: Ints, device: Device
) -> Float32:
    """Logits float32 [rows, labels], in evaluation mode and float32.

    Each process computes its share; all of them get the whole.
    """
    torch = require("torch", extra="zoo")
    normalised = device.normaliser(network.recipe.norm)
    module.eval()
    found = [np.zeros((0, len(network.labels)), np.float32)]
    with torch.no_grad():
        for _, pixels in pictures.plain(device.share(rows), _BATCH):
            logits, _ = module(normalised(device.pixels(pixels)))
            found.append(logits.float().cpu().numpy())
    return device.gathered(np.concatenate(found), len(rows))


def validation(examples: Examples, rows: Ints, logits: Float32) -> Validation:
    """How good logits [rows, labels] are."""
    wanted, known = examples.learned[rows].astype(np.float64), examples.known[rows]
    targets = wanted >= 0.5
    z = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # what is no number stays none, for the caller to see
        losses = np.logaddexp(0, z) - wanted * z  # -log p of what is true
    loss = float(losses[known].mean()) if known.any() else 0.0
    flagged = (z > 0) & known
    hits = (flagged & targets).sum(axis=0)
    both = flagged.sum(axis=0) + (targets & known).sum(axis=0)
    there = (targets & known).any(axis=0)
    f1 = 2 * hits[there] / np.maximum(both[there], 1)
    return Validation(loss, float(f1.mean()) if there.any() else 0.0)

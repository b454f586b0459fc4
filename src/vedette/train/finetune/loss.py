"""Binary cross-entropy over labels that are independent, some of them unknown."""

from __future__ import annotations

from typing import Any

import numpy as np

from vedette.calibrate import log_odds, sigmoid
from vedette.extras import require
from vedette.types import Float32


def tempered(targets: Float32, temperature: float) -> Float32:
    """Targets 0..1 with their log-odds divided by a temperature; as they are at 1."""
    if temperature == 1:
        return targets
    return sigmoid(log_odds(targets) / temperature).astype(np.float32)


def bce(logits: Any, targets: Any, weights: Any, smoothing: float = 0.0) -> Any:
    """Sum over all entries, to be divided by the sum of the weights by who knows it.

    Args:
        logits: [n, labels].
        targets: 0 to 1, of the same shape.
        weights: of the same shape; an entry with 0 is left out.
        smoothing: 0 becomes half of it, 1 as much less.
    """
    functional = require("torch.nn.functional", extra="zoo")
    soft = targets * (1 - smoothing) + smoothing / 2
    each = functional.binary_cross_entropy_with_logits(logits.float(), soft, reduction="none")
    return (each * weights).sum()

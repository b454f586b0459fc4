"""The published heads as torch modules from embeddings to logits, for attacks.

Each is the arithmetic of its numpy file without what has no gradient: rounding, and tables of
printed numbers (an embedding that is computed in float32 is in none of them but by accident).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vedette.calibrate import Calibration, Calibrator
from vedette.extras import require
from vedette.heads.base import Head, Mlp
from vedette.heads.concepts import Concepts, ZeroShot
from vedette.heads.laion import LaionH14, LaionNsfw
from vedette.heads.multiheaded import MultiHeaded
from vedette.heads.safety_checker import SafetyChecker
from vedette.heads.trained import TrainedMlp, TrainedPrompts
from vedette.heads.vectors import Q16, Violence
from vedette.networks.chain import chained

_SCALE = 100.0
"""CLIP's own logit scale."""
_HALF_STEP = 0.0005
"""The safety checker's scores come in thousandths, and 0 itself is below."""
_CAREFUL = 0.01
_NEAR = (LaionNsfw, LaionH14, SafetyChecker)
"""Heads of which torch has not the published arithmetic: tables of printed numbers, a score that is
no logistic, rounding to thousandths."""


def in_torch(head: Head) -> tuple[Any, bool] | None:
    """A module from embeddings [n, dim], as projected, to logits [n, labels].

    Returns:
        The module, and whether its labels are independent (sigmoid) or one choice (softmax); None
        for a head that is not one of the published ones.
    """
    match head:
        case LaionNsfw():
            return _laion(head), True
        case LaionH14():
            return _h14(head), True
        case MultiHeaded() | TrainedMlp():
            return _multiheaded(head), True
        case Q16():
            return _cosines(head.prompts, _SCALE), False
        case Violence():
            return _module(lambda e, rows: _unit(e) @ rows, head.vectors.T), False
        case SafetyChecker():
            return _checker(head), True
        case Concepts():
            return _concepts(head), True
        case ZeroShot():
            return _zero_shot(head), True
        case TrainedPrompts():
            return _module(lambda e, rows: _unit(e) @ rows, head.scale * _difference(head)), True
    return None


def is_exact(head: Head) -> bool:
    """Whether :func:`in_torch` gives the head's own probabilities, and not only its decisions."""
    return not isinstance(head, _NEAR)


def calibrated(module: Any, labels: Sequence[str], calibration: Calibration | None) -> Any:
    """``module``, to logits [n, labels], followed by the calibration of its labels.

    Isotonic curves have no gradient: there the logit is moved so that it is above 0 exactly where
    the calibrated probability is at least one half.
    """
    if calibration is None:
        return module
    curves = [calibration.of.get(label) for label in labels]

    def forward(logits: Any) -> Any:
        torch = require("torch", extra="zoo")
        columns = [_curved(torch, logits[:, k], curve) for k, curve in enumerate(curves)]
        return torch.stack(columns, dim=1)

    return chained(module, _module(forward))


def _curved(torch: Any, z: Any, curve: Calibrator | None) -> Any:
    if curve is None:
        return z
    if curve.method == "isotonic":
        return z - curve.half
    if curve.method == "beta":
        a, b, c = curve.parameters
        soft = torch.nn.functional.logsigmoid
        return a * soft(z) - b * soft(-z) + c + curve.shift
    scale, offset = curve.line
    return scale * z + offset


def _module(forward: Any, *tensors: Any) -> Any:
    """A module whose tensors are buffers, so that they follow it to a device or another precision.

    Args:
        forward: ``forward(embeddings, *tensors)``.
        tensors: numpy arrays.
    """
    torch = require("torch", extra="zoo")

    class HeadModule(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            for number, tensor in enumerate(tensors):
                values = torch.from_numpy(np.array(tensor, dtype=np.float32))
                self.register_buffer(f"tensor_{number}", values)

        def forward(self, embeddings: Any) -> Any:
            return forward(embeddings, *self.buffers())

    return HeadModule().eval()


def _unit(embeddings: Any) -> Any:
    return embeddings / embeddings.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _chain(mlp: Mlp) -> tuple[list[Any], Any]:
    """An MLP's weights, and what applies them to x."""
    activations = [layer.activation for layer in mlp.layers]
    tensors = [part for layer in mlp.layers for part in (layer.weight, layer.bias)]

    def forward(x: Any, *parts: Any) -> Any:
        for number, activation in enumerate(activations):
            x = x @ parts[2 * number] + parts[2 * number + 1]
            if activation == "relu":
                x = x.relu()
        return x

    return tensors, forward


def _laion(head: LaionNsfw) -> Any:
    kept = np.ones(head.dim, dtype=np.float32)
    kept[list(head.tables)] = 0  # what is in no table has the index 0
    tensors, mlp = _chain(head.mlp)

    def forward(e: Any, mask: Any, mean: Any, std: Any, *parts: Any) -> Any:
        return mlp((_unit(e) * mask - mean) / std, *parts)

    return _module(forward, kept, head.mean, head.std, *tensors)


def _h14(head: LaionH14) -> Any:
    # It was trained to give 0 or 1 without a sigmoid: here is the logistic of the same value and
    # the same slope where it decides.
    tensors, mlp = _chain(head.mlp)
    return _module(lambda e, *parts: 4 * (mlp(_unit(e), *parts) - 0.5), *tensors)


def _multiheaded(head: MultiHeaded | TrainedMlp) -> Any:
    torch = require("torch", extra="zoo")
    chains = [_chain(mlp) for mlp in head.mlps]

    def forward(e: Any, *parts: Any) -> Any:
        rows, columns, at = _unit(e) if head.unit else e, [], 0
        for tensors, mlp in chains:
            columns.append(mlp(rows, *parts[at : at + len(tensors)]))
            at += len(tensors)
        return torch.cat(columns, dim=1)

    return _module(forward, *(tensor for tensors, _ in chains for tensor in tensors))


def _difference(head: TrainedPrompts) -> Any:
    return (head.unsafe - head.safe).T


def _cosines(rows: Any, scale: float) -> Any:
    return _module(lambda e, texts: scale * (_unit(e) @ texts), rows.T)


def _concepts(head: Concepts) -> Any:
    def forward(e: Any, texts: Any, thresholds: Any) -> Any:
        return _SCALE * (_unit(e) @ texts - thresholds)

    return _module(forward, head.texts.T, head.thresholds)


def _zero_shot(head: ZeroShot) -> Any:
    def forward(e: Any, texts: Any, neutral: Any) -> Any:
        rows = _unit(e)
        harmless = (rows @ neutral).amax(dim=1, keepdim=True)
        return _SCALE * (rows @ texts - harmless)

    return _module(forward, head.texts.T, head.neutral.T)


def _checker(head: SafetyChecker) -> Any:
    torch = require("torch", extra="zoo")

    def forward(
        e: Any, special: Any, special_weights: Any, concepts: Any, concept_weights: Any
    ) -> Any:
        rows = _unit(e)
        care = rows @ special - special_weights
        adjustment = torch.zeros_like(rows[:, 0])
        columns = []
        for k in range(care.shape[1]):
            column = care[:, k] + adjustment
            columns.append(column)
            # Past a threshold all that follows is raised: a step, which has no gradient.
            raised = torch.full_like(column, _CAREFUL)
            adjustment = torch.where(column > _HALF_STEP, raised, adjustment)
        rest = rows @ concepts - concept_weights + adjustment[:, None]
        scores = torch.cat([torch.stack(columns, dim=1), rest], dim=1)
        return _SCALE * (scores - _HALF_STEP)

    return _module(forward, *head.parts)

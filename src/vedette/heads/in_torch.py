"""The published heads as torch modules from embeddings to logits, for attacks.

Each is the arithmetic of its numpy file without what has no gradient: rounding, and tables of
printed numbers (an embedding that is computed in float32 is in none of them but by accident).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vedette.extras import require
from vedette.heads.base import Head, Mlp
from vedette.heads.concepts import Concepts, ZeroShot
from vedette.heads.laion import LaionH14, LaionNsfw
from vedette.heads.multiheaded import MultiHeaded
from vedette.heads.safety_checker import SafetyChecker
from vedette.heads.vectors import Q16, Violence

_SCALE = 100.0
"""CLIP's own logit scale."""
_HALF_STEP = 0.0005
"""The safety checker's scores come in thousandths, and 0 itself is below."""
_CAREFUL = 0.01


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
        case MultiHeaded():
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
    return None


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


def _multiheaded(head: MultiHeaded) -> Any:
    torch = require("torch", extra="zoo")
    chains = [_chain(mlp) for mlp in head.mlps]

    def forward(e: Any, *parts: Any) -> Any:
        columns, at = [], 0
        for tensors, mlp in chains:
            columns.append(mlp(e, *parts[at : at + len(tensors)]))
            at += len(tensors)
        return torch.cat(columns, dim=1)

    return _module(forward, *(tensor for tensors, _ in chains for tensor in tensors))


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

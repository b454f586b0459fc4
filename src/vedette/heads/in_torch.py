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
            return _module(_laion(head)), True
        case LaionH14():
            return _module(_h14(head)), True
        case MultiHeaded():
            return _module(_multiheaded(head)), True
        case Q16():
            return _module(_cosines(head.prompts, _SCALE)), False
        case Violence():
            return _module(_dots(head.vectors)), False
        case SafetyChecker():
            return _module(_checker(head)), True
        case Concepts():
            return _module(_concepts(head)), True
        case ZeroShot():
            return _module(_zero_shot(head)), True
    return None


def _module(forward: Any) -> Any:
    torch = require("torch", extra="zoo")

    class HeadModule(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, embeddings: Any) -> Any:
            return forward(embeddings)

    return HeadModule().eval()


def _tensor(values: Any) -> Any:
    torch = require("torch", extra="zoo")
    return torch.from_numpy(np.array(values, dtype=np.float32))


def _unit(embeddings: Any) -> Any:
    return embeddings / embeddings.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _mlp(mlp: Mlp) -> Any:
    layers = [
        (_tensor(layer.weight), _tensor(layer.bias), layer.activation) for layer in mlp.layers
    ]

    def forward(x: Any) -> Any:
        for weight, bias, activation in layers:
            x = x @ weight + bias
            if activation == "relu":
                x = x.relu()
        return x

    return forward


def _laion(head: LaionNsfw) -> Any:
    mean, std, mlp = _tensor(head.mean), _tensor(head.std), _mlp(head.mlp)
    kept = np.ones(head.dim, dtype=np.float32)
    kept[list(head.tables)] = 0  # what is in no table has the index 0
    mask = _tensor(kept)
    return lambda e: mlp((_unit(e) * mask - mean) / std)


def _h14(head: LaionH14) -> Any:
    # It was trained to give 0 or 1 without a sigmoid: here is the logistic of the same value and
    # the same slope where it decides.
    mlp = _mlp(head.mlp)
    return lambda e: 4 * (mlp(_unit(e)) - 0.5)


def _multiheaded(head: MultiHeaded) -> Any:
    torch = require("torch", extra="zoo")
    mlps = [_mlp(mlp) for mlp in head.mlps]
    return lambda e: torch.cat([mlp(e) for mlp in mlps], dim=1)


def _cosines(rows: Any, scale: float) -> Any:
    texts = _tensor(rows).T
    return lambda e: scale * (_unit(e) @ texts)


def _dots(rows: Any) -> Any:
    vectors = _tensor(rows).T
    return lambda e: _unit(e) @ vectors


def _concepts(head: Concepts) -> Any:
    texts, thresholds = _tensor(head.texts).T, _tensor(head.thresholds)
    return lambda e: _SCALE * (_unit(e) @ texts - thresholds)


def _zero_shot(head: ZeroShot) -> Any:
    texts, neutral = _tensor(head.texts).T, _tensor(head.neutral).T

    def forward(e: Any) -> Any:
        rows = _unit(e)
        harmless = (rows @ neutral).amax(dim=1, keepdim=True)
        return _SCALE * (rows @ texts - harmless)

    return forward


def _checker(head: SafetyChecker) -> Any:
    torch = require("torch", extra="zoo")
    special, special_weights, concepts, concept_weights = (_tensor(part) for part in head.parts)

    def forward(e: Any) -> Any:
        rows = _unit(e)
        care = rows @ special - special_weights
        adjustment = torch.zeros(len(rows))
        columns = []
        for k in range(care.shape[1]):
            column = care[:, k] + adjustment
            columns.append(column)
            # Past a threshold all that follows is raised: a step, which has no gradient.
            adjustment = torch.where(column > _HALF_STEP, _CAREFUL, adjustment)
        rest = rows @ concepts - concept_weights + adjustment[:, None]
        scores = torch.cat([torch.stack(columns, dim=1), rest], dim=1)
        return _SCALE * (scores - _HALF_STEP)

    return forward

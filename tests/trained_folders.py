"""Small trained heads, as folders of ``vedette train``: made here, not learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vedette.calibrate import Calibration, Calibrator, Method
from vedette.heads.base import Dense, Mlp
from vedette.heads.trained import TrainedHead, TrainedMlp, TrainedPrompts, facts_of, write_head
from vedette.models.base import ModelCard
from vedette.models.over import HEAD
from vedette.models.registry import build
from vedette.models.trained import CALIBRATION, write_manifest
from vedette.taxonomy import Category
from vedette.types import Float32

LABELS = (Category.HATE, Category.VIOLENCE, Category.SEXUAL)
CURVES: dict[Method, Calibrator] = {
    "temperature": Calibrator("temperature", (1.7,), shift=0.3),
    "platt": Calibrator("platt", (0.8, -0.4)),
    "beta": Calibrator("beta", (1.3, 0.7, 0.2), shift=-0.1),
    "isotonic": Calibrator(
        "isotonic", x=(0.1, 0.3, 0.45, 0.7, 0.9), y=(0.0, 0.2, 0.2, 0.8, 1.0), shift=0.2
    ),
}


def _rows(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Float32:
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def mlp(dim: int, hidden: int = 8, seed: int = 0, unit: bool = True) -> TrainedMlp:
    """One hidden layer for each label; none where ``hidden`` is 0."""
    rng = np.random.default_rng(seed)
    chains = []
    for _ in LABELS:
        if not hidden:
            chains.append(Mlp((Dense(_rows(rng, dim, 1, scale=3), _rows(rng, 1)),)))
            continue
        first = Dense(_rows(rng, dim, hidden), _rows(rng, hidden, scale=0.1), "relu")
        chains.append(Mlp((first, Dense(_rows(rng, hidden, 1), _rows(rng, 1, scale=0.1)))))
    return TrainedMlp(tuple(LABELS), tuple(chains), unit)


def prompts(dim: int, seed: int = 0, scale: float = 20.0) -> TrainedPrompts:
    """Two directions of length 1 for each label."""
    rng = np.random.default_rng(seed)
    safe, unsafe = (_rows(rng, len(LABELS), dim) for _ in range(2))
    safe, unsafe = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (safe, unsafe))
    return TrainedPrompts(tuple(LABELS), safe, unsafe, scale)


def calibration(method: Method) -> Calibration:
    """Of all labels but the first, which has too few images."""
    return Calibration("test@1", "head@trained", dict.fromkeys(LABELS[1:], CURVES[method]))


def head_folder(
    folder: Path, backbone: str, head: TrainedHead, curves: Calibration | None = None
) -> Path:
    """A folder of kind ``head``."""
    folder.mkdir(parents=True)
    write_head(folder / HEAD, head)
    if curves is not None:
        (folder / CALIBRATION).write_text(json.dumps(curves.as_json()))
    below = build(backbone).card
    card = card_of(folder.name, below, head.labels)
    card = replace(card, calibrated=None if curves is None else curves.name)
    parts = {"head": facts_of(head), "backbone": backbone, "backbone_model": below.model}
    write_manifest(folder, "head", card, parts)
    return folder


def card_of(name: str, base: ModelCard, labels: Sequence[str]) -> ModelCard:
    """As a training writes it."""
    return ModelCard(
        id=name,
        revision="trained",
        summary=f"a head over {base.id}",
        licence=f"yours; of {base.id}: {base.licence}",
        terms=base.terms,
        trained_on="random numbers",
        source="vedette train",
        sha256=None,
        labels={label: (Category(label),) for label in labels},
        fit=base.fit,
        precisions=base.precisions,
        embedding=base.embedding,
        parameters=1000,
        measured="unsafe F1 0.5 on nothing",
    )

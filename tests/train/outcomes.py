"""What a trainer hands over, made by hand: logits that are right as often as is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vedette.heads.base import Dense, Mlp
from vedette.heads.trained import TrainedMlp, facts_of, write_head
from vedette.models.dummy import CARD as DUMMY
from vedette.models.over import HEAD
from vedette.train.data import TrainingSet
from vedette.train.examples import PARTS, Examples, Part
from vedette.train.finishing import Epoch, Outcome
from vedette.types import Float32


def logits_of(examples: Examples, noise: float = 1.5, seed: int = 0) -> Mapping[Part, Float32]:
    """Logits about +2 where a label holds and about -2 where it does not."""
    rng = np.random.default_rng(seed)
    whole = np.where(examples.targets, 2.0, -2.0) + noise * rng.normal(size=examples.targets.shape)
    return {part: whole[examples.rows(part)].astype(np.float32) for part in PARTS[1:]}


def head_over_dummy(labels: tuple[str, ...], seed: int = 0) -> TrainedMlp:
    """One linear layer for each label, over the dummy's embedding."""
    rng = np.random.default_rng(seed)
    dim = DUMMY.embedding or 0
    mlps = tuple(
        Mlp((Dense(rng.normal(size=(dim, 1)).astype(np.float32), np.zeros(1, np.float32)),))
        for _ in labels
    )
    return TrainedMlp(labels, mlps, unit=False)


def outcome_of(data: TrainingSet, noise: float = 1.5) -> Outcome:
    """A head over the dummy, with logits that are not its own."""
    head = head_over_dummy(data.examples.labels)

    def write(folder: Path) -> None:
        write_head(folder / HEAD, head)

    history = [Epoch(n, {"train loss": 1 / n, "validation loss": 1.1 / n}) for n in (1, 2, 3)]
    return Outcome(
        kind="head",
        summary="a head made by hand over dummy",
        base=DUMMY,
        logits=logits_of(data.examples, noise),
        history=history,
        options={"epochs": 3},
        parts={"backbone": "dummy", "backbone_model": DUMMY.model, "head": facts_of(head)},
        write=write,
        embedding=DUMMY.embedding,
        parameters=123,
        trained=123,
    )

"""Classifiers for tests of the pipeline: real ones of the protocol, with habits that go wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from vedette.models.base import ModelOptions, Prepared
from vedette.models.dummy import Dummy
from vedette.models.registry import build
from vedette.types import Prediction


class Habit(Dummy):
    """The dummy, with something done to each batch first."""

    def __init__(self, habit: Callable[[Sequence[Prepared]], None], streams: int = 1) -> None:
        self._habit = habit
        self.streams = streams
        self.batches: list[int] = []
        self._lock = threading.Lock()

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        with self._lock:
            self.batches.append(len(batch))
        self._habit(batch)
        return super().infer(batch)


def is_marked(prepared: Prepared) -> bool:
    """Whether a picture is the all-red one that a habit is to choke on."""
    return bool((prepared.pixels.reshape(-1, 3) == (255, 0, 0)).all())


def choke_on_marked(batch: Sequence[Prepared]) -> None:
    """Fail on any batch with a marked picture."""
    if any(is_marked(p) for p in batch):
        raise RuntimeError("the network choked")


def slow(seconds: float) -> Callable[[Sequence[Prepared]], None]:
    """Take that long for a batch."""
    return lambda batch: time.sleep(seconds)


class NotANumber(Dummy):
    """Answers with NaN for the marked picture."""

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        out = []
        for prepared, prediction in zip(batch, super().infer(batch), strict=True):
            probs = prediction.probs
            if is_marked(prepared):
                probs = np.full_like(probs, np.nan)
            out.append(Prediction(prediction.labels, probs, prediction.model))
        return out


def dummy() -> Dummy:
    """The registered dummy."""
    model = build("dummy", ModelOptions())
    assert isinstance(model, Dummy)
    return model

"""One item's way through the pipeline: what is known of it so far, until it is a Record."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import replace

import numpy as np

from vedette.errors import ItemError
from vedette.models.base import Prepared
from vedette.policy import Policy
from vedette.scores import merge_regions, worst
from vedette.types import (
    Failure,
    FrameScore,
    Image,
    Item,
    Prediction,
    Record,
    Region,
    Scores,
)

_NO_PIXELS = np.empty((0, 0, 3), dtype=np.uint8)


class Job:
    """Gathers an item's frames from several threads and completes its Future exactly once.

    A failure anywhere stays with the Record beside the scores of what could be scanned: the
    policy then sees both, and the severer one counts.
    """

    def __init__(self, item: Item, policy: Policy, model: str, keep_embedding: bool) -> None:
        self.item = item
        self.future: Future[Record] = Future()
        self._policy = policy
        self._model = model
        self._keep_embedding = keep_embedding
        self._lock = threading.Lock()
        self._first: Image | None = None
        self._times: dict[int, float | None] = {}
        self._pending = 0
        self._sent = 0
        self._decoded = False
        self._failure: Failure | None = None
        self._sha256: str | None = None
        self._format: str | None = None
        self._scores: dict[int, list[Scores]] = {}
        self._regions: list[Region] = []
        self._best: tuple[tuple[float, int], Prediction] | None = None
        self._decode_ms = 0.0
        self._infer_ms = 0.0

    def wanted(self) -> bool:
        """False once nobody waits for the Record any more."""
        return not self.future.done()

    def saw(self, image: Image) -> None:
        """A frame was decoded. Called by the one decode thread, before :meth:`expect`."""
        with self._lock:
            if self._first is None:
                # Its facts, not its pixels: those must not outlive their way to the model.
                self._first = replace(image, pixels=_NO_PIXELS)
            self._times[image.frame] = image.time_s

    def expect(self) -> int:
        """A prepared picture is on its way to the model; which one, counted from 0."""
        with self._lock:
            self._pending += 1
            self._sent += 1
            return self._sent - 1

    def decoded(self, failure: ItemError | None, decode_ms: float) -> None:
        """The decode thread is done with the item."""
        with self._lock:
            self._decoded = True
            self._decode_ms = decode_ms
            if failure is not None:
                self._failure = failure.failure()
                self._sha256, self._format = failure.sha256, failure.format
        self._complete_if_done()

    def predicted(
        self, place: int, prepared: Prepared, prediction: Prediction, scores: Scores, ms: float
    ) -> None:
        """A picture came back from the model; ``place`` is what :meth:`expect` has said."""
        with self._lock:
            self._pending -= 1
            self._infer_ms += ms
            self._scores.setdefault(prepared.frame, []).append(scores)
            self._regions += prediction.regions
            # Of equals the first: a model that judges nothing must not depend on who is faster.
            peak = float(scores.p.max()), -place
            if self._best is None or peak > self._best[0]:
                self._best = (peak, prediction)
        self._complete_if_done()

    def failed(self, error: ItemError) -> None:
        """The model failed on a picture."""
        with self._lock:
            self._pending -= 1
            self._failure = self._failure or error.failure()
        self._complete_if_done()

    def abandon(self, error: ItemError) -> None:
        """Complete now, with what there is and ``error``."""
        with self._lock:
            self._failure = self._failure or error.failure()
        self._complete()

    def _complete_if_done(self) -> None:
        with self._lock:
            done = self._decoded and not self._pending
        if done:
            self._complete()

    def _complete(self) -> None:
        with suppress(InvalidStateError):  # cancelled or abandoned: somebody was faster
            try:
                with self._lock:
                    record = self._record()
            except Exception as error:  # noqa: BLE001 - a defect must reach who waits, not hang it
                self.future.set_exception(error)
            else:
                self.future.set_result(record)

    def _record(self) -> Record:
        frames = {index: worst(self._scores[index]) for index in sorted(self._scores)}
        scores = worst(list(frames.values())) if frames else None
        failure = self._failure
        if scores is None and failure is None:
            failure = Failure("decode", "corrupt", "the file holds no picture")
        regions = merge_regions(self._regions)
        embedding = self._best[1].embedding if self._best and self._keep_embedding else None
        first = self._first
        return Record(
            key=self.item.key,
            sha256=first.sha256 if first else self._sha256,
            width=first.width if first else None,
            height=first.height if first else None,
            frames=len(frames),
            scores=scores,
            regions=regions,
            verdict=self._policy.decide(scores, regions, failure),
            failure=failure,
            models=(self._model,),
            times_ms={"decode": self._decode_ms, "infer": self._infer_ms},
            format=first.format if first else self._format,
            timeline=tuple(
                FrameScore(index, self._times.get(index), frame.as_dict())
                for index, frame in frames.items()
            )
            if len(frames) > 1
            else (),
            embedding=embedding,
        )

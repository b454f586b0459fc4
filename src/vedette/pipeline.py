"""The one pipeline: items in, Records out, in input order, memory flat.

Decode threads turn items into prepared pictures, a bounded :class:`~vedette.batcher.Batcher`
holds them, and one thread for each of the model's streams takes batches and runs them. Every
submitted item ends in exactly one Record, whatever fails on the way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from vedette.backends.base import cores
from vedette.batcher import Batcher, Closed
from vedette.calibrate import Calibration, calibrated_already, read_calibration
from vedette.data.memory import Scannable, as_item
from vedette.decode import DecodeOptions, Decoder, InlineDecoder
from vedette.errors import DecodeError, InferError, ItemError, UsageError
from vedette.job import Job
from vedette.models.base import Classifier, ModelCard, ModelOptions, Prepared
from vedette.models.registry import build, check_commercial
from vedette.models.scope import parse_scope
from vedette.policy import Policy, load_policy
from vedette.scores import check, to_scores
from vedette.settings import ScanOptions, Settings, validated
from vedette.types import Item, Prediction, Record

_DEFAULTS = Settings()


class Scanner:
    """Scans images into Records; keep one and use it for many.

    >>> from vedette import Scanner
    >>> with Scanner(model="dummy") as scanner:
    ...     record = scanner.scan(b"not a picture")
    >>> record.verdict.action.value, record.failure.code
    ('review', 'unsupported_format')

    Args:
        model: a name of ``vedette models list``, or a Classifier of your own.
        policy: a preset's name, a policy file, or a Policy.
        settings: limits, video sampling and options; its model, policy and calibration are not
            used here.
        calibration: a file of ``vedette calibrate`` made for this very model, or what it says.

    Raises:
        VedetteError: the model cannot be loaded or the policy cannot be used;
            ``bad_calibration``: it is another model's, or the model is calibrated by itself.
    """

    def __init__(
        self,
        model: str | Classifier = _DEFAULTS.model,
        policy: str | Policy = _DEFAULTS.policy,
        settings: Settings = _DEFAULTS,
        calibration: str | Path | Calibration | None = None,
    ) -> None:
        options: ScanOptions = validated(settings.scan, "scan options")
        self.policy = policy if isinstance(policy, Policy) else load_policy(policy)
        self.model = classifier(model, settings)
        self._calibration = _calibration_for(self.model, calibration)
        check_policy(self.policy, self.model.card, self.calibrated)
        self._options = options
        self.decoder = decoder_for(self.model, settings)
        workers = options.workers or cores()
        self._batcher: Batcher[tuple[Job, int, Prepared]] = Batcher(
            capacity=2 * options.batch * self.model.streams,
            batch=options.batch,
            takers=self.model.streams,
        )
        self._live: set[Job] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._decoding = ThreadPoolExecutor(workers, thread_name_prefix="vedette-decode")
        self._inferring = [
            threading.Thread(target=self._infer_loop, name=f"vedette-infer-{i}", daemon=True)
            for i in range(self.model.streams)
        ]
        for thread in self._inferring:
            thread.start()

    @property
    def calibrated(self) -> str | None:
        """Name of the calibration that its Records state: a file's, or the model's own."""
        if self._calibration is not None:
            return self._calibration.name
        return self.model.card.calibrated

    def scan(self, image: Scannable) -> Record:
        """The Record of one image, archive member or video.

        Args:
            image: a path, the bytes of a file, a Pillow image, a uint8 array [H, W], [H, W, 3] or
                [H, W, 4], or an :class:`~vedette.types.Item`.

        Raises:
            UsageError: it is none of these. What is wrong with the picture itself is never
                raised: it is the Record's ``failure``.
        """
        return self.submit(as_item(image)).result()

    def scan_many(self, images: Iterable[Scannable]) -> Generator[Record, None, None]:
        """The Records of many images, in their order, as they become ready.

        ``images`` is read in the calling thread, only as far ahead as ``in_flight`` and
        ``in_flight_bytes`` allow. Closing the iterator early cancels what was read ahead.
        """
        waiting: deque[tuple[Future[Record], int]] = deque()
        held = 0
        try:
            for image in images:
                item = as_item(image)
                size = len(item.data) if isinstance(item.data, bytes) else 0
                while waiting and (
                    len(waiting) >= self._options.in_flight
                    or held + size > self._options.in_flight_bytes
                ):
                    future, freed = waiting.popleft()
                    yield future.result()
                    held -= freed
                waiting.append((self.submit(item), size))
                held += size
                del item, image  # the bytes are the pipeline's now
                while waiting and waiting[0][0].done():
                    future, freed = waiting.popleft()
                    yield future.result()
                    held -= freed
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()

    def submit(self, item: Item) -> Future[Record]:
        """Queue one item; its Future always ends, in a Record or cancelled.

        Raises:
            UsageError: the scanner is closed.
        """
        job = Job(item, self.policy, self.model.card.model, self._options.embeddings)
        with self._lock:
            if self._closed:
                raise UsageError("the scanner is closed", hint="make a new Scanner")
            self._live.add(job)
            job.future.add_done_callback(lambda _: self._forget(job))
            self._decoding.submit(self._decode, job)
        return job.future

    def close(self) -> None:
        """End the threads and workers. Items not done yet get a Record with ``cancelled``."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            live = list(self._live)
        stopped = InferError("the scan was stopped before this item was done", code="cancelled")
        for job in live:
            job.abandon(stopped)
        self._batcher.close()
        self._decoding.shutdown(wait=True, cancel_futures=True)
        for thread in self._inferring:
            thread.join()
        self.decoder.close()

    def __enter__(self) -> Scanner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _forget(self, job: Job) -> None:
        with self._lock:
            self._live.discard(job)

    def _decode(self, job: Job) -> None:
        """Decode thread: one item into prepared pictures."""
        if not job.wanted():  # cancelled while it waited for a thread
            return
        failure: ItemError | None = None
        started = time.perf_counter()
        spent = 0.0
        try:
            frames = self.decoder.frames(job.item)
            for image in frames:
                job.saw(image)
                prepared = self.model.prepare(image)
                del image  # a full-size frame must not wait with us for room in the batcher
                spent += time.perf_counter() - started
                if not job.wanted():
                    return
                self._batcher.put(prepared.shape, (job, job.expect(), prepared))
                del prepared
                started = time.perf_counter()
        except Closed:
            return  # close() has abandoned the job
        except ItemError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - one file must never cost more than its Record
            failure = DecodeError(f"{type(error).__name__}: {error}")
        spent += time.perf_counter() - started
        job.decoded(failure, 1000 * spent)

    def _infer_loop(self) -> None:
        """Inference thread: batches until the batcher closes."""
        with suppress(Closed):
            while True:
                self._infer(self._batcher.take())

    def _infer(self, batch: list[tuple[Job, int, Prepared]]) -> None:
        batch = [one for one in batch if one[0].wanted()]
        if not batch:
            return
        started = time.perf_counter()
        try:
            predictions = self._predict([prepared for _, _, prepared in batch])
        except Exception as error:  # noqa: BLE001 - a backend may raise anything
            if len(batch) == 1:
                job, _, _ = batch[0]
                job.failed(InferError(f"{type(error).__name__}: {error}"))
            else:
                for one in batch:  # so that one bad image costs one Record
                    self._infer([one])
            return
        each_ms = 1000 * (time.perf_counter() - started) / len(batch)
        for (job, place, prepared), prediction in zip(batch, predictions, strict=True):
            try:
                check(prediction)
                card = self.model.card
                scores = to_scores(prediction, card.labels, calibrated=card.calibrated)
                if self._calibration is not None:
                    scores = self._calibration.scores(scores)
            except Exception as error:  # noqa: BLE001 - a third party's model may return anything
                invalid = InferError(
                    f"{type(error).__name__}: {error}", code="model_output_invalid"
                )
                job.failed(invalid)
            else:
                job.predicted(place, prepared, prediction, scores, each_ms)

    def _predict(self, batch: list[Prepared]) -> list[Prediction]:
        predictions = list(self.model.infer(batch))
        if len(predictions) != len(batch):
            raise ValueError(f"{len(predictions)} predictions for {len(batch)} images")
        return predictions


def classifier(model: str | Classifier, settings: Settings) -> Classifier:
    """The model of that name, loaded as the settings have it; a Classifier is taken as it is.

    Raises:
        VedetteError: it cannot be loaded; ``commercial``: its terms do not admit what is asked.
    """
    if isinstance(model, str):
        scan = settings.scan
        how = ModelOptions(
            scan.backend, scan.precision, settings.commercial, parse_scope(scan.scope)
        )
        model = build(model, how)
    if settings.commercial:
        check_commercial(model.card)
    return model


def check_policy(policy: Policy, card: ModelCard, calibrated: str | None) -> None:
    """Refuse a policy over scores that it was not made for: it would flag, or pass, everything.

    A policy that asks about nothing, which no file can be, is for embeddings: it allows no image.

    Args:
        policy: to decide by.
        card: of the model.
        calibrated: name of the calibration that the scores state; None: they are not calibrated.

    Raises:
        UsageError: the model can see nothing that the policy asks about; ``bad_calibration``: its
            thresholds were chosen on other probabilities than these.
    """
    if policy.asks_about and policy.asks_about.isdisjoint(card.covered):
        raise UsageError(
            f"{card.id} can see nothing that the policy {policy.id} asks about",
            hint=f"it covers {', '.join(card.covered)}: use another policy, or another model"
            if card.covered
            else "it gives embeddings and judges nothing: train a head over it, vedette train",
        )
    if policy.calibrated is not None and policy.calibrated != calibrated:
        raise UsageError(
            f"the thresholds of {policy.id} are for scores calibrated by {policy.calibrated!r}, "
            f"and these are {f'calibrated by {calibrated!r}' if calibrated else 'not calibrated'}",
            code="bad_calibration",
            hint="use the model and the calibration.json that the policy was written with",
        )


def _calibration_for(
    model: Classifier, given: str | Path | Calibration | None
) -> Calibration | None:
    if given is None:
        return None
    found = given
    if not isinstance(found, Calibration):
        found = read_calibration(Path(found), categories=True)
    card = model.card
    if card.calibrated is not None:
        raise calibrated_already(card.id, card.calibrated)
    if found.model != card.model:
        raise UsageError(
            f"the calibration {found.name} is for {found.model}, and the model is {card.model}",
            code="bad_calibration",
        )
    return found


def decoder_for(model: Classifier, settings: Settings) -> Decoder:
    """The decoder whose frames ``model`` is shown, by the settings; the caller closes it.

    Raises:
        SettingsError: a limit that is not positive.
    """
    validated(settings.limits, "limits")
    validated(settings.video, "video")
    options = DecodeOptions(
        limits=settings.limits,
        sampling=settings.video,
        fit=None if settings.scan.exact_decode else model.fit,
        icc=model.icc,
    )
    if settings.scan.hardened:
        from vedette.hardened import HardenedDecoder

        return HardenedDecoder(options)
    return InlineDecoder(options)

"""An endpoint as a predictor: asked in parallel, answered in order, nothing paid for twice."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from vedette.bench.endpoints.kept import Answers, Kept, key_of
from vedette.bench.endpoints.options import EndpointOptions
from vedette.bench.endpoints.pacing import LONGEST_WAIT_S, Budget, Pace, backoff, retry_after
from vedette.bench.endpoints.pictures import Picture, encoded, still
from vedette.bench.endpoints.post import Unreached, post
from vedette.bench.endpoints.service import NoAnswer, Reading, Service
from vedette.bench.predictor import Answer, PredictorCard
from vedette.compile.cache import cache_root
from vedette.errors import ItemError, VedetteError
from vedette.settings import Limits
from vedette.taxonomy import Category
from vedette.text import printable
from vedette.types import Item, UInt8

_FORM = "1"
"""Of what is kept; another one when what is sent for the same picture changes."""
_IN_A_ROW = 10
"""Images without an answer for a reason that may pass, one after the other, that end a run."""
PROBE = np.full((256, 256, 3), 128, np.uint8)
"""A grey square: the first question, which tells the revision and the coverage."""


@dataclass(slots=True)
class _Run:
    """One call of predict."""

    stop: threading.Event = field(default_factory=threading.Event)
    error: VedetteError | None = None
    """That ended it."""


class RemotePredictor:
    """A service under test.

    Args:
        name: as the user gave it.
        service: how it is asked.
        options: how often, how long, at what cost.
        limits: of decoding.
    """

    def __init__(
        self, name: str, service: Service, options: EndpointOptions, limits: Limits
    ) -> None:
        self._name = name
        self._service = service
        self._options = options
        self._limits = limits
        self._answers = Answers((options.cache or cache_root()) / "endpoints")
        self._budget = Budget(options.max_cost, options.price)
        self._pace = Pace(options.rate)
        self._first: Reading | None = None

    @property
    def card(self) -> PredictorCard:
        """Facts for the result; asks about a drawn grey square first, for revision and coverage.

        Raises:
            VedetteError: the endpoint cannot be used.
        """
        first = self._introduced()
        price = self._options.price
        return PredictorCard(
            name=self._name,
            model=f"{self._service.id}@{first.revision or 'unknown'}",
            covered=tuple(c for c in Category if c in first.p),
            kind="endpoint",
            runtime="http",
            terms="the service's own; pictures are sent to it",
            price_per_1000=None if price is None else round(price * 1000, 6),
            facts={
                "sends_images_to": self._service.access.host,
                "sent_as": self._service.limits.told,
                **self._service.facts,
            },
        )

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        """See :class:`~vedette.bench.predictor.Predictor`."""
        self._introduced()
        run = _Run()
        workers = self._options.concurrency
        pool = ThreadPoolExecutor(workers, thread_name_prefix="vedette-endpoint")
        asked: deque[Future[tuple[Answer, bool]]] = deque()
        left = iter(items)
        in_a_row = 0
        try:
            while True:
                # Enough that a slow answer does not leave the others without work.
                for item in islice(left, 2 * workers - len(asked)):
                    asked.append(pool.submit(self._answer, item, run))
                if not asked:
                    return
                try:
                    answer, may_pass = asked.popleft().result()
                except VedetteError as error:
                    raise run.error or error from None
                in_a_row = in_a_row + 1 if may_pass else 0
                yield answer
                if in_a_row == _IN_A_ROW:
                    raise self._down(answer)
        finally:
            # Those under way are waited for, and kept: they are paid.
            run.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Close the file of answers."""
        self._answers.close()

    def _introduced(self) -> Reading:
        if self._first is None:
            try:
                self._first = self._asked(PROBE, "probe", threading.Event())[0]
            except NoAnswer as error:
                raise self._unusable(error.message) from error
        return self._first

    def _answer(self, item: Item, run: _Run) -> tuple[Answer, bool]:
        """One item's, with what is wrong with it; and whether another day may bring a better one.

        Raises:
            VedetteError: the run is over; ``run`` has the first reason.
        """
        sha256 = None
        covered = self._introduced().p.keys()
        try:
            image = still(item, self._limits)
            sha256 = image.sha256
            reading, ms = self._asked(image.pixels, sha256, run.stop)
            missing = [category.value for category in covered if category not in reading.p]
            if missing:
                raise NoAnswer(f"the answer does not cover {', '.join(missing)}")
        except NoAnswer as error:
            return Answer(item.key, sha256, None, failure=error.failure()), error.passing
        except ItemError as error:
            return Answer(item.key, sha256 or error.sha256, None, failure=error.failure()), False
        except VedetteError as error:
            run.error = run.error or error
            run.stop.set()  # the others need not ask any more
            raise
        p = {category: reading.p[category] for category in covered}
        flagged = None if reading.flagged is None else reading.flagged & frozenset(covered)
        return Answer(item.key, sha256, p, flagged, ms=ms), False

    def _asked(self, pixels: UInt8, name: str, stop: threading.Event) -> tuple[Reading, float]:
        """What the service says of a picture, now or earlier, and the time that it took, in ms.

        Raises:
            NoAnswer: nothing that can be used.
            VedetteError: the run is over: a cap, a key, a file that cannot be written.
        """
        service = self._service
        key = key_of([_FORM, service.access.url, service.model, service.limits.told, name])
        kept = self._answers.get(key)
        if kept is not None:
            try:
                return self._checked(service.read(kept.body)), kept.ms
            except NoAnswer:
                kept = None  # kept by another version; asked for again
        kept = self._fetched(pixels, name, stop)
        reading = self._checked(service.read(kept.body))
        self._answers.put(key, kept)
        return reading, kept.ms

    def _fetched(self, pixels: UInt8, name: str, stop: threading.Event) -> Kept:
        picture = encoded(pixels, self._service.limits)
        options = self._options
        for attempt in range(options.retries + 1):
            self._pace.wait(stop)
            if stop.is_set():
                raise VedetteError("the run was stopped", code="cancelled")
            outcome = self._once(picture)
            if isinstance(outcome, Kept):
                return outcome
            reason, asked_for = outcome
            if asked_for is not None:
                self._pace.pause(asked_for)  # for all: the service speaks to the account
            if attempt < options.retries:
                stop.wait(backoff(options.backoff_s, attempt, options.seed, name))
        raise NoAnswer(f"{reason} ({options.retries + 1} attempts)", passing=True)

    def _once(self, picture: Picture) -> Kept | tuple[str, float | None]:
        """One request: its answer, or why there is none now and how long the service asks to wait.

        Raises:
            NoAnswer, VedetteError: see :meth:`_asked`.
        """
        access = self._service.access
        headers, body = self._service.request(picture)
        self._budget.take()
        try:
            reply = post(access.url, headers, body, self._options.timeout_s)
        except Unreached as error:
            if not error.charged:
                self._budget.give_back()
            return f"{access.host}: {error}", None
        try:
            value = json.loads(reply.body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            value = None
        if reply.status == 200:
            if value is None:
                raise NoAnswer("the answer is no JSON", passing=True)
            return Kept(value, round(reply.ms, 3))
        self._budget.give_back()  # what is refused is not charged
        refusal = self._service.refusal(reply.status, value)
        if refusal.kind == "all":
            raise self._unusable(refusal.message)
        if refusal.kind == "image":
            raise NoAnswer(f"refused: {refusal.message}")
        asked_for = retry_after(reply.retry_after, time.time())
        if asked_for is not None and asked_for > LONGEST_WAIT_S:
            raise self._unusable(f"it asks to wait {asked_for:.0f} s")
        return refusal.message, asked_for

    def _checked(self, reading: Reading) -> Reading:
        """``reading``, if the same model has answered as at first: a result is about one.

        Raises:
            VedetteError: ``endpoint_refused``.
        """
        first = self._first
        if first is not None and reading.revision != first.revision:
            raise VedetteError(
                f"{self._name}: {printable(reading.revision) or 'a model without a name'} answers, "
                f"and {first.revision or 'one without a name'} did before",
                code="endpoint_refused",
                hint="name a revision that stays, or set VEDETTE_CACHE to a new folder",
            )
        return reading

    def _unusable(self, reason: str) -> VedetteError:
        return VedetteError(
            f"{self._name} at {self._service.access.host}: {reason}", code="endpoint_refused"
        )

    def _down(self, answer: Answer) -> VedetteError:
        reason = answer.failure.message if answer.failure else ""
        return VedetteError(
            f"{self._name}: {_IN_A_ROW} images in a row got no answer; the last: {reason}",
            code="endpoint_down",
        )


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")

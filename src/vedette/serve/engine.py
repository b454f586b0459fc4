"""The pipeline behind the service: admission, deadlines, cancellation; every request ends.

One :class:`~vedette.pipeline.Scanner` for each model, shared by all requests: its batcher puts
images of different requests into one batch. Past the bound an image is refused at once, so that
those that were admitted are answered in time.
"""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vedette.backends.base import cores
from vedette.calibrate import Calibration
from vedette.errors import UnknownNameError, UsageError
from vedette.models.base import Classifier, ModelCard
from vedette.models.registry import entries
from vedette.pipeline import Scanner, classifier
from vedette.policy import Policy, Rule
from vedette.serve.pace import Pace
from vedette.serve.refusals import Refusal
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Item, Record

_EVERYTHING = Policy("serve", "1", {category: Rule(None, 1.0) for category in Category})
"""Records are decided again under the caller's own policy: scores do not depend on one."""
_LONG = 64
_SHORT = (64, 48, 43, 36, 28)
_SIZES = tuple(dict.fromkeys((w, h) for s in _SHORT for w, h in ((_LONG, s), (s, _LONG))))
"""px. Pictures as they are usually shaped: 1:1, 4:3, 3:2, 16:9, and a telephone's 20:9."""
_ENTERING_S = 0.5
"""How long a place is kept for a request that was let in: a slow body must not hold one."""
_LEAST_RETRY_S = 1.0
_MOST_RETRY_S = 60.0


def _name_of(model: str | Classifier, card: ModelCard) -> str:
    """A folder goes by its card: where it lies is not for callers to know."""
    if isinstance(model, str) and (model in entries() or not Path(model).is_dir()):
        return model
    return card.id


def _blank(size: tuple[int, int]) -> Item:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", size, "grey").save(buffer, "PNG")
    return Item("warm", buffer.getvalue())


def _bad(told: str, hint: str) -> UsageError:
    return UsageError(told, code="bad_calibration", hint=hint)


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the engine is."""

    waiting: int
    """Images admitted and not yet answered."""
    bound: int
    rate: float
    """Images per second that it answers while it has some, a moving mean; 0 before the first."""
    refused: int
    """Images refused since the start, for want of room."""


class Room:
    """Places in an engine's queue for the images of one request; each is given back once."""

    def __init__(self, engine: Engine, images: int) -> None:
        self._engine = engine
        self._left = images

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine._give_back(self, None)

    def left(self, future: Future[Record]) -> None:
        """An image is answered, or nobody waits for it any more: a Future tells it once."""
        self._engine._give_back(self, future)

    def take(self, most: int | None) -> int:
        """Places to give back now; called under the engine's lock."""
        taken = self._left if most is None else min(most, self._left)
        self._left -= taken
        return taken


class Engine:
    """Scans items of many requests at once; thread-safe.

    Args:
        models: names, or folders and Classifiers that go by their card's id; the first is the
            default. Loaded here.
        settings: limits and options of the pipeline; hardened decoding is the caller's to set.
        bound: images admitted and not yet answered, at most.
        calibrations: of ``vedette calibrate``, each for one of the models.

    Raises:
        VedetteError: a model cannot be loaded, or two have one name; ``bad_calibration``: one that
            is for none of them, or two for the same.
    """

    def __init__(
        self,
        models: Sequence[str | Classifier],
        settings: Settings,
        bound: int,
        calibrations: Sequence[Calibration] = (),
    ) -> None:
        if not models:
            raise UsageError("a service without a model", hint="name one with --model")
        if bound < 1:
            raise UsageError(f"a queue of {bound} images admits nothing", hint="see docs/serve.md")
        self._scanners: dict[str, Scanner] = {}
        self._lock = threading.Lock()
        self._bound = bound
        self._waiting = 0
        self._refused = 0
        self._entering: dict[object, float] = {}
        """Requests that were let in and have no image admitted yet, oldest first, and when that
        was, of ``time.monotonic()``."""
        self._pace = Pace()
        self._draining = False
        self._closed = False
        try:
            for place, model in enumerate(models):
                if model in models[:place]:
                    continue
                loaded = classifier(model, settings)
                name = _name_of(model, loaded.card)
                if name in self._scanners:
                    raise UsageError(
                        f"two models are called {name!r}",
                        hint="callers choose by that name: serve one of them, or train it anew as "
                        "a folder of another name",
                    )
                mine = [one for one in calibrations if one.model == loaded.card.model]
                if len(mine) > 1:
                    raise _bad(f"{len(mine)} calibrations are for {name}", "give one of them")
                curves = mine[0] if mine else None
                self._scanners[name] = Scanner(loaded, _EVERYTHING, settings, curves)
            known = [card.model for card in self.models.values()]
            for one in calibrations:
                if one.model not in known:
                    told = f"the calibration {one.name} is for {one.model}, which is not served"
                    raise _bad(told, f"served are {', '.join(known)}")
        except Exception:
            self.close()
            raise
        self.default = next(iter(self._scanners))

    @property
    def models(self) -> Mapping[str, ModelCard]:
        """Cards by the name that callers use."""
        return {name: scanner.model.card for name, scanner in self._scanners.items()}

    @property
    def calibrated(self) -> Mapping[str, str | None]:
        """By the model's name: the calibration that its scores state; None: they have none."""
        return {name: scanner.calibrated for name, scanner in self._scanners.items()}

    @property
    def load(self) -> Load:
        """How busy it is."""
        with self._lock:
            return Load(self._waiting, self._bound, self._pace.rate, self._refused)

    @property
    def draining(self) -> bool:
        """Whether it takes nothing new."""
        return self._draining

    def warm(self) -> None:
        """Run every decoder, and every model on each of its input shapes, so that no caller waits
        for their start: networks of fixed shapes are compiled when a picture first needs them."""
        for scanner in self._scanners.values():
            seen: set[tuple[int, ...]] = set()
            for size in _SIZES:
                item = _blank(size)
                (image,) = scanner.decoder.frames(item)
                shape = scanner.model.prepare(image).shape
                if shape not in seen:
                    seen.add(shape)
                    for future in [scanner.submit(item) for _ in range(2 * cores())]:
                        future.result()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let a request in that may have an image, before its body is read; the block is all of it.

        Room for an image is counted until it is admitted, for a moment at most: else all who come
        while one place is free would be let in, each to be refused later, when it has cost its
        body and its parsing.

        Raises:
            Refusal: ``overloaded``, ``shutting_down``.
        """
        me = object()
        with self._lock:
            now = time.monotonic()
            while self._entering and next(iter(self._entering.values())) < now - _ENTERING_S:
                self._admitted()
            self._check(1, len(self._entering))
            self._entering[me] = now
        try:
            yield
        finally:
            with self._lock:
                self._entering.pop(me, None)

    def check_room(self, images: int) -> None:
        """Refuse now what would be refused later, before its bytes are fetched or decoded.

        Raises:
            Refusal: ``overloaded``, ``shutting_down``.
        """
        with self._lock:
            self._check(images)

    def room(self, images: int) -> Room:
        """Admit the images of one request, all or none; they leave with :meth:`scan` or the block.

        Raises:
            Refusal: ``overloaded``, ``shutting_down``.
        """
        with self._lock:
            self._check(images)
            self._pace.passed(busy=self._waiting > 0)
            self._waiting += images
            self._admitted()
        return Room(self, images)

    async def scan(
        self,
        items: Sequence[Item],
        model: str | None,
        policy: Policy,
        seconds: float,
        room: Room | None = None,
    ) -> list[Record]:
        """The Records of one request's items, in order, decided by ``policy``.

        When the caller goes, or the time is over, what has not been begun is dropped.

        Args:
            items: of one request.
            model: its name; None: the default.
            policy: what to decide by.
            seconds: for all of it.
            room: where the items were admitted already; else it is done here.

        Raises:
            Refusal: ``overloaded``, ``shutting_down``, ``request_timeout``.
            UnknownNameError: no such model here.
        """
        scanner = self._scanner(model)
        if room is None:
            with self.room(len(items)) as own:
                return await self._scan(scanner, items, policy, seconds, own)
        return await self._scan(scanner, items, policy, seconds, room)

    async def _scan(
        self, scanner: Scanner, items: Sequence[Item], policy: Policy, seconds: float, room: Room
    ) -> list[Record]:
        futures: list[Future[Record]] = []
        try:
            for item in items:
                futures.append(scanner.submit(item))
                futures[-1].add_done_callback(room.left)
            waits = [asyncio.wrap_future(future) for future in futures]
            records = await asyncio.wait_for(asyncio.gather(*waits), seconds)
        except TimeoutError as error:
            raise Refusal(
                "the images were not scanned in the request's time",
                code="request_timeout",
                retry_after_s=_LEAST_RETRY_S,
            ) from error
        except UsageError as error:  # the scanner was closed in between
            raise self._going() from error
        finally:
            for future in futures:
                future.cancel()
        if self._closed and any(r.failure and r.failure.code == "cancelled" for r in records):
            raise self._going()
        return [policy.apply(record) for record in records]

    def drain(self) -> None:
        """Take nothing new; what is under way goes on."""
        self._draining = True

    def close(self) -> None:
        """End the pipelines; who still waits is told that the service goes down."""
        self._draining = self._closed = True
        for scanner in self._scanners.values():
            with suppress(Exception):  # the others are to be closed too
                scanner.close()

    def _scanner(self, model: str | None) -> Scanner:
        name = model or self.default
        if name not in self._scanners:
            raise UnknownNameError("model", name, self._scanners)
        return self._scanners[name]

    def _admitted(self) -> None:
        """The request that was let in first is at the door no more; called under the lock.

        Whose images were admitted is not asked. A job's, which came by no door, end the moment of
        another request, which is counted again when its own images wait.
        """
        if self._entering:
            del self._entering[next(iter(self._entering))]

    def _check(self, images: int, coming: int = 0) -> None:
        """Whether there is room beside who waits and who comes; called under the lock."""
        if self._draining:
            raise self._going()
        # A request larger than the bound is admitted alone: it could never be otherwise.
        before = self._waiting + coming
        over = before + images - self._bound
        if images and before and over > 0:
            self._refused += images
            wait = over / self._pace.rate if self._pace.rate else _LEAST_RETRY_S
            raise Refusal(
                "too many images are waiting",
                code="overloaded",
                retry_after_s=min(max(wait, _LEAST_RETRY_S), _MOST_RETRY_S),
            )

    def _going(self) -> Refusal:
        told = "the service is shutting down"
        return Refusal(told, code="shutting_down", retry_after_s=_LEAST_RETRY_S)

    def _give_back(self, room: Room, future: Future[Record] | None) -> None:
        """One place of a room, that of the future's image; all that are left, without one."""
        done = 1 if future is not None and not future.cancelled() else 0
        with self._lock:
            self._pace.passed(busy=self._waiting > 0, done=done)
            self._waiting -= room.take(None if future is None else 1)

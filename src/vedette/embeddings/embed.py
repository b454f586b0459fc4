"""Images through a backbone into a store: each once, decoded as a scan decodes it."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from vedette import sniff
from vedette.embeddings.store import EmbeddingStore, default_store, space_of
from vedette.errors import FetchError, InferError, ItemError
from vedette.fetch import open_regular, read_bounded, shown
from vedette.models.base import Classifier
from vedette.pipeline import Scanner
from vedette.policy import Policy
from vedette.settings import Limits, Settings
from vedette.types import Failure, Item, Record

_NOTHING = Policy("embeddings", "1", {})
"""Asks about no category, so it allows no image: only the embeddings are wanted."""
_TELL_S = 5.0
"""Seconds between two lines of progress."""


class Embedder:
    """Gives images their embedding from a store, or from the backbone where it is not there yet.

    Of an animation, a document of several pages or a video that is the embedding of the frame that
    the backbone finds worst, as in a Record; of one that judges nothing, the first.

    Args:
        backbone: a classifier that gives embeddings.
        settings: limits and options of the scan.
        store: its folder; None: the one of this model in the cache.
        say: is told how many are done, now and then.

    Raises:
        UsageError: the classifier gives no embeddings; the store is of another model.
        VedetteError: ``write_failed``, ``unreadable``.
    """

    def __init__(
        self,
        backbone: Classifier,
        settings: Settings,
        store: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        space = space_of(backbone)
        kept = replace(settings, scan=replace(settings.scan, embeddings=True))
        with ExitStack() as stack:
            self.store = stack.enter_context(EmbeddingStore(store or default_store(space), space))
            self._scanner = stack.enter_context(Scanner(backbone, _NOTHING, kept))
            self._open = stack.pop_all()
        self.new = 0
        """Images that ran through the backbone."""
        self._failed: dict[str, Failure] = {}
        self._limits = settings.limits
        self._say = say
        self._told = time.monotonic()

    def embed(self, items: Iterable[Item]) -> list[str | Failure]:
        """Put the embeddings of images into the store, each once.

        An image is hashed first: one that the store knows is not decoded, and of images with the
        same bytes one is. What is done stays, whatever happens to the rest.

        Returns:
            For each item its hash, by which the store has its embedding, or why it has none.

        Raises:
            VedetteError: ``write_failed``; what the items raise.
        """
        told: list[str | Failure] = []
        waiting: deque[str] = deque()
        unknown = self._unknown(items, told, waiting)
        try:
            with closing(self._scanner.scan_many(unknown)) as records:
                for record in records:
                    self._keep(waiting.popleft(), record)
        finally:
            self.store.flush()
        return [one if isinstance(one, Failure) else self._failed.get(one, one) for one in told]

    def close(self) -> None:
        """End the threads, and close the store."""
        self._open.close()

    def __enter__(self) -> Embedder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _unknown(
        self, items: Iterable[Item], told: list[str | Failure], waiting: deque[str]
    ) -> Iterator[Item]:
        """The items that have to run; what is known of every one goes into ``told``."""
        asked: set[str] = set()
        for item in items:
            try:
                sha256, ready = hashed(item, self._limits)
            except ItemError as error:
                told.append(error.failure())
                continue
            told.append(sha256)
            if sha256 in asked or sha256 in self._failed or sha256 in self.store:
                continue
            asked.add(sha256)
            waiting.append(sha256)
            yield ready

    def _keep(self, sha256: str, record: Record) -> None:
        failure = record.failure
        if failure is None:
            try:
                if record.embedding is None:
                    raise InferError("the model gave no embedding", code="model_output_invalid")
                self.store.add(sha256, record.embedding)
            except InferError as error:
                failure = error.failure()
        if failure is not None:
            self._failed[sha256] = failure
            return
        self.new += 1
        if time.monotonic() - self._told >= _TELL_S:
            self._told = time.monotonic()
            self._say(f"{self.new:,} images embedded")


def hashed(item: Item, limits: Limits) -> tuple[str, Item]:
    """The SHA-256 of an item's bytes, and the item with its bytes read; a video's stay on disk.

    Raises:
        ItemError: it cannot be read.
    """
    match item.data:
        case Failure() as failure:
            raise FetchError(failure.message, code=failure.code)
        case bytes() as data:
            return hashlib.sha256(data).hexdigest(), item
        case Path() as path:
            with closing(open_regular(path)) as stream:
                try:
                    fmt = sniff.sniff(stream.read(sniff.HEAD_BYTES))
                    stream.seek(0)
                    if fmt is not None and fmt.kind == "video":
                        return hashlib.file_digest(stream, "sha256").hexdigest(), item
                except OSError as error:
                    raise FetchError(
                        f"{shown(path)}: {error.strerror}", code="unreadable"
                    ) from error
                data = read_bounded(stream, limits.bytes, shown(path))
            return hashlib.sha256(data).hexdigest(), replace(item, data=data)

"""One pass over a source: every image decoded once, its facts and features put on disk.

Memory stays flat: a bounded number of items is between the source and the store, and of an image
that was decoded only its facts and a thumbnail go on, in the source's order.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from vedette.curate.descriptors import LEARN_FROM, SIDE, Descriptor, learn
from vedette.curate.facts import FACTS, GRID, NOTHING, Rows, Store
from vedette.data.base import CATEGORY, SOURCE, SPLIT, Source, read_all
from vedette.data.splits import Split
from vedette.decode import DecodeOptions, decode_item
from vedette.errors import DecodeError, ItemError
from vedette.fetch import open_regular
from vedette.perceptual import perceptual_hash
from vedette.resize import Fit
from vedette.settings import Settings
from vedette.taxonomy import parse_category
from vedette.types import Failure, Item, UInt8

_BATCH = 64
_HEAD = 2**16
"""Bytes at a file's start in which its EXIF is looked for."""
_EXIF = (b"Exif\0\0", b"eXIf", b"EXIF")
"""As JPEG, PNG and WebP mark it."""
_FLAT = 2.0
"""Standard deviation of the brightness, 0..255, below which a picture has nothing to be told by."""
_FIT = Fit(SIDE, "stretch")
"""Admits a scaled decode of JPEGs that are at least four times as large."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a source is read."""

    settings: Settings
    workers: int = 0
    """Decode threads; 0: one for each core."""
    describe: bool = True
    """Compute a descriptor of each picture."""
    seed: int = 0
    split: Split | None = None
    """Which split each image is in; None: as the source says."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What a decode thread has found out about one item."""

    facts: Rows
    """One row, of no dimension."""
    format: str
    failure: Failure | None
    thumbnail: UInt8 | None
    """uint8 [SIDE, SIDE, 3]; None where no frame could be decoded."""


def read_into(
    store: Store,
    source: Source,
    options: ReadOptions,
    on_failure: Callable[[str, Failure], None],
) -> None:
    """Fill ``store`` from ``source``.

    Args:
        store: empty.
        source: read once, in the calling thread.
        options: how.
        on_failure: told the key of every image that cannot be read, or not whole, and why.

    Raises:
        VedetteError: the source itself cannot be read, or the disk is full.
    """
    describing = _Describing(store, options.seed) if options.describe else None
    rows: list[Rows] = []
    keys: list[str] = []
    for item, seen in _decoded(source, options):
        facts = seen.facts
        facts["format"] = store.formats.number(seen.format)
        facts["source"] = store.sources.number(item.meta.get(SOURCE) or NOTHING)
        part = item.meta.get(SPLIT) if options.split is None else options.split.of(item.key)
        facts["split"] = store.splits.number(part or NOTHING)
        if seen.failure is not None:
            facts["failure"] = store.failures.number(seen.failure.code)
            on_failure(item.key, seen.failure)
        rows.append(facts)
        keys.append(item.key)
        if describing is not None:
            # Only labels are judged by it: of what has none it would be work for nothing.
            describing.add(None if item.unsafe is None else seen.thumbnail)
        if len(rows) >= _BATCH:
            _flush(store, rows, keys)
    _flush(store, rows, keys)
    if describing is not None:
        describing.finish()


def _flush(store: Store, rows: list[Rows], keys: list[str]) -> None:
    if rows:
        store.facts.append(np.array(rows, FACTS))
        store.keys.append(keys)
        rows.clear()
        keys.clear()


class _Describing:
    """Thumbnails into features, some at a time; the first ones wait until filters are learned."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._seed = seed
        self._descriptor: Descriptor | None = None
        self._waiting: list[UInt8 | None] = []

    def add(self, thumbnail: UInt8 | None) -> None:
        self._waiting.append(thumbnail)
        if len(self._waiting) >= (_BATCH if self._descriptor else LEARN_FROM):
            self._describe()

    def finish(self) -> None:
        self._describe()

    def _describe(self) -> None:
        pictures = [picture for picture in self._waiting if picture is not None]
        if self._descriptor is None:
            # Without any picture there is nothing to learn, and all rows are zeros.
            some = np.stack(pictures) if pictures else np.zeros((1, SIDE, SIDE, 3), np.uint8)
            self._descriptor = learn(some, self._seed)
            self._store.features_of(self._descriptor.dim)
        there = [number for number, picture in enumerate(self._waiting) if picture is not None]
        rows = np.zeros((len(self._waiting), self._descriptor.dim), np.float16)
        for first in range(0, len(pictures), _BATCH):
            some = np.stack(pictures[first : first + _BATCH])
            rows[there[first : first + _BATCH]] = self._descriptor.describe(some)
        features = self._store.features
        features.append(rows)
        self._waiting.clear()


def _decoded(source: Source, options: ReadOptions) -> Iterator[tuple[Item, _Seen]]:
    """Every item with what was seen of it, in order; a bounded number is under way."""
    scan = options.settings.scan
    decode = DecodeOptions(options.settings.limits, options.settings.video, fit=_FIT)
    waiting: deque[tuple[Item, int, Future[_Seen]]] = deque()
    held = 0
    workers = options.workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="vedette-audit")
    try:
        for item in read_all(source):
            size = len(item.data) if isinstance(item.data, bytes) else 0
            while waiting and (
                len(waiting) >= scan.in_flight or held + size > scan.in_flight_bytes
            ):
                first, freed, future = waiting.popleft()
                yield first, future.result()
                held -= freed
            light = Item(item.key, b"", item.labels, item.meta, item.unsafe)
            waiting.append((light, size, pool.submit(_look, item, decode)))
            held += size
            del item  # the bytes are the thread's now
        while waiting:
            first, _, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, _, future in waiting:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)


def _look(item: Item, options: DecodeOptions) -> _Seen:
    """Decode one item to its end. Whatever is wrong with it is its failure, never an error."""
    facts = np.zeros((), FACTS)
    _label(facts, item)
    frames: set[int] = set()
    name, thumbnail, failure = NOTHING, None, None
    try:
        facts["bytes"], facts["exif"] = _file_facts(item)
        for image in decode_item(item, options):
            frames.add(image.frame)
            if thumbnail is not None:
                continue  # later frames are decoded to know that they can be
            name = image.format
            facts["width"], facts["height"] = image.width, image.height
            facts["sha256"] = _words(image.sha256)
            thumbnail = _picture(facts, image.pixels)
        if not frames:
            raise DecodeError("the file holds no picture")
    except ItemError as error:
        failure, name = error.failure(), error.format or name
        if error.sha256 is not None:
            facts["sha256"] = _words(error.sha256)
    except OSError as error:
        failure = Failure("fetch", "unreadable", f"{error.strerror or error}")
    except Exception as error:  # noqa: BLE001 - one file must never cost more than its own row
        failure = Failure("decode", "corrupt", f"{type(error).__name__}: {error}")
    facts["frames"] = len(frames)
    facts["picture"] = thumbnail is not None
    return _Seen(facts, name, failure, thumbnail)


def _label(facts: Rows, item: Item) -> None:
    facts["unsafe"] = -1 if item.unsafe is None else int(item.unsafe)
    facts["labels"] = sum(1 << category.position for category in item.labels or ())
    try:
        facts["category"] = parse_category(item.meta.get(CATEGORY, "")).position
    except KeyError:
        facts["category"] = -1


def _file_facts(item: Item) -> tuple[int, bool]:
    """The file's size in bytes, and whether it has EXIF."""
    match item.data:
        case bytes() as data:
            return len(data), _has_exif(data[:_HEAD])
        case Path() as path:
            with closing(open_regular(path)) as stream:
                return os.fstat(stream.fileno()).st_size, _has_exif(stream.read(_HEAD))
    return 0, False


def _has_exif(head: bytes) -> bool:
    return any(mark in head for mark in _EXIF)


def _picture(facts: Rows, pixels: UInt8) -> UInt8:
    """The picture's thumbnail; its hash and colours go to ``facts``."""
    picture = PIL.Image.fromarray(pixels)
    box = PIL.Image.Resampling.BOX
    thumbnail = np.asarray(picture.resize((SIDE, SIDE), box))
    facts["colours"] = np.asarray(picture.resize((GRID, GRID), box)).reshape(-1)
    if float(np.asarray(picture.convert("L").resize((SIDE, SIDE), box)).std()) >= _FLAT:
        facts["hash"] = perceptual_hash(pixels)
    return thumbnail


def _words(sha256: str) -> Rows:
    return np.frombuffer(bytes.fromhex(sha256), "<u8")

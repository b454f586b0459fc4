"""A source into the vault: every image decoded once, stored by content, or not at all.

The set grows in a folder of its own, ``.importing-NAME``, which becomes the set by being renamed.
Killed at any point, the vault has either the whole set or none; the folder stays, and the same
import continues it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vedette import sniff
from vedette.data.base import Source, read_all
from vedette.data.vault.entry import Entry, from_line
from vedette.data.vault.log import check_log, log
from vedette.data.vault.place import (
    IMPORTING,
    check_name,
    create,
    make_private,
    vault_root,
    writing,
)
from vedette.data.vault.sealing import Encrypted, Plain, Seal, find_key
from vedette.data.vault.stored import (
    HEADER,
    OBJECTS,
    Header,
    place_of,
    read_header,
    seal_line,
    seal_of,
    unseal_line,
    write_header,
    write_manifest,
)
from vedette.decode import DecodeOptions, Decoder, InlineDecoder
from vedette.errors import DecodeError, FetchError, ItemError, UsageError, VedetteError
from vedette.fetch import fetch_error, open_regular
from vedette.hub.store import exclusive
from vedette.resize import Fit
from vedette.settings import Limits, Settings
from vedette.types import Failure, Item

_JOURNAL = "journal.jsonl"
_PIECE = 2**20
_MOST_LINE = 2**20
"""Bytes of a line of the manifest, before it is encrypted."""
_FIT = Fit(64, "stretch")
"""Every byte is decoded; a large JPEG need not be at full size for that."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a set is stored."""

    given: str
    """What is imported, as the user named it."""
    card: str | None = None
    terms_hash: str | None = None
    encrypt: bool = False
    workers: int = 0
    """Decode threads; 0: one for each core."""


def import_set(
    source: Source,
    name: str,
    options: ImportOptions,
    settings: Settings,
    on_entry: Callable[[Entry], None] = lambda entry: None,
) -> Header:
    """Store all images of ``source`` as the set ``name``.

    An image that cannot be decoded whole is in the manifest with its failure, and is not kept.

    Raises:
        UsageError: ``output_exists``: there is a set of that name, or another import under it was
            stopped; ``vault_key``; what the source raises, and then nothing is left.
        VedetteError: ``write_failed``; ``bad_vault``: the log was changed.
    """
    check_free(name)
    root = vault_root()
    folder = root / name
    check_log()  # not only after hours
    make_private(root)
    with exclusive(root / f".lock-{name}"):
        check_free(name)
        staging = root / (IMPORTING + name)
        seal, header = _begin(staging, name, options)
        journal = _Journal(staging / _JOURNAL, seal)
        try:
            into = _Into(staging, seal, journal.keys())
            for entry in _entries(source, into, options, settings):
                journal.append(entry)
                on_entry(entry)
        except UsageError:  # the source cannot be read: running it again would not help
            shutil.rmtree(staging)
            raise
        finally:
            journal.close()
        _finish(staging, seal, header, journal)
        done = read_header(staging)
        facts = {"images": done.images, "stored": done.stored, "manifest": done.manifest_sha256}
        log("import", name, {**facts, "card": done.card, "terms": done.terms_hash})
        with writing(folder):
            os.rename(staging, folder)
    return done


def check_free(name: str) -> None:
    """Refuse a name that cannot be a set's, or is one's already.

    Raises:
        UsageError: it cannot; ``output_exists``.
    """
    if (vault_root() / check_name(name)).exists():
        raise UsageError(
            f"there is a set {name!r} in the vault already",
            code="output_exists",
            hint=f"choose another --name, or: vedette data delete {name}",
        )


def _begin(staging: Path, name: str, options: ImportOptions) -> tuple[Seal, Header]:
    """The folder and how it is sealed: a new one, or the one that a stopped import has left."""
    if (staging / HEADER).is_file():
        header = read_header(staging)
        same = (options.given, options.card, options.encrypt)
        if (header.given, header.card, header.salt is not None) != same:
            raise UsageError(
                f"an import of {header.given} as {name!r} was stopped before its end",
                code="output_exists",
                hint=f"run that one again, or give it up with: vedette data delete {name}",
            )
        return seal_of(header), header
    if staging.exists():  # stopped before its first image
        shutil.rmtree(staging)
    make_private(staging)
    make_private(staging / OBJECTS)
    salt = os.urandom(16) if options.encrypt else None
    seal: Seal = Plain()
    check = None
    if salt is not None:
        encrypted = Encrypted(find_key(make=True), salt)
        seal, check = encrypted, encrypted.check
    header = Header(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        given=options.given,
        card=options.card,
        terms_hash=options.terms_hash,
        salt=salt.hex() if salt is not None else None,
        check=check,
        manifest=_JOURNAL,
        manifest_sha256="",
        images=0,
        stored=0,
        size=0,
    )
    write_header(staging, header)
    return seal, header


def _finish(staging: Path, seal: Seal, header: Header, journal: _Journal) -> None:
    """Manifest and header; what a kill has left half-written goes."""
    kept: set[Path] = set()

    def seen() -> Iterator[Entry]:
        for entry in journal.entries():
            if entry.failure is None and entry.sha256 is not None:
                place = place_of(staging, seal, entry.sha256)
                if not place.is_file():
                    raise VedetteError(
                        "a file of the unfinished import is gone",
                        code="bad_vault",
                        hint=f"vedette data delete {header.name}, then import it again",
                    )
                kept.add(place)
            yield entry

    fields = write_manifest(staging, seal, seen())
    with writing(staging):
        for path in staging.joinpath(OBJECTS).rglob("*"):
            if path.is_file() and path not in kept:
                path.unlink()
    known = {name: getattr(header, name) for name in Header.__dataclass_fields__}
    write_header(staging, Header(**{**known, **fields}))
    with writing(journal.path):
        journal.path.unlink()


class _Journal:
    """Entries as they come, one whole line in one write; the images themselves are there before."""

    def __init__(self, path: Path, seal: Seal) -> None:
        self.path = path
        self._seal = seal
        with writing(path):
            if not path.exists():
                os.close(create(path))
            whole = _whole(path)
            os.truncate(path, whole)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)

    def append(self, entry: Entry) -> None:
        line = memoryview(seal_line(self._seal, entry.to_line()) + b"\n")
        with writing(self.path):
            while line:
                line = line[os.write(self._descriptor, line) :]

    def close(self) -> None:
        os.close(self._descriptor)

    def entries(self) -> Iterator[Entry]:
        with self.path.open("rb") as stream:
            for line in stream:
                yield from_line(unseal_line(self._seal, line.rstrip(b"\n")))

    def keys(self) -> frozenset[str]:
        """Those that are done."""
        return frozenset(entry.key for entry in self.entries())


def _whole(path: Path) -> int:
    """Bytes of the file up to the end of its last whole line."""
    size = 0
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                size += len(line)
    return size


@dataclass(frozen=True, slots=True)
class _Into:
    """Where images go."""

    staging: Path
    seal: Seal
    done: frozenset[str]

    def put(self, pieces: Iterator[bytes]) -> tuple[str, int, Path]:
        """Store bytes under a name of their own: their hash, their count, and that name."""
        temporary = self.staging / OBJECTS / f".{os.urandom(8).hex()}.tmp"
        digest = hashlib.sha256()
        size = 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                yield piece

        with writing(temporary), os.fdopen(create(temporary), "wb") as stream:
            for sealed in self.seal.seal(counted()):
                stream.write(sealed)
        return digest.hexdigest(), size, temporary

    def keep(self, sha256: str, temporary: Path) -> None:
        place = place_of(self.staging, self.seal, sha256)
        with writing(place):
            place.parent.mkdir(mode=0o700, exist_ok=True)
            os.replace(temporary, place)


def _entries(
    source: Source, into: _Into, options: ImportOptions, settings: Settings
) -> Iterator[Entry]:
    """What becomes of each item, in order, a few at a time."""
    workers = options.workers or os.cpu_count() or 1
    waiting: deque[Future[Entry]] = deque()
    decoding = DecodeOptions(limits=settings.limits, sampling=settings.video, fit=_FIT)
    decoder: Decoder = InlineDecoder(decoding)
    if settings.scan.hardened:
        from vedette.hardened import HardenedDecoder

        decoder = HardenedDecoder(decoding)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="vedette-import")
    try:
        for item in read_all(source):
            if item.key in into.done:
                continue
            waiting.append(pool.submit(_stored, item, into, decoder, settings.limits))
            del item
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        decoder.close()


def _stored(item: Item, into: _Into, decoder: Decoder, limits: Limits) -> Entry:
    """Decode an item to its end and keep its bytes if that went well."""
    if isinstance(item.data, Failure):
        return _entry(item, None, 0, failure=item.data)
    try:
        sha256, size, temporary = into.put(_pieces(item.data, limits))
    except FetchError as error:
        return _entry(item, None, 0, failure=error.failure())
    try:
        try:
            frames, fmt, width, height = _decoded(item, decoder)
        except ItemError as error:
            return _entry(item, sha256, size, error.format, failure=error.failure())
        except Exception as error:  # noqa: BLE001 - one file must never cost more than its entry
            failure = DecodeError(f"{type(error).__name__}: {error}").failure()
            return _entry(item, sha256, size, failure=failure)
        entry = _entry(item, sha256, size, fmt, (width, height), frames)
        if len(entry.to_line()) > _MOST_LINE:
            failure = Failure("fetch", "too_many_bytes", "its texts are too long for a manifest")
            bare = Item(item.key[:1000], b"", item.labels, {}, item.unsafe)
            return _entry(bare, sha256, size, failure=failure)
        into.keep(sha256, temporary)
        return entry
    finally:
        temporary.unlink(missing_ok=True)


def _decoded(item: Item, decoder: Decoder) -> tuple[int, str, int, int]:
    """Frames, format, width and height of an image, decoded to its end."""
    frames = 0
    known: tuple[str, int, int] | None = None
    for image in decoder.frames(item):
        frames += not image.view
        known = known or (image.format, image.width, image.height)
    if known is None:
        raise DecodeError("it has no picture")
    return frames, *known


def _pieces(data: bytes | Path, limits: Limits) -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    if data.resolve().is_relative_to(vault_root().resolve()):
        # A second copy would lose the terms of the first.
        raise FetchError(f"{data.name} leads into the vault", code="unsafe_path")
    with open_regular(data) as stream:
        try:
            head = stream.read(sniff.HEAD_BYTES)
            fmt = sniff.sniff(head)
            video = fmt is not None and fmt.kind == "video"
            left = (limits.video_bytes if video else limits.bytes) - len(head)
            yield head
            while left >= 0 and (piece := stream.read(_PIECE)):
                left -= len(piece)
                yield piece
        except OSError as error:
            raise fetch_error(data, error) from error
        if left < 0:
            raise FetchError(f"{data.name} is larger than its limit", code="too_many_bytes")


def _entry(
    item: Item,
    sha256: str | None,
    size: int,
    fmt: str | None = None,
    sides: tuple[int | None, int | None] = (None, None),
    frames: int = 0,
    failure: Failure | None = None,
) -> Entry:
    return Entry(
        item.key,
        sha256,
        size,
        fmt,
        *sides,
        frames,
        item.labels,
        item.unsafe,
        item.meta,
        failure,
    )

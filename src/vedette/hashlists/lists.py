"""All lists of a service, asked together and loaded anew when their files change."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vedette.decode import DecodeOptions, Decoder, InlineDecoder
from vedette.errors import ItemError, UsageError, VedetteError
from vedette.fetch import fetch_error, open_regular
from vedette.hashlists.entries import Kind, Listed, Match
from vedette.hashlists.files import SUFFIX, HashList, open_list
from vedette.hashlists.pdq import MIN_QUALITY, PdqHash, pdq
from vedette.resize import Fit
from vedette.settings import Settings
from vedette.types import Item

_LOG = logging.getLogger("vedette.hashlists")
FIT = Fit(512, "cover")
"""Lets large JPEGs be decoded at a smaller scale, 1024 px or more on each side: sixteen times
what the hash looks at."""

Stamp = tuple[int, int, int]
"""What changes with a file: when, how long, which."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The lists of one moment."""

    files: Mapping[Path, tuple[Stamp, HashList]]

    def of(self, match: Match, kinds: Iterable[Kind] = Kind) -> list[HashList]:
        """Those of a match and of some kinds, the gravest first."""
        chosen = set(kinds)
        found = [one for _, one in self.files.values() if one.match is match and one.kind in chosen]
        return sorted(found, key=lambda one: -one.kind.severity)


class HashLists:
    """Hash lists of some files and folders. Thread-safe.

    Files are looked at every few seconds. A check goes on with the lists that it began with.

    Args:
        places: files of lists, and folders that have some.
        settings: by which pictures are decoded for lists of PDQ.
        every_s: seconds between two looks at the files; 0: only :meth:`refresh` looks.

    Raises:
        UsageError: ``not_found``: a place is not there.
        VedetteError: ``bad_list``: a file is no list, or damaged.
    """

    def __init__(
        self, places: Sequence[str | Path], settings: Settings, *, every_s: float = 2.0
    ) -> None:
        self._places = [Path(place) for place in places]
        self._loaded = _Loaded({path: _opened(path) for path in _files(self._places)})
        self._broken: dict[Path, Stamp | None] = {}
        self._refreshing = threading.Lock()
        self._decoder = _decoder(settings)
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if self._places and every_s > 0:
            self._thread = threading.Thread(
                target=self._watch, args=(every_s,), name="vedette-hashlists", daemon=True
            )
            self._thread.start()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to ask."""
        return not self._loaded.files

    @property
    def lists(self) -> list[HashList]:
        """Those that are asked now, by name."""
        found = (one for _, one in self._loaded.files.values())
        return sorted(found, key=lambda one: (one.name, one.kind, one.match))

    def check(self, item: Item, sha256: str) -> Listed | None:
        """The gravest hit of an item: quarantine before block before allow; None: in no list.

        A picture on an exact list of the gravest kind is not decoded. Any other is decoded if some
        list of PDQ could have a graver hit.

        Args:
            item: its bytes or its path.
            sha256: of its bytes, in hexadecimal.

        Raises:
            ItemError: it cannot be decoded whole, and what could be seen is on no list that stops
                it. It may be on one: it is not to be allowed.
        """
        loaded = self._loaded
        exact = _exact(loaded, bytes.fromhex(sha256))
        least = -1 if exact is None else Kind(exact.kind).severity
        graver = [kind for kind in Kind if kind.severity > least]
        stopping = loaded.of(Match.PDQ, set(graver) - {Kind.ALLOW})
        allowing = loaded.of(Match.PDQ, set(graver) & {Kind.ALLOW})
        if not stopping and not allowing:
            return exact
        try:
            seen = self._look(item, stopping, allowing)
        except ItemError:
            if exact is not None and exact.kind != Kind.ALLOW:
                return exact
            raise
        return seen or exact

    def refresh(self) -> bool:
        """Load what has changed; whether anything has.

        A list whose new file cannot be used stays as it was, and so do the lists of a place that
        has gone: the log says so. A file taken out of a folder is a list taken out of use.
        """
        with self._refreshing:
            before = self._loaded.files
            after: dict[Path, tuple[Stamp, HashList]] = {}
            for place in self._places:
                try:
                    paths = _files([place])
                except VedetteError as error:
                    self._complain(place, None, error)
                    after |= {p: one for p, one in before.items() if place in (p, p.parent)}
                    continue
                if place.is_dir():
                    self._broken.pop(place, None)
                for path in paths:
                    one = self._current(path, before.get(path))
                    if one is not None:
                        after[path] = one
            if after == before:
                return False
            self._loaded = _Loaded(after)
            entries = sum(one.count for _, one in after.values())
            told = {"lists": len(after), "entries": entries}
            _LOG.info("hash lists loaded", extra={"told": told})
            return True

    def close(self) -> None:
        """Stop looking at the files, and end the decoder."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        self._decoder.close()

    def _watch(self, every_s: float) -> None:
        while not self._closed.wait(every_s):
            try:
                self.refresh()
            except Exception:  # noqa: BLE001 - whatever it is, the lists must go on being looked at
                _LOG.exception("hash lists could not be looked at")

    def _current(
        self, path: Path, known: tuple[Stamp, HashList] | None
    ) -> tuple[Stamp, HashList] | None:
        """A file's list as it is now; as it was, where it cannot be used now."""
        stamp: Stamp | None = None
        try:
            stamp = _stamp(path)
            if known is not None and known[0] == stamp:
                return known
            if self._broken.get(path) == stamp:
                return known
            found = _opened(path)
        except VedetteError as error:
            self._complain(path, stamp, error)
            return known
        self._broken.pop(path, None)
        return found

    def _complain(self, path: Path, stamp: Stamp | None, error: VedetteError) -> None:
        if path not in self._broken or self._broken[path] != stamp:  # once for each state
            told = {"place": str(path), "problem": error.message}
            _LOG.error("a hash list cannot be loaded; it stays as it was", extra={"told": told})
        self._broken[path] = stamp

    def _look(
        self, item: Item, stopping: list[HashList], allowing: list[HashList]
    ) -> Listed | None:
        """The gravest hit among lists of PDQ, over every frame and view.

        One frame is enough to be stopped. To be allowed every frame has to be on such a list, and
        to be looked at: a video, of which only samples are, is never allowed.
        """
        stopped: Listed | None = None
        allowed: Listed | None = None
        all_allowed = bool(allowing)
        frames = self._decoder.frames(item)
        try:
            for image in frames:
                look = pdq(image.pixels)
                if image.frames == 0 or look.quality < MIN_QUALITY:
                    all_allowed = False
                if look.quality < MIN_QUALITY:
                    continue
                stopped = _graver(stopped, _near(stopping, look, turned=True))
                if stopped is not None and stopped.kind == Kind.QUARANTINE:
                    return stopped
                if all_allowed:
                    allowed = _near(allowing, look, turned=False)
                    all_allowed = allowed is not None
        except ItemError:
            if stopped is None:
                raise
        finally:
            if isinstance(frames, Generator):
                frames.close()  # a hit ends the decoding at once
        return stopped or (allowed if all_allowed else None)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        FetchError: it cannot be read.
    """
    with open_regular(path) as stream:
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise fetch_error(path, error) from error


def _exact(loaded: _Loaded, digest: bytes) -> Listed | None:
    for one in loaded.of(Match.SHA256):
        row = one.find(digest)
        if row is not None:
            return Listed(one.name, one.kind.value, one.match.value, 0, one.note(row))
    return None


def _near(lists: list[HashList], look: PdqHash, *, turned: bool) -> Listed | None:
    """The gravest hit of one frame; the nearest one of the gravest lists."""
    best: Listed | None = None
    wanted = look.hashes if turned else look.hashes[:1]
    for one in lists:
        if best is not None and one.kind != best.kind:
            break
        found = one.near.nearest(wanted) if one.near is not None else None
        if found is not None and (best is None or found[1] < best.distance):
            row, distance = found
            best = Listed(one.name, one.kind.value, one.match.value, distance, one.note(row))
    return best


def _graver(a: Listed | None, b: Listed | None) -> Listed | None:
    if a is None or b is None:
        return a or b
    return b if Kind(b.kind).severity > Kind(a.kind).severity else a


def _decoder(settings: Settings) -> Decoder:
    # Without colour profiles: the hash is defined on the pixels as they are stored.
    options = DecodeOptions(limits=settings.limits, sampling=settings.video, fit=FIT, icc=False)
    if settings.scan.hardened:
        from vedette.hardened import HardenedDecoder

        return HardenedDecoder(options)
    return InlineDecoder(options)


def _files(places: Iterable[Path]) -> list[Path]:
    """The files of lists among and in some places.

    Raises:
        UsageError: ``not_found``: a place is not there.
    """
    found: list[Path] = []
    for place in places:
        try:
            if place.is_dir():
                inside = [path for path in place.iterdir() if path.name.endswith(SUFFIX)]
                found += sorted(path for path in inside if not path.name.startswith("."))
                continue
        except OSError as error:
            raise UsageError(f"cannot read {place}: {error.strerror}") from error
        if not place.exists():
            raise UsageError(f"there is no hash list {place}", code="not_found")
        found.append(place)
    return list(dict.fromkeys(found))


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        raise VedetteError(f"{path.name}: {error.strerror}", code="bad_list") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _opened(path: Path) -> tuple[Stamp, HashList]:
    stamp = _stamp(path)  # first: a file that changes meanwhile is loaded once more
    return stamp, open_list(path)

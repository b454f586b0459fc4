"""What happens to files after their verdict: quarantine of the blocked, censored copies.

Both are safe to repeat: a scan that was killed between a Record and its action acts again when it
is resumed.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import PIL.Image

from vedette.data.keys import to_key
from vedette.decode import DecodeOptions, InlineDecoder
from vedette.errors import FetchError, ItemError, VedetteError
from vedette.fetch import open_regular
from vedette.settings import Limits
from vedette.sinks.base import replacing
from vedette.types import Action, Failure, Item, Record, Region, UInt8

_CELLS = 6
"""Pixelation: cells along a region's longer side, few enough that no detail is left."""
_MARGIN = 0.1
"""Part of a region's size that is added on each side: boxes are a little tight."""
_NAME_BYTES = 200


class FileAction(Protocol):
    """Something done with a file for its Record."""

    def wants(self, record: Record) -> bool:
        """Whether it applies to the Record at all."""
        ...

    def act(self, record: Record, item: Item) -> bool:
        """Do it for a Record that it wants; False where it could not be done.

        What could not be done for one file is counted for :meth:`told`, and the scan goes on.

        Raises:
            VedetteError: ``write_failed``: no file can be written any more.
        """
        ...

    def told(self) -> Iterable[str]:
        """Lines for the summary."""
        ...


@dataclass(slots=True)
class Quarantine:
    """Moves (or copies) blocked files into a folder that only its owner can read."""

    folder: Path
    move: bool
    _done: int = 0
    _gone: int = 0

    def wants(self, record: Record) -> bool:
        """See :class:`FileAction`."""
        return record.verdict.action is Action.BLOCK

    def act(self, record: Record, item: Item) -> bool:
        """See :class:`FileAction`. Archive members are copied out; the archive stays."""
        try:
            with _opened(item) as source:
                if not self.folder.exists():
                    self.folder.mkdir(parents=True, mode=0o700)
                _keep(source, self.folder, record.key)
            if self.move and isinstance(item.data, Path):
                item.data.unlink()
        except (ItemError, OSError) as error:
            # A pipe, an unreadable file, a name that no folder takes: blocked, but not moved.
            _raise_if_hopeless(error, self.folder)
            self._gone += 1
            return False
        self._done += 1
        return True

    def told(self) -> Iterable[str]:
        """See :class:`FileAction`."""
        if self._done:
            yield f"{self._done} {'moved' if self.move else 'copied'} to {self.folder}"
        if self._gone:
            yield f"{self._gone} blocked but not quarantined: not readable, or not to be moved"


@dataclass(slots=True)
class Censor:
    """Writes copies of flagged pictures with their regions pixelated."""

    folder: Path
    limits: Limits
    labels: frozenset[str]
    """Region labels that count as unsafe; others (faces, feet) are left as they are."""
    _done: int = 0
    _not_done: int = 0

    def wants(self, record: Record) -> bool:
        """See :class:`FileAction`."""
        return record.verdict.action is not Action.ALLOW

    def act(self, record: Record, item: Item) -> bool:
        """See :class:`FileAction`.

        The copy is a new picture from the decoded pixels: no EXIF, no embedded thumbnail that
        would still show what was hidden. Animations and videos are not censored.
        """
        regions = [r for r in record.regions if r.label in self.labels]
        pixels = self._pixels(item) if regions and record.frames == 1 else None
        if pixels is None:
            self._not_done += 1
            return False
        target = safe_path(self.folder, record.key)
        jpeg = record.format == "JPEG"
        suffix = ".jpg" if jpeg else ".png"
        if target.suffix.lower() != suffix and not (jpeg and target.suffix.lower() == ".jpeg"):
            target = target.with_name(target.name + suffix)
        stream = io.BytesIO()
        censored = PIL.Image.fromarray(pixelated(pixels, regions))
        censored.save(stream, "JPEG" if jpeg else "PNG", **({"quality": 92} if jpeg else {}))
        try:
            if isinstance(item.data, Path) and _is_same_file(item.data, target):
                raise FileExistsError(f"{target} is the picture itself")
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:
                temporary.write_bytes(stream.getvalue())
        except (OSError, VedetteError) as error:
            _raise_if_hopeless(error.__cause__ or error, self.folder)
            self._not_done += 1
            return False
        self._done += 1
        return True

    def told(self) -> Iterable[str]:
        """See :class:`FileAction`."""
        if self._done:
            yield f"{self._done} censored copies in {self.folder}"
        if self._not_done:
            yield (
                f"{self._not_done} flagged but not censored: no region that counts, several "
                "frames, not readable, or not to be written"
            )

    def _pixels(self, item: Item) -> UInt8 | None:
        decoder = InlineDecoder(DecodeOptions(limits=self.limits))
        try:
            images = list(decoder.frames(item))
        except ItemError:
            return None
        # Only the white composite is written: the copy has no transparency left to hide in.
        return images[0].pixels if images else None


def pixelated(pixels: UInt8, regions: Iterable[Region]) -> UInt8:
    """A copy of ``pixels`` [H, W, 3] in which each region is a few cells of its mean colours."""
    out = pixels.copy()
    height, width = out.shape[:2]
    for region in regions:
        x, y, w, h = region.box
        dx, dy = round(w * _MARGIN), round(h * _MARGIN)
        left, right = max(0, x - dx), min(width, x + w + dx)
        top, bottom = max(0, y - dy), min(height, y + h + dy)
        if left >= right or top >= bottom:
            continue
        part = PIL.Image.fromarray(np.ascontiguousarray(out[top:bottom, left:right]))
        cell = max(part.width, part.height) / _CELLS
        cells = (max(1, round(part.width / cell)), max(1, round(part.height / cell)))
        coarse = part.resize(cells, PIL.Image.Resampling.BOX)
        out[top:bottom, left:right] = np.asarray(
            coarse.resize(part.size, PIL.Image.Resampling.NEAREST)
        )
    return out


def leads_back(folder: Path, path: str) -> bool:
    """Whether the file of ``path`` would be put where it already is."""
    return _is_same_file(Path(path), safe_path(folder, to_key(path)))


def safe_path(folder: Path, key: str) -> Path:
    """Where the file of ``key`` goes inside ``folder``: its own path, unable to lead out of it."""
    parts = [part for part in key.split("/") if part not in ("", ".")]
    safe = ["__up__" if part == ".." else _short(part.replace("\x00", "_")) for part in parts]
    return folder.joinpath(*safe) if safe else folder / "unnamed"


def _short(part: str) -> str:
    """A file name of at most 200 bytes; archives may hold longer ones than file systems."""
    encoded = part.encode("utf-8", "surrogatepass")
    if len(encoded) <= _NAME_BYTES:
        return part
    return encoded[: _NAME_BYTES - 17].decode("utf-8", "ignore") + "~" + _digest(encoded)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@contextmanager
def _opened(item: Item) -> Iterator[IO[bytes]]:
    """The item's bytes as a stream.

    Raises:
        FetchError: they cannot be had.
    """
    match item.data:
        case bytes() as data:
            yield io.BytesIO(data)
        case Path() as path:
            with open_regular(path) as stream:
                yield stream
        case Failure() as failure:
            raise FetchError(failure.message, code=failure.code)


def _keep(source: IO[bytes], folder: Path, key: str) -> None:
    """Write ``source`` below ``folder``; what is there with the same content stays as it is.

    Two keys may lead to one place (``x//a`` and ``x/a``): the second one's name is made its own.
    """
    target = safe_path(folder, key)
    own = target.with_name(f"{target.stem[:100]}~{_digest(key.encode())}{target.suffix[:20]}")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in (target, own):
        if _holds(source, path):
            raise FileExistsError(f"{path} is the file itself")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if _same(source, path):
                return
            continue
        with os.fdopen(descriptor, "wb") as copy:
            _copy(source, copy)
        return
    # Left half-written by a killed scan, under this key's own name: write it again.
    with own.open("wb") as copy:
        _copy(source, copy)


def _copy(source: IO[bytes], copy: IO[bytes]) -> None:
    """All of ``source``, on the disk before the original may go."""
    shutil.copyfileobj(source, copy)
    copy.flush()
    os.fsync(copy.fileno())


def _holds(source: IO[bytes], path: Path) -> bool:
    """Whether ``path`` is the very file that ``source`` reads."""
    try:
        return os.path.samestat(os.fstat(source.fileno()), path.stat())
    except OSError:  # not there, or a member's bytes in memory, which have no descriptor
        return False


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


_HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def _raise_if_hopeless(error: BaseException, folder: Path) -> None:
    """Stop the scan where no other file could be written either."""
    if isinstance(error, OSError) and error.errno in _HOPELESS:
        raise VedetteError(
            f"cannot write to {folder}: {error.strerror}", code="write_failed"
        ) from error


def _same(source: IO[bytes], path: Path) -> bool:
    """Whether ``path`` holds what ``source`` does; ``source`` is put back to its start."""
    try:
        with path.open("rb") as other:
            while chunk := source.read(2**20):
                if other.read(2**20) != chunk:
                    return False
            return not other.read(1)
    except IsADirectoryError:
        return False
    finally:
        source.seek(0)

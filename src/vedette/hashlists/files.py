"""Lists as files: compact, mapped into memory, shared by all processes that read them.

A file has one kind and one match::

    b"VDTHASH1"           8 bytes
    length of the header  4 bytes, little-endian
    header                JSON: name, kind, match, count, notes (bytes), sha256 (of what makes the
                          list: name, kind, match and all that follows)
    hashes                32 bytes each, ascending, no two the same
    ends of the notes     8 bytes each, little-endian, counted from the first note
    notes                 UTF-8

It is written whole under another name and then renamed: a file that is mapped must never shrink.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import struct
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vedette.errors import FetchError, UsageError, VedetteError
from vedette.fetch import open_regular
from vedette.hashlists.entries import HASH_BYTES, MOST_ENTRIES, MOST_NOTE, Kind, Match
from vedette.hashlists.matching import NearHashes
from vedette.perceptual import Hashes

SUFFIX = ".hashlist"

_MAGIC = b"VDTHASH1"
_HEADER_MOST = 4096
_END = struct.Struct("<Q")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, eq=False)
class HashList:
    """One opened list. Thread-safe."""

    path: Path
    name: str
    kind: Kind
    match: Match
    count: int
    sha256: str
    """Of name, kind, match and entries: the same list has the same."""
    hashes: memoryview
    near: NearHashes | None
    """To find hashes near another; None for exact lists."""
    ends: memoryview
    notes: memoryview

    def find(self, digest: bytes) -> int | None:
        """The row of a hash, None: it is not here."""
        row = bisect_left(range(self.count), digest, key=self._hash)
        return row if row < self.count and self._hash(row) == digest else None

    def note(self, row: int) -> str:
        """The entry's own id or note."""
        begin = self._end(row - 1) if row else 0
        return bytes(self.notes[begin : self._end(row)]).decode("utf-8", "replace")

    def _hash(self, row: int) -> bytes:
        return bytes(self.hashes[row * HASH_BYTES : (row + 1) * HASH_BYTES])

    def _end(self, row: int) -> int:
        end: int = _END.unpack_from(self.ends, row * _END.size)[0]
        return end


def checked_name(name: str) -> str:
    """``name`` itself, once it can stand in the name of a file.

    Raises:
        UsageError: it cannot.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot be the name of a list",
            hint="use up to 64 letters, digits, - and _, and begin with a letter or a digit",
        )
    return name


def path_of(folder: Path, name: str, kind: Kind, match: Match) -> Path:
    """Where a list is stored."""
    return folder / f"{name}.{kind}.{match}{SUFFIX}"


def write_list(
    folder: Path, name: str, kind: Kind, match: Match, notes: Mapping[bytes, str]
) -> Path:
    """Store a list; one that is there is replaced in one step.

    Args:
        folder: of the lists; it is made if need be.
        name: of the list.
        kind: what follows from a hit.
        match: what its hashes are.
        notes: the note of each hash; a hash has 32 bytes.

    Raises:
        UsageError: the name cannot be used.
        VedetteError: ``bad_list``: no entries or too many; ``write_failed``.
    """
    checked_name(name)
    if not 0 < len(notes) <= MOST_ENTRIES:
        raise VedetteError(f"a list has 1 to {MOST_ENTRIES} entries", code="bad_list")
    rows = sorted(notes)
    encoded = [_bounded(notes[row]) for row in rows]
    ends = np.cumsum([len(note) for note in encoded], dtype="<u8").tobytes()
    parts = (b"".join(rows), ends, b"".join(encoded))
    told = {
        "name": name,
        "kind": kind.value,
        "match": match.value,
        "count": len(rows),
        "notes": len(parts[2]),
        "sha256": _sha256(name, kind, match, parts),
    }
    header = json.dumps(told).encode()
    start = len(_MAGIC) + 4 + len(header)
    header += b" " * (-start % 64)  # the hashes begin where words may
    path = path_of(folder, name, kind, match)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(_MAGIC + struct.pack("<I", len(header)) + header)
                for part in parts:
                    stream.write(part)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise VedetteError(
            f"cannot write {path}: {error.strerror or error}", code="write_failed"
        ) from error
    return path


def open_list(path: Path) -> HashList:
    """The list of a file, mapped into memory, its content held to the header's hash.

    Raises:
        VedetteError: ``bad_list``: it cannot be read, is none, or is damaged.
    """
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            mapped = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ) if size else b""
    except FetchError as error:
        raise VedetteError(error.message, code="bad_list") from error
    except (OSError, ValueError) as error:  # ValueError: it has just become shorter
        raise _bad(path, getattr(error, "strerror", None) or str(error)) from error
    whole = memoryview(mapped)
    told, start = _header(path, whole)
    hashes = whole[start : start + told["count"] * HASH_BYTES]
    ends = whole[start + len(hashes) :][: told["count"] * _END.size]
    notes = whole[start + len(hashes) + len(ends) :]
    if len(ends) != told["count"] * _END.size or len(notes) != told["notes"]:
        raise _bad(path, "it is longer or shorter than its header says")
    kind, match = Kind(told["kind"]), Match(told["match"])
    if _sha256(told["name"], kind, match, (whole[start:],)) != told["sha256"]:
        raise _bad(path, "its content is not the one that was written")
    rows = np.frombuffer(hashes, f"S{HASH_BYTES}")
    if not bool((rows[1:] > rows[:-1]).all()):
        raise _bad(path, "its hashes are not in order")
    words: Hashes = np.frombuffer(hashes, np.uint64).reshape(-1, HASH_BYTES // 8)
    return HashList(
        path=path,
        name=told["name"],
        kind=kind,
        match=match,
        count=told["count"],
        sha256=told["sha256"],
        hashes=hashes,
        near=NearHashes(words) if match is Match.PDQ else None,
        ends=ends,
        notes=notes,
    )


def _header(path: Path, whole: memoryview) -> tuple[dict[str, Any], int]:
    """The header, and where the content begins."""
    begin = len(_MAGIC) + 4
    if bytes(whole[: len(_MAGIC)]) != _MAGIC or len(whole) < begin:
        raise _bad(path, f"it is no list that Vedette stored: import it; its name ends in {SUFFIX}")
    length: int = struct.unpack_from("<I", whole, len(_MAGIC))[0]
    try:
        told = json.loads(bytes(whole[begin : begin + min(length, _HEADER_MOST)]))
        usable = (
            _NAME.fullmatch(told["name"]) is not None
            and told["kind"] in set(Kind)
            and told["match"] in set(Match)
            and type(told["count"]) is int
            and 0 < told["count"] <= MOST_ENTRIES
            and type(told["notes"]) is int
            and type(told["sha256"]) is str
            and (begin + length) % 64 == 0
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _bad(path, "its header cannot be read") from error
    if not usable:
        raise _bad(path, "its header makes no sense")
    return told, begin + length


def _sha256(name: str, kind: Kind, match: Match, content: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.sha256(f"{name} {kind} {match}\n".encode())
    for part in content:
        digest.update(part)
    return digest.hexdigest()


def _bounded(note: str) -> bytes:
    return note[:MOST_NOTE].encode("utf-8", "replace")


def _bad(path: Path, why: str) -> VedetteError:
    return VedetteError(f"{path.name}: {why}", code="bad_list")

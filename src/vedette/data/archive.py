"""Pictures inside zip and tar archives, read one after the other, never extracted to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, cast

from vedette import sniff
from vedette.data.keys import MEMBER, to_key
from vedette.errors import FetchError
from vedette.fetch import read_bounded
from vedette.settings import Limits
from vedette.types import Failure, Item

_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    LookupError,
    MemoryError,
)
"""What the standard library raises on archives that are broken or made to break it."""

_SMALL_BYTES = 2**23

DECOMPRESSORS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
    "gzip": lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream)),
    "bzip2": lambda stream: cast(IO[bytes], bz2.BZ2File(stream)),
    "xz": lambda stream: cast(IO[bytes], lzma.LZMAFile(stream)),  # noqa: SIM115 - closed with it
    "TAR": lambda stream: stream,
}
"""What makes a plain tar of each format, by the format's name."""


def read_archive(
    stream: IO[bytes], fmt: sniff.Format, key: str, limits: Limits, only: str | None = None
) -> Iterator[Item]:
    """The members of an archive as Items, keyed ``archive.zip!/member``.

    Every member that is a file yields exactly one Item. A member that cannot be read is an Item
    with a Failure and the next ones follow; where the archive itself breaks off, a last Item with
    the archive's own key says so. ``only`` is the key of the one member wanted: the others are
    passed over unread.
    """
    names = _Names(key, only)
    try:
        if fmt is sniff.ZIP:
            yield from _read_zip(stream, names, limits)
        else:
            yield from _read_tar(DECOMPRESSORS[fmt.name](stream), names, limits)
    except FetchError as error:
        yield Item(key, error.failure())
    except _BROKEN as error:
        yield Item(key, Failure("fetch", "corrupt_archive", f"{fmt.name}: {_said(error)}"))


class _Names:
    """Keys of members: unique, though archives may repeat a name."""

    def __init__(self, archive_key: str, only: str | None) -> None:
        self._prefix = archive_key + MEMBER
        self._only = only
        self._seen: dict[str, int] = {}

    def key(self, name: str) -> str:
        key = first = self._prefix + to_key(name)
        count = self._seen.get(first, 0)
        while key in self._seen:  # more than once where a member is itself called "name#2"
            count += 1
            key = f"{first}#{count}"
        self._seen[first] = count or 1
        self._seen[key] = 1
        return key

    def wants(self, key: str) -> bool:
        """Whether the member of that key is to be read."""
        return self._only is None or key == self._only


class _Budget:
    """How many bytes the members of one archive may still expand to, all together."""

    def __init__(self, limits: Limits) -> None:
        self._most = self._left = limits.archive_bytes

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _bomb(f"more than {self._most} bytes")


class _Counted:
    """A member's stream that is paid for as it is read."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._budget.spend(len(data))
        return data


def _read_zip(stream: IO[bytes], names: _Names, limits: Limits) -> Iterator[Item]:
    declared = _declared_members(stream)
    budget = _Budget(limits)
    with zipfile.ZipFile(cast(IO[bytes], _ZipStream(stream, limits))) as archive:
        members = archive.infolist()
        if len(members) > limits.archive_members:
            raise _bomb(f"{len(members)} members")
        for member in members:
            if member.filename.endswith("/") and not member.file_size:
                continue  # a folder; one with content is a file that hides as one
            key = names.key(member.filename)
            if not names.wants(key):
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                yield Item(key, Failure("fetch", "link_in_archive", "a symbolic link"))
            elif member.flag_bits & 0x1:
                yield Item(key, Failure("fetch", "encrypted", "an encrypted member"))
            else:
                yield _member(key, partial(archive.open, member), limits, budget)
        if declared not in (None, min(len(members), 0xFFFF), len(members) & 0xFFFF):
            # A directory that is shorter than it says: other programs see members that we do not.
            raise zipfile.BadZipFile(f"{len(members)} of {declared} members are listed")


def _declared_members(stream: IO[bytes]) -> int | None:
    """The count of members in the record at a zip's end, which zipfile does not look at."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 2**16 - 22))
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    return int.from_bytes(tail[at + 10 : at + 12], "little") if at >= 0 else None


class _ZipStream:
    """A zip's stream that refuses to hand over a directory that would fill the memory."""

    def __init__(self, stream: IO[bytes], limits: Limits) -> None:
        self._stream = stream
        self._most = limits.archive_members
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        # The directory is read in one piece; members, and what is not worth a check, in small ones.
        if size <= _SMALL_BYTES:
            return self._stream.read(size)
        if size > self._most * 512:
            raise _bomb(f"a directory of {size} bytes")
        data = self._stream.read(size)
        if data.count(b"PK\x01\x02") > self._most:
            raise _bomb(f"more than {self._most} members")
        return data


def _read_tar(stream: IO[bytes], names: _Names, limits: Limits) -> Iterator[Item]:
    metered = _Metered(stream, limits)
    budget = _Budget(limits)
    with tarfile.open(fileobj=cast(IO[bytes], metered), mode="r:") as archive:
        count = 0
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it keeps them all otherwise
            count += 1
            if count > limits.archive_members:
                raise _bomb(f"more than {limits.archive_members} members")
            if member.isdir():
                continue
            key = names.key(member.name)
            if not names.wants(key):
                continue
            if not member.isfile():
                yield Item(key, Failure("fetch", "link_in_archive", "a link or a device"))
                continue
            yield _member(key, partial(_extracted, archive, member), limits, budget)
    metered.check_end()


def _extracted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], archive.extractfile(member))  # None only for what isfile() ruled out


def _member(
    key: str, open_member: Callable[[], IO[bytes]], limits: Limits, budget: _Budget
) -> Item:
    """One member's bytes as an Item, or why not."""
    try:
        with open_member() as stream:
            data = read_bounded(_Counted(stream, budget), limits.bytes, "the member")
    except FetchError as error:
        if error.code == "archive_bomb":
            raise
        return Item(key, error.failure())
    except (EOFError, tarfile.ReadError) as error:  # the compressed stream's end, or the file's
        return Item(key, Failure("fetch", "truncated", _said(error)))
    except NotImplementedError as error:
        return Item(key, Failure("fetch", "unsupported_format", _said(error)))
    except _BROKEN as error:
        return Item(key, Failure("fetch", "corrupt", _said(error)))
    fmt = sniff.sniff(data[: sniff.HEAD_BYTES])
    if fmt is not None and fmt.kind == "archive":
        return Item(key, Failure("fetch", "nested_archive", f"a {fmt.name} inside an archive"))
    return Item(key, data)


class _Metered:
    """A stream that refuses to expand without bound, whatever headers inside it claim."""

    def __init__(self, stream: IO[bytes], limits: Limits) -> None:
        self._stream = stream
        self._most_at_once = limits.bytes + 2**20
        self._most = limits.archive_bytes
        self._last = b""
        self.name = ""

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self._most_at_once:
            raise _bomb(f"a part of {size} bytes")
        self._check(self._stream.tell() + size)
        self._last = self._stream.read(size)
        return self._last

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0:
            self._check(offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def check_end(self) -> None:
        """Raise unless the archive ended as it should; tarfile takes any bad header for the end.

        Reads on a little: a checksum at the end of a compressed stream is verified there.
        """
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("a member's header is damaged or missing")
        if self._stream.read(2**16).strip(b"\0"):
            raise tarfile.ReadError("there is more behind the end mark")

    def _check(self, position: int) -> None:
        if position > self._most + 2**16:
            raise _bomb(f"more than {self._most} bytes")


def _bomb(what: str) -> FetchError:
    return FetchError(f"the archive holds {what}", code="archive_bomb")


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

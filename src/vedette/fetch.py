"""Bytes of a file, read so that nothing can block or grow without bound."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from vedette.errors import FetchError

_CODE_BY_ERRNO = {errno.ENOENT: "not_found", errno.ENOTDIR: "not_found", errno.ELOOP: "not_found"}
# ENXIO: opening a socket, or a device that has no driver.
_CODE_BY_ERRNO[errno.ENXIO] = "not_a_file"
_PIECE_BYTES = 2**22


def open_regular(path: Path) -> BufferedReader:
    """Open ``path`` for reading if it is a regular file.

    Opened without blocking and checked on the open descriptor, so that a pipe put in the file's
    place between check and use cannot hang the scan.

    Raises:
        FetchError: ``not_found``, ``unreadable``, ``not_a_file``.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise fetch_error(path, error) from error
    except ValueError as error:  # a NUL in the name
        raise FetchError(f"{error}", code="not_found") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FetchError(f"{shown(path)} is not a regular file", code="not_a_file")
    return os.fdopen(descriptor, "rb")


class Readable(Protocol):
    """What has bytes to read."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""
        ...


def read_bounded(stream: Readable, limit: int, name: str) -> bytes:
    """All of ``stream``, at most ``limit`` bytes. A declared size is never trusted.

    Raises:
        FetchError: ``too_many_bytes``, ``unreadable``, ``corrupt``, ``out_of_memory``.
    """
    parts: list[bytes] = []
    left = limit + 1
    try:
        # In pieces: a read of the whole limit would first set aside as much memory.
        while left and (part := stream.read(min(left, _PIECE_BYTES))):
            parts.append(part)
            left -= len(part)
        if left:
            return b"".join(parts)
    except OSError as error:
        code = "unreadable" if error.errno else "corrupt"  # without: a decompressor's own error
        raise FetchError(f"{name}: {error.strerror or error}", code=code) from error
    except MemoryError as error:
        raise FetchError(f"{name}: not enough memory", code="out_of_memory") from error
    raise FetchError(f"{name} is larger than {limit} bytes", code="too_many_bytes")


def fetch_error(path: Path, error: OSError) -> FetchError:
    """The FetchError that says what ``error`` means for ``path``."""
    code = _CODE_BY_ERRNO.get(error.errno or 0, "unreadable")
    return FetchError(f"{shown(path)}: {error.strerror or error}", code=code)


def shown(path: Path) -> str:
    """The file's name in one line that any terminal and any encoding can take."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path.name)

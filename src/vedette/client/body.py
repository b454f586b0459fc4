"""What a request's body is made of: bytes, and files that are read while they are sent."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from urllib.parse import quote

from vedette.errors import FetchError
from vedette.fetch import fetch_error, open_regular, shown

_PIECE_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file's bytes, as many as there were when the request was made."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Body:
    """A body whose length is known before its first byte is sent, and that can be sent again."""

    content_type: str
    parts: tuple[bytes | FilePart, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(part) if isinstance(part, bytes) else part.size for part in self.parts)

    def pieces(self) -> Generator[bytes, None, None]:
        """All of it, from the start; files are opened one by one and closed again.

        Raises:
            FetchError: a file is gone, or is not as long as it was.
        """
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
            else:
                yield from _read(part)


def file_part(path: Path) -> FilePart:
    """The file at ``path`` as it is now.

    Raises:
        FetchError: ``not_found``, ``unreadable``, ``not_a_file``.
    """
    with open_regular(path) as stream:
        return FilePart(path, os.fstat(stream.fileno()).st_size)


def form(fields: Mapping[str, str], images: Sequence[tuple[str, bytes | FilePart]]) -> Body:
    """A ``multipart/form-data`` body (RFC 7578) of plain fields and of named images.

    Args:
        fields: options by name.
        images: name and content. A name may hold anything: it is sent percent-encoded, as the
            service reads it (RFC 8187).
    """
    boundary = secrets.token_hex(16)  # 128 random bits: no picture holds it
    parts: list[bytes | FilePart] = []
    for name, value in fields.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        parts.append(f"{head}{value}\r\n".encode("utf-8", "replace"))
    for key, content in images:
        told = quote(key, safe="", errors="replace")
        disposition = f"form-data; name=\"image\"; filename*=utf-8''{told}"
        kind = "Content-Type: application/octet-stream"
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{kind}\r\n\r\n"
        parts += [head.encode(), content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return Body(f"multipart/form-data; boundary={boundary}", tuple(parts))


def _read(part: FilePart) -> Iterator[bytes]:
    left = part.size
    with open_regular(part.path) as stream:
        while left:
            piece = _piece(stream, part.path, min(left, _PIECE_BYTES))
            if not piece:
                break
            left -= len(piece)
            yield piece
        if left or _piece(stream, part.path, 1):
            # Its length has been told already, so it cannot be sent as it is now.
            told = f"{shown(part.path)} was changed while it was being sent"
            raise FetchError(told, code="unreadable")


def _piece(stream: BufferedReader, path: Path, size: int) -> bytes:
    try:
        return stream.read(size)
    except OSError as error:
        raise fetch_error(path, error) from error

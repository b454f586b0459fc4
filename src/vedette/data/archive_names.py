"""The names at a glance that an archive lists, to tell what kind of set it is. Never raises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vedette.errors import FetchError
from vedette.fetch import open_regular

_END = b"PK\x05\x06"
_ENTRY = b"PK\x01\x02"
_MOST_BYTES = 2**24
"""Of a zip's directory that are looked at: some 200,000 names."""
_BLOCK = 512
_MOST_MEMBERS = 16


def zip_names(path: Path) -> Iterator[str]:
    """The names in a zip's directory; the last ones where it is very long, none if it is no zip.

    Only for a first guess: it checks nothing, :func:`vedette.data.archive.read_archive` does.
    """
    try:
        with open_regular(path) as stream:
            if stream.read(2) != b"PK":
                return
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 2**16 - 22))
            tail = stream.read()
            at = tail.rfind(_END)
            if at < 0:
                return
            end = max(0, size - 2**16 - 22) + at
            declared = int.from_bytes(tail[at + 12 : at + 16], "little")
            stream.seek(max(0, end - min(declared, _MOST_BYTES)))
            directory = stream.read(min(declared, _MOST_BYTES))
    except (FetchError, OSError):
        return
    at = directory.find(_ENTRY)
    while at >= 0:
        length = int.from_bytes(directory[at + 28 : at + 30], "little")
        yield directory[at + 46 : at + 46 + length].decode("utf-8", "replace")
        at = directory.find(_ENTRY, at + 46 + length)


def tar_names(path: Path) -> Iterator[str]:
    """The names of the first members of an uncompressed tar; none if it is no tar."""
    try:
        with open_regular(path) as stream:
            for _ in range(_MOST_MEMBERS):
                header = stream.read(_BLOCK)
                if header[257:262] != b"ustar":
                    return
                name = header[:100].split(b"\0")[0]
                size = header[124:136].strip(b" \0")
                yield name.decode("utf-8", "replace")
                stream.seek(-(-int(size or b"0", 8) // _BLOCK) * _BLOCK, 1)
    except (FetchError, OSError, ValueError, OverflowError):
        return

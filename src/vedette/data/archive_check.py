"""An archive from a stranger, checked to its end before a byte of it is trusted.

A scan reads an archive as far as it can and reports each member. A data set is another matter: an
archive that tries to get out of its folder, or means different things to different programs, is not
a set to train on, so it is refused as a whole.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vedette import sniff
from vedette.data.archive import DECOMPRESSORS, read_archive
from vedette.data.keys import to_key
from vedette.errors import FetchError
from vedette.fetch import fetch_error, open_regular
from vedette.settings import Limits
from vedette.types import Failure

_DRIVE = re.compile(r"[A-Za-z]:")
_REFUSED = frozenset(
    {"link_in_archive", "encrypted", "archive_bomb", "corrupt_archive", "corrupt", "truncated"}
)
"""What one member of it is enough for. A member that is too large or an archive itself is not: it
becomes a failure of its own in the set."""


def check_archives(path: Path, limits: Limits) -> int:
    """Check ``path`` if it is an archive, or every archive below it if it is a folder.

    Args:
        path: what is to be imported.
        limits: of a member, and of an archive's expanded size and members.

    Returns:
        How many archives there were.

    Raises:
        FetchError: ``unsafe_path``, ``duplicate_names``, ``link_in_archive``, ``encrypted``,
            ``archive_bomb``, ``corrupt_archive``, ``corrupt`` (a wrong checksum) or
            ``truncated``, and which archive it is.
    """
    count = 0
    for file in _files(path):
        try:
            with open_regular(file) as stream:
                fmt = sniff.sniff(stream.read(sniff.HEAD_BYTES))
                if fmt is None or fmt.kind != "archive":
                    continue
                count += 1
                _check(stream, fmt, file, limits)
        except FetchError as error:
            if error.code in ("not_found", "unreadable", "not_a_file"):
                continue  # a failure of that file, which its source reports
            raise
        except OSError as error:
            raise fetch_error(file, error) from error
    return count


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, below, names in os.walk(path):
        below.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _check(stream: IO[bytes], fmt: sniff.Format, path: Path, limits: Limits) -> None:
    # First every byte: each member is read to its end, which also verifies its checksum, within
    # the limits. Only then are names looked at, by the library that would unpack them.
    stream.seek(0)
    for item in read_archive(stream, fmt, to_key(path.name), limits):
        if isinstance(item.data, Failure) and item.data.code in _REFUSED:
            raise FetchError(f"{item.key}: {item.data.message}", code=item.data.code)
    stream.seek(0)
    seen: set[str] = set()
    for name in _names(stream, fmt):
        shown = f"{to_key(path.name)}: {to_key(name)!r}"
        if _leads_out(name):
            raise FetchError(f"{shown} leads out of the archive", code="unsafe_path")
        folded = unicodedata.normalize("NFC", name.rstrip("/")).casefold()
        if folded in seen:
            raise FetchError(f"{shown} is there twice", code="duplicate_names")
        seen.add(folded)


def _names(stream: IO[bytes], fmt: sniff.Format) -> Iterator[str]:
    """The names of all members, folders and links included."""
    if fmt is sniff.ZIP:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise FetchError(to_key(member.filename), code="link_in_archive")
                # As stored: zipfile cuts a name at its first NUL and turns some separators.
                yield member.orig_filename
        return
    with tarfile.open(fileobj=DECOMPRESSORS[fmt.name](stream), mode="r:") as archive:
        while (entry := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it keeps them all otherwise
            if not entry.isdir() or entry.name not in (".", "./"):
                yield entry.name


def _leads_out(name: str) -> bool:
    """Whether unpacking a member of that name could write outside the folder, on any system."""
    if "\0" in name or name.startswith(("/", "\\")) or _DRIVE.match(name):
        return True
    return ".." in re.split(r"[/\\]", name)

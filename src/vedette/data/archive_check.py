"""An archive from a stranger, checked to its end before a byte of it is trusted.

A scan reads an archive as far as it can and reports each member. A data set is another matter: an
archive that tries to get out of its folder, or means different things to different programs, is not
a set to train on, so it is refused as a whole.
"""

from __future__ import annotations

import lzma
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
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
                if file != path and not _is_tar_or_zip(stream, fmt):
                    continue  # notes.txt.gz beside the pictures: nothing is read from it
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


def _is_tar_or_zip(stream: IO[bytes], fmt: sniff.Format) -> bool:
    if fmt is sniff.ZIP:
        return True
    stream.seek(0)
    try:
        head = DECOMPRESSORS[fmt.name](stream).read(tarfile.BLOCKSIZE)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        return False  # a source that meets it reports it
    return head[257:262] == b"ustar" or not head.strip(b"\0")


def _check(stream: IO[bytes], fmt: sniff.Format, path: Path, limits: Limits) -> None:
    # First every byte: each member is read to its end, which also verifies its checksum, within
    # the limits. Only then are names looked at, by the library that would unpack them.
    stream.seek(0)
    for item in read_archive(stream, fmt, to_key(path.name), limits):
        if isinstance(item.data, Failure) and item.data.code in _REFUSED:
            raise FetchError(f"{item.key}: {item.data.message}", code=item.data.code)
    stream.seek(0)
    seen: set[str] = set()
    above: set[str] = set()
    for name, is_folder in _names(stream, fmt):
        shown = f"{to_key(path.name)}: {to_key(name)!r}"
        if _leads_out(name):
            raise FetchError(f"{shown} leads out of the archive", code="unsafe_path")
        parts = _folded(name)
        folders = {"/".join(parts[:end]) for end in range(1, len(parts) + is_folder)}
        above |= folders
        if is_folder:
            if seen & folders:
                raise FetchError(f"{shown} is a file and a folder", code="duplicate_names")
            continue  # a folder may be named again
        whole = "/".join(parts)
        if whole in seen or whole in above or seen & folders:
            raise FetchError(f"{shown} is there twice", code="duplicate_names")
        seen.add(whole)


def _folded(name: str) -> list[str]:
    """The parts of a name as the least careful file system sees them."""
    parts = (part.rstrip(". ") for part in re.split(r"[/\\]", name))
    return [_same_letters(part) for part in parts if part]


def _same_letters(part: str) -> str:
    folded = unicodedata.normalize("NFC", part).casefold()
    return unicodedata.normalize("NFC", folded)


def _names(stream: IO[bytes], fmt: sniff.Format) -> Iterator[tuple[str, bool]]:
    """The names of all members, links included, and whether each is a folder."""
    if fmt is sniff.ZIP:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise FetchError(to_key(member.filename), code="link_in_archive")
                # As stored: zipfile cuts a name at its first NUL and turns some separators.
                yield member.orig_filename, member.is_dir()
        return
    with tarfile.open(fileobj=DECOMPRESSORS[fmt.name](stream), mode="r:") as archive:
        while (entry := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it keeps them all otherwise
            yield entry.name, entry.isdir()


def _leads_out(name: str) -> bool:
    """Whether unpacking a member of that name could write outside the folder, on any system."""
    if "\0" in name or name.startswith(("/", "\\")) or _DRIVE.match(name):
        return True
    return ".." in re.split(r"[/\\]", name)

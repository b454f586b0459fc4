"""Weights that come as a ZIP archive or a folder, read into memory; nothing is ever unpacked."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from vedette.errors import ModelError

_MOST_BYTES = 2**26
"""Of the file, and of all members together, expanded. The largest head has 22 megabytes."""
_MOST_MEMBERS = 1000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Of compression. zipfile expands the others without a bound, whatever size a member claims."""


def read_members(path: Path) -> Mapping[str, bytes]:
    """The files of a ZIP archive, or of a folder, by their names with ``/``.

    Raises:
        ModelError: ``weights_missing``, or ``weights_unusable``: no archive, truncated, a name
            that leads outside, a link, an encrypted member, a name twice, or too large.
    """
    if path.is_dir():
        try:
            return _of_folder(path)
        except OSError as error:
            raise _unusable(path, f"cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise ModelError(f"{path} is not there", code="weights_missing")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _unusable(path, "it is larger than weights of this kind are")
        with zipfile.ZipFile(path) as archive:
            return {
                info.filename: _read(archive, info)
                for info in _checked(archive.infolist(), path)
                if not info.is_dir()
            }
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError),
        *(NotImplementedError, RuntimeError, UnicodeDecodeError),
    ) as error:
        raise _unusable(path, f"not a whole ZIP archive: {error}") from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member's content; ``ZipFile.read`` may expand gigabytes before it looks at the size."""
    with archive.open(member) as file:
        return file.read(member.file_size + 1)


def _checked(members: list[zipfile.ZipInfo], path: Path) -> list[zipfile.ZipInfo]:
    if len(members) > _MOST_MEMBERS or sum(m.file_size for m in members) > _MOST_BYTES:
        raise _unusable(path, "it expands to more than weights of this kind have")
    seen: set[str] = set()
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
            raise _unusable(path, f"its member {name!r} leads outside of it")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _unusable(path, f"its member {name!r} is a link")
        if member.flag_bits & 1:
            raise _unusable(path, f"its member {name!r} is encrypted")
        if member.compress_type not in _METHODS:
            raise _unusable(path, f"its member {name!r} is compressed in another way than deflated")
        if name in seen:
            raise _unusable(path, f"its member {name!r} is there twice")
        seen.add(name)
    return members


def _of_folder(folder: Path) -> Mapping[str, bytes]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    if len(files) > _MOST_MEMBERS or sum(f.stat().st_size for f in files) > _MOST_BYTES:
        raise _unusable(folder, "it holds more than weights of this kind have")
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def _unusable(path: Path, why: str) -> ModelError:
    return ModelError(f"{path.name}: {why}", code="weights_unusable")

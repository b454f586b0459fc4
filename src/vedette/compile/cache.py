"""Files that are made once from others, and found again by what they were made from."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from vedette.errors import VedetteError

_STAMP = "made.sha256"


def cache_root() -> Path:
    """``$VEDETTE_CACHE``, else the user's cache folder. Everything in it can be made again."""
    if given := os.environ.get("VEDETTE_CACHE"):
        return Path(given)
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "vedette"


def cached(key_parts: Sequence[bytes | str], suffix: str, make: Callable[[Path], None]) -> Path:
    """The file that ``make`` makes, made now if nobody has made it from the same parts.

    Args:
        key_parts: everything that the content depends on: hashes of weights, options, the version
            of the code that makes it.
        suffix: of the file's name, e.g. ``.onnx``.
        make: writes the file at the path that it is given; may write further files beside it.

    Returns:
        Its path, in a folder of its own. The bytes are the ones that were made: a file that was
        changed since is made again.

    Raises:
        VedetteError: ``write_failed``.
    """
    digest = hashlib.sha256()
    for part in key_parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    folder = cache_root() / digest.hexdigest()[:32]
    name = f"network{suffix}"
    try:
        if not _is_whole(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            _make(folder, name, make)
    except OSError as error:
        raise VedetteError(
            f"cannot write {folder}: {error.strerror}",
            code="write_failed",
            hint="set VEDETTE_CACHE to a folder that can be written",
        ) from error
    return folder / name


def _make(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    # Beside its place and then renamed: another process sees all of it or nothing.
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
    try:
        make(temporary / name)
        (temporary / _STAMP).write_text(_content_hash(temporary), encoding="ascii")
        if _is_whole(folder):
            return  # another process was faster, and may be reading it: same parts, same bytes
        if _is_whole(folder):
            return  # another one was faster: what it made may be in use already
        if folder.exists():
            shutil.rmtree(folder)
        try:
            temporary.rename(folder)
        except OSError:
            if not _is_whole(folder):  # else another process was faster, with the same bytes
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    stamp = folder / _STAMP
    return stamp.is_file() and stamp.read_text(encoding="ascii") == _content_hash(folder)


def _content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name != _STAMP:
            digest.update(path.name.encode() + b"\0" + file_sha256(path).encode() + b"\0")
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes.

    Weights of gigabytes are asked for several times while a model is loaded: as long as a file
    is the same one, of the same size and time, it is read once.
    """
    stat = path.stat()
    return _digest(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, *_identity: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
